// The frames that guide a network: Gaussian means by formula, missing pixels, and the law of the lead.
#include "model/advection/guide.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace raincell::model {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<float> smooth(const std::vector<float>& frame, std::int64_t rows, std::int64_t columns,
                          double sigma) {
  std::vector<float> out(frame.size());
  smooth_frame(frame, rows, columns, sigma, out);
  return out;
}

TEST(SmoothFrame, OnePixelOfRainBecomesAGaussian) {
  constexpr std::int64_t kSide = 41;
  std::vector<float> frame(kSide * kSide, 0.F);
  frame[20 * kSide + 20] = 1000;
  for (const double sigma : {1.35, 2.7}) {
    const auto out = smooth(frame, kSide, kSide, sigma);
    for (const auto& [dx, dy] : {std::pair{0, 0}, {1, 0}, {0, 2}, {3, 2}}) {
      const double want =
          1000 / (2 * M_PI * sigma * sigma) * std::exp(-(dx * dx + dy * dy) / (2 * sigma * sigma));
      EXPECT_NEAR(out[static_cast<std::size_t>((20 + dy) * kSide + 20 + dx)], want, 0.02 * want + 0.1)
          << sigma;
    }
  }
}

TEST(SmoothFrame, WideMeansKeepTheRainAndHaveTheirWidth) {
  constexpr std::int64_t kSide = 201;
  std::vector<float> frame(kSide * kSide, 0.F);
  frame[100 * kSide + 100] = 1000;
  for (const double sigma : {4., 8.1, 16.2}) {
    const auto out = smooth(frame, kSide, kSide, sigma);
    double sum = 0, variance = 0;
    for (std::int64_t y = 0; y < kSide; ++y) {
      for (std::int64_t x = 0; x < kSide; ++x) {
        const double value = out[static_cast<std::size_t>(y * kSide + x)];
        sum += value;
        variance += value * static_cast<double>((x - 100) * (x - 100));
      }
    }
    EXPECT_NEAR(sum, 1000, 0.1);
    EXPECT_NEAR(std::sqrt(variance / sum), sigma, 0.5);
  }
}

TEST(SmoothFrame, MissingPixelsStayAndLendNothing) {
  std::vector<float> frame(30 * 40, 3.F);
  for (std::size_t i = 0; i < frame.size(); ++i) {
    if (i % 40 < 12) frame[i] = kNaN;
  }
  for (const double sigma : {1.5, 6.}) {
    const auto out = smooth(frame, 30, 40, sigma);
    for (std::size_t i = 0; i < frame.size(); ++i) {
      ASSERT_EQ(std::isnan(out[i]), i % 40 < 12) << i;
      if (i % 40 >= 12) {
        ASSERT_NEAR(out[i], 3, 1e-4);
      }
    }
  }
  for (const float value : smooth(std::vector<float>(100, kNaN), 10, 10, 2)) EXPECT_TRUE(std::isnan(value));
}

/// A band of rain that moves `shift` pixels to the right a frame.
struct Band {
  std::int64_t frames, rows = 64, columns = 80;
  std::vector<float> values;
  Band(std::int64_t count, std::int64_t shift) : frames(count) {
    for (std::int64_t t = 0; t < frames; ++t) {
      for (std::int64_t i = 0; i < rows * columns; ++i) {
        const double x = static_cast<double>(i % columns - 30 - shift * t),
                     y = static_cast<double>(i / columns - 32);
        values.push_back(static_cast<float>(5 * std::exp(-(x * x + y * y) / 60)));
      }
    }
    values.back() = kNaN;
  }
  PastFrames past() const { return {frames, rows, columns, values}; }
};

TEST(Guide, WithoutSmoothingItIsTheAdvection) {
  const Band band(3, 2);
  const auto want = Advection().forecast(band.past(), 3).values;
  std::vector<float> got(want.size());
  Guide(band.past(), {}, 3).frames(0, 0, band.rows, band.columns, got);
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_TRUE(got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i])));
  }
}

TEST(Guide, EachLeadIsTheAdvectionOfWhatIsLeftByThen) {
  const Band band(3, 2);
  const auto plane = static_cast<std::size_t>(band.rows * band.columns);
  GuideSpec spec;
  spec.fading = true;
  spec.scale = {2., 10.};
  const Motion motion = estimate_motion(band.past(), {});
  const Guide guide(band.past(), spec, 3);
  std::vector<float> got(3 * plane), want(3 * plane), faded(plane);
  guide.frames(0, 0, band.rows, band.columns, got);
  HeldFrames held(band.past());
  const Lifetimes lifetimes = estimate_lifetimes(held, motion, spec.scale, nullptr);
  Fading fading(std::span(band.values).last(plane), band.rows, band.columns, spec.scale, nullptr);
  for (std::size_t lead = 0; lead < 3; ++lead) {
    fading.at(lifetimes, 10. * static_cast<double>(lead + 1), faded);
    advect({{faded, want}}, motion, 3, 0, 0, band.rows, band.columns);
    for (std::size_t i = lead * plane; i < (lead + 1) * plane; ++i) {
      ASSERT_TRUE(got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i]))) << i;
    }
  }
  // Any rectangle, and the same mask as without fading.
  std::vector<float> part(3 * 10 * 20), sharp(3 * plane);
  guide.frames(20, 30, 10, 20, part);
  EXPECT_EQ(part[205], got[plane + 20 * 80 + 35]);
  Guide(band.past(), {}, 3).frames(0, 0, band.rows, band.columns, sharp);
  for (std::size_t i = 0; i < sharp.size(); ++i) ASSERT_EQ(std::isnan(sharp[i]), std::isnan(got[i]));
}

TEST(Guide, TendencyIsWhatChangesAlongTheMotion) {
  // A band that moves 2 pixels a frame and gains 0.5 mm/h at its core each time.
  Band band(5, 2);
  const auto plane = static_cast<std::size_t>(band.rows * band.columns);
  for (std::size_t i = 0; i < band.values.size(); ++i)
    band.values[i] *= 1.F + 0.1F * static_cast<float>(i / plane);
  GuideSpec spec;
  spec.tendency = true;
  spec.tendency_steps = 3;
  spec.tendency_smoothing_km = 0.;
  // What a rate that is forgotten within 30 minutes adds until a lead, in steps of 5 minutes.
  const auto steps = [](std::size_t lead) {
    return 6. * (1. - std::exp(-static_cast<double>(lead + 1) / 6.));
  };
  const Guide guide(band.past(), spec, 2);
  std::vector<float> frames(2 * plane), got(2 * plane);
  guide.frames(0, 0, band.rows, band.columns, frames, got);
  // The core is at column 38 of row 32 now, and 2 columns further at each lead.
  for (std::size_t lead = 0; lead < 2; ++lead) {
    EXPECT_NEAR(got[lead * plane + 32 * 80 + 40 + 2 * lead], 0.5 * steps(lead), 0.08 * steps(lead)) << lead;
    EXPECT_NEAR(got[lead * plane + 5 * 80 + 70], 0, 0.02);
  }
  // Rates of the three older frames by hand: nothing since the last, 1.5 and 1.5 over two and three steps.
  Band jumps(5, 2);
  for (std::size_t i = 3 * plane; i < 5 * plane; ++i) jumps.values[i] *= 1.3F;
  std::vector<float> jumped(2 * plane);
  Guide(jumps.past(), spec, 2).frames(0, 0, band.rows, band.columns, frames, jumped);
  EXPECT_NEAR(jumped[32 * 80 + 40], (0. + 1.5 / 2 + 1.5 / 3) / 3 * steps(0), 0.06);
  // An older frame that has nothing there leaves it to the others; where the latest has nothing, no change is
  // known.
  Band holed = band;
  for (std::size_t frame = 1; frame < 4; ++frame) {
    holed.values[(frame * 64 + 32) * 80 + 30 + 2 * frame] = kNaN;
    std::vector<float> around(2 * plane);
    Guide(holed.past(), spec, 2).frames(0, 0, band.rows, band.columns, frames, around);
    if (frame < 3) {
      EXPECT_NEAR(around[32 * 80 + 40], 0.5 * steps(0), 0.08) << frame;
    } else {
      EXPECT_EQ(around[32 * 80 + 40], 0);
    }
    EXPECT_NEAR(around[32 * 80 + 44], got[32 * 80 + 44], 0.03) << frame;
  }
  holed = band;
  holed.values[(4 * 64 + 32) * 80 + 38] = kNaN;
  std::vector<float> around(2 * plane);
  Guide(holed.past(), spec, 2).frames(0, 0, band.rows, band.columns, frames, around);
  EXPECT_EQ(around[32 * 80 + 40], 0);
  EXPECT_NEAR(around[32 * 80 + 44], got[32 * 80 + 44], 0.03);
  // Smoothed, its core is lower; with one frame there is nothing to compare with.
  std::vector<float> smoothed(2 * plane);
  GuideSpec wide = spec;
  wide.tendency_smoothing_km = 10.;
  wide.scale.pixel_km = 2.;
  Guide(band.past(), wide, 2).frames(0, 0, band.rows, band.columns, frames, smoothed);
  EXPECT_LT(smoothed[32 * 80 + 40], 0.8F * got[32 * 80 + 40]);
  EXPECT_GT(smoothed[32 * 80 + 40], 0.2F * got[32 * 80 + 40]);
  Guide({1, band.rows, band.columns, std::span(band.values).last(plane)}, spec, 2)
      .frames(0, 0, band.rows, band.columns, frames, got);
  for (const float value : got) ASSERT_EQ(value, 0);
}

TEST(Guide, SaysWhatItTakesAndRefusesNonsense) {
  EXPECT_EQ(Guide::bytes({}, 100, 12), 3 * 400);
  GuideSpec all;
  all.tendency = true;
  EXPECT_EQ(Guide::bytes(all, 100, 12), 4 * 400);
  all.fading = true;
  EXPECT_EQ(Guide::bytes(all, 100, 12), 15 * 400);
  EXPECT_EQ(all.frames(), 5);
  all.tendency_steps = 7;
  EXPECT_EQ(all.frames(), 8);
  const Band band(2, 1);
  std::vector<float> frames(3 * 64 * 80), tendency(frames.size());
  EXPECT_THROW(Guide(band.past(), {}, 3).frames(0, 0, 64, 80, frames, tendency), std::invalid_argument);
  EXPECT_THROW(Guide(band.past(), {}, 0), std::invalid_argument);
  const auto refused = [&](auto change) {
    GuideSpec spec;
    spec.fading = spec.tendency = true;
    change(spec);
    EXPECT_THROW(Guide(band.past(), spec, 2), std::invalid_argument);
    HeldFrames held(band.past());
    EXPECT_THROW(GuideStream(held, spec, nullptr), std::invalid_argument);
  };
  refused([](GuideSpec& spec) { spec.tendency_steps = 0; });
  refused([](GuideSpec& spec) { spec.tendency_smoothing_km = -1.; });
  refused([](GuideSpec& spec) { spec.tendency_smoothing_km = NAN; });
  refused([](GuideSpec& spec) { spec.scale.pixel_km = 0.; });
  refused([](GuideSpec& spec) { spec.scale.step_minutes = std::numeric_limits<double>::infinity(); });
  EXPECT_THROW(smooth({1, 2, 3}, 1, 3, 0), std::invalid_argument);
  EXPECT_THROW(smooth({1, 2, 3}, 1, 4, 1), std::invalid_argument);
}

TEST(GuideStream, IsTheGuideLeadByLead) {
  Band band(5, 3);
  for (std::size_t i = 0; i < band.values.size(); i += 37) band.values[i] = kNaN;
  const PastFrames past{band.frames, band.rows, band.columns, band.values};
  const auto pixels = static_cast<std::size_t>(band.rows * band.columns);
  constexpr std::int64_t kLeads = 6;
  for (const bool fading : {false, true}) {
    GuideSpec spec;
    spec.fading = fading;
    spec.tendency = true;
    std::vector<float> values(kLeads * pixels), tendency(values.size()), lead(pixels), change(pixels);
    Guide(past, spec, kLeads).frames(0, 0, band.rows, band.columns, values, tendency);
    HeldFrames held(past);
    GuideStream stream(held, spec, nullptr);
    for (std::size_t l = 0; l < kLeads; ++l) {
      stream.next(lead, change);
      EXPECT_EQ(std::memcmp(lead.data(), values.data() + l * pixels, pixels * sizeof(float)), 0) << l;
      EXPECT_EQ(std::memcmp(change.data(), tendency.data() + l * pixels, pixels * sizeof(float)), 0) << l;
    }
  }
  HeldFrames held(past);
  std::vector<float> streamed;
  Advection advection;
  advection.stream(held, kLeads, [&](std::int64_t, std::span<const float> some, std::span<const float>) {
    streamed.insert(streamed.end(), some.begin(), some.end());
  });
  const ForecastFrames at_once = advection.forecast(past, kLeads);
  ASSERT_EQ(streamed.size(), at_once.values.size());
  EXPECT_EQ(std::memcmp(streamed.data(), at_once.values.data(), streamed.size() * sizeof(float)), 0);
}

}  // namespace
}  // namespace raincell::model
