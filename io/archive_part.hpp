// One part of a packed archive: its table of frames and the file, mapped read-only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/archive_table.hpp"
#include "io/jail.hpp"

namespace raincell::io {

/// Opened once, read by many threads.
class ArchivePart {
 public:
  /// Has the header read by raincell-reader, checks what it says against the file's size and maps the file.
  /// Throws DataError.
  static std::unique_ptr<ArchivePart> open(const std::filesystem::path&, Jail&);
  static std::unique_ptr<ArchivePart> open(const std::filesystem::path&);
  ArchivePart(const ArchivePart&) = delete;
  ArchivePart& operator=(const ArchivePart&) = delete;
  ~ArchivePart();

  const std::filesystem::path& path() const { return path_; }
  const Grid& grid() const { return table_.grid; }
  Quantity quantity() const { return table_.quantity; }
  double scale() const { return table_.scale; }
  const std::vector<PackedFrame>& frames() const { return table_.frames; }
  std::string source(std::size_t frame) const { return table_.source(frame); }
  /// The codes of a frame where they lie in the file; empty when its chunk is compressed.
  std::span<const std::int16_t> mapped(std::size_t frame) const;
  /// Brings a frame into memory at once, and lets go of it: for passes over frames that are read whole.
  void prefetch(std::size_t frame) const;
  void release(std::size_t frame) const;
  /// The codes of a frame, decompressed if need be, into `codes` [rows, columns]. Why they cannot be had;
  /// empty when they were.
  std::string decode(std::size_t frame, std::span<std::int16_t> codes) const;

 private:
  ArchivePart() = default;
  void advise(std::size_t frame, int advice) const;

  std::filesystem::path path_;
  ArchiveTable table_;
  const std::byte* map_ = nullptr;
  std::size_t size_ = 0;
};

/// What PackedFrame::hash holds, as text.
std::string hash_of_codes(std::span<const std::int16_t> codes);
/// CRC-32, in a tenth of the hash's time: for comparing what was just written, not for keeping.
std::uint32_t crc_of_codes(std::span<const std::int16_t> codes);
/// Of a mapped file whose pages cannot be had.
inline constexpr const char* kCutShort = "the file was cut short or its disk cannot read it";

}  // namespace raincell::io
