// The first bytes of an HDF5 file, looked at before the library sees them.
#pragma once

#include <cstddef>
#include <span>

namespace raincell::io {

/// True when the bytes begin (also after a user block) like HDF5.
bool looks_like_hdf5(std::span<const std::byte> bytes);

/// A driver information block belongs to files that are split over several; the library reads it from a file,
/// but not from memory. ("HDF5 File Format Specification", superblock versions 0 and 1.) Throws DataError
/// where there is one.
void refuse_driver_block(std::span<const std::byte> bytes);

}  // namespace raincell::io
