// Rain at one place, as numbers and as a sentence.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::app {

enum class FrameKind : std::uint8_t { observed, filled, forecast };
const char* name_of(FrameKind);  // "observed", ...

struct PointValue {
  io::TimePoint time;
  FrameKind kind = FrameKind::observed;
  std::optional<double> rain_mm_h;  // empty: not observed, or no forecast there
};

/// 0.1 mm/h and more is rain.
struct PointRain {
  bool now = false;    // in the newest observation
  io::TimePoint from;  // the first rain of the forecast; of the observation when it rains now
  io::TimePoint heaviest;
  double heaviest_mm_h = 0.;
  std::optional<io::TimePoint> until;  // the first dry time that no rain follows; empty: it lasts to the end
};

/// Empty when it stays dry as far as is known. The series is ordered by time.
std::optional<PointRain> rain_of(const std::vector<PointValue>&);
/// "Rain from 14:20, heaviest 12 mm/h at 14:35, ends about 15:00 UTC."
std::string sentence_of(const std::vector<PointValue>&);

}  // namespace raincell::app
