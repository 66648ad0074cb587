#include "io/netcdf_file.hpp"

#include <fmt/format.h>
#include <netcdf.h>
#include <netcdf_mem.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "io/netcdf4.hpp"

namespace raincell::io {
namespace {

constexpr std::size_t kMaxAttribute = 1 << 16;

void describe_type(nc_type type, NetcdfVariable& variable) {
  struct Row {
    nc_type type;
    NumberType number;
  };
  static constexpr Row rows[] = {
      {NC_BYTE, {NumberKind::integer, 1, true}},  {NC_UBYTE, {NumberKind::integer, 1, false}},
      {NC_SHORT, {NumberKind::integer, 2, true}}, {NC_USHORT, {NumberKind::integer, 2, false}},
      {NC_INT, {NumberKind::integer, 4, true}},   {NC_UINT, {NumberKind::integer, 4, false}},
      {NC_INT64, {NumberKind::integer, 8, true}}, {NC_UINT64, {NumberKind::integer, 8, false}},
      {NC_FLOAT, {NumberKind::real, 4, true}},    {NC_DOUBLE, {NumberKind::real, 8, true}}};
  for (const Row& row : rows) {
    if (row.type == type) variable.type = row.number;
  }
}

/// An empty vector of the variable's type.
Stored numbers_of(const NetcdfVariable& variable) {
  const NumberType& type = variable.type;
  const auto either = [&](auto with_sign, auto without) -> Stored {
    if (type.is_signed) return std::vector<decltype(with_sign)>();
    return std::vector<decltype(without)>();
  };
  if (type.kind == NumberKind::real)
    return type.bytes == 4 ? Stored(std::vector<float>()) : Stored(std::vector<double>());
  if (type.kind == NumberKind::other) throw DataError(fmt::format("cf: {}: holds no numbers", variable.name));
  switch (type.bytes) {
    case 1:
      return either(std::int8_t{}, std::uint8_t{});
    case 2:
      return either(std::int16_t{}, std::uint16_t{});
    case 4:
      return either(std::int32_t{}, std::uint32_t{});
    default:
      return either(std::int64_t{}, std::uint64_t{});
  }
}

/// The classic formats, read by the NetCDF library.
class ClassicFile : public NetcdfFile {
 public:
  explicit ClassicFile(std::span<const std::byte> bytes);
  ~ClassicFile() override;

  std::string text(int variable, const std::string& attribute) const override;
  std::vector<double> numbers(int variable, const std::string& attribute) const override;
  bool has(int variable, const std::string& attribute) const override;
  void check_storage(const NetcdfVariable&) const override {}  // sizes alone, which read checks
  Field read(const NetcdfVariable&, const std::vector<std::int64_t>& start,
             const std::vector<std::int64_t>& count, AllLost) const override;

 private:
  void check(int status, const std::string& object, const char* what) const;
  void list_variables();
  int id_ = -1;
};

void ClassicFile::check(int status, const std::string& object, const char* what) const {
  if (status == NC_NOERR) return;
  throw DataError(fmt::format("cf: {}: {}: {} ({}); truncated, damaged or still being written?", object, what,
                              nc_strerror(status), status));
}

ClassicFile::ClassicFile(std::span<const std::byte> bytes) {
  const int status =
      nc_open_mem("memory", NC_NOWRITE, bytes.size(), const_cast<std::byte*>(bytes.data()), &id_);
  if (status != NC_NOERR) {
    id_ = -1;
    check(status, "/", "cannot be opened as NetCDF");
  }
  try {
    list_variables();
  } catch (...) {
    nc_close(id_);
    throw;
  }
}

ClassicFile::~ClassicFile() {
  if (id_ >= 0) nc_close(id_);
}

void ClassicFile::list_variables() {
  int count = 0;
  check(nc_inq_nvars(id_, &count), "/", "variables cannot be listed");
  if (count > static_cast<int>(kMaxVariables)) {
    throw DataError(fmt::format("cf: /: {} variables; expected at most {}", count, kMaxVariables));
  }
  for (int v = 0; v < count; ++v) {
    NetcdfVariable variable;
    variable.id = v;
    std::array<char, NC_MAX_NAME + 1> name{};
    int rank = 0;
    nc_type type = NC_NAT;
    check(nc_inq_varname(id_, v, name.data()), "/", "a variable has no name");
    variable.name = name.data();
    check(nc_inq_varndims(id_, v, &rank), variable.name, "its dimensions cannot be read");
    check(nc_inq_vartype(id_, v, &type), variable.name, "its type cannot be read");
    if (rank < 0 || rank > 16) continue;
    std::vector<int> dimensions(static_cast<std::size_t>(rank));
    if (rank > 0)
      check(nc_inq_vardimid(id_, v, dimensions.data()), variable.name, "its dimensions cannot be read");
    for (const int dimension : dimensions) {
      std::size_t side = 0;
      check(nc_inq_dim(id_, dimension, name.data(), &side), variable.name, "a dimension cannot be read");
      variable.dimensions.emplace_back(name.data());
      variable.sides.push_back(static_cast<std::int64_t>(std::min<std::size_t>(side, std::size_t{1} << 40)));
    }
    describe_type(type, variable);
    variables_.push_back(std::move(variable));
  }
}

bool ClassicFile::has(int variable, const std::string& attribute) const {
  return nc_inq_attid(id_, variable, attribute.c_str(), nullptr) == NC_NOERR;
}

std::string ClassicFile::text(int variable, const std::string& attribute) const {
  nc_type type = NC_NAT;
  std::size_t length = 0;
  if (nc_inq_att(id_, variable, attribute.c_str(), &type, &length) != NC_NOERR || length > kMaxAttribute)
    return {};
  std::string value;
  if (type == NC_CHAR) {
    value.assign(length, '\0');
    if (nc_get_att_text(id_, variable, attribute.c_str(), value.data()) != NC_NOERR) return {};
    value.resize(strnlen(value.c_str(), length));
  } else if (type == NC_STRING && length == 1) {
    char* pointer = nullptr;
    if (nc_get_att_string(id_, variable, attribute.c_str(), &pointer) != NC_NOERR) return {};
    if (pointer != nullptr) value.assign(pointer, strnlen(pointer, kMaxAttribute));
    nc_free_string(1, &pointer);
  }
  while (!value.empty() && (value.back() == ' ' || value.back() == '\n')) value.pop_back();
  return value;
}

std::vector<double> ClassicFile::numbers(int variable, const std::string& attribute) const {
  nc_type type = NC_NAT;
  std::size_t length = 0;
  if (nc_inq_att(id_, variable, attribute.c_str(), &type, &length) != NC_NOERR) return {};
  if (type == NC_CHAR || type == NC_STRING || type > NC_STRING || length > 1024) return {};
  std::vector<double> values(length);
  if (length == 0 || nc_get_att_double(id_, variable, attribute.c_str(), values.data()) != NC_NOERR)
    return {};
  return values;
}

Field ClassicFile::read(const NetcdfVariable& variable, const std::vector<std::int64_t>& start,
                        const std::vector<std::int64_t>& count, AllLost) const {
  std::int64_t size = 1;
  for (std::size_t d = 0; d < count.size(); ++d) {
    if (start[d] < 0 || count[d] < 1 || start[d] + count[d] > variable.sides[d])
      throw DataError(fmt::format("cf: {}: hyperslab outside", variable.name));
    if (__builtin_mul_overflow(size, count[d], &size) || size > kMaxPixels)
      throw DataError(
          fmt::format("cf: {}: one read asks for more than {} values", variable.name, kMaxPixels));
  }
  Stored out = numbers_of(variable);
  const std::vector<std::size_t> from(start.begin(), start.end()), sides(count.begin(), count.end());
  std::visit(
      [&](auto& values) {
        values.resize(static_cast<std::size_t>(size));
        // The memory type is the stored one, so nc_get_vara converts byte order only.
        check(nc_get_vara(id_, variable.id, from.data(), sides.data(), values.data()), variable.name,
              "cannot be read");
      },
      out);
  return out;
}

}  // namespace

std::unique_ptr<NetcdfFile> NetcdfFile::open(std::span<const std::byte> bytes, const Hdf5File* hdf5) {
  if (hdf5 != nullptr) return open_netcdf4(*hdf5);
  return std::make_unique<ClassicFile>(bytes);
}

const NetcdfVariable* NetcdfFile::find(const std::string& name) const {
  for (const NetcdfVariable& variable : variables_) {
    if (variable.name == name) return &variable;
  }
  return nullptr;
}

std::optional<double> NetcdfFile::number(int variable, const std::string& attribute) const {
  const std::vector<double> values = numbers(variable, attribute);
  return values.size() == 1 ? std::optional<double>(values.front()) : std::nullopt;
}

std::vector<double> NetcdfFile::read_all(const NetcdfVariable& variable) const {
  if (std::find(variable.sides.begin(), variable.sides.end(), 0) != variable.sides.end()) return {};
  const Field field = read(variable, std::vector<std::int64_t>(variable.sides.size(), 0), variable.sides);
  if (!field.lost.empty()) throw DataError(fmt::format("cf: {}: {}", variable.name, field.why));
  std::vector<double> all = std::visit(
      [](const auto& values) { return std::vector<double>(values.begin(), values.end()); }, field.values);
  const auto fill = number(variable.id, "_FillValue");
  const double scale = number(variable.id, "scale_factor").value_or(1.),
               offset = number(variable.id, "add_offset").value_or(0.);
  for (double& value : all) value = fill && value == *fill ? std::nan("") : value * scale + offset;
  return all;
}

std::optional<double> NetcdfFile::default_fill(const NetcdfVariable& variable) {
  const NumberType& type = variable.type;
  if (type.kind == NumberKind::real)
    return type.bytes == 4 ? static_cast<double>(NC_FILL_FLOAT) : NC_FILL_DOUBLE;
  switch (type.bytes) {
    case 2:
      return type.is_signed ? NC_FILL_SHORT : NC_FILL_USHORT;
    case 4:
      return type.is_signed ? static_cast<double>(NC_FILL_INT) : static_cast<double>(NC_FILL_UINT);
    case 8:
      return type.is_signed ? static_cast<double>(NC_FILL_INT64) : static_cast<double>(NC_FILL_UINT64);
    default:
      return std::nullopt;
  }
}

}  // namespace raincell::io
