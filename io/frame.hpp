// A radar frame as raincell understands it: one quantity on one grid, with three pixel states.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "io/grid.hpp"

namespace raincell::io {

/// A file, variable or frame cannot be used. what() is one line: place: what is wrong (value seen); expected;
/// what to do.
class DataError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Writing failed: disk full, read-only, I/O error. Nothing half-written is left behind.
class WriteError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

using TimePoint = std::chrono::sys_seconds;  // UTC

enum class Quantity : std::uint8_t { rain_rate, reflectivity, vil, intensity };
const char* name_of(Quantity);  // "rain_rate", ...
const char* unit_of(Quantity);  // "mm h-1", "dBZ", "kg m-2", "1"

/// Missing was never observed, dry was observed without echo, valued carries a number. Never merged.
enum class PixelState : std::uint8_t { missing = 0, dry = 1, valued = 2 };

inline constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

/// What the file itself said, before any conversion: for inspect, and for the golden tables.
struct SourceSummary {
  std::string format;    // "odim", "knmi", "cf", "described"
  std::string quantity;  // the file's own word: "DBZH", "RATE", "precipitation", ...
  std::string unit;      // the file's own unit: "dBZ", "mm/h", "mm", "kg m-2", ...
  std::string coding;    // "gain 0.5, offset -32, missing 255, dry 0"; empty when no values were read
  std::int64_t pixels = 0, missing = 0, dry = 0, valued = 0;
  double max = 0., sum = 0.;       // over valued pixels, in the file's unit
  std::vector<std::string> rules;  // why it was understood so: one line a decision
  std::vector<std::pair<std::string, std::string>>
      facts;  // further ones, by name: who made a nowcast, and of what
  std::vector<std::string> warnings;
};

struct Frame {
  Quantity quantity = Quantity::rain_rate;
  Grid grid;
  TimePoint valid_time;            // end of the measuring window
  std::int64_t window_s = 0;       // length of the window; 0: instantaneous
  bool accumulation = false;       // the source was an amount over the window
  std::vector<float> values;       // [rows, columns], row 0 = north; kMissing where missing, 0 where dry
  std::vector<PixelState> states;  // [rows, columns]
  std::vector<std::int16_t>
      codes;               // [rows, columns], of an archive; instead of values and states when asked for
  std::string codes_hash;  // of codes, where they are
  SourceSummary source;
  std::string zr;            // "a=200 b=1.6 (default)" when dBZ was converted, else empty
  std::int64_t clipped = 0;  // values above the cap, and small negatives set to 0
};

/// "2010-08-26T06:00:00Z" or without seconds when they are zero.
std::string format_time(TimePoint);
/// ISO 8601 UTC: 2010-08-26T06:00Z, seconds and Z optional. Empty when it is not one.
std::optional<TimePoint> parse_time(const std::string&);

}  // namespace raincell::io
