#include "io/netcdf_memory.hpp"

#include <fmt/format.h>
#include <hdf5.h>
#include <netcdf.h>
#include <netcdf_mem.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "io/frame.hpp"

namespace raincell::io {
namespace {

struct Block {
  void* bytes = nullptr;
  std::size_t size = 0;
};

/// An empty HDF5 file that tracks creation order. nc_create_mem makes one that does not: its variables come
/// out sorted by name and netCDF refuses to open it for appending. The block is malloc'ed: netCDF takes it
/// over. Empty on failure.
Block empty_file() {
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS);
  const unsigned order = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  Block block;
  hid_t file = H5I_INVALID_HID;
  if (H5Pset_link_creation_order(creation, order) >= 0 && H5Pset_attr_creation_order(creation, order) >= 0 &&
      H5Pset_obj_track_times(creation, false) >= 0 && H5Pset_fapl_core(access, 4096, false) >= 0) {
    file = H5Fcreate("memory.nc", H5F_ACC_TRUNC, creation, access);
  }
  if (file >= 0) {
    H5Fflush(file, H5F_SCOPE_LOCAL);
    const ssize_t size = H5Fget_file_image(file, nullptr, 0);
    if (size > 0) block = {std::malloc(static_cast<std::size_t>(size)), static_cast<std::size_t>(size)};
    if (block.bytes != nullptr && H5Fget_file_image(file, block.bytes, block.size) < 0) {
      std::free(block.bytes);
      block.bytes = nullptr;
    }
    H5Fclose(file);
  }
  H5Pclose(access);
  H5Pclose(creation);
  return block;
}

}  // namespace

NetcdfMemory::NetcdfMemory(std::string name) : name_(std::move(name)) {
  const Block block = empty_file();
  if (block.bytes == nullptr)
    throw WriteError(name_ + ": HDF5 cannot create a file in memory; check free memory");
  NC_memio memory{block.size, block.bytes, 0};
  check(nc_open_memio("memory.nc", NC_WRITE | NC_NETCDF4, &memory, &id_), "create");
  open_ = true;
}

NetcdfMemory::~NetcdfMemory() {
  if (!open_) return;
  NC_memio memory{};
  nc_close_memio(id_, &memory);
  std::free(memory.memory);
}

void NetcdfMemory::check(int code, const std::string& what, const std::source_location& place) const {
  if (code == NC_NOERR) return;
  throw WriteError(fmt::format("{}: {} failed in memory: {} ({}:{}); check free memory", name_, what,
                               nc_strerror(code), place.file_name(), place.line()));
}

int NetcdfMemory::dimension(const std::string& name, std::size_t length) const {
  int dimension_id = -1;
  check(nc_def_dim(id_, name.c_str(), length, &dimension_id), name);
  return dimension_id;
}

int NetcdfMemory::variable(const std::string& name, int type, const std::vector<int>& dimensions) const {
  int variable_id = -1;
  check(nc_def_var(id_, name.c_str(), type, static_cast<int>(dimensions.size()), dimensions.data(),
                   &variable_id),
        name);
  return variable_id;
}

int NetcdfMemory::find(const std::string& name) const {
  int variable_id = -1;
  check(nc_inq_varid(id_, name.c_str(), &variable_id), name);
  return variable_id;
}

void NetcdfMemory::text(int variable, const std::string& name, const std::string& value) const {
  check(nc_put_att_text(id_, variable, name.c_str(), value.size(), value.data()), "attribute " + name);
}

void NetcdfMemory::number(int variable, const std::string& name, const std::vector<double>& values) const {
  check(nc_put_att_double(id_, variable, name.c_str(), NC_DOUBLE, values.size(), values.data()),
        "attribute " + name);
}

void NetcdfMemory::integer(int variable, const std::string& name, std::int64_t value) const {
  const long long wide = value;
  const bool narrow = value >= INT32_MIN && value <= INT32_MAX;
  check(nc_put_att_longlong(id_, variable, name.c_str(), narrow ? NC_INT : NC_INT64, 1, &wide),
        "attribute " + name);
}

void NetcdfMemory::put(const std::string& variable, const std::vector<double>& values) const {
  check(nc_put_var_double(id_, find(variable), values.data()), variable);
}

std::vector<std::byte> NetcdfMemory::close() {
  NC_memio memory{};
  open_ = false;
  check(nc_close_memio(id_, &memory), "close");
  const std::unique_ptr<void, decltype(&std::free)> owner(memory.memory, &std::free);
  const auto* first = static_cast<const std::byte*>(memory.memory);
  return {first, first + memory.size};
}

}  // namespace raincell::io
