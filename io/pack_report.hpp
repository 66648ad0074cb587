// What packing found in an archive: holes, repetitions, changes, and the climate of its rain.
#pragma once

#include <array>
#include <deque>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

struct PackGap {
  TimePoint last_before, first_after;
  std::int64_t missing = 0;  // frames, at the usual step
};

struct PackNote {
  TimePoint time;
  std::string source, reason;
};

/// Rain (or whatever the quantity is) of an hour of the day or a month of the year, UTC, over all its covered
/// pixels.
struct Climate {
  std::int64_t frames = 0;
  double covered = 0., wet = 0.;         // pixels; wet: as in wet_threshold
  double mean = 0., p99 = 0., max = 0.;  // of covered pixels
};

/// One number a pixel, reduced to a size that can be drawn.
struct PackMap {
  Grid grid;                  // of the reduced map
  std::vector<float> values;  // [rows, columns], kMissing where nothing was ever covered
};

/// From a time on, frames come every so many seconds.
struct PackStep {
  TimePoint from;
  std::int64_t step_s = 0, frames = 0;
};

/// What a frame adds to the curves of an archive.
struct PackMoment {
  TimePoint time;
  float covered = 0.F, wet = 0.F;  // shares, as in the archive
};

struct ClutterHint {
  std::int64_t row = 0, column = 0;
  double wet_share = 0.;  // of the frames that cover the pixel
};

/// A fifth of the archive, in one block, to test on, and the rest to train on: two hours lie between, so that
/// no window of frames reaches from one to the other.
struct PackSplit {
  std::vector<std::pair<TimePoint, TimePoint>> train;  // both inclusive
  std::pair<TimePoint, TimePoint> test;
  double wet_train = 0., wet_test = 0.;  // mean share of wet pixels
};

struct PackReport {
  std::int64_t frames = 0, already_there = 0, clipped = 0;
  TimePoint first, last;
  std::int64_t step_s = 0;  // most frequent difference
  std::string grid, quantity, unit, zr;
  std::vector<PackGap> gaps;
  std::vector<PackNote> duplicates;    // same time as an earlier frame: left out
  std::vector<PackNote> changes;       // other grid or quantity: left out
  std::vector<PackNote> unit_changes;  // the file's own unit or window differs from the frame before: packed
  std::vector<PackNote> coding_changes;  // gain, offset or codes differ from the frame before: packed
  std::vector<PackNote> jitter;          // off the steps by more than a tenth of one: packed
  std::vector<PackNote> overlapping;     // an amount over more than the time since the frame before: packed
  std::vector<PackStep> steps;           // runs of frames with the same step; one where it never changes
  std::vector<PackNote> out_of_order;    // earlier than the frame before: left out
  std::vector<PackNote> stuck;           // rain identical to the frame before: packed
  std::vector<PackNote> all_missing;     // no pixel covered: packed
  double covered_fraction = 0., wet_fraction = 0., mean = 0., p99 = 0., max = 0.;
  std::array<Climate, 24> hours{};
  std::array<Climate, 12> months{};
  std::array<std::array<Climate, 24>, 12> month_hours{};  // without p99
  PackMap cover_map, mean_map,
      wet_map;  // share of frames that cover the pixel; mean and share of wet ones of those
  std::vector<PackMoment> moments;   // of the frames packed now
  std::int64_t clutter_pixels = 0;   // wet in over 80 % of at least 24 frames, and thrice the usual share
  std::vector<ClutterHint> clutter;  // the worst ten
  std::vector<std::filesystem::path> written;
};

/// The block whose rain is most like the archive's; empty when there are too few frames or hours.
std::optional<PackSplit> suggest_split(std::span<const PackMoment>);

/// The smallest value that counts as wet: 0.1 mm/h, 7 dBZ, any VIL or intensity above 0.
float wet_threshold(Quantity);

/// Gathers the climate while frames pass by.
class PackStatistics {
 public:
  PackStatistics(Quantity, double scale, const Grid&);
  /// Fractions of a frame: covered of all, wet of covered.
  std::pair<float, float> add(TimePoint, std::span<const std::int16_t> codes);
  /// Fills climate, clutter and, if wanted, the maps.
  void finish(PackReport&, bool maps) const;

 private:
  static constexpr std::size_t kBlock = 64;     // pixels
  static constexpr std::size_t kCodes = 32768;  // negative values count as 0
  using Counts = std::vector<std::int64_t>;     // by code; filled when the hour or month is met
  struct Sums {
    std::int64_t frames = 0, covered = 0, wet = 0, sum = 0, max = 0;  // sum and max in codes
    void add(const Sums&);
    Climate climate(double scale) const;
  };
  /// Counts of each pixel of a block, there once one of them is wet or not all are covered.
  struct Block {
    std::array<std::uint32_t, kBlock> covered{}, wet{};  // frames
    std::array<std::uint32_t, kBlock> sum{};  // codes: a year of 5-minute frames of the largest code fits
  };
  struct PixelCounts {
    std::uint32_t covered = 0, wet = 0, sum = 0;
  };
  Block& block_of(std::size_t block);
  PixelCounts counts_of(std::size_t pixel) const;
  void draw_maps(PackReport&) const;

  double scale_;
  std::int16_t wet_code_;
  Grid grid_;
  std::int64_t frames_ = 0;
  std::array<std::array<Sums, 24>, 12> sums_{};
  std::array<Counts, 24> hours_;
  std::array<Counts, 12> months_;
  std::vector<std::uint32_t> covered_blocks_;  // frames that cover all of a block, which count for its pixels
  std::vector<std::uint32_t> places_;          // of a block in blocks_, and one more; 0: it has none
  std::deque<Block> blocks_;
};

}  // namespace raincell::io
