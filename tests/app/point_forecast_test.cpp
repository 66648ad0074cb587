// The sentence about rain at a place: what is said of rain, of dry weather, and of what nobody knows.
#include "app/point_forecast.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace raincell::app {
namespace {

constexpr double kUnknown = -1.;

/// Two observed values, then forecasts, five minutes apart from 06:00.
std::vector<PointValue> series(const std::vector<double>& observed, const std::vector<double>& forecast) {
  std::vector<PointValue> all;
  io::TimePoint time = *io::parse_time("2024-06-01T06:00Z");
  const auto add = [&](FrameKind kind, double value) {
    all.push_back({time, kind, value == kUnknown ? std::nullopt : std::optional(value)});
    time += std::chrono::minutes(5);
  };
  for (const double value : observed) add(FrameKind::observed, value);
  for (const double value : forecast) add(FrameKind::forecast, value);
  return all;
}

TEST(PointForecast, SaysWhenItBeginsWhenItIsHeaviestAndWhenItEnds) {
  const auto rain = series({0, 0}, {0, 0.3, 12, 2, 0, 0});
  EXPECT_EQ(sentence_of(rain), "Rain from 06:15, heaviest 12 mm/h at 06:20, ends about 06:30 UTC.");
  EXPECT_FALSE(rain_of(rain)->now);
  EXPECT_EQ(sentence_of(series({0, 1.5}, {1, 0.4, 0.05, 0})),
            "Rain now, heaviest 1.5 mm/h at 06:05, ends about 06:20 UTC.");
  EXPECT_EQ(sentence_of(series({0, 0}, {0, 0, 0.1})),
            "Rain from 06:20, heaviest 0.1 mm/h at 06:20, goes on beyond 06:20 UTC.");
  EXPECT_EQ(sentence_of(series({0, 0}, {0.09, 0, 0})), "No rain until 06:20 UTC.");
}

TEST(PointForecast, NothingIsSaidOfWhatNobodyKnows) {
  EXPECT_EQ(sentence_of(series({0, 0}, {0, 0, kUnknown, kUnknown})), "No rain until 06:15 UTC.");
  EXPECT_EQ(sentence_of(series({0, 1}, {2, kUnknown, kUnknown})),
            "Rain now, heaviest 2 mm/h at 06:10, goes on beyond 06:10 UTC.");
  EXPECT_EQ(sentence_of(series({0, 1}, {kUnknown, kUnknown})),
            "There is no forecast here: no radar sees this place.");
  EXPECT_FALSE(rain_of(series({0, 1}, {2, kUnknown}))->until);
  // An unobserved now is no dry one: rain begins with the forecast.
  EXPECT_EQ(sentence_of(series({0, kUnknown}, {0.5, 0})),
            "Rain from 06:10, heaviest 0.5 mm/h at 06:10, ends about 06:15 UTC.");
}

}  // namespace
}  // namespace raincell::app
