// The header of a packed file, read by HDF5 and netCDF-C: in raincell-reader only.
#pragma once

#include <cstddef>
#include <span>

#include "io/archive_table.hpp"

namespace raincell::io {

/// The table of frames and the address of every chunk. `file` is not copied: it may be mapped and of any
/// size. Throws DataError without the file's name.
ArchiveTable read_archive_header(std::span<const std::byte> file);

}  // namespace raincell::io
