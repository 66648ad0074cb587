// One part of a packed archive: its table of frames and the file, mapped read-only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

struct PackedFrame {
  TimePoint time;
  std::string source;  // name of the file it came from
  std::string hash;    // SHA-256 of the stored codes, little-endian, first 32 hexadecimal digits
  float covered = 0.F, wet = 0.F;
  std::uint64_t offset = 0;  // of the chunk in the file
  std::uint64_t bytes = 0;   // of the chunk as stored
  bool deflated = false, shuffled = false;
};

/// Opened once, read by many threads.
class ArchivePart {
 public:
  /// Reads the table, asks HDF5 for the address of every chunk, checks them against the file size and maps
  /// the file. Throws DataError.
  static std::unique_ptr<ArchivePart> open(const std::filesystem::path&);
  ArchivePart(const ArchivePart&) = delete;
  ArchivePart& operator=(const ArchivePart&) = delete;
  ~ArchivePart();

  const std::filesystem::path& path() const { return path_; }
  const Grid& grid() const { return grid_; }
  Quantity quantity() const { return quantity_; }
  double scale() const { return scale_; }
  const std::vector<PackedFrame>& frames() const { return frames_; }
  /// The codes of a frame where they lie in the file; empty when its chunk is compressed.
  std::span<const std::int16_t> mapped(std::size_t frame) const;
  /// The codes of a frame, decompressed if need be, into `codes` [rows, columns]. Throws DataError.
  void decode(std::size_t frame, std::span<std::int16_t> codes) const;

 private:
  ArchivePart() = default;
  void read_table();
  void locate_chunks();
  void map_file();

  std::filesystem::path path_;
  Grid grid_;
  Quantity quantity_ = Quantity::rain_rate;
  double scale_ = 0.;
  std::string variable_;
  std::vector<PackedFrame> frames_;
  const std::byte* map_ = nullptr;
  std::size_t size_ = 0;
};

/// What PackedFrame::hash holds.
std::string hash_of_codes(std::span<const std::int16_t> codes);

}  // namespace raincell::io
