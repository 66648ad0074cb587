// What the header of a packed file says: its frames and where they lie. Read in raincell-reader, checked on
// arrival.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
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

struct ArchiveTable {
  Grid grid;
  Quantity quantity = Quantity::rain_rate;
  double scale = 0.;                // value = scale x code
  std::vector<PackedFrame> frames;  // times ascend
};

std::string pack_table(const ArchiveTable&);
/// Checks the grid, the order of times, shares, texts, and that every frame lies inside a file of
/// `file_bytes`. Throws DataError.
ArchiveTable unpack_table(std::string_view, std::uint64_t file_bytes);

}  // namespace raincell::io
