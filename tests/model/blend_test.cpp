// Probability matching by hand, and the blend of a mean forecast with advected rain.
#include "model/advection/blend.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "model/matching.hpp"
#include "model/random.hpp"
#include "model/spec.hpp"

namespace raincell::model {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(Matching, GivesTheAmountsOfOneFieldToTheRanksOfAnother) {
  std::vector<float> values = {5, kNaN, 1, 3, 0, 2, 1};
  const std::vector<float> target = {0, 9, 4, kNaN, 7, 1, 0};
  match_distribution(values, target);
  EXPECT_EQ(values[0], 7);
  EXPECT_TRUE(std::isnan(values[1]));
  EXPECT_EQ(values[2], 1);  // before its equal further on, for which no rain is left
  EXPECT_EQ(values[3], 3);  // nothing to match with
  EXPECT_EQ(values[4], 0);
  EXPECT_EQ(values[5], 4);
  EXPECT_EQ(values[6], 0);
  // Rain that would have to fall on dry pixels is left out, and a dry target dries all.
  std::vector<float> one = {0, 2, 0};
  match_distribution(one, std::vector<float>{1, 3, 2});
  EXPECT_EQ(one, (std::vector<float>{0, 3, 0}));
  match_distribution(one, std::vector<float>{0, 0, 0});
  EXPECT_EQ(one, (std::vector<float>{0, 0, 0}));
  EXPECT_THROW(match_distribution(one, std::vector<float>{1}), std::invalid_argument);
}

TEST(BlendWeights, AreLinearInLeadAndLogarithmOfTheRate) {
  const BlendWeights weights{{10, 30}, {1, 4}, {0.8, 0.4, 0.2, 0.}};
  EXPECT_EQ(weights.at(10, 1), 0.8);
  EXPECT_EQ(weights.at(5, 0.1), 0.8);
  EXPECT_NEAR(weights.at(10, 2), 0.6, 1e-12);
  EXPECT_NEAR(weights.at(20, 1), 0.5, 1e-12);
  EXPECT_NEAR(weights.at(20, 2), 0.35, 1e-12);
  EXPECT_EQ(weights.at(90, 100), 0.);
  const BlendWeights one{{10}, {1}, {0.3}};
  EXPECT_EQ(one.at(50, 7), 0.3);
  const BlendWeights again = BlendWeights::parse(weights.text());
  EXPECT_EQ(again.lead_minutes, weights.lead_minutes);
  EXPECT_EQ(again.rates, weights.rates);
  EXPECT_EQ(again.advected, weights.advected);
  for (const char* wrong : {"", "{}", R"({"lead_minutes": [5], "rates": [1], "advected": [1.5]})",
                            R"({"lead_minutes": [5], "rates": [0], "advected": [1]})",
                            R"({"lead_minutes": [5, 5], "rates": [1], "advected": [1, 1]})",
                            R"({"lead_minutes": [5], "rates": [], "advected": []})",
                            R"({"lead_minutes": [5], "rates": [1, 2], "advected": [1]})",
                            R"({"lead_minutes": "5", "rates": [1], "advected": [1]})"})
    EXPECT_THROW(BlendWeights::parse(wrong), ModelError) << wrong;
}

constexpr std::int64_t kRows = 40, kColumns = 50;
constexpr std::size_t kPixels = kRows * kColumns;

/// Gives the same field at every lead.
class Given : public Forecaster {
 public:
  explicit Given(std::vector<float> field) : field_(std::move(field)) {}
  std::string name() const override { return "given"; }
  std::int64_t frames_needed() const override { return 3; }
  ForecastFrames forecast(const PastFrames& past, std::int64_t leads) override {
    ForecastFrames out{leads, past.rows, past.columns, {}, {}, {}};
    for (std::int64_t lead = 0; lead < leads; ++lead)
      out.values.insert(out.values.end(), field_.begin(), field_.end());
    return out;
  }

 private:
  std::vector<float> field_;
};

/// Rain that stands still, a third of it dry.
std::vector<float> still_rain(std::int64_t frames) {
  std::vector<float> all;
  for (std::int64_t t = 0; t < frames; ++t)
    for (std::size_t i = 0; i < kPixels; ++i)
      all.push_back(static_cast<float>(std::max(0., 9. * uniform(3, 1, i) - 3.)));
  return all;
}

std::vector<float> random_field(std::uint64_t seed, float scale) {
  std::vector<float> field(kPixels);
  for (std::size_t i = 0; i < kPixels; ++i) field[i] = scale * static_cast<float>(uniform(seed, 2, i));
  return field;
}

/// What a blend ranks at a lead (1, 2, ...) of 5 minutes: roots of the mean and of the faded frame in equal
/// parts, and of the advected frame by its weight.
std::vector<float> blended_roots(const std::vector<float>& past, const std::vector<float>& mean,
                                 std::int64_t lead, const std::function<float(float)>& weight) {
  const Motion motion = estimate_motion(PastFrames{3, kRows, kColumns, past}, {});
  std::vector<float> roots(past.size()), faded(kPixels), carried(kPixels), advected(kPixels), sum(kPixels);
  std::transform(past.begin(), past.end(), roots.begin(), [](float rate) { return std::sqrt(rate); });
  HeldFrames held({3, kRows, kColumns, roots});
  const Lifetimes lifetimes = estimate_lifetimes(held, motion, {}, nullptr);
  Fading(held.frame(2), kRows, kColumns, {}, nullptr).at(lifetimes, 5. * static_cast<double>(lead), faded);
  Trajectories trajectories(motion, nullptr);
  for (std::int64_t step = 0; step < lead; ++step)
    trajectories.step({{faded, carried}, {std::span(past).last(kPixels), advected}});
  for (std::size_t i = 0; i < kPixels; ++i) {
    const float part = weight(mean[i]);
    sum[i] = (1 - part) * (std::sqrt(mean[i]) + carried[i]) / 2 + part * std::sqrt(advected[i]);
  }
  return sum;
}

TEST(Blend, HasTheAmountsOfTheAdvectedFrame) {
  const std::vector<float> past = still_rain(3);
  const std::vector<float> last = Advection().forecast({3, kRows, kColumns, past}, 1).values;
  for (const float scale : {0.1F, 1.F, 5.F}) {
    const std::vector<float> mean = random_field(5, scale);
    Given forecaster(mean);
    Blend blend(forecaster, {{10}, {1}, {0.}}, {}, 3);
    EXPECT_EQ(blend.frames_needed(), 3);
    const std::vector<float> got = blend.forecast({3, kRows, kColumns, past}, 2).values;
    ASSERT_EQ(got.size(), 2 * kPixels);
    std::vector<float> amounts(got.begin(), got.begin() + kPixels), observed = last;
    std::sort(amounts.begin(), amounts.end());
    std::sort(observed.begin(), observed.end());
    EXPECT_EQ(amounts, observed);
    const auto ranks = blended_roots(past, mean, 1, [](float) { return 0.F; });
    EXPECT_EQ(std::max_element(got.begin(), got.begin() + kPixels) - got.begin(),
              std::max_element(ranks.begin(), ranks.end()) - ranks.begin());
  }
}

TEST(Blend, LeansOnEitherByLeadAndRate) {
  const std::vector<float> past = still_rain(3), mean = random_field(6, 8.F);
  const std::vector<float> advected = Advection().forecast({3, kRows, kColumns, past}, 3).values;
  const auto last = [&](std::size_t lead) { return std::span(advected).subspan(lead * kPixels, kPixels); };
  Given forecaster(mean);
  // Of steps of 5 minutes the first lead is advection alone, the third has none; at the second it depends.
  Blend blend(forecaster, {{5, 10, 15}, {1, 4}, {1, 1, 0, 1, 0, 0}}, {}, 3);
  blend.use_scale({1., 5.});
  const std::vector<float> got = blend.forecast({3, kRows, kColumns, past}, 3).values;
  for (std::size_t i = 0; i < kPixels; ++i) ASSERT_EQ(got[i], last(0)[i]);
  const auto expect = [&](std::size_t lead, const std::function<float(float)>& weight) {
    std::vector<float> want = blended_roots(past, mean, static_cast<std::int64_t>(lead) + 1, weight);
    match_distribution(want, last(lead));
    std::size_t near = 0;  // ranks of values that are nearly equal may change places
    for (std::size_t i = 0; i < kPixels; ++i)
      near += std::abs(got[lead * kPixels + i] - want[i]) < 0.05F ? 1 : 0;
    EXPECT_GT(near, kPixels * 98 / 100) << lead;
  };
  expect(1, [](float rate) { return static_cast<float>(std::clamp(std::log(rate) / std::log(4.), 0., 1.)); });
  expect(2, [](float) { return 0.F; });
}

TEST(Blend, OfDryAndMissingFramesIsDryAndMissing) {
  std::vector<float> past(3 * kPixels, 0.F);
  std::vector<float> mean = random_field(7, 1.F);
  mean[7] = kNaN;
  past[2 * kPixels + 9] = kNaN;
  Given forecaster(mean);
  Blend blend(forecaster, BlendWeights::usual(), {}, 3);
  std::vector<float> got = blend.forecast({3, kRows, kColumns, past}, 1).values;
  for (std::size_t i = 0; i < kPixels; ++i) {
    if (i == 7 || i == 9) {
      EXPECT_TRUE(std::isnan(got[i])) << i;
    } else {
      ASSERT_EQ(got[i], 0.F) << i;
    }
  }
  std::fill(past.begin(), past.end(), kNaN);
  got = blend.forecast({3, kRows, kColumns, past}, 1).values;
  for (const float value : got) ASSERT_TRUE(std::isnan(value));
}

}  // namespace
}  // namespace raincell::model
