// Scores of real radar frames against pysteps' of the same files (tests/golden/make_skill_golden.py).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/reader.hpp"
#include "model/skill.hpp"
#include "model/skill_probability.hpp"
#include "model/skill_spectrum.hpp"

namespace raincell::model {
namespace {

constexpr double kTolerance = 1e-6;
constexpr std::int64_t kRows = 765, kColumns = 700;

double number(const nlohmann::json& json) {
  return json.is_null() ? std::nan("") : json.get<double>();
}

/// The frames of 04:40 to 05:00, the last of which is scored as the forecast of 05:15.
class RadarSkill : public testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("RAINCELL_TEST_DATA");
    if (data == nullptr) GTEST_SKIP() << "RAINCELL_TEST_DATA is not set";
    std::ifstream file(GOLDEN_DIR "/skill_knmi.json");
    want_ = nlohmann::json::parse(file);
    io::FrameReader reader;
    for (const char* minute : {"0440", "0445", "0450", "0455", "0500", "0515"}) {
      const auto path = std::filesystem::path(data) / "radar/knmi/rap_20100826" /
                        ("RAD_NL25_RAP_5min_20100826" + std::string(minute) + ".h5");
      frames_.push_back(reader.read(path).at(0).values);
      ASSERT_EQ(frames_.back().size(), static_cast<std::size_t>(kRows * kColumns));
    }
    for (std::size_t i = 0; i < truth().size(); ++i)
      valid_.push_back(std::isnan(forecast()[i]) || std::isnan(truth()[i]) ? 0 : 1);
  }
  const std::vector<float>& forecast() const { return frames_[4]; }
  const std::vector<float>& truth() const { return frames_[5]; }

  nlohmann::json want_;
  std::vector<std::vector<float>> frames_;
  std::vector<std::uint8_t> valid_;
};

TEST_F(RadarSkill, EventsAndErrorsAgreeWithPysteps) {
  EXPECT_EQ(std::count(valid_.begin(), valid_.end(), 1), want_["valid"].get<std::int64_t>());
  const auto thresholds = want_["thresholds"].get<std::vector<double>>();
  std::vector<ContingencyTable> tables(thresholds.size());
  add_contingency(forecast(), truth(), valid_, thresholds, tables);
  for (std::size_t k = 0; k < thresholds.size(); ++k) {
    const auto& want = want_["categorical"][k];
    EXPECT_NEAR(tables[k].csi(), number(want["csi"]), kTolerance) << thresholds[k];
    EXPECT_NEAR(tables[k].pod(), number(want["pod"]), kTolerance) << thresholds[k];
    EXPECT_NEAR(tables[k].far(), number(want["far"]), kTolerance) << thresholds[k];
    EXPECT_NEAR(tables[k].hss(), number(want["hss"]), kTolerance) << thresholds[k];
    EXPECT_NEAR(tables[k].ets(), number(want["gss"]), kTolerance) << thresholds[k];
    EXPECT_NEAR(tables[k].bias(), number(want["bias"]), kTolerance) << thresholds[k];
  }
  ContinuousSums sums;
  add_continuous(forecast(), truth(), valid_, sums);
  const auto& want = want_["continuous"];
  EXPECT_NEAR(sums.mse(), want["mse"], kTolerance);
  EXPECT_NEAR(sums.mae(), want["mae"], kTolerance);
  EXPECT_NEAR(sums.me(), want["me"], kTolerance);
  EXPECT_NEAR(sums.rmse(), want["rmse"], kTolerance);
  EXPECT_NEAR(sums.correlation(), want["corr_p"], kTolerance);
}

TEST_F(RadarSkill, FractionsAndSpectraAgreeWithPysteps) {
  for (const auto& want : want_["fss"]) {
    const auto events = [&](const std::vector<float>& field) {
      std::vector<std::uint8_t> out(field.size());
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = field[i] >= want["threshold"].get<double>() ? 1 : 0;
      return out;
    };
    const std::vector<std::int64_t> scales{want["scale"].get<std::int64_t>()};
    std::vector<FractionSums> sums(1);
    add_fractions(events(forecast()), events(truth()), kRows, kColumns, scales, sums);
    EXPECT_NEAR(sums[0].score(), want["fss"], kTolerance) << want;
  }
  constexpr std::int64_t kSide = 300, kFirst = 200;
  const auto window = [](const std::vector<float>& field) {
    std::vector<float> out;
    for (std::int64_t i = 0; i < kSide * kSide; ++i) {
      const float value =
          field[static_cast<std::size_t>((kFirst + i / kSide) * kColumns + kFirst + i % kSide)];
      out.push_back(std::isnan(value) ? 0.F : value);
    }
    return out;
  };
  RadialSpectrum spectrum(kSide);
  std::vector<double> p(static_cast<std::size_t>(spectrum.wavenumbers())), t(p.size());
  spectrum.add(window(forecast()), window(truth()), p, t);
  ASSERT_EQ(want_["spectra"][0].size(), p.size());
  for (std::size_t k = 0; k < p.size(); ++k) {
    EXPECT_NEAR(p[k] / want_["spectra"][0][k].get<double>(), 1, kTolerance) << k;
    EXPECT_NEAR(t[k] / want_["spectra"][1][k].get<double>(), 1, kTolerance) << k;
  }
}

TEST_F(RadarSkill, ProbabilitiesAgreeWithPysteps) {
  double crps = 0.;
  std::int64_t pixels = 0;
  ReliabilityTable table(10);
  std::vector<float> members(5), shifted(5);
  for (std::size_t i = 0; i < truth().size(); ++i) {
    for (std::size_t m = 0; m < 5; ++m) members[m] = frames_[m][i];
    if (valid_[i] == 0 || std::any_of(members.begin(), members.end(), [](float v) { return std::isnan(v); }))
      continue;
    ++pixels;
    std::transform(members.begin(), members.end(), shifted.begin(), [](float v) { return v + 0.0005F; });
    crps += crps_ensemble(shifted, truth()[i]);
    const auto exceeding = std::count_if(members.begin(), members.end(), [](float v) { return v > 0.5F; });
    table.add(static_cast<double>(exceeding) / 5. * 0.9 + 0.03, truth()[i] > 0.5F);
  }
  EXPECT_EQ(pixels, want_["members"].get<std::int64_t>());
  EXPECT_NEAR(crps / static_cast<double>(pixels), want_["crps"], kTolerance);
  const auto& want = want_["reliability"];
  EXPECT_NEAR(table.brier(), want["brier"], kTolerance);
  const auto bins = table.bins();
  for (std::size_t bin = 0; bin < bins.size(); ++bin) {
    EXPECT_EQ(bins[bin].pixels, want["pixels"][bin].get<std::int64_t>()) << bin;
    if (bins[bin].pixels == 0) continue;
    EXPECT_NEAR(bins[bin].forecast, number(want["forecast"][bin]), kTolerance) << bin;
    EXPECT_NEAR(bins[bin].observed, number(want["observed"][bin]), kTolerance) << bin;
  }
}

}  // namespace
}  // namespace raincell::model
