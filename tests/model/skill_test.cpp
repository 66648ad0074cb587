// Scores against hand-computed tables and against pysteps (tests/golden/make_skill_golden.py).
#include "model/skill.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "model/skill_probability.hpp"
#include "model/skill_spectrum.hpp"

namespace raincell::model {
namespace {

constexpr double kTolerance = 1e-6;

struct Golden {
  nlohmann::json json;
  std::vector<float> truth, forecast;
  std::vector<std::uint8_t> valid;
  std::int64_t rows, columns;
};

Golden golden() {
  std::ifstream file(GOLDEN_DIR "/skill.json");
  Golden out{nlohmann::json::parse(file), {}, {}, {}, 0, 0};
  out.truth = out.json["truth"].get<std::vector<float>>();
  out.forecast = out.json["forecast"].get<std::vector<float>>();
  out.valid = out.json["valid"].get<std::vector<std::uint8_t>>();
  out.rows = out.json["rows"];
  out.columns = out.json["columns"];
  return out;
}

double number(const nlohmann::json& json) {
  return json.is_null() ? std::nan("") : json.get<double>();
}

TEST(Contingency, TableOfFinley) {
  // Finley's tornado forecasts of 1884, the standard worked example: 28 hits, 23 misses, 72 false alarms,
  // 2680 rest.
  const ContingencyTable table{28, 23, 72, 2680};
  EXPECT_NEAR(table.csi(), 28. / 123, 1e-12);
  EXPECT_NEAR(table.pod(), 28. / 51, 1e-12);
  EXPECT_NEAR(table.far(), 0.72, 1e-12);
  EXPECT_NEAR(table.bias(), 100. / 51, 1e-12);
  EXPECT_NEAR(table.ets(), 0.216046, 1e-6);  // chance hits 51 * 100 / 2803
  EXPECT_NEAR(table.hss(), 0.355325, 1e-6);
  EXPECT_NEAR(table.hss(), 2 * table.ets() / (1 + table.ets()), 1e-12);
}

TEST(Contingency, NoSupportIsNoScore) {
  const ContingencyTable empty, dry{0, 0, 0, 10};
  for (const auto& table : {empty, dry}) {
    for (const double score :
         {table.csi(), table.pod(), table.far(), table.hss(), table.ets(), table.bias()}) {
      EXPECT_TRUE(std::isnan(score));
    }
  }
}

TEST(Contingency, EventIsAtOrAboveTheThreshold) {
  const std::vector<float> forecast{1, 1, 0, 0, 3, 1}, truth{1, 0, 1, 0, 2, 1};
  const std::vector<std::uint8_t> mask{1, 1, 1, 1, 1, 0};
  const std::vector<double> thresholds{1, 2, 3};
  std::vector<ContingencyTable> tables(3);
  add_contingency(forecast, truth, mask, thresholds, tables);
  EXPECT_EQ(tables[0], (ContingencyTable{2, 1, 1, 1}));
  EXPECT_EQ(tables[1], (ContingencyTable{1, 0, 0, 4}));
  EXPECT_EQ(tables[2], (ContingencyTable{0, 0, 1, 4}));
}

TEST(Contingency, RefusesWhatItCannotScore) {
  const std::vector<float> field(3);
  const std::vector<std::uint8_t> mask(3), small(2);
  const std::vector<double> falling{2, 1};
  std::vector<ContingencyTable> tables(2);
  EXPECT_THROW(add_contingency(field, field, mask, falling, tables), std::invalid_argument);
  EXPECT_THROW(add_contingency(field, field, small, {}, {}), std::invalid_argument);
}

TEST(Contingency, AgreesWithPysteps) {
  const Golden g = golden();
  const auto thresholds = g.json["thresholds"].get<std::vector<double>>();
  std::vector<ContingencyTable> tables(thresholds.size());
  add_contingency(g.forecast, g.truth, g.valid, thresholds, tables);
  for (std::size_t k = 0; k < thresholds.size(); ++k) {
    const auto& want = g.json["categorical"][k];
    EXPECT_NEAR(tables[k].csi(), want["csi"], kTolerance);
    EXPECT_NEAR(tables[k].pod(), want["pod"], kTolerance);
    EXPECT_NEAR(tables[k].far(), want["far"], kTolerance);
    EXPECT_NEAR(tables[k].hss(), want["hss"], kTolerance);
    EXPECT_NEAR(tables[k].ets(), want["gss"], kTolerance);
    EXPECT_NEAR(tables[k].bias(), want["bias"], kTolerance);
  }
}

TEST(Continuous, AgreesWithPysteps) {
  const Golden g = golden();
  ContinuousSums sums;
  add_continuous(g.forecast, g.truth, g.valid, sums);
  const auto& want = g.json["continuous"];
  EXPECT_NEAR(sums.mse(), want["mse"], 1e-6 * want["mse"].get<double>());  // inputs are stored as float
  EXPECT_NEAR(sums.mae(), want["mae"], kTolerance);
  EXPECT_NEAR(sums.me(), want["me"], kTolerance);
  EXPECT_NEAR(sums.rmse(), want["rmse"], kTolerance);
  EXPECT_NEAR(sums.correlation(), want["corr_p"], kTolerance);
}

TEST(Continuous, ByHand) {
  const std::vector<float> forecast{1, 2, 3}, truth{2, 2, 5};
  const std::vector<std::uint8_t> mask{1, 1, 1};
  ContinuousSums sums;
  add_continuous(forecast, truth, mask, sums);
  EXPECT_DOUBLE_EQ(sums.mse(), 5. / 3);
  EXPECT_DOUBLE_EQ(sums.mae(), 1.);
  EXPECT_DOUBLE_EQ(sums.me(), -1.);
  EXPECT_NEAR(sums.correlation(), std::sqrt(3.) / 2, 1e-12);
  EXPECT_NEAR(sums.uncentred_correlation(), 21 / std::sqrt(14. * 33), 1e-12);
}

TEST(Continuous, ConstantFieldHasNoCorrelation) {
  const std::vector<float> forecast{0.1F, 0.1F, 0.1F}, truth{1, 2, 3};
  const std::vector<std::uint8_t> mask{1, 1, 1};
  ContinuousSums sums, none;
  add_continuous(forecast, truth, mask, sums);
  EXPECT_TRUE(std::isnan(sums.correlation()));
  EXPECT_TRUE(std::isnan(none.mse()));
}

TEST(Fractions, AgreeWithPysteps) {
  const Golden g = golden();
  for (const auto& want : g.json["fss"]) {
    std::vector<std::uint8_t> forecast(g.truth.size()), truth(g.truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
      forecast[i] = g.valid[i] != 0 && g.forecast[i] >= want["threshold"].get<double>() ? 1 : 0;
      truth[i] = g.valid[i] != 0 && g.truth[i] >= want["threshold"].get<double>() ? 1 : 0;
    }
    const std::vector<std::int64_t> scales{want["scale"].get<std::int64_t>()};
    std::vector<FractionSums> sums(1);
    add_fractions(forecast, truth, g.rows, g.columns, scales, sums);
    EXPECT_NEAR(sums[0].score(), want["fss"], kTolerance) << want;
  }
}

TEST(Fractions, NoEventsIsNoScore) {
  EXPECT_TRUE(std::isnan(FractionSums{}.score()));
}

TEST(Spectrum, AgreesWithPysteps) {
  const Golden g = golden();
  for (const auto& want : g.json["spectra"]) {
    const std::int64_t side = want["side"];
    std::vector<float> forecast, truth;
    for (std::int64_t row = 0; row < side; ++row) {
      for (std::int64_t column = 0; column < side; ++column) {
        forecast.push_back(g.forecast[static_cast<std::size_t>(row * g.columns + column)]);
        truth.push_back(g.truth[static_cast<std::size_t>(row * g.columns + column)]);
      }
    }
    RadialSpectrum spectrum(side);
    std::vector<double> p(static_cast<std::size_t>(spectrum.wavenumbers())), t(p.size());
    spectrum.add(forecast, truth, p, t);
    ASSERT_EQ(want["forecast"].size(), p.size());
    for (std::size_t k = 0; k < p.size(); ++k) {
      EXPECT_NEAR(p[k] / want["forecast"][k].get<double>(), 1, kTolerance) << side << " " << k;
      EXPECT_NEAR(t[k] / want["truth"][k].get<double>(), 1, kTolerance) << side << " " << k;
    }
  }
}

TEST(Spectrum, SideHasSmallFactors) {
  EXPECT_EQ(RadialSpectrum::side_for(765, 700), 700);
  EXPECT_EQ(RadialSpectrum::side_for(23, 512), 21);
  EXPECT_THROW(RadialSpectrum(22), std::invalid_argument);
}

TEST(Probability, EnsembleCrpsAgreesWithPysteps) {
  const Golden g = golden();
  const auto members = g.json["members"].get<std::vector<std::vector<float>>>();
  double total = 0;
  for (std::size_t pixel = 0; pixel < g.truth.size(); ++pixel) {
    std::vector<float> here;
    for (const auto& member : members) here.push_back(member[pixel]);
    total += crps_ensemble(here, g.truth[pixel]);
  }
  EXPECT_NEAR(total / static_cast<double>(g.truth.size()), g.json["crps"], kTolerance);
}

TEST(Probability, EnsembleCrpsByHand) {
  const std::vector<float> members{2, 1};  // the truth ties with a member: 1/2 - 1/4
  EXPECT_NEAR(crps_ensemble(members, 2), 0.25, 1e-12);
  EXPECT_TRUE(std::isnan(crps_ensemble({}, 2)));
}

TEST(Probability, ExceedanceCrpsByHand) {
  // P falls from 1 to 0 over [0, 2], the truth is 1: twice the integral of (x / 2)^2 over [0, 1].
  const std::vector<double> thresholds{0, 2};
  const std::vector<float> probabilities{1, 0};
  EXPECT_NEAR(crps_exceedance(thresholds, probabilities, 1), 2. / 12, 1e-12);
  EXPECT_NEAR(crps_exceedance(thresholds, probabilities, 7), 8. / 12, 1e-12);
  EXPECT_TRUE(std::isnan(crps_exceedance(thresholds, probabilities, std::nanf(""))));
}

TEST(Probability, ReliabilityAgreesWithPysteps) {
  const Golden g = golden();
  const auto& want = g.json["reliability"];
  ReliabilityTable table(10);
  for (std::size_t pixel = 0; pixel < g.truth.size(); ++pixel) {
    table.add(want["probability"][pixel], g.truth[pixel] >= want["threshold"].get<double>());
  }
  EXPECT_NEAR(table.brier(), want["brier"], kTolerance);
  const auto bins = table.bins();
  for (std::size_t bin = 0; bin < bins.size(); ++bin) {
    EXPECT_EQ(bins[bin].pixels, want["pixels"][bin].get<std::int64_t>());
    if (bins[bin].pixels == 0) {
      EXPECT_TRUE(std::isnan(bins[bin].forecast));
      continue;
    }
    EXPECT_NEAR(bins[bin].forecast, number(want["forecast"][bin]), kTolerance);
    EXPECT_NEAR(bins[bin].observed, number(want["observed"][bin]), kTolerance);
  }
}

TEST(Similarity, AgreesWithTheFormula) {
  const Golden g = golden();
  std::vector<float> p, t;
  for (const float value : g.forecast) p.push_back(std::min(value / 8, 1.F));
  for (const float value : g.truth) t.push_back(std::min(value / 8, 1.F));
  EXPECT_NEAR(structural_similarity(p, t, g.rows, g.columns, 1), g.json["similarity"]["range_1"], kTolerance);
  EXPECT_NEAR(structural_similarity(p, t, g.rows, g.columns, 2), g.json["similarity"]["range_2"], kTolerance);
}

TEST(Bootstrap, WeightsArePureAndComplete) {
  const BootstrapSpec spec{.resamples = 50, .block = 3, .level = 0.9, .seed = 7};
  const auto weights = bootstrap_weights(8, spec);
  EXPECT_EQ(weights, bootstrap_weights(8, spec));
  for (std::size_t resample = 0; resample < 50; ++resample) {
    EXPECT_EQ(std::accumulate(weights.begin() + 8 * resample, weights.begin() + 8 * (resample + 1), 0), 8);
  }
  EXPECT_NE(weights, bootstrap_weights(8, {.resamples = 50, .block = 3, .level = 0.9, .seed = 8}));
}

TEST(Bootstrap, OneBlockSaysNothingOfTheSpread) {
  const BootstrapSpec spec{.resamples = 50, .block = 17, .level = 0.95, .seed = 1};
  EXPECT_TRUE(bootstrap_weights(16, spec).empty());
  EXPECT_TRUE(bootstrap_weights(33, spec).empty());
  EXPECT_EQ(bootstrap_weights(34, spec).size(), 34U * 50U);
  EXPECT_TRUE(
      std::isnan(bootstrap_interval(bootstrap_weights(16, spec), 16, 0.95, [](auto) { return 1.; }).high));
}

TEST(Bootstrap, IntervalOfAMeanHasItsStandardError) {
  // The mean of n values has standard error sd / sqrt(n); 95 % of a normal lies within 1.96 of them.
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal(5, 2);
  std::vector<double> values(400);
  for (auto& value : values) value = normal(random);
  const auto weights = bootstrap_weights(400, {.resamples = 2000, .block = 1, .level = 0.95, .seed = 1});
  const Interval interval = bootstrap_interval(weights, 400, 0.95, [&](std::span<const std::int32_t> times) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += times[i] * values[i];
    return sum / 400;
  });
  EXPECT_NEAR(interval.high - interval.low, 2 * 1.96 * 2 / 20, 0.04);
  EXPECT_LT(interval.low, 5.1);
  EXPECT_GT(interval.high, 4.9);
  EXPECT_TRUE(std::isnan(bootstrap_interval({}, 1, 0.95, [](auto) { return 1.; }).low));
}

}  // namespace
}  // namespace raincell::model
