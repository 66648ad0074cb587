// Windows of consecutive frames inside gap-free stretches, and their split by time.
#pragma once

#include <cstdint>
#include <vector>

#include "io/archive.hpp"

namespace raincell::io {

/// past + future consecutive frames of one archive, starting at frame `first`.
struct Window {
  std::int64_t archive = 0, first = 0, past = 0, future = 0;
  bool reversed = false;  // the last frame comes first

  /// Frame of the archive at place `t` of the window.
  std::int64_t frame(std::int64_t t) const { return first + (reversed ? past + future - 1 - t : t); }
};

struct TimeRange {
  TimePoint from, to;  // both inclusive
};

/// Every window whose frames are all on the step lattice (tolerance step/10) and lie in one of `ranges`
/// (empty: anywhere).
std::vector<Window> cut_windows(const Archive&, std::int64_t archive_index, std::int64_t past,
                                std::int64_t future, const std::vector<TimeRange>& ranges,
                                std::int64_t stride = 1);

struct Split {
  std::vector<TimeRange> train, validation;
};

/// Splits `ranges` (empty: the whole archive) into blocks of time so that validation takes about `fraction`,
/// in whole blocks, and no window crosses from one to the other.
Split split_by_time(const Archive&, const std::vector<TimeRange>& ranges, double fraction,
                    std::int64_t blocks);

}  // namespace raincell::io
