// Calibration of probabilities: the fitted curve, what it does, its text.
#include "model/calibration.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/spec.hpp"

namespace raincell::model {
namespace {

/// 40 probabilities, 5000 pixels each, whose events are as frequent as a beta curve says.
CalibrationSample sample_of(double a, double b, double c) {
  CalibrationSample sample;
  for (int i = 0; i < 40; ++i) {
    const double p = (i + 0.5) / 40.;
    const double frequency = 1. / (1. + std::exp(-(a * std::log(p) - b * std::log1p(-p) + c)));
    const auto events = std::llround(5000. * frequency);
    for (int pixel = 0; pixel < 5000; ++pixel) sample.add(p, pixel < events);
  }
  return sample;
}

// scipy.optimize.minimize (Nelder-Mead, 1e-12) of the same likelihood and pull.
TEST(Calibration, FitsTheCurveOfTheLargestLikelihood) {
  const CalibrationSample sample = sample_of(1.5, 0.7, -0.4);
  const CalibrationCurve curve = sample.fit();
  EXPECT_NEAR(curve.a, 1.49143728, 1e-4);
  EXPECT_NEAR(curve.b, 0.70279314, 1e-4);
  EXPECT_NEAR(curve.c, -0.40674853, 1e-4);
}

// Of these a whole step of Newton's method leads away: L-BFGS-B and trust-constr of SciPy.
TEST(Calibration, FitsCurvesFarFromTheStart) {
  const CalibrationCurve rare = sample_of(1, 1, -5).fit(), sure = sample_of(2, 2, 3).fit();
  EXPECT_NEAR(rare.a, 1.977322, 1e-3);
  EXPECT_NEAR(rare.b, 0.704612, 1e-3);
  EXPECT_NEAR(rare.c, -3.961737, 1e-3);
  EXPECT_NEAR(sure.a, 1.764111, 1e-3);
  EXPECT_NEAR(sure.b, 2.432859, 1e-3);
  EXPECT_NEAR(sure.c, 2.490491, 1e-3);
}

TEST(Calibration, FindsFrequenciesAndKeepsTheOrder) {
  CalibrationSample sample;  // far too sure on both sides
  for (int i = 0; i < 30'000; ++i) sample.add(0.02, i % 10 < 2);
  for (int i = 0; i < 30'000; ++i) sample.add(0.98, i % 10 < 7);
  const CalibrationCurve curve = sample.fit();
  EXPECT_NEAR(curve.of(0.02), 0.2, 0.01);
  EXPECT_NEAR(curve.of(0.98), 0.7, 0.01);
  double before = 0.;
  for (double p = 0.; p <= 1.; p += 0.01) {
    EXPECT_GE(curve.of(p), before);
    before = curve.of(p);
  }
  CalibrationSample turned;  // events where they were called unlikely: no curve may turn the order round
  for (int i = 0; i < 30'000; ++i) turned.add(i % 2 == 0 ? 0.1 : 0.9, i % 2 == 0);
  const CalibrationCurve flat = turned.fit();
  EXPECT_GE(flat.a, 0.);
  EXPECT_GE(flat.b, 0.);
  EXPECT_NEAR(flat.of(0.5), 0.5, 0.05);
}

TEST(Calibration, OfNothingOrNextToNothingChangesNothing) {
  CalibrationSample sample;
  for (const double p : {0.001, 0.3, 0.999}) EXPECT_NEAR(sample.fit().of(p), p, 1e-6);
  for (int i = 0; i < 5; ++i) sample.add(0.3, true);
  EXPECT_NEAR(sample.fit().of(0.3), 0.3, 0.02);
  CalibrationSample dry;  // a threshold that never came: probabilities fall, and stay numbers
  for (int i = 0; i < 1'000'000; ++i) dry.add(0., false);
  EXPECT_TRUE(std::isfinite(dry.fit().of(0.)));
  EXPECT_LT(dry.fit().of(0.), 1e-4);
}

TEST(Calibration, AppliesByThresholdAndLead) {
  // Two thresholds, two leads: the second threshold's second lead has twice the odds, the first half of them.
  const double two = std::log(2.);
  const Calibration calibration{{5., 15.}, {{}, {1, 1, -two}, {}, {1, 1, two}}};
  const std::vector<float> own = {0.5F, 0.25F, 0.5F, 0.25F};
  const auto at = [&](double minutes, std::vector<float> probabilities) {
    calibration.apply(probabilities, minutes);
    return probabilities;
  };
  for (const double before : {1., 5.}) {
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(at(before, own)[i], own[i], 1e-6);
  }
  const std::vector<float> later = at(15., {0.5F, std::nanf(""), 0.5F, 0.25F});
  EXPECT_NEAR(later[0], 1. / 3., 1e-6);
  EXPECT_TRUE(std::isnan(later[1]));
  EXPECT_NEAR(later[2], 1. / 3., 1e-6);  // 2/3 without the threshold below it
  EXPECT_NEAR(at(90., own)[1], 1. / 7., 1e-6);
  const double half = std::exp(-two / 2.) / 3.;  // odds half way between the leads
  EXPECT_NEAR(at(10., own)[1], half / (1. + half), 1e-6);
  std::vector<float> same = own;
  Calibration().apply(same, 5.);
  EXPECT_EQ(same, own);
}

TEST(Calibration, TextAndBack) {
  const Calibration calibration{{5, 10}, {{1, 2, 3}, {0, 0.5, -1}}};
  const Calibration again = Calibration::parse(calibration.text(), 1);
  EXPECT_EQ(again.lead_minutes, calibration.lead_minutes);
  ASSERT_EQ(again.curves.size(), 2U);
  EXPECT_EQ(again.curves[1].b, 0.5);
  EXPECT_EQ(again.curves[0].c, 3.);
  for (const char* wrong :
       {"", "{}", R"({"lead_minutes": [5], "curves": []})", R"({"lead_minutes": [5], "curves": [[1, 1]]})",
        R"({"lead_minutes": [5], "curves": [[1, 1, 0, 5]]})",
        R"({"lead_minutes": [5], "curves": [[-1, 1, 0]]})",
        R"({"lead_minutes": [5, 10], "curves": [[1, 1, 0]]})", R"({"lead_minutes": [], "curves": []})",
        R"({"lead_minutes": [5, 5], "curves": [[1, 1, 0], [1, 1, 0]]})",
        R"({"lead_minutes": [0], "curves": [[1, 1, 0]]})",
        R"({"lead_minutes": [5], "curves": [[1, "1", 0]]})",
        R"({"lead_minutes": [5], "curves": [[1, 1, null]]})"})
    EXPECT_THROW(Calibration::parse(wrong, 1), ModelError) << wrong;
  EXPECT_THROW(Calibration::parse(calibration.text(), 2), ModelError);
  EXPECT_THROW(Calibration::parse(calibration.text(), 4), ModelError);
}

}  // namespace
}  // namespace raincell::model
