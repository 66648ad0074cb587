#include "io/hdf5_chunks.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <libdeflate.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "io/hdf5_handle.hpp"

namespace raincell::io {
namespace {

constexpr std::int64_t kMaxChunks = 1 << 20;  // of one hyperslab
constexpr std::size_t kMaxStoredChunk = std::size_t{1} << 30;

struct DeflateRelease {
  void operator()(libdeflate_decompressor* decompressor) const { libdeflate_free_decompressor(decompressor); }
};

/// Undoes HDF5's shuffle: first all first bytes of the values, then all second ones, ...
void unshuffle(std::span<const std::byte> in, std::size_t size, std::span<std::byte> out) {
  const std::size_t values = in.size() / size;
  for (std::size_t b = 0; b < size; ++b) {
    const std::byte* from = in.data() + b * values;
    std::byte* to = out.data() + b;
    for (std::size_t i = 0; i < values; ++i) to[i * size] = from[i];
  }
  std::memcpy(out.data() + values * size, in.data() + values * size, in.size() - values * size);
}

class ChunkReader {
 public:
  ChunkReader(hid_t dataset, hid_t memory, const Slab& slab, const std::string& path,
              std::span<std::byte> out, ChunkBuffers& buffers)
      : dataset_(dataset),
        memory_(memory),
        slab_(slab),
        path_(path),
        out_(out),
        creation_(hdf5_checked(H5Dget_create_plist(dataset), H5Pclose, path, "has no creation list")),
        stored_(hdf5_checked(H5Dget_type(dataset), H5Tclose, path, "has no type")),
        stored_size_(H5Tget_size(stored_.get())),
        size_(H5Tget_size(memory)),
        pipeline_(chunk_pipeline(creation_.get(), path)),
        raw_(buffers.raw),
        inflated_(buffers.inflated),
        chunk_bytes_(buffers.values) {
    std::vector<hsize_t> sides(slab.sides.size());
    if (H5Pget_chunk(creation_.get(), static_cast<int>(sides.size()), sides.data()) !=
        static_cast<int>(sides.size())) {
      throw hdf5_error(path, "its chunks cannot be read: " + hdf5_reason());
    }
    values_ = 1;
    for (const hsize_t side : sides) {
      chunk_.push_back(static_cast<std::int64_t>(side));
      values_ *= static_cast<std::size_t>(side);
    }
    if (pipeline_.shuffle && pipeline_.shuffled_bytes != stored_size_) pipeline_.own = false;
    converts_ = H5Tequal(stored_.get(), memory) <= 0;
    if (pipeline_.own) chunk_bytes_.resize(values_ * std::max(stored_size_, size_));
  }

  LostValues read() {
    const std::size_t rank = chunk_.size();
    std::vector<std::int64_t> first(rank), last(rank);
    std::int64_t all = 1;
    for (std::size_t d = 0; d < rank; ++d) {
      first[d] = slab_.start[d] / chunk_[d];
      last[d] = (slab_.start[d] + slab_.count[d] - 1) / chunk_[d];
      all *= last[d] - first[d] + 1;
      if (all > kMaxChunks)
        throw hdf5_error(path_,
                         fmt::format("is cut into more than {} chunks; expected larger ones", kMaxChunks));
    }
    std::vector<std::int64_t> at = first;
    for (std::int64_t n = 0; n < all; ++n) {
      take(at);
      for (std::size_t d = rank; d-- > 0;) {
        if (++at[d] <= last[d]) break;
        at[d] = first[d];
      }
    }
    lost_.of_chunks = all;
    return std::move(lost_);
  }

 private:
  /// The part of the hyperslab that lies in the chunk numbered `at`, both ends inside.
  struct Part {
    std::vector<hsize_t> offset;               // of the chunk in the dataset
    std::vector<std::int64_t> from, to, size;  // from: in the chunk; to: in the hyperslab
  };

  Part part_of(const std::vector<std::int64_t>& at) const {
    Part part;
    for (std::size_t d = 0; d < chunk_.size(); ++d) {
      const std::int64_t begin = at[d] * chunk_[d], from = std::max(begin, slab_.start[d]),
                         end = std::min(begin + chunk_[d], slab_.start[d] + slab_.count[d]);
      part.offset.push_back(static_cast<hsize_t>(begin));
      part.from.push_back(from - begin);
      part.to.push_back(from - slab_.start[d]);
      part.size.push_back(end - from);
    }
    return part;
  }

  /// Calls `row(first value in the chunk, first value in the hyperslab, values)` for each row of the last
  /// dimension.
  template <class Row>
  void rows_of(const Part& part, Row row) const {
    const std::size_t rank = chunk_.size();
    std::vector<std::int64_t> i(rank, 0);
    for (;;) {
      std::int64_t from = 0, to = 0;
      for (std::size_t d = 0; d < rank; ++d) {
        from = from * chunk_[d] + part.from[d] + i[d];
        to = to * slab_.count[d] + part.to[d] + i[d];
      }
      row(static_cast<std::size_t>(from), static_cast<std::size_t>(to),
          static_cast<std::size_t>(part.size[rank - 1]));
      std::size_t d = rank - 1;
      for (; d-- > 0;) {
        if (++i[d] < part.size[d]) break;
        i[d] = 0;
      }
      if (d == static_cast<std::size_t>(-1)) return;
    }
  }

  void take(const std::vector<std::int64_t>& at) {
    const Part part = part_of(at);
    const std::string why = bring(part);
    if (!why.empty()) lose(part, why);
  }

  /// Copies the part into the result; says why not where that fails.
  std::string bring(const Part& part) {
    hsize_t stored = 0;
    if (H5Dget_chunk_storage_size(dataset_, part.offset.data(), &stored) < 0) {
      const std::string reason = hdf5_reason();
      // HDF5's words for it; other reasons are damage of the index.
      return reason.find("not allocated") == std::string::npos ? reason : "was never written";
    }
    if (stored == 0) return "was never written";
    if (stored > kMaxStoredChunk)
      return fmt::format("takes {} bytes; expected at most {}", stored, kMaxStoredChunk);
    if (!pipeline_.own) return read_by_library(part);
    if (!pipeline_.deflate && !pipeline_.shuffle) {
      // Without filters the size above is what a chunk must take, not what the index says it takes.
      unsigned mask = 0;
      haddr_t address = HADDR_UNDEF;
      if (H5Dget_chunk_info_by_coord(dataset_, part.offset.data(), &mask, &address, &stored) < 0)
        return hdf5_reason();
    }
    std::string why = inflate(part, static_cast<std::size_t>(stored));
    if (why.empty()) {
      rows_of(part, [&](std::size_t from, std::size_t to, std::size_t values) {
        std::memcpy(out_.data() + to * size_, chunk_bytes_.data() + from * size_, values * size_);
      });
    }
    return why;
  }

  /// Brings the chunk into chunk_bytes_, in the native type; says why not where that fails.
  std::string inflate(const Part& part, std::size_t stored) {
    const std::size_t bytes = values_ * stored_size_;
    raw_.resize(std::max(stored, bytes));
    std::uint32_t skipped = 0;
    if (H5Dread_chunk(dataset_, H5P_DEFAULT, part.offset.data(), &skipped, raw_.data()) < 0)
      return hdf5_reason();
    const auto done = [&](const std::optional<unsigned>& place) {
      return place && ((skipped >> *place) & 1U) == 0;
    };
    const bool shuffled = done(pipeline_.shuffle);
    std::span<std::byte> at(raw_.data(), stored);
    if (done(pipeline_.deflate)) {
      if (!inflater_) inflater_.reset(libdeflate_alloc_decompressor());
      if (!inflater_) return "no memory to inflate it";
      std::vector<std::byte>& target = shuffled ? inflated_ : chunk_bytes_;
      target.resize(std::max(bytes, target.size()));
      // Without a place for the size, anything but exactly `bytes` is an error.
      const auto result =
          libdeflate_zlib_decompress(inflater_.get(), raw_.data(), stored, target.data(), bytes, nullptr);
      if (result != LIBDEFLATE_SUCCESS)
        return fmt::format("does not inflate to {} bytes ({})", bytes,
                           result == LIBDEFLATE_BAD_DATA ? "damaged data" : "another size");
      at = std::span(target.data(), bytes);
    } else if (stored != bytes) {
      return fmt::format("takes {} bytes in the file; expected {}", stored, bytes);
    }
    if (shuffled) {
      unshuffle(at, stored_size_, std::span(chunk_bytes_.data(), bytes));
    } else if (at.data() != chunk_bytes_.data()) {
      std::memcpy(chunk_bytes_.data(), at.data(), bytes);
    }
    if (converts_ &&
        H5Tconvert(stored_.get(), memory_, values_, chunk_bytes_.data(), nullptr, H5P_DEFAULT) < 0)
      return hdf5_reason();
    return {};
  }

  std::string read_by_library(const Part& part) {
    const std::size_t rank = chunk_.size();
    std::vector<hsize_t> from(rank), take(rank), whole(rank), to(rank);
    for (std::size_t d = 0; d < rank; ++d) {
      from[d] = part.offset[d] + static_cast<hsize_t>(part.from[d]);
      take[d] = static_cast<hsize_t>(part.size[d]);
      whole[d] = static_cast<hsize_t>(slab_.count[d]);
      to[d] = static_cast<hsize_t>(part.to[d]);
    }
    const Hdf5Handle file(H5Dget_space(dataset_), H5Sclose),
        memory(H5Screate_simple(static_cast<int>(rank), whole.data(), nullptr), H5Sclose);
    const bool read =
        file.ok() && memory.ok() &&
        H5Sselect_hyperslab(file.get(), H5S_SELECT_SET, from.data(), nullptr, take.data(), nullptr) >= 0 &&
        H5Sselect_hyperslab(memory.get(), H5S_SELECT_SET, to.data(), nullptr, take.data(), nullptr) >= 0 &&
        H5Dread(dataset_, memory_, memory.get(), file.get(), H5P_DEFAULT, out_.data()) >= 0;
    return read ? std::string() : hdf5_reason();
  }

  void lose(const Part& part, const std::string& why) {
    if (lost_.values.empty()) lost_.values.assign(out_.size() / size_, false);
    if (lost_.chunks++ == 0) lost_.first = fmt::format("chunk at ({}) {}", fmt::join(part.offset, ", "), why);
    rows_of(part, [&](std::size_t, std::size_t to, std::size_t values) {
      std::fill_n(lost_.values.begin() + static_cast<std::ptrdiff_t>(to), values, true);
    });
  }

  hid_t dataset_, memory_;
  const Slab& slab_;
  const std::string& path_;
  std::span<std::byte> out_;
  Hdf5Handle creation_, stored_;
  std::size_t stored_size_, size_;  // of a value, in the file and in memory
  ChunkPipeline pipeline_;
  std::vector<std::int64_t> chunk_;
  std::size_t values_ = 0;  // of a chunk
  bool converts_ = false;
  std::unique_ptr<libdeflate_decompressor, DeflateRelease> inflater_;
  std::vector<std::byte>&raw_, &inflated_, &chunk_bytes_;
  LostValues lost_;
};

}  // namespace

ChunkPipeline chunk_pipeline(hid_t creation, const std::string& path) {
  ChunkPipeline pipeline;
  const int count = H5Pget_nfilters(creation);
  if (count < 0) throw hdf5_error(path, "its filters cannot be read: " + hdf5_reason());
  for (unsigned i = 0; i < static_cast<unsigned>(count); ++i) {
    unsigned flags = 0, config = 0;
    unsigned told = 0;  // size of a value, or level of compression
    std::size_t elements = 1;
    const H5Z_filter_t filter = H5Pget_filter2(creation, i, &flags, &elements, &told, 0, nullptr, &config);
    constexpr unsigned kHighestLevel = 9;
    if (filter == H5Z_FILTER_SHUFFLE && !pipeline.shuffle && !pipeline.deflate && elements == 1) {
      pipeline.shuffle = i;
      pipeline.shuffled_bytes = told;
    } else if (filter == H5Z_FILTER_DEFLATE && !pipeline.deflate && elements == 1 && told <= kHighestLevel) {
      pipeline.deflate = i;
    } else {
      pipeline.own = false;
    }
  }
  return pipeline;
}

LostValues read_chunks(hid_t dataset, hid_t memory, const Slab& slab, const std::string& path,
                       std::span<std::byte> out, ChunkBuffers& buffers) {
  return ChunkReader(dataset, memory, slab, path, out, buffers).read();
}

}  // namespace raincell::io
