#include "io/archive_part.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "io/format_lock.hpp"
#include "io/netcdf_in.hpp"
#include "io/publish.hpp"

namespace raincell::io {
namespace {

static_assert(std::endian::native == std::endian::little, "the archive is mapped as it lies in the file");

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
  throw DataError(path.string() + ": " + why);
}

/// An HDF5 identifier; the caller holds the lock.
class Handle {
 public:
  Handle(hid_t id, herr_t (*closer)(hid_t), const std::filesystem::path& path, const char* what)
      : id_(id), close_(closer) {
    if (id < 0) refuse(path, fmt::format("HDF5 cannot {}", what));
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { close_(id_); }
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

struct Pipeline {
  int deflate = -1, shuffle = -1;  // place in the pipeline, -1: not there
};

Pipeline pipeline_of(hid_t layout, const std::filesystem::path& path) {
  Pipeline pipeline;
  const int count = H5Pget_nfilters(layout);
  for (int i = 0; i < count; ++i) {
    unsigned flags = 0, config = 0;
    std::size_t values = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(layout, static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, &config);
    if (filter == H5Z_FILTER_SHUFFLE && i == 0) {
      pipeline.shuffle = i;
    } else if (filter == H5Z_FILTER_DEFLATE && i == count - 1) {
      pipeline.deflate = i;
    } else {
      refuse(path, fmt::format("filter {} in an unexpected place; pack the archive again",
                               static_cast<int>(filter)));
    }
  }
  return pipeline;
}

struct ChunkPlace {
  haddr_t address = HADDR_UNDEF;
  hsize_t bytes = 0;
  unsigned mask = 0;
};

#if H5_VERSION_GE(1, 14, 0)
struct ChunkTable {
  std::vector<ChunkPlace>* places;
};

int note_chunk(const hsize_t* offset, unsigned mask, haddr_t address, hsize_t bytes, void* data) {
  auto& places = *static_cast<ChunkTable*>(data)->places;
  if (offset[0] < places.size()) places[offset[0]] = {address, bytes, mask};
  return H5_ITER_CONT;
}

void chunk_places(hid_t dataset, std::vector<ChunkPlace>& places, const std::filesystem::path& path) {
  ChunkTable table{&places};
  if (H5Dchunk_iter(dataset, H5P_DEFAULT, note_chunk, &table) < 0)
    refuse(path, "HDF5 cannot list the chunks");
}
#else
// HDF5 1.10 walks its index from the start for every question: 0.5 s for a month of 5-minute frames.
void chunk_places(hid_t dataset, std::vector<ChunkPlace>& places, const std::filesystem::path& path) {
  for (std::size_t i = 0; i < places.size(); ++i) {
    const hsize_t offset[3] = {i, 0, 0};
    ChunkPlace& place = places[i];
    if (H5Dget_chunk_info_by_coord(dataset, offset, &place.mask, &place.address, &place.bytes) < 0) {
      refuse(path, fmt::format("HDF5 does not know where frame {} lies", i));
    }
  }
}
#endif

}  // namespace

std::string hash_of_codes(std::span<const std::int16_t> codes) {
  return sha256(std::as_bytes(codes)).substr(0, 32);
}

std::unique_ptr<ArchivePart> ArchivePart::open(const std::filesystem::path& path) {
  std::unique_ptr<ArchivePart> part(new ArchivePart);
  part->path_ = path;
  {
    const std::lock_guard lock(format_lock());
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    part->read_table();
    part->locate_chunks();
  }
  part->map_file();
  return part;
}

ArchivePart::~ArchivePart() {
  if (map_ != nullptr) ::munmap(const_cast<std::byte*>(map_), size_);
}

void ArchivePart::read_table() {
  const NetcdfIn in(path_, "is it a packed archive, written to its end? If so, pack it again");
  variable_ = in.text(NetcdfIn::kGlobal, "raincell_variable");
  const std::string quantity = in.text(NetcdfIn::kGlobal, "raincell_quantity");
  bool known = false;
  for (const Quantity q : {Quantity::rain_rate, Quantity::reflectivity, Quantity::vil, Quantity::intensity}) {
    if (quantity != name_of(q)) continue;
    quantity_ = q;
    known = true;
  }
  if (quantity.empty()) in.refuse("no attribute raincell_quantity");
  if (!known) refuse(path_, "quantity \"" + quantity + "\" is unknown; was it written by a later version?");
  const std::vector<double> grid = in.numbers(NetcdfIn::kGlobal, "raincell_grid");
  const std::size_t frames = in.length("time");
  grid_.projection = in.text(NetcdfIn::kGlobal, "raincell_projection");
  grid_.rows = static_cast<std::int64_t>(in.length("y"));
  grid_.columns = static_cast<std::int64_t>(in.length("x"));
  if (grid.size() != 4 || !(grid[2] > 0.) || !(grid[3] > 0.))
    refuse(path_, "raincell_grid is not x0, y0, dx, dy");
  grid_.x0 = grid[0];
  grid_.y0 = grid[1];
  grid_.dx = grid[2];
  grid_.dy = grid[3];
  const std::vector<double> scale = in.numbers(in.variable(variable_), "scale_factor");
  if (scale.size() != 1 || !(scale[0] > 0.) || !std::isfinite(scale[0]))
    refuse(path_, "scale_factor is not a number");
  scale_ = scale[0];
  const std::vector<double> times = in.values("time", {"time"}),
                            covered = in.values("covered_fraction", {"time"}),
                            wet = in.values("wet_fraction", {"time"});
  const std::vector<std::string> sources = in.texts("source_name", {"time"}),
                                 hashes = in.texts("frame_hash", {"time"});
  frames_.resize(frames);
  for (std::size_t i = 0; i < frames; ++i) {
    if (!(std::abs(times[i]) < 1e11))
      refuse(path_, fmt::format("time {} of frame {} is out of range", times[i], i));
    frames_[i].time = TimePoint{std::chrono::seconds{std::llround(times[i])}};
    frames_[i].source = sources[i];
    frames_[i].hash = hashes[i];
    frames_[i].covered = static_cast<float>(covered[i]);
    frames_[i].wet = static_cast<float>(wet[i]);
    if (i > 0 && frames_[i].time <= frames_[i - 1].time) {
      refuse(path_, fmt::format("times do not ascend at frame {}; pack the archive again", i));
    }
  }
  if (frames_.empty()) refuse(path_, "holds no frame");
}

void ArchivePart::locate_chunks() {
  const Handle file(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, path_, "open it");
  const Handle dataset(H5Dopen2(file, variable_.c_str(), H5P_DEFAULT), H5Dclose, path_, "open the frames");
  const Handle type(H5Dget_type(dataset), H5Tclose, path_, "tell the type of the frames");
  const Handle layout(H5Dget_create_plist(dataset), H5Pclose, path_, "tell the layout of the frames");
  const Handle space(H5Dget_space(dataset), H5Sclose, path_, "tell the shape of the frames");
  hsize_t chunk[3] = {0, 0, 0}, shape[3] = {0, 0, 0};
  const bool frame_a_chunk =
      H5Sget_simple_extent_ndims(space) == 3 && H5Sget_simple_extent_dims(space, shape, nullptr) == 3 &&
      H5Pget_layout(layout) == H5D_CHUNKED && H5Pget_chunk(layout, 3, chunk) == 3 && chunk[0] == 1 &&
      chunk[1] == static_cast<hsize_t>(grid_.rows) && chunk[2] == static_cast<hsize_t>(grid_.columns) &&
      shape[0] == frames_.size() && shape[1] == chunk[1] && shape[2] == chunk[2];
  if (!frame_a_chunk || H5Tequal(type, H5T_STD_I16LE) <= 0) {
    refuse(path_,
           "does not hold one chunk of int16 a frame; it was rewritten by another program: pack it again");
  }
  const Pipeline pipeline = pipeline_of(layout, path_);
  std::vector<ChunkPlace> places(frames_.size());
  chunk_places(dataset, places, path_);
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    const ChunkPlace& place = places[i];
    if (place.address == HADDR_UNDEF || place.bytes == 0)
      refuse(path_, fmt::format("frame {} was never written", i));
    frames_[i].offset = place.address;
    frames_[i].bytes = place.bytes;
    frames_[i].deflated = pipeline.deflate >= 0 && ((place.mask >> pipeline.deflate) & 1U) == 0;
    frames_[i].shuffled = pipeline.shuffle >= 0 && ((place.mask >> pipeline.shuffle) & 1U) == 0;
  }
}

void ArchivePart::map_file() {
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) refuse(path_, fmt::format("cannot open: {}", std::strerror(errno)));
  struct stat info {};
  const bool sized = ::fstat(fd, &info) == 0 && info.st_size > 0;
  size_ = sized ? static_cast<std::size_t>(info.st_size) : 0;
  void* map = sized ? ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  const int error = errno;
  ::close(fd);
  if (map == MAP_FAILED) refuse(path_, fmt::format("cannot map into memory: {}", std::strerror(error)));
  map_ = static_cast<const std::byte*>(map);
  const auto plain = static_cast<std::uint64_t>(grid_.pixels()) * sizeof(std::int16_t);
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    const PackedFrame& frame = frames_[i];
    if (frame.bytes > size_ || frame.offset > size_ - frame.bytes) {
      refuse(
          path_,
          fmt::format(
              "frame {} lies beyond the end of the file ({} bytes); the file is cut: copy or pack it again",
              i, size_));
    }
    if (!frame.deflated && frame.bytes != plain) {
      refuse(path_, fmt::format("frame {} has {} bytes, {} expected", i, frame.bytes, plain));
    }
  }
}

std::span<const std::int16_t> ArchivePart::mapped(std::size_t frame) const {
  const PackedFrame& place = frames_[frame];
  const bool aligned = place.offset % alignof(std::int16_t) == 0;
  if (place.deflated || place.shuffled || !aligned) return {};
  return {reinterpret_cast<const std::int16_t*>(map_ + place.offset),
          static_cast<std::size_t>(grid_.pixels())};
}

void ArchivePart::decode(std::size_t frame, std::span<std::int16_t> codes) const {
  const PackedFrame& place = frames_[frame];
  const std::size_t bytes = codes.size_bytes();
  std::vector<std::byte> inflated;
  const std::byte* source = map_ + place.offset;
  if (place.deflated) {
    inflated.resize(bytes);
    uLongf got = bytes;
    const int status = uncompress(reinterpret_cast<Bytef*>(inflated.data()), &got,
                                  reinterpret_cast<const Bytef*>(source), place.bytes);
    if (status != Z_OK || got != bytes) {
      refuse(path_, fmt::format("frame {} ({}) does not decompress; the file is damaged: pack it again",
                                frame, format_time(place.time)));
    }
    source = inflated.data();
  }
  if (!place.shuffled) {
    std::memcpy(codes.data(), source, bytes);
    return;
  }
  const auto* low = reinterpret_cast<const std::uint8_t*>(source);
  const std::uint8_t* high = low + codes.size();
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<std::int16_t>(low[i] | (high[i] << 8));
  }
}

}  // namespace raincell::io
