// Motion of known shifts, transport of values and of the mask, and the empty cases.
#include "model/advection/advection.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <thread>

namespace raincell::model {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Smooth rain blobs in the plane, displaced by (dx, dy).
float rain(double x, double y, double dx, double dy) {
  double total = 0;
  for (int blob = 0; blob < 30; ++blob) {
    const double cx = std::fmod(37.7 * blob + 11, 150.) - 10, cy = std::fmod(53.3 * blob + 29, 150.) - 10;
    const double width = 4 + blob % 5, peak = 1 + blob % 7;
    const double rx = x - dx - cx, ry = y - dy - cy;
    total += peak * std::exp(-(rx * rx + ry * ry) / (2 * width * width));
  }
  return total < 0.1 ? 0.F : static_cast<float>(std::round(total * 100) / 100);
}

struct Scene {
  std::int64_t frames, rows, columns;
  std::vector<float> values;
  PastFrames past() const { return {frames, rows, columns, values}; }
  std::span<const float> last() const {
    return std::span(values).last(static_cast<std::size_t>(rows * columns));
  }
};

Scene moving(std::int64_t frames, std::int64_t side, double u, double v) {
  Scene scene{frames, side, side, {}};
  for (std::int64_t t = 0; t < frames; ++t) {
    for (std::int64_t y = 0; y < side; ++y) {
      for (std::int64_t x = 0; x < side; ++x) {
        scene.values.push_back(rain(static_cast<double>(x), static_cast<double>(y),
                                    u * static_cast<double>(t), v * static_cast<double>(t)));
      }
    }
  }
  return scene;
}

Motion uniform(std::int64_t rows, std::int64_t columns, float u, float v) {
  const auto pixels = static_cast<std::size_t>(rows * columns);
  return {rows, columns, std::vector<float>(pixels, u), std::vector<float>(pixels, v)};
}

struct Shift {
  double u, v;
  std::int64_t side;
};
class KnownShift : public ::testing::TestWithParam<Shift> {};

TEST_P(KnownShift, IsRecovered) {
  const auto [u, v, side] = GetParam();
  const Scene scene = moving(4, side, u, v);
  const Motion motion = estimate_motion(scene.past(), {});
  double mean_u = 0, mean_v = 0, weight = 0;
  const auto last = scene.last();
  for (std::size_t pixel = 0; pixel < last.size(); ++pixel) {
    mean_u += static_cast<double>(last[pixel] * motion.u[pixel]);
    mean_v += static_cast<double>(last[pixel] * motion.v[pixel]);
    weight += static_cast<double>(last[pixel]);
  }
  EXPECT_NEAR(mean_u / weight, u, 0.15 + 0.05 * std::abs(u));
  EXPECT_NEAR(mean_v / weight, v, 0.15 + 0.05 * std::abs(v));
}

// The larger side is measured at half resolution.
INSTANTIATE_TEST_SUITE_P(Advection, KnownShift,
                         ::testing::Values(Shift{2, -1, 96}, Shift{-3, 2.5, 96}, Shift{0, 0, 96},
                                           Shift{4, 3, 140}, Shift{-6, 1, 141}));

TEST(Advection, ForecastIsTheShiftedTruth) {
  const Scene scene = moving(5, 140, 3, -2);
  const Scene truth = moving(9, 140, 3, -2);
  Advection advection;
  const auto forecast = advection.forecast({4, 140, 140, std::span(scene.values).first(4 * 140 * 140)}, 3);
  for (std::int64_t lead = 0; lead < 3; ++lead) {
    double advected = 0, persistent = 0;
    for (std::int64_t pixel = 0; pixel < 140 * 140; ++pixel) {
      const float value = forecast.values[static_cast<std::size_t>(lead * 140 * 140 + pixel)];
      if (std::isnan(value)) continue;
      const float want = truth.values[static_cast<std::size_t>((4 + lead) * 140 * 140 + pixel)];
      advected += std::pow(static_cast<double>(value - want), 2);
      persistent += std::pow(
          static_cast<double>(truth.values[static_cast<std::size_t>(3 * 140 * 140 + pixel)] - want), 2);
    }
    EXPECT_LT(advected, 0.05 * persistent) << lead;
  }
}

TEST(Advection, WhatTheFlowMissesBetweenNeighboursIsFoundOverLongerTimes) {
  // Rain that gains and loses up to half by where it is, and drifts 6.3 pixels right and 3.7 up at each
  // frame.
  Scene scene = moving(4, 160, 6.3, -3.7);
  for (std::size_t i = 0; i < scene.values.size(); ++i) {
    const double x = static_cast<double>(i % 160), y = static_cast<double>(i / 160 % 160);
    scene.values[i] *= static_cast<float>(1 + 0.5 * std::sin(x / 5) * std::sin(y / 5));
  }
  const Motion motion = estimate_motion(scene.past(), {});
  double error = 0, weight = 0;
  for (std::size_t i = 0; i < motion.u.size(); ++i) {
    if (scene.last()[i] < 1) continue;
    error += std::hypot(motion.u[i] - 6.3, motion.v[i] + 3.7);
    ++weight;
  }
  EXPECT_LT(error / weight, 0.315);  // 0.333 between neighbours alone
}

TEST(Advection, StillMaskDoesNotHoldTheRain) {
  Scene scene = moving(4, 140, 4, 0);
  for (std::size_t i = 0; i < scene.values.size(); ++i) {
    const auto x = static_cast<double>(i % 140) - 70, y = static_cast<double>(i / 140 % 140) - 70;
    if (x * x + y * y > 50 * 50) scene.values[i] = kNaN;
  }
  const Motion motion = estimate_motion(scene.past(), {});
  double mean = 0, weight = 0;
  const auto last = scene.last();
  for (std::size_t pixel = 0; pixel < last.size(); ++pixel) {
    if (std::isnan(last[pixel])) continue;
    mean += static_cast<double>(last[pixel] * motion.u[pixel]);
    weight += static_cast<double>(last[pixel]);
  }
  EXPECT_NEAR(mean / weight, 4, 0.8);
}

TEST(Advection, WholePixelShiftMovesValuesAndMaskExactly) {
  std::vector<float> frame(8 * 10);
  for (std::size_t i = 0; i < frame.size(); ++i) frame[i] = static_cast<float>(i);
  frame[3 * 10 + 4] = kNaN;
  std::vector<float> out(2 * 8 * 10);
  advect({{frame, out}}, uniform(8, 10, 2, 1), 2, 0, 0, 8, 10);
  for (std::int64_t lead = 1; lead <= 2; ++lead) {
    for (std::int64_t y = 0; y < 8; ++y) {
      for (std::int64_t x = 0; x < 10; ++x) {
        const std::int64_t fx = x - 2 * lead, fy = y - lead;
        const float got = out[static_cast<std::size_t>(((lead - 1) * 8 + y) * 10 + x)];
        if (fx < 0 || fy < 0 || (fx == 4 && fy == 3)) {
          EXPECT_TRUE(std::isnan(got)) << lead << " " << y << " " << x;
        } else {
          EXPECT_EQ(got, static_cast<float>(fy * 10 + fx));
        }
      }
    }
  }
}

TEST(Advection, BetweenPixelsItInterpolatesAndNeedsAllNeighbours) {
  const std::vector<float> frame{0, 4, 8, kNaN, 2, 2};  // one row
  std::vector<float> out(6);
  advect({{frame, out}}, uniform(1, 6, 0.25F, 0), 1, 0, 0, 1, 6);
  EXPECT_TRUE(std::isnan(out[0]));  // a quarter of its weight lies outside
  EXPECT_FLOAT_EQ(out[1], 3);       // 3/4 of 4 and 1/4 of 0
  EXPECT_FLOAT_EQ(out[2], 7);
  EXPECT_TRUE(std::isnan(out[3]) && std::isnan(out[4]));  // the missing pixel has 3/4 and 1/4 of the weight
  EXPECT_FLOAT_EQ(out[5], 2);
  advect({{frame, out}}, uniform(1, 6, 0.005F, 0), 1, 0, 0, 1, 6);
  EXPECT_FLOAT_EQ(out[4], 2);  // 0.5 % of missing weight is let through
}

TEST(Advection, RotationFollowsTheArc) {
  // Solid rotation about the centre by 10 degrees a step: after 9 steps a quarter turn, radius kept.
  constexpr std::int64_t kSide = 61;
  Motion motion = uniform(kSide, kSide, 0, 0);
  const double turn = 2 * std::tan(10 * M_PI / 360);  // chord of the midpoint rule
  for (std::int64_t y = 0; y < kSide; ++y) {
    for (std::int64_t x = 0; x < kSide; ++x) {
      const auto at = static_cast<std::size_t>(y * kSide + x);
      motion.u[at] = static_cast<float>(-turn * static_cast<double>(y - 30));
      motion.v[at] = static_cast<float>(turn * static_cast<double>(x - 30));
    }
  }
  std::vector<float> frame(kSide * kSide), out(9 * kSide * kSide);
  for (std::int64_t y = 0; y < kSide; ++y) {
    for (std::int64_t x = 0; x < kSide; ++x)
      frame[static_cast<std::size_t>(y * kSide + x)] = static_cast<float>(x);
  }
  advect({{frame, out}}, motion, 9, 0, 0, kSide, kSide);
  // What is now 20 below the centre was 20 to the right of it.
  EXPECT_NEAR(out[static_cast<std::size_t>((8 * kSide + 50) * kSide + 30)], 50, 0.1);
}

TEST(Advection, SubRectangleEqualsTheWhole) {
  const Scene scene = moving(4, 96, 3, 2);
  const Motion motion = estimate_motion(scene.past(), {});
  std::vector<float> whole(3 * 96 * 96), part(3 * 20 * 30);
  advect({{scene.last(), whole}}, motion, 3, 0, 0, 96, 96);
  advect({{scene.last(), part}}, motion, 3, 40, 50, 20, 30);
  for (std::size_t i = 0; i < part.size(); ++i) {
    const std::size_t lead = i / 600, y = i / 30 % 20, x = i % 30;
    const float want = whole[(lead * 96 + 40 + y) * 96 + 50 + x];
    EXPECT_TRUE(part[i] == want || (std::isnan(part[i]) && std::isnan(want)));
  }
}

TEST(Advection, NoRainStandsStillAndAllMissingStaysMissing) {
  for (const float value : {0.F, kNaN, 3.F}) {
    const Scene scene{3, 40, 50, std::vector<float>(3 * 40 * 50, value)};
    const Motion motion = estimate_motion(scene.past(), {});
    for (const float u : motion.u) ASSERT_NEAR(u, 0, 1e-3);
    for (const float v : motion.v) ASSERT_NEAR(v, 0, 1e-3);
    Advection advection;
    for (const float out : advection.forecast(scene.past(), 2).values) {
      ASSERT_TRUE(std::isnan(value) ? std::isnan(out) : std::abs(out - value) < 1e-3F);
    }
  }
}

TEST(Advection, TinyFieldsAndStrangeValues) {
  Advection advection;
  for (const std::int64_t side : {1, 2, 7, 16, 17}) {
    Scene scene{3, side, side + 1, {}};
    for (std::int64_t i = 0; i < 3 * side * (side + 1); ++i) {
      scene.values.push_back(i % 5 == 0 ? 1e30F : i % 7 == 0 ? -1.F : static_cast<float>(i % 3));
    }
    EXPECT_EQ(advection.forecast(scene.past(), 2).values.size(),
              static_cast<std::size_t>(2 * side * (side + 1)));
  }
}

TEST(Advection, SameNumbersFromManyThreads) {
  const Scene scene = moving(4, 140, 4, 3);
  const Motion alone = estimate_motion(scene.past(), {});
  std::vector<Motion> together(4);
  {
    std::vector<std::jthread> threads;
    for (auto& motion : together) threads.emplace_back([&] { motion = estimate_motion(scene.past(), {}); });
  }
  for (const auto& motion : together) {
    EXPECT_EQ(motion.u, alone.u);
    EXPECT_EQ(motion.v, alone.v);
  }
}

TEST(Advection, RefusesWrongSizes) {
  const Scene scene{1, 20, 20, std::vector<float>(400)};
  Advection advection;
  EXPECT_THROW(advection.forecast(scene.past(), 2), std::invalid_argument);
  EXPECT_THROW(estimate_motion({2, 20, 20, scene.values}, {}), std::invalid_argument);
  std::vector<float> out(10);
  EXPECT_THROW(advect({{scene.values, out}}, uniform(20, 20, 0, 0), 1, 15, 0, 10, 1), std::invalid_argument);
}

}  // namespace
}  // namespace raincell::model
