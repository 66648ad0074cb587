// Probability matching by hand, and the blend of a mean forecast with advected rain.
#include "model/advection/blend.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/advection/blend_fit.hpp"
#include "model/matching.hpp"
#include "model/random.hpp"
#include "model/spec.hpp"

namespace raincell::model {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// rain, handed out by one key.
std::vector<float> by_key(const std::vector<float>& rain, const std::vector<float>& key, double extent = 1.) {
  std::vector<float> out(rain.size());
  const RankPart part{0.F, [&](std::size_t i) { return key[i]; }};
  hand_out_rain(rain, {&part, 1}, extent, out);
  return out;
}

TEST(Matching, GivesTheAmountsOfOneFieldToTheRanksOfAnother) {
  const std::vector<float> got = by_key({0, 9, 4, kNaN, 7, 1, 0}, {5, kNaN, 1, 3, 0, 2, 1});
  EXPECT_EQ(got[0], 7);
  EXPECT_TRUE(std::isnan(got[1]));
  EXPECT_EQ(got[2], 1);  // before its equal further on, for which no rain is left
  EXPECT_TRUE(std::isnan(got[3]));
  EXPECT_EQ(got[4], 0);
  EXPECT_EQ(got[5], 4);
  EXPECT_EQ(got[6], 0);
  // Rain that would have to fall where the key is 0 is left out, and a dry field stays dry.
  EXPECT_EQ(by_key({1, 3, 2}, {0, 2, 0}), (std::vector<float>{0, 3, 0}));
  EXPECT_EQ(by_key({0, 0, 0}, {3, 2, 1}), (std::vector<float>{0, 0, 0}));
  std::vector<float> other(2);
  const RankPart part{0.F, [](std::size_t) { return 1.F; }};
  EXPECT_THROW(hand_out_rain(std::vector<float>{1}, {&part, 1}, 1., other), std::invalid_argument);
  EXPECT_THROW(hand_out_rain(std::vector<float>{1, 2}, {}, 1., other), std::invalid_argument);
}

TEST(Matching, HeavyAmountsMayGoByAnotherKeyThanLightOnes) {
  const std::vector<float> rain = {8, 6, 2, 1, 0, 0};
  std::vector<float> out(rain.size());
  const std::vector<RankPart> parts = {{5.F, [](std::size_t i) { return static_cast<float>(6 - i); }},
                                       {0.F, [](std::size_t i) { return static_cast<float>(1 + i); }}};
  hand_out_rain(rain, parts, 1., out);
  EXPECT_EQ(out, (std::vector<float>{8, 6, 0, 0, 1, 2}));
}

TEST(Matching, ALargerExtentGivesAmountsToMorePixelsAndMakesNoNewOnes) {
  const std::vector<float> rain = {8, 6, 2, 1, 0, 0, 0}, key = {7, 6, 5, 4, 3, 2, 1};
  EXPECT_EQ(by_key(rain, key, 1.5), (std::vector<float>{8, 8, 6, 2, 2, 1, 0}));
  // A threshold is reached that many times more often, wherever it lies.
  std::vector<float> many(4000), ranks(4000);
  for (std::size_t i = 0; i < 1000; ++i) many[i] = 0.5F * static_cast<float>(1 + i / 100);
  for (std::size_t i = 0; i < 4000; ++i) ranks[i] = static_cast<float>(1 + uniform(4, 3, i));
  const std::vector<float> more = by_key(many, ranks, 1.1);
  for (const float threshold : {0.5F, 1.F, 3.F, 5.F}) {
    const auto reached = [&](const std::vector<float>& field) {
      return std::count_if(field.begin(), field.end(), [&](float v) { return v >= threshold; });
    };
    EXPECT_NEAR(static_cast<double>(reached(more)), 1.1 * static_cast<double>(reached(many)), 1.)
        << threshold;
  }
}

TEST(BlendWeights, AreLinearInTheLead) {
  const BlendWeights weights{{10, 30}, {1, 4}, {0.8, 0.4, 0.2, 0.}, {0.5, 1, 0, 1}, {1, 1.2}};
  EXPECT_EQ(weights.shares_at(10, 0).advected, 0.8);
  EXPECT_EQ(weights.shares_at(10, 0).mean, 0.5);
  EXPECT_EQ(weights.shares_at(5, 1).advected, 0.4);
  EXPECT_NEAR(weights.shares_at(20, 0).advected, 0.5, 1e-12);
  EXPECT_NEAR(weights.shares_at(20, 0).mean, 0.25, 1e-12);
  EXPECT_EQ(weights.shares_at(90, 1).advected, 0.);
  EXPECT_NEAR(weights.extent_at(15), 1.05, 1e-12);
  EXPECT_EQ(weights.extent_at(90), 1.2);
  const BlendWeights one{{10}, {1}, {0.3}, {0.5}, {1.1}};
  EXPECT_EQ(one.shares_at(50, 0).advected, 0.3);
  EXPECT_EQ(one.extent_at(5), 1.1);
  const BlendWeights again = BlendWeights::parse(weights.text());
  EXPECT_EQ(again.lead_minutes, weights.lead_minutes);
  EXPECT_EQ(again.rates, weights.rates);
  EXPECT_EQ(again.advected, weights.advected);
  EXPECT_EQ(again.mean, weights.mean);
  EXPECT_EQ(again.extent, weights.extent);
  for (const char* wrong :
       {"", "{}", R"({"lead_minutes": [5], "rates": [1], "advected": [1.5], "mean": [1], "extent": [1]})",
        R"({"lead_minutes": [5], "rates": [1], "advected": [1], "mean": [-1], "extent": [1]})",
        R"({"lead_minutes": [5], "rates": [1], "advected": [1], "mean": [], "extent": [1]})",
        R"({"lead_minutes": [5], "rates": [0], "advected": [1], "mean": [1], "extent": [1]})",
        R"({"lead_minutes": [5, 5], "rates": [1], "advected": [1, 1], "mean": [1, 1], "extent": [1, 1]})",
        R"({"lead_minutes": [5], "rates": [], "advected": [], "mean": [], "extent": [1]})",
        R"({"lead_minutes": [5], "rates": [1, 2], "advected": [1], "mean": [1], "extent": [1]})",
        R"({"lead_minutes": [5], "rates": [1], "advected": [1], "mean": [1], "extent": []})",
        R"({"lead_minutes": [5], "rates": [1], "advected": [1], "mean": [1], "extent": [0.5]})",
        R"({"lead_minutes": "5", "rates": [1], "advected": [1], "mean": [1], "extent": [1]})"})
    EXPECT_THROW(BlendWeights::parse(wrong), ModelError) << wrong;
  EXPECT_NO_THROW(BlendWeights::parse(
      R"({"lead_minutes": [5], "rates": [1], "advected": [1], "mean": [1], "extent": [1]})"));
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
/// parts, and of the advected frame by its weight `part`.
std::vector<float> blended_roots(const std::vector<float>& past, const std::vector<float>& mean,
                                 std::int64_t lead, float part) {
  const Motion motion = estimate_motion(PastFrames{3, kRows, kColumns, past}, {});
  std::vector<float> roots(past.size()), faded(kPixels), carried(kPixels), advected(kPixels), sum(kPixels);
  std::transform(past.begin(), past.end(), roots.begin(), [](float rate) { return std::sqrt(rate); });
  HeldFrames held({3, kRows, kColumns, roots});
  const Lifetimes lifetimes = estimate_lifetimes(held, motion, {}, nullptr);
  Fading(held.frame(2), kRows, kColumns, {}, nullptr).at(lifetimes, 5. * static_cast<double>(lead), faded);
  Trajectories trajectories(motion, nullptr);
  for (std::int64_t step = 0; step < lead; ++step)
    trajectories.step({{faded, carried}, {std::span(past).last(kPixels), advected}});
  for (std::size_t i = 0; i < kPixels; ++i)
    sum[i] = (1 - part) * (std::sqrt(mean[i]) + carried[i]) / 2 + part * std::sqrt(advected[i]);
  return sum;
}

TEST(Blend, HasTheAmountsOfTheAdvectedFrame) {
  const std::vector<float> past = still_rain(3);
  const std::vector<float> last = Advection().forecast({3, kRows, kColumns, past}, 1).values;
  for (const float scale : {0.1F, 1.F, 5.F}) {
    const std::vector<float> mean = random_field(5, scale);
    Given forecaster(mean);
    Blend blend(forecaster, {{10}, {1}, {0.}, {0.5}, {1.}}, {}, 3);
    EXPECT_EQ(blend.frames_needed(), 3);
    const std::vector<float> got = blend.forecast({3, kRows, kColumns, past}, 2).values;
    ASSERT_EQ(got.size(), 2 * kPixels);
    std::vector<float> amounts(got.begin(), got.begin() + kPixels), observed = last;
    std::sort(amounts.begin(), amounts.end());
    std::sort(observed.begin(), observed.end());
    EXPECT_EQ(amounts, observed);
    const auto ranks = blended_roots(past, mean, 1, 0.F);
    EXPECT_EQ(std::max_element(got.begin(), got.begin() + kPixels) - got.begin(),
              std::max_element(ranks.begin(), ranks.end()) - ranks.begin());
  }
}

TEST(Blend, LeansOnEitherByLeadAndRate) {
  const std::vector<float> past = still_rain(3), mean = random_field(6, 8.F);
  const std::vector<float> advected = Advection().forecast({3, kRows, kColumns, past}, 3).values;
  const auto last = [&](std::size_t lead) { return std::span(advected).subspan(lead * kPixels, kPixels); };
  Given forecaster(mean);
  // Of steps of 5 minutes the first lead is advection alone, the third has none; at the second it has half of
  // the light rain and all from 4 mm/h on.
  Blend blend(forecaster, {{5, 10, 15}, {1, 4}, {1, 1, 0.5, 1, 0, 0}, std::vector<double>(6, 0.5), {1, 1, 1}},
              {}, 3);
  blend.use_scale({1., 5.});
  const std::vector<float> got = blend.forecast({3, kRows, kColumns, past}, 3).values;
  for (std::size_t i = 0; i < kPixels; ++i) ASSERT_EQ(got[i], last(0)[i]);
  const auto expect = [&](std::size_t lead, float light, float heavy) {
    const std::vector<float> light_key =
                                 blended_roots(past, mean, static_cast<std::int64_t>(lead) + 1, light),
                             heavy_key =
                                 blended_roots(past, mean, static_cast<std::int64_t>(lead) + 1, heavy);
    std::vector<float> want(kPixels);
    const std::vector<RankPart> parts = {{4.F, [&](std::size_t i) { return heavy_key[i]; }},
                                         {0.F, [&](std::size_t i) { return light_key[i]; }}};
    hand_out_rain(last(lead), parts, 1., want);
    std::size_t near = 0;  // ranks of values that are nearly equal may change places
    for (std::size_t i = 0; i < kPixels; ++i)
      near += std::abs(got[lead * kPixels + i] - want[i]) < 0.05F ? 1 : 0;
    EXPECT_GT(near, kPixels * 98 / 100) << lead;
  };
  expect(1, 0.5F, 1.F);
  expect(2, 0.F, 0.F);
}

// Two showers of one size and amount stand still, of which one has grown in the last step and the other
// decayed: the heavier amounts of both go to the one that grows. By the mean alone they go where that has
// them.
TEST(Blend, FollowsTheTrendOrTheMeanByItsShares) {
  std::vector<float> past(3 * kPixels, 0.F), mean(kPixels, 0.1F);
  const auto shower = [&](std::size_t frame, std::size_t middle, float amount) {
    for (std::size_t row = 10; row < 30; ++row)
      for (std::size_t column = middle - 8; column < middle + 8; ++column)
        past[frame * kPixels + row * kColumns + column] = amount;
  };
  for (std::size_t frame = 0; frame < 3; ++frame) {
    shower(frame, 12, frame == 2 ? 2.F : 3.F);
    shower(frame, 37, frame == 2 ? 2.F : 1.F);
  }
  for (const std::size_t middle : {12U, 37U}) past[2 * kPixels + 20 * kColumns + middle] = 2.5F;
  mean[5 * kColumns + 20] = mean[5 * kColumns + 21] = 8.F;
  Given forecaster(mean);
  const auto place_of_most = [&](double share_of_mean) {
    Blend blend(forecaster, {{10}, {1}, {0.}, {share_of_mean}, {1.}}, {}, 3);
    std::vector<float> got = blend.forecast({3, kRows, kColumns, past}, 1).values;
    for (float& value : got)
      value = std::isnan(value) ? 0.F : value;  // at the edge, where motion brings nothing
    return static_cast<std::size_t>(std::max_element(got.begin(), got.end()) - got.begin());
  };
  EXPECT_GT(place_of_most(0.) % kColumns, 25U);  // of equals it would be the other one
  EXPECT_EQ(place_of_most(1.), 5 * kColumns + 20);
}

TEST(BlendFit, FindsWhoKnowsWhereTheRainIs) {
  constexpr std::size_t kMany = 20'000;
  const std::vector<float> none(kMany, 0.F);
  std::vector<float> rain(kMany), mean(kMany), faded(kMany), advected(kMany), truth(kMany);
  const auto field = [&](auto& values, auto of_quarter) {
    for (std::size_t i = 0; i < kMany; ++i) values[i] = of_quarter(i % 4);
  };
  const auto roots = [&] {
    std::transform(rain.begin(), rain.end(), advected.begin(), [](float r) { return std::sqrt(r); });
  };
  BlendFit fit;
  // At 10 minutes the faded frame knows where light rain falls, and the mean does not.
  field(truth, [](std::size_t q) { return q == 1 ? 0.7F : 0.F; });
  field(rain, [](std::size_t q) { return q == 1 || q == 2 ? 0.8F : 0.F; });
  field(faded, [](std::size_t q) { return q == 1 ? 0.5F : q == 2 ? 0.4F : 0.F; });
  field(mean, [](std::size_t q) { return q == 2 ? 0.9F : 0.5F; });
  roots();
  for (std::size_t i = 2; i < kMany; i += 4) rain[i] = 0.1F;  // as many of 0.5 mm/h as in the truth
  fit.add(1, 5., {mean, faded, advected}, rain, truth);
  // At 30 minutes both know it, and the advected frame does not.
  field(faded, [](std::size_t q) { return q == 1 ? 0.5F : 0.48F; });
  mean = faded;
  field(rain, [](std::size_t q) { return q == 2 ? 0.8F : 0.F; });
  roots();
  fit.add(5, 5., {mean, faded, advected}, rain, truth);
  // At 60 minutes heavy rain falls where the advected frame has it.
  field(truth, [](std::size_t q) { return q == 0 ? 6.F : 0.F; });
  rain = truth;
  field(faded, [](std::size_t q) { return q == 3 ? 10.F : 0.1F; });
  mean = faded;
  roots();
  fit.add(11, 5., {mean, faded, advected}, rain, truth);
  for (const std::int64_t lead : {0, 3, 4, 6, 20})  // beside the nodes
    fit.add(lead, 5., {none, none, none}, none, truth);
  const BlendWeights got = fit.fit(), usual = BlendWeights::usual();
  const std::size_t rates = usual.rates.size(), at_30 = rates, at_60 = 2 * rates;
  EXPECT_EQ(got.mean[0], 0.);
  EXPECT_EQ(got.advected[1], usual.advected[1]);  // 1 mm/h did not come
  EXPECT_EQ(got.mean[1], usual.mean[1]);
  EXPECT_EQ(got.advected[at_30], 0.);
  EXPECT_EQ(got.mean[at_30], usual.mean[at_30]);
  EXPECT_EQ(got.advected[at_60 + 2], 1.);                         // of 2 mm/h and more
  EXPECT_EQ(got.advected[at_60 + 4], usual.advected[at_60 + 4]);  // 10 mm/h did not come
  EXPECT_EQ(got.extent, usual.extent);
}

TEST(BlendFit, LeavesTheHeaviestRainInItsCells) {
  std::vector<float> rain(20'000), advected(20'000), truth(20'000), likely(20'000);
  for (std::size_t i = 0; i < rain.size(); ++i) {
    rain[i] = i % 4 == 0 ? 12.F : 0.F;
    advected[i] = std::sqrt(rain[i]);
    truth[i] = i % 4 == 1 ? 12.F : 0.F;
    likely[i] = i % 4 == 1 ? 0.3F : 0.28F;  // knows better
  }
  BlendFit fit;
  fit.add(1, 5., {likely, likely, advected}, rain, truth);
  const BlendWeights got = fit.fit(), usual = BlendWeights::usual();
  EXPECT_EQ(got.advected[0], 0.);
  EXPECT_EQ(got.advected[4], usual.advected[4]);
  EXPECT_EQ(usual.advected[4], 1.);
}

TEST(BlendFit, KeepsTheUsualWeightsWhereNothingIsBetter) {
  const std::vector<float> same(5000, 12.F);
  BlendFit fit;
  for (const std::int64_t lead : {1, 5, 11}) fit.add(lead, 5., {same, same, same}, same, same);
  EXPECT_EQ(fit.fit().text(), BlendWeights::usual().text());
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
