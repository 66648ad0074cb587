// What packing found in an archive: holes, repetitions, changes, and the climate of its rain.
#pragma once

#include <array>
#include <filesystem>
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

/// Rain (or whatever the quantity is) of an hour of the day, UTC, over all its covered pixels.
struct HourClimate {
  std::int64_t frames = 0;
  double covered = 0., wet = 0.;         // pixels; wet: as in wet_threshold
  double mean = 0., p99 = 0., max = 0.;  // of covered pixels
};

struct ClutterHint {
  std::int64_t row = 0, column = 0;
  double wet_share = 0.;  // of the frames that cover the pixel
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
  std::vector<PackNote> out_of_order;  // earlier than the frame before: left out
  std::vector<PackNote> stuck;         // rain identical to the frame before: packed
  std::vector<PackNote> all_missing;   // no pixel covered: packed
  double covered_fraction = 0., wet_fraction = 0., mean = 0., p99 = 0., max = 0.;
  std::array<HourClimate, 24> hours{};
  std::int64_t clutter_pixels = 0;   // wet in over 80 % of at least 24 frames, and thrice the usual share
  std::vector<ClutterHint> clutter;  // the worst ten
  std::vector<std::filesystem::path> written;
};

/// The smallest value that counts as wet: 0.1 mm/h, 7 dBZ, any VIL or intensity above 0.
float wet_threshold(Quantity);

/// Gathers the climate while frames pass by.
class PackStatistics {
 public:
  PackStatistics(Quantity, double scale, const Grid&);
  /// Fractions of a frame: covered of all, wet of covered.
  std::pair<float, float> add(TimePoint, std::span<const std::int16_t> codes);
  /// Fills climate and clutter.
  void finish(PackReport&) const;

 private:
  static constexpr std::size_t kCodes = 32768;  // negative values count as 0
  struct Hour {
    std::int64_t frames = 0, covered = 0, wet = 0;
    double sum = 0., max = 0.;
    std::vector<std::int64_t> counts;  // by code; filled when the hour is met
  };
  double scale_;
  std::int16_t wet_code_;
  std::int64_t columns_;
  std::int64_t pixels_ = 0;
  std::array<Hour, 24> hours_;
  std::vector<std::uint32_t> covered_, wet_;  // frames, a pixel
};

}  // namespace raincell::io
