#include "io/netcdf_out.hpp"

#include <hdf5.h>
#include <netcdf.h>
#include <netcdf_mem.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <type_traits>
#include <utility>

#include "io/format_lock.hpp"

namespace raincell::io {
namespace {

nc_type type_of(NetcdfType type) {
  static constexpr nc_type types[] = {NC_BYTE, NC_SHORT, NC_INT, NC_FLOAT, NC_DOUBLE, NC_STRING};
  return types[static_cast<std::size_t>(type)];
}

int holder(int variable) {
  return variable == NetcdfOut::kGlobal ? NC_GLOBAL : variable;
}

/// malloc'ed: netCDF takes it over.
struct Image {
  std::unique_ptr<void, decltype(&std::free)> bytes{nullptr, &std::free};
  std::size_t size = 0;
};

Image image_of(hid_t file) {
  Image image;
  if (H5Fflush(file, H5F_SCOPE_LOCAL) < 0) return image;
  const ssize_t size = H5Fget_file_image(file, nullptr, 0);
  if (size <= 0) return image;
  image.size = static_cast<std::size_t>(size);
  image.bytes.reset(std::malloc(image.size));
  if (image.bytes && H5Fget_file_image(file, image.bytes.get(), image.size) != size) image.bytes.reset();
  return image;
}

/// An empty HDF5 file that tracks the order of creation. nc_create_mem makes one that does not: its variables
/// come out sorted by name and netCDF refuses to open it for appending. No bytes on failure.
Image empty_file() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS);
  const unsigned order = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  Image image;
  if (H5Pset_link_creation_order(creation, order) >= 0 && H5Pset_attr_creation_order(creation, order) >= 0 &&
      H5Pset_obj_track_times(creation, false) >= 0 && H5Pset_fapl_core(access, 4096, false) >= 0) {
    const hid_t file = H5Fcreate("memory.nc", H5F_ACC_TRUNC, creation, access);
    if (file >= 0) {
      image = image_of(file);
      if (H5Fclose(file) < 0) image.bytes.reset();
    }
  }
  if (access >= 0) H5Pclose(access);
  if (creation >= 0) H5Pclose(creation);
  return image;
}

}  // namespace

void NetcdfOut::check(int status, const std::string& what) const {
  if (status == NC_NOERR) return;
  throw WriteError(name_ + ": cannot " + what + " (" + nc_strerror(status) + "); " +
                   (memory_ ? "is there free memory?" : "is the disk full or the folder read-only?"));
}

std::string NetcdfOut::name_of_variable(int variable) const {
  char name[NC_MAX_NAME + 1] = {};
  return nc_inq_varname(id_, variable, name) == NC_NOERR ? name : "?";
}

NetcdfOut NetcdfOut::in_memory(const std::string& name) {
  const std::lock_guard lock(format_lock());
  Image image = empty_file();
  if (!image.bytes) {
    throw WriteError(name + ": HDF5 cannot create a file in memory; is there free memory?");
  }
  // The bytes are netCDF's from here on.
  NC_memio memory{image.size, image.bytes.release(), 0};
  int id = -1;
  const int status = nc_open_memio("memory.nc", NC_WRITE | NC_NETCDF4, &memory, &id);
  NetcdfOut out(name, true);
  out.check(status, "create a file in memory");
  out.id_ = id;
  return out;
}

NetcdfOut NetcdfOut::on_disk(const std::filesystem::path& path) {
  NetcdfOut out(path.string(), false);
  int id = -1;
  const std::lock_guard lock(format_lock());
  // Chunks that are mapped are read where they lie, which needs whole numbers at whole places.
  constexpr int kFromBytes = 1024, kAlignment = 64;
  out.check(nc_set_alignment(kFromBytes, kAlignment), "align its chunks");
  out.check(nc_create(path.c_str(), NC_NETCDF4 | NC_NOCLOBBER, &id), "create the file");
  out.id_ = id;
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
  if (storage.whole_chunks) check(nc_set_var_chunk_cache(id_, id, 0, 1, 0.F), "set the cache of " + name);
  if (storage.deflate > 0) check(nc_def_var_deflate(id_, id, 1, 1, storage.deflate), "compress " + name);
  return id;
}

void NetcdfOut::fill_value(int variable, std::int16_t value) {
  const std::lock_guard lock(format_lock());
  check(nc_def_var_fill(id_, variable, NC_FILL, &value),
        "set the fill value of " + name_of_variable(variable));
}

void NetcdfOut::text(int variable, const std::string& name, std::string_view value) {
  const std::lock_guard lock(format_lock());
  check(nc_put_att_text(id_, holder(variable), name.c_str(), value.size(), value.data()),
        "write attribute " + name);
}

template <class T>
void NetcdfOut::numbers(int variable, const std::string& name, std::span<const T> values) {
  constexpr nc_type type = std::is_same_v<T, std::int8_t>    ? NC_BYTE
                           : std::is_same_v<T, std::int16_t> ? NC_SHORT
                           : std::is_same_v<T, float>        ? NC_FLOAT
                                                             : NC_DOUBLE;
  const std::lock_guard lock(format_lock());
  check(nc_put_att(id_, holder(variable), name.c_str(), type, values.size(), values.data()),
        "write attribute " + name);
}
template void NetcdfOut::numbers(int, const std::string&, std::span<const std::int8_t>);
template void NetcdfOut::numbers(int, const std::string&, std::span<const std::int16_t>);
template void NetcdfOut::numbers(int, const std::string&, std::span<const float>);
template void NetcdfOut::numbers(int, const std::string&, std::span<const double>);

void NetcdfOut::integer(int variable, const std::string& name, std::int64_t value) {
  const long long wide = value;
  const bool narrow = value >= INT32_MIN && value <= INT32_MAX;
  const std::lock_guard lock(format_lock());
  check(nc_put_att_longlong(id_, holder(variable), name.c_str(), narrow ? NC_INT : NC_INT64, 1, &wide),
        "write attribute " + name);
}

void NetcdfOut::end_definitions() {
  const std::lock_guard lock(format_lock());
  check(nc_enddef(id_), "end the definitions");
}

template <class T>
void NetcdfOut::put(int variable, const std::vector<std::size_t>& start,
                    const std::vector<std::size_t>& count, std::span<const T> values) {
  const std::lock_guard lock(format_lock());
  const std::size_t wanted = std::accumulate(count.begin(), count.end(), std::size_t{1}, std::multiplies<>());
  int rank = -1;
  int status = nc_inq_varndims(id_, variable, &rank);
  if (status == NC_NOERR && (static_cast<std::size_t>(rank) != count.size() || start.size() != count.size() ||
                             wanted != values.size())) {
    status = NC_EEDGE;
  }
  if (status == NC_NOERR) {
    if constexpr (std::is_same_v<T, std::uint8_t>) {
      status = nc_put_vara_uchar(id_, variable, start.data(), count.data(), values.data());
    } else if constexpr (std::is_same_v<T, std::int16_t>) {
      status = nc_put_vara_short(id_, variable, start.data(), count.data(), values.data());
    } else if constexpr (std::is_same_v<T, float>) {
      status = nc_put_vara_float(id_, variable, start.data(), count.data(), values.data());
    } else {
      status = nc_put_vara_double(id_, variable, start.data(), count.data(), values.data());
    }
  }
  if (status != NC_NOERR) check(status, "write values of " + name_of_variable(variable));
}
template void NetcdfOut::put(int, const std::vector<std::size_t>&, const std::vector<std::size_t>&,
                             std::span<const std::uint8_t>);
template void NetcdfOut::put(int, const std::vector<std::size_t>&, const std::vector<std::size_t>&,
                             std::span<const std::int16_t>);
template void NetcdfOut::put(int, const std::vector<std::size_t>&, const std::vector<std::size_t>&,
                             std::span<const float>);
template void NetcdfOut::put(int, const std::vector<std::size_t>&, const std::vector<std::size_t>&,
                             std::span<const double>);

void NetcdfOut::put(int variable, const std::vector<double>& values) {
  put(variable, {0}, {values.size()}, std::span<const double>(values));
}

void NetcdfOut::put(int variable, const std::vector<float>& values) {
  put(variable, {0}, {values.size()}, std::span<const float>(values));
}

void NetcdfOut::put(int variable, const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  const std::size_t start = 0, count = texts.size();
  const std::lock_guard lock(format_lock());
  const int status = nc_put_vara_string(id_, variable, &start, &count, pointers.data());
  if (status != NC_NOERR) check(status, "write texts of " + name_of_variable(variable));
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
  const std::unique_ptr<void, decltype(&std::free)> owner(image.memory, &std::free);
  const auto* first = static_cast<const std::byte*>(image.memory);
  return {first, first + image.size};
}

}  // namespace raincell::io
