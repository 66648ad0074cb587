#include "io/netcdf_out.hpp"

#include <netcdf.h>
#include <netcdf_mem.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "io/format_lock.hpp"

namespace raincell::io {
namespace {

nc_type type_of(NetcdfType type) {
  switch (type) {
    case NetcdfType::int8:
      return NC_BYTE;
    case NetcdfType::int16:
      return NC_SHORT;
    case NetcdfType::int32:
      return NC_INT;
    case NetcdfType::uint8:
      return NC_UBYTE;
    case NetcdfType::uint64:
      return NC_UINT64;
    case NetcdfType::float32:
      return NC_FLOAT;
    case NetcdfType::float64:
      return NC_DOUBLE;
    case NetcdfType::string:
      return NC_STRING;
  }
  return NC_NAT;
}

int holder(int variable) {
  return variable == NetcdfOut::kGlobal ? NC_GLOBAL : variable;
}

}  // namespace

void NetcdfOut::check(int status, const std::string& what) const {
  if (status == NC_NOERR) return;
  throw WriteError(name_ + ": cannot " + what + " (" + nc_strerror(status) +
                   "); is the disk full or the folder read-only?");
}

NetcdfOut NetcdfOut::in_memory(const std::string& name) {
  const std::lock_guard lock(format_lock());
  int id = -1;
  const int status = nc_create_mem(name.c_str(), NC_NETCDF4, 1 << 16, &id);
  NetcdfOut out(name, status == NC_NOERR ? id : -1, true);
  out.check(status, "create a file in memory");
  return out;
}

NetcdfOut NetcdfOut::on_disk(const std::filesystem::path& path) {
  const std::lock_guard lock(format_lock());
  int id = -1;
  const int status = nc_create(path.c_str(), NC_NETCDF4 | NC_NOCLOBBER, &id);
  NetcdfOut out(path.string(), status == NC_NOERR ? id : -1, false);
  out.check(status, "create the file");
  return out;
}

NetcdfOut::NetcdfOut(NetcdfOut&& other) noexcept
    : name_(std::move(other.name_)), id_(std::exchange(other.id_, -1)), memory_(other.memory_) {}

NetcdfOut::~NetcdfOut() {
  if (id_ < 0) return;
  const std::lock_guard lock(format_lock());
  if (memory_) {
    NC_memio image{};
    if (nc_close_memio(id_, &image) == NC_NOERR) std::free(image.memory);
  } else {
    nc_close(id_);
  }
}

int NetcdfOut::dimension(const std::string& name, std::size_t size) {
  const std::lock_guard lock(format_lock());
  int id = -1;
  check(nc_def_dim(id_, name.c_str(), size == 0 ? NC_UNLIMITED : size, &id), "define dimension " + name);
  return id;
}

int NetcdfOut::variable(const std::string& name, NetcdfType type, const std::vector<int>& dimensions,
                        const NetcdfStorage& storage) {
  const std::lock_guard lock(format_lock());
  int id = -1;
  check(nc_def_var(id_, name.c_str(), type_of(type), static_cast<int>(dimensions.size()), dimensions.data(),
                   &id),
        "define variable " + name);
  if (!storage.chunks.empty()) {
    check(nc_def_var_chunking(id_, id, NC_CHUNKED, storage.chunks.data()), "set the chunks of " + name);
  }
  if (storage.deflate > 0) check(nc_def_var_deflate(id_, id, 1, 1, storage.deflate), "compress " + name);
  return id;
}

void NetcdfOut::attribute(int variable, const std::string& name, const std::string& value) {
  const std::lock_guard lock(format_lock());
  check(nc_put_att_text(id_, holder(variable), name.c_str(), value.size(), value.data()),
        "write attribute " + name);
}

void NetcdfOut::attribute(int variable, const std::string& name, double value) {
  const std::lock_guard lock(format_lock());
  check(nc_put_att_double(id_, holder(variable), name.c_str(), NC_DOUBLE, 1, &value),
        "write attribute " + name);
}

void NetcdfOut::attribute(int variable, const std::string& name, std::span<const double> values) {
  const std::lock_guard lock(format_lock());
  check(nc_put_att_double(id_, holder(variable), name.c_str(), NC_DOUBLE, values.size(), values.data()),
        "write attribute " + name);
}

void NetcdfOut::attribute(int variable, const std::string& name, std::int16_t value) {
  const std::lock_guard lock(format_lock());
  check(nc_put_att_short(id_, holder(variable), name.c_str(), NC_SHORT, 1, &value),
        "write attribute " + name);
}

void NetcdfOut::attribute(int variable, const std::string& name, std::int32_t value) {
  const std::lock_guard lock(format_lock());
  check(nc_put_att_int(id_, holder(variable), name.c_str(), NC_INT, 1, &value), "write attribute " + name);
}

void NetcdfOut::fill_value(int variable, std::int16_t value) {
  const std::lock_guard lock(format_lock());
  check(nc_def_var_fill(id_, variable, NC_FILL, &value), "set a fill value");
}

void NetcdfOut::end_definitions() {
  const std::lock_guard lock(format_lock());
  check(nc_enddef(id_), "end the definitions");
}

void NetcdfOut::put(int variable, const std::vector<std::size_t>& start,
                    const std::vector<std::size_t>& count, std::span<const std::int16_t> values) {
  const std::lock_guard lock(format_lock());
  check(nc_put_vara_short(id_, variable, start.data(), count.data(), values.data()), "write values");
}

void NetcdfOut::put(int variable, const std::vector<std::size_t>& start,
                    const std::vector<std::size_t>& count, std::span<const std::int32_t> values) {
  const std::lock_guard lock(format_lock());
  check(nc_put_vara_int(id_, variable, start.data(), count.data(), values.data()), "write values");
}

void NetcdfOut::put(int variable, const std::vector<std::size_t>& start,
                    const std::vector<std::size_t>& count, std::span<const std::uint64_t> values) {
  static_assert(sizeof(unsigned long long) == sizeof(std::uint64_t));
  const std::lock_guard lock(format_lock());
  check(nc_put_vara(id_, variable, start.data(), count.data(), values.data()), "write values");
}

void NetcdfOut::put(int variable, const std::vector<std::size_t>& start,
                    const std::vector<std::size_t>& count, std::span<const float> values) {
  const std::lock_guard lock(format_lock());
  check(nc_put_vara_float(id_, variable, start.data(), count.data(), values.data()), "write values");
}

void NetcdfOut::put(int variable, const std::vector<std::size_t>& start,
                    const std::vector<std::size_t>& count, std::span<const double> values) {
  const std::lock_guard lock(format_lock());
  check(nc_put_vara_double(id_, variable, start.data(), count.data(), values.data()), "write values");
}

void NetcdfOut::put(int variable, const std::vector<std::size_t>& start,
                    const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  const std::vector<std::size_t> count{texts.size()};
  const std::lock_guard lock(format_lock());
  check(nc_put_vara_string(id_, variable, start.data(), count.data(), pointers.data()), "write texts");
}

void NetcdfOut::close() {
  const std::lock_guard lock(format_lock());
  const int id = std::exchange(id_, -1);
  check(nc_close(id), "finish the file");
}

std::vector<std::byte> NetcdfOut::take_bytes() {
  const std::lock_guard lock(format_lock());
  NC_memio image{};
  const int id = std::exchange(id_, -1);
  check(nc_close_memio(id, &image), "finish the file in memory");
  const auto* first = static_cast<const std::byte*>(image.memory);
  std::vector<std::byte> bytes(first, first + image.size);
  std::free(image.memory);
  return bytes;
}

}  // namespace raincell::io
