// NetCDF-4 is HDF5 with dimension scales: its variables are read through Hdf5File, without the NetCDF
// library.
#pragma once

#include <memory>

#include "io/netcdf_file.hpp"

namespace raincell::io {

/// The file must outlive it. Throws DataError.
std::unique_ptr<NetcdfFile> open_netcdf4(const Hdf5File&);

}  // namespace raincell::io
