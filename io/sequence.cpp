#include "io/sequence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace raincell::io {
namespace {

/// True when `count` frames from `first` on lie on the step lattice and every one of them observed something.
bool gap_free(const Archive& archive, std::int64_t first, std::int64_t count) {
  if (archive.covered_fraction(first) <= 0.F) return false;
  for (std::int64_t k = 1; k < count; ++k) {
    const std::int64_t away = (archive.time(first + k) - archive.time(first)).count();
    if (10 * std::abs(away - k * archive.step_s()) > archive.step_s()) return false;
    if (archive.covered_fraction(first + k) <= 0.F) return false;
  }
  return true;
}

bool inside_one(const std::vector<TimeRange>& ranges, TimePoint from, TimePoint to) {
  return ranges.empty() || std::any_of(ranges.begin(), ranges.end(), [&](const TimeRange& range) {
           return range.from <= from && to <= range.to;
         });
}

/// Adds a range, joined to the one before when nothing lies between them.
void append(std::vector<TimeRange>& ranges, TimeRange range, bool joinable) {
  if (joinable && !ranges.empty() && ranges.back().to + std::chrono::seconds{1} == range.from) {
    ranges.back().to = range.to;
  } else {
    ranges.push_back(range);
  }
}

}  // namespace

std::vector<Window> cut_windows(const Archive& archive, std::int64_t archive_index, std::int64_t past,
                                std::int64_t future, const std::vector<TimeRange>& ranges,
                                std::int64_t stride) {
  if (past < 1 || future < 0 || stride < 1) {
    throw DataError(
        fmt::format("windows of {} past and {} future frames every {} frames cannot be cut; at least 1, 0, 1",
                    past, future, stride));
  }
  std::vector<Window> windows;
  const std::int64_t length = past + future;
  for (std::int64_t first = 0; first + length <= archive.frames();) {
    const bool good = inside_one(ranges, archive.time(first), archive.time(first + length - 1)) &&
                      gap_free(archive, first, length);
    if (good) windows.push_back({archive_index, first, past, future});
    first += good ? stride : 1;
  }
  return windows;
}

Split split_by_time(const Archive& archive, const std::vector<TimeRange>& given, double fraction,
                    std::int64_t blocks) {
  if (!(fraction >= 0.) || fraction >= 1. || blocks < 1 || (fraction > 0. && blocks < 2)) {
    throw DataError(
        fmt::format("validation fraction {} in {} blocks: 0 <= fraction < 1 and at least 2 blocks expected",
                    fraction, blocks));
  }
  std::vector<TimeRange> ranges = given;
  if (ranges.empty()) ranges.push_back({archive.time(0), archive.time(archive.frames() - 1)});
  std::int64_t all = 0;  // seconds
  for (const TimeRange& range : ranges) {
    if (range.to < range.from) {
      throw DataError("time range from " + format_time(range.from) + " to " + format_time(range.to) +
                      " ends before it starts");
    }
    all += (range.to - range.from).count() + 1;
  }
  const std::int64_t chosen =
      fraction == 0.
          ? 0
          : std::clamp<std::int64_t>(std::llround(fraction * static_cast<double>(blocks)), 1, blocks - 1);
  // Spread evenly, so that both parts see all of the season and of the day.
  const auto validates = [&](std::int64_t block) {
    return (block + 1) * chosen / blocks > block * chosen / blocks;
  };
  const auto start_of = [&](std::int64_t block) { return block * all / blocks; };
  Split split;
  std::int64_t before = 0;  // seconds in the ranges so far
  for (const TimeRange& range : ranges) {
    const std::int64_t length = (range.to - range.from).count() + 1;
    bool first_train = true, first_validation = true;
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::int64_t from = std::max(start_of(block), before) - before;
      const std::int64_t to = std::min(start_of(block + 1), before + length) - before - 1;
      if (to < from) continue;
      const TimeRange piece{range.from + std::chrono::seconds{from}, range.from + std::chrono::seconds{to}};
      bool& first = validates(block) ? first_validation : first_train;
      append(validates(block) ? split.validation : split.train, piece, !first);
      first = false;
    }
    before += length;
  }
  return split;
}

}  // namespace raincell::io
