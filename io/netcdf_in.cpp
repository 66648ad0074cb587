#include "io/netcdf_in.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netcdf.h>
#include <netcdf_mem.h>

#include <utility>

namespace raincell::io {
namespace {

constexpr std::size_t kLargestAttribute = 1 << 20;  // numbers or letters
constexpr std::size_t kMostValues = std::size_t{1} << 33;

int holder(int variable) {
  return variable == NetcdfIn::kGlobal ? NC_GLOBAL : variable;
}

}  // namespace

NetcdfIn::NetcdfIn(const std::filesystem::path& path, std::string hint)
    : path_(path.string()), hint_(std::move(hint)) {
  check(nc_open(path_.c_str(), NC_NOWRITE, &id_), "cannot be opened");
}

NetcdfIn::NetcdfIn(std::span<const std::byte> bytes, std::string hint) : hint_(std::move(hint)) {
  check(nc_open_mem("memory", NC_NOWRITE, bytes.size(), const_cast<std::byte*>(bytes.data()), &id_),
        "cannot be opened");
}

NetcdfIn::~NetcdfIn() {
  nc_close(id_);
}

void NetcdfIn::refuse(const std::string& what) const {
  throw DataError((path_.empty() ? "" : path_ + ": ") + what + "; " + hint_);
}

void NetcdfIn::check(int status, const std::string& what) const {
  if (status != NC_NOERR) refuse(fmt::format("{} ({})", what, nc_strerror(status)));
}

int NetcdfIn::find(const std::string& name) const {
  int variable = -1;
  return nc_inq_varid(id_, name.c_str(), &variable) == NC_NOERR ? variable : -1;
}

int NetcdfIn::variable(const std::string& name) const {
  const int found = find(name);
  if (found < 0) refuse(fmt::format("no variable \"{}\"", name));
  return found;
}

std::size_t NetcdfIn::length(const std::string& dimension) const {
  int id = -1;
  std::size_t size = 0;
  check(nc_inq_dimid(id_, dimension.c_str(), &id), fmt::format("no dimension \"{}\"", dimension));
  check(nc_inq_dimlen(id_, id, &size), dimension + ": its length cannot be read");
  return size;
}

std::string NetcdfIn::text(int variable, const std::string& name) const {
  nc_type type = NC_NAT;
  std::size_t size = 0;
  if (nc_inq_att(id_, holder(variable), name.c_str(), &type, &size) != NC_NOERR) return {};
  if (type != NC_CHAR || size > kLargestAttribute) return {};
  std::string value(size, '\0');
  check(nc_get_att_text(id_, holder(variable), name.c_str(), value.data()),
        "attribute " + name + " cannot be read");
  return value;
}

std::vector<double> NetcdfIn::numbers(int variable, const std::string& name) const {
  nc_type type = NC_NAT;
  std::size_t size = 0;
  if (nc_inq_att(id_, holder(variable), name.c_str(), &type, &size) != NC_NOERR) return {};
  if (type == NC_CHAR || type >= NC_STRING || size > kLargestAttribute) return {};
  std::vector<double> values(size);
  check(nc_get_att_double(id_, holder(variable), name.c_str(), values.data()),
        "attribute " + name + " cannot be read");
  return values;
}

std::int64_t NetcdfIn::integer(int variable, const std::string& name, std::int64_t otherwise) const {
  nc_type type = NC_NAT;
  std::size_t size = 0;
  if (nc_inq_att(id_, holder(variable), name.c_str(), &type, &size) != NC_NOERR) return otherwise;
  if (size != 1 || type == NC_CHAR || type >= NC_STRING) return otherwise;
  long long value = 0;
  check(nc_get_att_longlong(id_, holder(variable), name.c_str(), &value),
        "attribute " + name + " cannot be read");
  return value;
}

std::size_t NetcdfIn::checked_size(int variable, const std::string& name, const Dimensions& dimensions,
                                   int type) const {
  nc_type found = NC_NAT;
  int rank = 0, ids[NC_MAX_VAR_DIMS] = {};
  check(nc_inq_var(id_, variable, nullptr, &found, &rank, ids, nullptr), name + " cannot be examined");
  bool same = static_cast<std::size_t>(rank) == dimensions.size();
  std::size_t values = 1;
  for (std::size_t i = 0; same && i < dimensions.size(); ++i) {
    char dimension[NC_MAX_NAME + 1] = {};
    std::size_t size = 0;
    check(nc_inq_dim(id_, ids[i], dimension, &size), name + ": a dimension cannot be read");
    same = dimensions[i] == dimension;
    if (values > 0 && size > kMostValues / values)
      refuse(name + " is larger than anything written by this program");
    values *= size;
  }
  if (!same) refuse(fmt::format("{} is not ({})", name, fmt::join(dimensions, ", ")));
  const bool fits = type == NC_NAT ? found != NC_CHAR && found < NC_STRING : found == type;
  if (!fits) refuse(name + " is of another type");
  return values;
}

std::vector<double> NetcdfIn::values(const std::string& name, const Dimensions& dimensions) const {
  const int id = variable(name);
  std::vector<double> values(checked_size(id, name, dimensions, NC_NAT));
  check(nc_get_var_double(id_, id, values.data()), name + " cannot be read");
  return values;
}

std::vector<std::int16_t> NetcdfIn::codes(const std::string& name, const Dimensions& dimensions) const {
  const int id = variable(name);
  std::vector<std::int16_t> values(checked_size(id, name, dimensions, NC_SHORT));
  check(nc_get_var_short(id_, id, values.data()), name + " cannot be read");
  return values;
}

std::vector<std::int16_t> NetcdfIn::plane(const std::string& name, const std::vector<std::size_t>& at,
                                          std::int64_t rows, std::int64_t columns) const {
  const int id = variable(name);
  int rank = 0;
  nc_type type = NC_NAT;
  check(nc_inq_var(id_, id, nullptr, &type, &rank, nullptr, nullptr), name + " cannot be examined");
  if (static_cast<std::size_t>(rank) != at.size() + 2 || type != NC_SHORT)
    refuse(name + " holds no such planes");
  std::vector<std::size_t> start = at, count(at.size(), 1);
  start.insert(start.end(), {0, 0});
  count.insert(count.end(), {static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)});
  std::vector<std::int16_t> codes(static_cast<std::size_t>(rows * columns));
  check(nc_get_vara_short(id_, id, start.data(), count.data(), codes.data()), name + " cannot be read");
  return codes;
}

std::vector<std::uint8_t> NetcdfIn::flags(const std::string& name, const Dimensions& dimensions) const {
  const int id = variable(name);
  std::vector<std::uint8_t> values(checked_size(id, name, dimensions, NC_BYTE));
  check(nc_get_var_uchar(id_, id, values.data()), name + " cannot be read");
  return values;
}

std::vector<std::string> NetcdfIn::texts(const std::string& name, const Dimensions& dimensions) const {
  const int id = variable(name);
  std::vector<char*> raw(checked_size(id, name, dimensions, NC_STRING), nullptr);
  check(nc_get_var_string(id_, id, raw.data()), name + " cannot be read");
  std::vector<std::string> values;
  for (const char* text : raw) values.emplace_back(text == nullptr ? "" : text);
  nc_free_string(raw.size(), raw.data());
  return values;
}

}  // namespace raincell::io
