// What the header of a packed file says: its frames and where they lie. Read in raincell-reader, checked on
// arrival.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

/// SHA-256 of stored codes, little-endian: the first 128 bits.
struct FrameHash {
  std::array<std::uint8_t, 16> bytes{};

  /// 32 hexadecimal digits. Throws DataError.
  static FrameHash parse(std::string_view digits);
  std::string text() const;
  bool operator==(const FrameHash&) const = default;
};

/// As small as can be: an archive of years holds a million.
struct PackedFrame {
  TimePoint time;
  FrameHash hash;
  std::uint32_t source = 0;  // place of the name of the file it came from in ArchiveTable::sources
  float covered = 0.F, wet = 0.F;
  std::uint64_t offset = 0;  // of the chunk in the file
  std::uint64_t bytes = 0;   // of the chunk as stored
  bool deflated = false, shuffled = false;
};

struct ArchiveTable {
  Grid grid;
  Quantity quantity = Quantity::rain_rate;
  double scale = 0.;                // value = scale x code
  std::vector<PackedFrame> frames;  // times ascend
  std::string sources;              // names, each ended by a zero

  void add_source(PackedFrame&, const std::string& name);
  std::string source(std::size_t frame) const { return sources.c_str() + frames[frame].source; }
};

std::string pack_table(const ArchiveTable&);
/// Checks the grid, the order of times, shares, texts, and that every frame lies inside a file of
/// `file_bytes`. Throws DataError.
ArchiveTable unpack_table(std::string_view, std::uint64_t file_bytes);

}  // namespace raincell::io
