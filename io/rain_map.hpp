// Where the rain is, coarsely: the weights of random crops.
#pragma once

#include <cstdint>
#include <vector>

#include "io/archive.hpp"

namespace raincell::io {

/// Mean rain of the tiles of a frame, heavy rain capped so that clutter does not draw all crops to itself.
class RainMap {
 public:
  RainMap(const Archive&, std::int64_t frame, std::int64_t crop_rows, std::int64_t crop_columns);
  /// Sum of the weights of all candidate crops; 0 without rain.
  double total() const { return total_; }
  /// The crop at `share` (0 to 1) of the total, moved within its tile by (shift_row, shift_column), 0 to 1
  /// each.
  Crop choose(double share, double shift_row, double shift_column) const;

 private:
  std::int64_t rows_, columns_, crop_rows_, crop_columns_, tile_;
  std::int64_t positions_down_, positions_across_;
  std::vector<float> weights_;  // [positions_down, positions_across] of crops that start at a tile
  double total_ = 0.;
};

}  // namespace raincell::io
