// Where the chunks of a dataset lie in its file.
#pragma once

#include <hdf5.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace raincell::io {

struct ChunkPlace {
  haddr_t address = HADDR_UNDEF;  // from the first byte of the file; undefined: never written
  hsize_t bytes = 0;              // as stored
  unsigned skipped = 0;           // mask of filters that were not applied
};

/// Of the chunks (0, 0, ...), (1, 0, ...), ... of a dataset of `rank` dimensions whose chunks are 1 long along
/// the first; no chunk is read. Takes a few microseconds a chunk. Throws DataError.
std::vector<ChunkPlace> chunk_places(std::span<const std::byte> file, const std::string& dataset, int rank,
                                     std::size_t chunks);

}  // namespace raincell::io
