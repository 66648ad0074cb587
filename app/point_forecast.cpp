#include "app/point_forecast.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace raincell::app {

namespace {

constexpr double kRain = 0.1;  // mm/h

bool wet(const PointValue& value) {
  return value.rain_mm_h.value_or(0.) >= kRain;
}

/// "14:20"
std::string clock_of(io::TimePoint time) {
  return io::format_time(time).substr(11, 5);
}

}  // namespace

const char* name_of(FrameKind kind) {
  switch (kind) {
    case FrameKind::observed:
      return "observed";
    case FrameKind::filled:
      return "filled";
    case FrameKind::forecast:
      break;
  }
  return "forecast";
}

std::optional<PointRain> rain_of(const std::vector<PointValue>& series) {
  const PointValue* now = nullptr;
  std::vector<const PointValue*> coming;
  for (const PointValue& value : series) {
    if (value.kind == FrameKind::forecast) {
      coming.push_back(&value);
    } else {
      now = &value;
    }
  }
  PointRain rain;
  rain.now = now != nullptr && wet(*now);
  if (rain.now) coming.insert(coming.begin(), now);
  const auto is_wet = [](const PointValue* value) { return wet(*value); };
  const auto first = std::find_if(coming.begin(), coming.end(), is_wet);
  if (first == coming.end()) return std::nullopt;
  const auto last = std::find_if(coming.rbegin(), coming.rend(), is_wet).base();  // behind it
  const bool then_dry = last != coming.end() && (*last)->rain_mm_h;
  const auto most = std::max_element(first, last, [](const PointValue* a, const PointValue* b) {
    return a->rain_mm_h.value_or(0.) < b->rain_mm_h.value_or(0.);
  });
  rain.from = (*first)->time;
  rain.heaviest = (*most)->time;
  rain.heaviest_mm_h = (*most)->rain_mm_h.value_or(0.);
  if (then_dry) rain.until = (*last)->time;
  return rain;
}

std::string sentence_of(const std::vector<PointValue>& series) {
  const auto known = std::find_if(series.rbegin(), series.rend(), [](const PointValue& value) {
    return value.kind == FrameKind::forecast && value.rain_mm_h;
  });
  if (known == series.rend()) return "There is no forecast here: no radar sees this place.";
  const std::string end = clock_of(known->time);  // as far as anything is known
  const auto rain = rain_of(series);
  if (!rain) return fmt::format("No rain until {} UTC.", end);
  return fmt::format("{}, heaviest {:.2g} mm/h at {}, {} UTC.",
                     rain->now ? std::string("Rain now") : "Rain from " + clock_of(rain->from),
                     rain->heaviest_mm_h, clock_of(rain->heaviest),
                     rain->until ? "ends about " + clock_of(*rain->until) : "goes on beyond " + end);
}

}  // namespace raincell::app
