#include "io/netcdf_file.hpp"

#include <fmt/format.h>
#include <netcdf.h>
#include <netcdf_mem.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "io/hdf5_file.hpp"

namespace raincell::io {
namespace {

constexpr int kMaxVariables = 4096;
constexpr std::size_t kMaxAttribute = 1 << 16;

void describe_type(nc_type type, NetcdfVariable& variable) {
  struct Row {
    nc_type type;
    VariableKind kind;
    int bytes;
    bool is_signed;
  };
  static constexpr Row rows[] = {
      {NC_BYTE, VariableKind::integer, 1, true},  {NC_UBYTE, VariableKind::integer, 1, false},
      {NC_SHORT, VariableKind::integer, 2, true}, {NC_USHORT, VariableKind::integer, 2, false},
      {NC_INT, VariableKind::integer, 4, true},   {NC_UINT, VariableKind::integer, 4, false},
      {NC_INT64, VariableKind::integer, 8, true}, {NC_UINT64, VariableKind::integer, 8, false},
      {NC_FLOAT, VariableKind::real, 4, true},    {NC_DOUBLE, VariableKind::real, 8, true}};
  for (const Row& row : rows) {
    if (row.type != type) continue;
    variable.kind = row.kind;
    variable.bytes = row.bytes;
    variable.is_signed = row.is_signed;
  }
}

}  // namespace

void NetcdfFile::check(int status, const std::string& object, const char* what) const {
  if (status == NC_NOERR) return;
  const char* hint = status == NC_EFILTER || status == NC_ENOTBUILT
                         ? "; a compression filter is missing: recompress the file (nccopy -d 4)"
                     : status == NC_EHDFERR ? "; truncated, damaged or still being written?"
                                            : "";
  throw DataError(fmt::format("cf: {}: {}: {} ({}){}", object, what, nc_strerror(status), status, hint));
}

NetcdfFile::NetcdfFile(std::span<const std::byte> bytes) {
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

NetcdfFile::~NetcdfFile() {
  if (id_ >= 0) nc_close(id_);
}

void NetcdfFile::list_variables() {
  int count = 0;
  check(nc_inq_nvars(id_, &count), "/", "variables cannot be listed");
  if (count > kMaxVariables) {
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
    variable.dimension_ids.resize(static_cast<std::size_t>(rank));
    if (rank > 0)
      check(nc_inq_vardimid(id_, v, variable.dimension_ids.data()), variable.name,
            "its dimensions cannot be read");
    for (const int dimension : variable.dimension_ids) {
      std::size_t side = 0;
      check(nc_inq_dim(id_, dimension, name.data(), &side), variable.name, "a dimension cannot be read");
      variable.dimensions.emplace_back(name.data());
      variable.sides.push_back(static_cast<std::int64_t>(std::min<std::size_t>(side, std::size_t{1} << 40)));
    }
    describe_type(type, variable);
    variables_.push_back(std::move(variable));
  }
}

const NetcdfVariable* NetcdfFile::find(const std::string& name) const {
  for (const NetcdfVariable& variable : variables_) {
    if (variable.name == name) return &variable;
  }
  return nullptr;
}

bool NetcdfFile::has(int variable, const std::string& attribute) const {
  return nc_inq_attid(id_, variable, attribute.c_str(), nullptr) == NC_NOERR;
}

std::string NetcdfFile::text(int variable, const std::string& attribute) const {
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

std::vector<double> NetcdfFile::numbers(int variable, const std::string& attribute) const {
  nc_type type = NC_NAT;
  std::size_t length = 0;
  if (nc_inq_att(id_, variable, attribute.c_str(), &type, &length) != NC_NOERR) return {};
  if (type == NC_CHAR || type == NC_STRING || type > NC_STRING || length > 1024) return {};
  std::vector<double> values(length);
  if (length == 0 || nc_get_att_double(id_, variable, attribute.c_str(), values.data()) != NC_NOERR)
    return {};
  return values;
}

std::optional<double> NetcdfFile::number(int variable, const std::string& attribute) const {
  const std::vector<double> values = numbers(variable, attribute);
  return values.size() == 1 ? std::optional<double>(values.front()) : std::nullopt;
}

Stored NetcdfFile::read(const NetcdfVariable& variable, const std::vector<std::size_t>& start,
                        const std::vector<std::size_t>& count) const {
  std::size_t size = 1;
  for (const std::size_t side : count) {
    if (__builtin_mul_overflow(size, side, &size) || size > static_cast<std::size_t>(kMaxPixels)) {
      throw DataError(
          fmt::format("cf: {}: one read asks for more than {} values", variable.name, kMaxPixels));
    }
  }
  Stored out;
  if (variable.kind == VariableKind::real) {
    out = variable.bytes == 4 ? Stored(std::vector<float>(size)) : Stored(std::vector<double>(size));
  } else if (variable.kind == VariableKind::integer) {
    switch (variable.bytes) {
      case 1:
        out = variable.is_signed ? Stored(std::vector<std::int8_t>(size))
                                 : Stored(std::vector<std::uint8_t>(size));
        break;
      case 2:
        out = variable.is_signed ? Stored(std::vector<std::int16_t>(size))
                                 : Stored(std::vector<std::uint16_t>(size));
        break;
      case 4:
        out = variable.is_signed ? Stored(std::vector<std::int32_t>(size))
                                 : Stored(std::vector<std::uint32_t>(size));
        break;
      default:
        out = variable.is_signed ? Stored(std::vector<std::int64_t>(size))
                                 : Stored(std::vector<std::uint64_t>(size));
    }
  } else {
    throw DataError(fmt::format("cf: {}: holds no numbers", variable.name));
  }
  // Chunks that span many time steps are inflated once, not once a step. Fails harmlessly on classic files.
  nc_set_var_chunk_cache(id_, variable.id, std::size_t{128} << 20, 4133, 0.75F);
  std::visit(
      [&](auto& values) {
        // The memory type is the stored one, so nc_get_vara converts byte order only.
        check(nc_get_vara(id_, variable.id, start.data(), count.data(), values.data()), variable.name,
              "cannot be read (damaged file?)");
      },
      out);
  return out;
}

std::vector<double> NetcdfFile::read_all(const NetcdfVariable& variable) const {
  const std::vector<std::size_t> start(variable.sides.size(), 0);
  const std::vector<std::size_t> count(variable.sides.begin(), variable.sides.end());
  return std::visit([](const auto& values) { return std::vector<double>(values.begin(), values.end()); },
                    read(variable, start, count));
}

std::optional<double> NetcdfFile::default_fill(const NetcdfVariable& variable) const {
  if (variable.kind == VariableKind::real) {
    return variable.bytes == 4 ? static_cast<double>(NC_FILL_FLOAT) : NC_FILL_DOUBLE;
  }
  switch (variable.bytes) {
    case 2:
      return variable.is_signed ? NC_FILL_SHORT : NC_FILL_USHORT;
    case 4:
      return variable.is_signed ? static_cast<double>(NC_FILL_INT) : static_cast<double>(NC_FILL_UINT);
    case 8:
      return variable.is_signed ? static_cast<double>(NC_FILL_INT64) : static_cast<double>(NC_FILL_UINT64);
    default:
      return std::nullopt;
  }
}

}  // namespace raincell::io
