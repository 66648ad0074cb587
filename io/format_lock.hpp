// One lock for all of this process: neither netCDF-C nor every build of HDF5 is thread-safe, and one calls
// the other.
#pragma once

#include <mutex>

namespace raincell::io {

/// Held around every group of netCDF and HDF5 calls; never while decoding, waiting or calling back.
std::mutex& format_lock();

}  // namespace raincell::io
