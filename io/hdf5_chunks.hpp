// A hyperslab of a chunked dataset, chunk by chunk: one that is damaged costs its own pixels, not the field.
#pragma once

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace raincell::io {

/// What was done to a chunk before it was stored, where it is shuffling and deflating only, in this order.
struct ChunkPipeline {
  std::optional<unsigned> shuffle,
      deflate;                  // places in the pipeline, as in a chunk's mask of skipped filters
  unsigned shuffled_bytes = 0;  // of a value, as the filter was told
  bool own = true;  // false: there is another filter, or one told what cannot be, which the library must undo
};
/// Of a dataset's creation list. Throws DataError.
ChunkPipeline chunk_pipeline(hid_t creation, const std::string& path);

/// The hyperslab wanted, and the dataset's sides.
struct Slab {
  std::vector<std::int64_t> sides, start, count;
};

/// Which values of a hyperslab were not had, and why.
struct LostValues {
  std::vector<bool> values;    // one a value of the hyperslab; empty: all were had
  std::int64_t chunks = 0;     // lost
  std::int64_t of_chunks = 0;  // that the hyperslab touches
  std::string first;           // "chunk at (760, 0): was never written"
};

/// Memory for a chunk in its stages, kept from one hyperslab to the next.
struct ChunkBuffers {
  std::vector<std::byte> raw, inflated, values;
};

/// Fills `out`, the hyperslab in the native type `memory`. Deflated and shuffled chunks are taken as they lie
/// in the file and inflated by libdeflate, which is several times faster than the library's filter; others go
/// through the library. Chunks that were never written are lost like damaged ones: the library would answer
/// with its fill value, which says "no rain" in many files. Throws DataError when there are too many.
LostValues read_chunks(hid_t dataset, hid_t memory, const Slab&, const std::string& path,
                       std::span<std::byte> out, ChunkBuffers&);

}  // namespace raincell::io
