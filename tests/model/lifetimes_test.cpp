// Lifetimes of rain structures: measured on fields whose law is known, and what is left of a frame.
#include "model/advection/lifetimes.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/random.hpp"

namespace raincell::model {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kSide = 192;
constexpr std::size_t kPixels = kSide * kSide;

/// Noise of one size: smoothed by a Gaussian of `sigma` pixels, deviation 1.
std::vector<float> noise(std::uint64_t seed, double sigma) {
  std::vector<float> white(kPixels), out(kPixels);
  for (std::size_t i = 0; i < kPixels; ++i) white[i] = static_cast<float>(uniform(seed, 1, i) - 0.5);
  smooth_frame(white, kSide, kSide, sigma, out);
  double square = 0.;
  for (const float value : out) square += static_cast<double>(value) * value;
  const auto scale = static_cast<float>(1. / std::sqrt(square / static_cast<double>(kPixels)));
  for (float& value : out) value *= scale;
  return out;
}

/// Frames of 10 + fine + coarse noise, each kind repeated from frame to frame with a correlation of its own.
std::vector<float> rain(std::int64_t frames, float fine, float coarse) {
  std::vector<float> all, small = noise(1, 1.), large = noise(2, 10.);
  for (std::int64_t t = 0; t < frames; ++t) {
    if (t > 0) {
      const auto more_small = noise(static_cast<std::uint64_t>(10 + t), 1.),
                 more_large = noise(static_cast<std::uint64_t>(50 + t), 10.);
      for (std::size_t i = 0; i < kPixels; ++i) {
        small[i] = fine * small[i] + std::sqrt(1 - fine * fine) * more_small[i];
        large[i] = coarse * large[i] + std::sqrt(1 - coarse * coarse) * more_large[i];
      }
    }
    for (std::size_t i = 0; i < kPixels; ++i) all.push_back(10 + small[i] + large[i]);
  }
  return all;
}

Motion still() {
  return {kSide, kSide, std::vector<float>(kPixels, 0.F), std::vector<float>(kPixels, 0.F)};
}

Lifetimes measured(const std::vector<float>& frames, const FieldScale& scale) {
  HeldFrames held(PastFrames{static_cast<std::int64_t>(frames.size() / kPixels), kSide, kSide, frames});
  return estimate_lifetimes(held, still(), scale, nullptr);
}

TEST(Lifetimes, UsuallyLargeStructuresLiveLonger) {
  const Lifetimes usual = Lifetimes::usual();
  for (std::size_t band = 0; band < kBands; ++band) {
    EXPECT_EQ(usual.left(band, 0.), 1.);
    EXPECT_NEAR(usual.left(band, usual.minutes[band]), std::exp(-1.), 1e-12);
    if (band > 0) {
      EXPECT_GT(usual.minutes[band], 1.5 * usual.minutes[band - 1]);
    }
  }
}

TEST(Lifetimes, AreThoseOfTheScene) {
  // After a step of 10 minutes 0.5 of the fine and 0.9 of the coarse structures are still there. Two frames:
  // one lag.
  const FieldScale scale{1., 10.};
  const Lifetimes usual = Lifetimes::usual();
  const Lifetimes two = measured(rain(2, 0.5F, 0.9F), scale);
  // 0.7 and a little less of the logarithm is what was measured.
  const auto mixed = [&](std::size_t band, double left, double trust) {
    const double seen = 10. / std::pow(-std::log(left), 1. / 1.9);
    return std::exp(trust * std::log(seen) + (1. - trust) * std::log(usual.minutes[band]));
  };
  EXPECT_NEAR(two.minutes[1] / mixed(1, 0.5, 0.7), 1., 0.06);
  EXPECT_NEAR(two.minutes[4] / mixed(4, 0.9, 0.64), 1., 0.3);
  // The slower the change, the longer they live; four older frames agree with one.
  EXPECT_GT(measured(rain(2, 0.8F, 0.9F), scale).minutes[1], 1.2 * two.minutes[1]);
  EXPECT_NEAR(measured(rain(5, 0.5F, 0.9F), scale).minutes[1] / two.minutes[1], 1., 0.35);
  // Never beyond a factor of four of the usual.
  for (const float left : {0.F, 1.F}) {
    for (std::size_t band = 0; band < kBands; ++band) {
      const double ratio = measured(rain(3, left, left), scale).minutes[band] / usual.minutes[band];
      EXPECT_GE(ratio, 0.2499);
      EXPECT_LE(ratio, 4.001);
    }
  }
}

TEST(Lifetimes, OfNothingAreTheUsual) {
  const Lifetimes usual = Lifetimes::usual();
  EXPECT_EQ(measured(std::vector<float>(3 * kPixels, 0.F), {}).minutes, usual.minutes);
  EXPECT_EQ(measured(std::vector<float>(3 * kPixels, kNaN), {}).minutes, usual.minutes);
  EXPECT_EQ(measured(rain(1, 0.5F, 0.9F), {}).minutes, usual.minutes);
  // An older frame that saw nothing.
  std::vector<float> blind = rain(2, 0.5F, 0.9F);
  std::fill(blind.begin(), blind.begin() + kPixels, kNaN);
  EXPECT_EQ(measured(blind, {}).minutes, usual.minutes);
  EXPECT_THROW(measured(blind, {0., 5.}), std::invalid_argument);
  EXPECT_THROW(measured(blind, {1., kNaN}), std::invalid_argument);
}

TEST(Fading, LeavesTheWidestMeanInTheEndAndNothingBelowZero) {
  std::vector<float> frame = noise(7, 2.), out(kPixels), wide(kPixels);
  for (std::size_t i = 0; i < kPixels; ++i) frame[i] = i % 17 == 0 ? kNaN : std::max(0.F, frame[i]);
  Fading fading(frame, kSide, kSide, {2., 5.}, nullptr);
  const auto at = [&](double minutes) { fading.at(Lifetimes::usual(), minutes, out); };
  at(0.);
  for (std::size_t i = 0; i < kPixels; ++i) {
    ASSERT_EQ(std::isnan(out[i]), std::isnan(frame[i]));
    if (!std::isnan(frame[i])) {
      ASSERT_NEAR(out[i], frame[i], 1e-5);
    }
  }
  at(1e6);
  smooth_frame(frame, kSide, kSide, 16., wide);  // 32 km
  for (std::size_t i = 0; i < kPixels; ++i) {
    if (!std::isnan(frame[i])) {
      ASSERT_NEAR(out[i], wide[i], 1e-6);
    }
  }
  // One band alone is missing: between the two.
  Lifetimes one = Lifetimes::usual();
  one.minutes.fill(1e9);
  one.minutes[2] = 1e-3;  // 2 to 4 km
  std::vector<float> fine(kPixels), coarse(kPixels);
  smooth_frame(frame, kSide, kSide, 1., fine);
  smooth_frame(frame, kSide, kSide, 2., coarse);
  fading.at(one, 5., out);
  for (std::size_t i = 0; i < kPixels; ++i) {
    if (!std::isnan(frame[i])) {
      ASSERT_NEAR(out[i], std::max(0.F, frame[i] - (fine[i] - coarse[i])), 1e-5);
    }
  }
  // Pixels of a centimetre: no structure is wider than the field.
  Fading(frame, kSide, kSide, {1e-5, 5.}, nullptr).at(Lifetimes::usual(), 5., out);
  for (std::size_t i = 0; i < kPixels; ++i) ASSERT_EQ(std::isnan(out[i]), std::isnan(frame[i]));
  std::vector<float> small(10);
  EXPECT_THROW(fading.at(one, 5., small), std::invalid_argument);
}

}  // namespace
}  // namespace raincell::model
