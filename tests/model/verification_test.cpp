// Support, filling, pooling and protocols on fields small enough to count by hand.
#include "model/verification.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace raincell::model {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Gives the same frames whatever it sees.
class Canned : public Forecaster {
 public:
  Canned(std::string name, std::vector<float> values) : name_(std::move(name)), values_(std::move(values)) {}
  std::string name() const override { return name_; }
  std::int64_t frames_needed() const override { return 1; }
  ForecastFrames forecast(const PastFrames& past, std::int64_t leads) override {
    ++calls;
    return {leads, past.rows, past.columns, values_, {}, {}};
  }
  int calls = 0;

 private:
  std::string name_;
  std::vector<float> values_;
};

VerificationSpec plain_spec() {
  VerificationSpec spec;
  spec.protocol.thresholds = {1};
  spec.fss_thresholds = {1};
  spec.fss_scales = {1};
  spec.bootstrap.resamples = 100;
  return spec;
}

// One row of six pixels: the truth, the latest frame and advection each miss one of them.
const std::vector<float> kLatest{2, 2, 0, kNaN, 0, 2};
const std::vector<float> kTruth{2, 0, kNaN, 2, 2, 2};
const std::vector<float> kAdvected{2, kNaN, 2, 2, 2, 2};

CaseReader same_case() {
  return [](std::int64_t) { return VerificationCase{{1, 1, 6, kLatest}, kTruth, 1}; };
}

TEST(Verification, SupportIsTruthLatestAndTransported) {
  Canned advection("advection", kAdvected);
  Persistence persistence;
  Forecaster* listed[] = {&persistence};
  const auto result = verify(plain_spec(), 3, same_case(), listed, advection);
  EXPECT_EQ(result.cases, 3);
  ASSERT_EQ(result.scores.size(), 1U);
  EXPECT_EQ(result.scores[0].table, (ContingencyTable{2 * 3, 1 * 3, 0, 0}));  // pixels 0, 5 hit and 4 missed
  EXPECT_EQ(result.continuous[0].sums.pixels, 9);
  EXPECT_DOUBLE_EQ(result.continuous[0].sums.mse(), 4. / 3);
  EXPECT_EQ(advection.calls, 3);
}

TEST(Verification, ListedAdvectionRunsOnceAndSharesTheSupport) {
  Canned advection("advection", kAdvected);
  Persistence persistence;
  Forecaster* listed[] = {&persistence, &advection};
  const auto result = verify(plain_spec(), 2, same_case(), listed, advection);
  EXPECT_EQ(advection.calls, 2);
  ASSERT_EQ(result.scores.size(), 2U);
  EXPECT_EQ(result.scores[0].table.pixels(), result.scores[1].table.pixels());
  EXPECT_EQ(result.scores[1].table, (ContingencyTable{6, 0, 0, 0}));
}

TEST(Verification, MissingOutputIsScoredAsPersistenceAndCounted) {
  Canned advection("advection", kAdvected), holes("holes", {kNaN, kNaN, kNaN, kNaN, kNaN, 0});
  Forecaster* listed[] = {&holes};
  const auto result = verify(plain_spec(), 1, same_case(), listed, advection);
  EXPECT_EQ(result.scores[0].table,
            (ContingencyTable{1, 2, 0, 0}));  // 2 of persistence, 0 of persistence, own 0
  EXPECT_EQ(result.scores[0].filled_pixels, 2);
  EXPECT_EQ(result.continuous[0].filled_pixels, 2);
}

TEST(Verification, ObservedSupportFillsWithZero) {
  Canned advection("advection", kAdvected);
  Persistence persistence;
  Forecaster* listed[] = {&persistence, &advection};
  auto spec = plain_spec();
  spec.protocol.support = Support::observed;
  const auto result = verify(spec, 1, same_case(), listed, advection);
  EXPECT_EQ(result.scores[0].table, (ContingencyTable{2, 1, 1, 0}));
  EXPECT_EQ(result.scores[1].table, (ContingencyTable{3, 0, 0, 1}));
  EXPECT_EQ(result.scores[1].filled_pixels, 1);
  EXPECT_EQ(result.scores[0].filled_pixels, 0);
}

TEST(Verification, NoSupportGivesNoScore) {
  const std::vector<float> nothing(6, kNaN);
  Canned advection("advection", kAdvected);
  Persistence persistence;
  Forecaster* listed[] = {&persistence};
  const auto reader = [&](std::int64_t k) -> std::optional<VerificationCase> {
    if (k == 1) return std::nullopt;
    return VerificationCase{{1, 1, 6, kLatest}, nothing, 1};
  };
  const auto result = verify(plain_spec(), 2, reader, listed, advection);
  EXPECT_EQ(result.cases, 1);
  EXPECT_EQ(result.skipped_cases, 1);
  EXPECT_TRUE(std::isnan(result.scores[0].table.csi()));
  EXPECT_TRUE(std::isnan(result.continuous[0].sums.mse()));
  EXPECT_TRUE(std::isnan(result.scores[0].csi_interval.low));
}

/// Two leads with different tables, to tell averaging from pooling: CSI 1/1 and 1/3.
VerificationResult two_leads(const std::string& protocol, std::vector<double> thresholds) {
  auto spec = plain_spec();
  spec.protocol = *find_protocol(protocol);
  spec.protocol.thresholds = std::move(thresholds);
  const std::vector<float> latest{0, 0, 0, 0}, truth{20, 0, 0, 0, 20, 20, 0, 0};
  Canned forecast("canned", {20, 0, 0, 0, 20, 0, 20, 0});
  Forecaster* listed[] = {&forecast};
  return verify(
      spec, 1,
      [&](std::int64_t) {
        return VerificationCase{{1, 2, 2, latest}, truth, 2};
      },
      listed, forecast);
}

double summary(const VerificationResult& result, const std::string& score) {
  for (const auto& one : result.summary) {
    if (one.score == score) return one.value;
  }
  return std::nan("");
}

TEST(Protocols, HkoAveragesOverLeads) {
  const auto result = two_leads("hko7", {10});
  EXPECT_DOUBLE_EQ(summary(result, "csi"), (1. + 1. / 3) / 2);
  // Errors of one miss and one false alarm of 20 mm/h in lead 2; weight 10 for the missed rain, 1 for dry
  // truth.
  const double pixel = (10 * std::log10(58.53 * std::pow(20., 1.56)) + 10) / 70;
  EXPECT_NEAR(summary(result, "b_mse"), 11 * pixel * pixel / 2, 1e-9);
  EXPECT_NEAR(summary(result, "b_mae"), 11 * pixel / 2, 1e-9);
}

TEST(Protocols, SevirPoolsOverLeadsAndScalesErrors) {
  const auto result = two_leads("sevir-pooled", {16, 74});
  EXPECT_DOUBLE_EQ(summary(result, "csi"), 2. / 4);
  EXPECT_DOUBLE_EQ(summary(result, "csi_mean"), 2. / 4);  // nothing reaches 74: no score, not zero
  EXPECT_NEAR(summary(result, "mse"), 2 * 400. / 8 / (255 * 255), 1e-12);
  EXPECT_DOUBLE_EQ(summary(two_leads("sevir-per-lead", {16}), "csi"), (1. + 1. / 3) / 2);
}

TEST(Protocols, OpenStlSumsOverPixels) {
  auto spec = plain_spec();
  spec.protocol = *find_protocol("openstl-mnist");
  const std::vector<float> latest(64), truth(2 * 64, 0.5F);
  std::vector<float> said(2 * 64, 0.5F);
  said[0] = 1.5F;  // clipped to 1 for PSNR only
  said[64] = 0.25F;
  Canned forecast("canned", said);
  Forecaster* listed[] = {&forecast};
  const auto result = verify(
      spec, 1,
      [&](std::int64_t) {
        return VerificationCase{{1, 8, 8, latest}, truth, 2};
      },
      listed, forecast);
  EXPECT_NEAR(summary(result, "mse"), (1 + 0.0625) / 2, 1e-9);
  EXPECT_NEAR(summary(result, "mae"), (1 + 0.25) / 2, 1e-9);
  EXPECT_NEAR(summary(result, "psnr"), (-10 * std::log10(0.25 / 64) - 10 * std::log10(0.0625 / 64)) / 2,
              1e-6);
  EXPECT_TRUE(result.scores.empty());
}

TEST(Protocols, ThresholdsAsPublished) {
  EXPECT_EQ(find_protocol("default")->thresholds, (std::vector<double>{0.1, 0.5, 1, 2, 5, 10, 30}));
  EXPECT_EQ(find_protocol("hko7")->thresholds, (std::vector<double>{0.5, 2, 5, 10, 30}));
  EXPECT_EQ(find_protocol("sevir-pooled")->thresholds, (std::vector<double>{16, 74, 133, 160, 181, 219}));
  EXPECT_FALSE(find_protocol("hko-7"));
}

TEST(Verification, ExceedanceForecastsAreScored) {
  auto spec = plain_spec();
  spec.protocol.support = Support::observed;
  const std::vector<float> latest{0, 0, 0, 0}, truth{0, 2, 2, 0};
  ForecastFrames forecast{1, 2, 2, {}, {1, 3}, {0.75F, 0.75F, 0.25F, kNaN, 0, 0, 0, kNaN}};
  Verifier verifier(spec, {"probable"});
  verifier.add({{1, 2, 2, latest}, truth, 1}, {}, std::span(&forecast, 1));
  const auto result = verifier.result();
  EXPECT_EQ(result.scores[0].table, (ContingencyTable{1, 1, 1, 1}));
  EXPECT_EQ(result.scores[0].filled_pixels, 1);
  ASSERT_EQ(result.probabilities.size(), 2U);
  EXPECT_NEAR(result.probabilities[0].table.brier(), (0.5625 + 0.0625 + 0.5625 + 0) / 4, 1e-9);
  EXPECT_EQ(result.crps[0].pixels, 4);
  // Between 1 and 3 mm/h P falls linearly to 0; truth 0: p^2 * 2/3, truth 2: split in the middle.
  const double dry = 0.5625 * 2 / 3;
  const auto wet = [](double p) {
    return ((p - 1) * (p - 1) + (p - 1) * (p / 2 - 1) + (p / 2 - 1) * (p / 2 - 1)) / 3 + p * p / 4 / 3;
  };
  EXPECT_NEAR(result.crps[0].crps, (dry + wet(0.75) + wet(0.25)) / 4, 1e-9);
}

TEST(Verification, ThreadsAndOrderChangeNothing) {
  const std::vector<float> latest(30 * 30, 1);
  std::vector<float> truth(5 * 900), said(5 * 900);
  for (std::size_t i = 0; i < truth.size(); ++i) {
    truth[i] = static_cast<float>(i * 7 % 11) / 2;
    said[i] = static_cast<float>(i * 5 % 13) / 2;
  }
  Canned forecast("canned", said);
  Forecaster* listed[] = {&forecast};
  const auto run = [&](std::int64_t threads) {
    auto spec = plain_spec();
    spec.threads = threads;
    return verify(
        spec, 2,
        [&](std::int64_t) {
          return VerificationCase{{1, 30, 30, latest}, truth, 5};
        },
        listed, forecast);
  };
  const auto one = run(1), three = run(3);
  for (std::size_t k = 0; k < one.scores.size(); ++k) EXPECT_EQ(one.scores[k].table, three.scores[k].table);
  for (std::size_t k = 0; k < one.spectra.size(); ++k)
    EXPECT_EQ(one.spectra[k].ratio, three.spectra[k].ratio);
  for (std::size_t k = 0; k < one.fss.size(); ++k) EXPECT_EQ(one.fss[k].fss, three.fss[k].fss);
  EXPECT_EQ(one.scores.size(), 5U);
  EXPECT_EQ(one.scores[4].lead_minutes, 25);
}

TEST(Verification, RefusesWhatDoesNotFit) {
  EXPECT_THROW(Verifier(plain_spec(), {}), std::invalid_argument);
  EXPECT_THROW(Verifier(plain_spec(), {"a", "a"}), std::invalid_argument);
  auto falling = plain_spec();
  falling.protocol.thresholds = {2, 1};
  EXPECT_THROW(Verifier(falling, {"a"}), std::invalid_argument);
  Verifier verifier(plain_spec(), {"a"});
  const ForecastFrames small{1, 1, 6, std::vector<float>(5), {}, {}}, good{1, 1, 6, kAdvected, {}, {}};
  const VerificationCase one{{1, 1, 6, kLatest}, kTruth, 1};
  EXPECT_THROW(verifier.add(one, kAdvected, std::span(&small, 1)), std::invalid_argument);
  EXPECT_THROW(verifier.add(one, {}, std::span(&good, 1)), std::invalid_argument);
  verifier.add(one, kAdvected, std::span(&good, 1));
  const std::vector<float> three(3);
  EXPECT_THROW(verifier.add({{1, 1, 3, three}, three, 1}, three, std::span(&good, 1)), std::invalid_argument);
}

}  // namespace
}  // namespace raincell::model
