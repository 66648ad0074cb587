#include "model/spike_guard.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "model/random.hpp"

namespace raincell::model {
namespace {

/// Losses that differ by factors, as those of batches of rain do.
double noisy(std::int64_t i, double level = 1.) {
  const double u = uniform(3, hash_of("spikes"), static_cast<std::uint64_t>(2 * i));
  const double v = uniform(3, hash_of("spikes"), static_cast<std::uint64_t>(2 * i + 1));
  const double normal = std::sqrt(-2. * std::log(1. - u)) * std::cos(2. * M_PI * v);
  return level * std::exp(0.5 * normal);
}

TEST(SpikeGuard, LeavesANoisyLossThatFallsAlone) {
  const SpikeSpec spec;
  SpikeState state;
  for (std::int64_t i = 0; i < 20000; ++i) {
    const double level = 0.1 + std::exp(-static_cast<double>(i) / 500.);
    ASSERT_FALSE(observe(spec, state, noisy(i, level))) << i;
  }
}

TEST(SpikeGuard, SeesALossThatLeavesItsPastWithinAFewOfThem) {
  const SpikeSpec spec;
  SpikeState state;
  for (std::int64_t i = 0; i < 300; ++i) ASSERT_FALSE(observe(spec, state, noisy(i)));
  std::int64_t until = 0;
  while (until < 20 && !observe(spec, state, noisy(300 + until, 60.))) ++until;
  EXPECT_LT(until, 10);
  SpikeState at_once;  // before it knows what is usual it judges nothing
  for (std::int64_t i = 0; i < spec.begins_at; ++i)
    EXPECT_FALSE(observe(spec, at_once, i < 10 ? 1. : 1e6)) << i;
}

TEST(SpikeGuard, IsNotBlindedByWhatIsNotFinite) {
  const SpikeSpec spec;
  SpikeState state;
  for (std::int64_t i = 0; i < 300; ++i) {
    observe(spec, state, noisy(i));
    const SpikeState before = state;
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 0., -1.})
      EXPECT_FALSE(observe(spec, state, bad));
    ASSERT_EQ(state, before);
  }
  bool seen = false;
  for (std::int64_t i = 0; i < 10; ++i) seen = observe(spec, state, 1e4) || seen;
  EXPECT_TRUE(seen);
}

TEST(SpikeGuard, JudgesTheSameFromAStoredState) {
  const SpikeSpec spec{.sigmas = 2., .begins_at = 20};
  SpikeState whole;
  std::vector<bool> judged;
  SpikeState middle;
  for (std::int64_t i = 0; i < 400; ++i) {
    if (i == 37) middle = whole;
    judged.push_back(observe(spec, whole, noisy(i, i % 90 > 70 ? 8. : 1.)));
  }
  std::int64_t spikes = 0;
  for (std::int64_t i = 37; i < 400; ++i) {
    ASSERT_EQ(observe(spec, middle, noisy(i, i % 90 > 70 ? 8. : 1.)), judged[static_cast<std::size_t>(i)]);
    spikes += judged[static_cast<std::size_t>(i)] ? 1 : 0;
  }
  EXPECT_GT(spikes, 0);
  EXPECT_EQ(middle, whole);
}

TEST(SpikeGuard, CanBeOff) {
  SpikeState state;
  for (std::int64_t i = 0; i < 300; ++i) EXPECT_FALSE(observe({.sigmas = 0.}, state, i < 200 ? 1. : 1e9));
}

}  // namespace
}  // namespace raincell::model
