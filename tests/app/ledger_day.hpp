// What the tests of the ledger share: a day of forecasts and truths, and what verify says of it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "app/ledger.hpp"
#include "tests/app/program.hpp"
#include "tests/support/numbers.hpp"

namespace raincell::app {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr std::int64_t kStep = 300;
inline const io::TimePoint kBegin = *io::parse_time("2010-08-26T06:00Z");

inline io::TimePoint at_step(std::int64_t step) {
  return kBegin + std::chrono::seconds(kStep * step);
}

/// Says nothing, where warnings are expected by the thousand.
struct SilentLog : Log {
  SilentLog() { speak_as("", false); }
};

/// A day on a small grid: frames and forecasts with rain, dry and missing pixels.
struct Day {
  std::int64_t frames = 0, leads = 0, rows = 0, columns = 0;
  std::vector<std::vector<float>> frame;                   // [frames][rows, columns]
  std::vector<std::vector<float>> advected, model, other;  // [frames][leads, rows, columns]

  Day(std::uint64_t seed, std::int64_t frames_, std::int64_t leads_, std::int64_t rows_,
      std::int64_t columns_)
      : frames(frames_), leads(leads_), rows(rows_), columns(columns_) {
    test::Numbers numbers(seed);
    const auto field = [&](std::int64_t planes, double missing) {
      std::vector<float> values;
      for (std::int64_t i = 0; i < planes * rows * columns; ++i) {
        const double kind = numbers.uniform(0, 1), rain = numbers.uniform(-3, 3.5);
        values.push_back(kind < missing ? kNaN : rain < 0 ? 0.F : static_cast<float>(std::exp(rain) - 1));
      }
      return values;
    };
    for (std::int64_t t = 0; t < frames; ++t) {
      frame.push_back(field(1, 0.1));
      advected.push_back(field(leads, 0.15));
      model.push_back(field(leads, 0.05));
      other.push_back(field(leads, 0.));
    }
  }
  IssuedForecast forecast(std::int64_t t) const {
    const auto i = static_cast<std::size_t>(t);
    return {at_step(t), leads,    rows,        columns,
            "grid",     frame[i], advected[i], {{"convlstm", model[i]}, {"candidate", other[i]}},
            "convlstm", "abcd",   "OK"};
  }
  std::span<const float> truth(std::int64_t t) const { return frame[static_cast<std::size_t>(t)]; }
  std::int64_t cases() const { return frames - leads; }
  io::TimePoint end() const { return at_step(frames); }
};

/// What verify says of the cases of which all truths are there.
inline model::VerificationResult verified(const Day& day, std::int64_t cases) {
  model::VerificationSpec spec;
  spec.fss_thresholds.clear();
  spec.spectra = false;
  spec.bootstrap.resamples = 0;
  model::Verifier verifier(spec, {"advection", "candidate", "convlstm", "persistence"});
  for (std::int64_t t = 0; t < cases; ++t) {
    const auto i = static_cast<std::size_t>(t);
    std::vector<float> truth;
    for (std::int64_t lead = 1; lead <= day.leads; ++lead)
      truth.insert(truth.end(), day.truth(t + lead).begin(), day.truth(t + lead).end());
    const model::PastFrames past{1, day.rows, day.columns, day.frame[i]};
    model::Persistence persistence;
    const auto frames = [&](const std::vector<float>& values) {
      return model::ForecastFrames{day.leads, day.rows, day.columns, values, {}, {}};
    };
    const std::vector<model::ForecastFrames> forecasts = {frames(day.advected[i]), frames(day.other[i]),
                                                          frames(day.model[i]),
                                                          persistence.forecast(past, day.leads)};
    verifier.add({past, truth, day.leads}, day.advected[i], forecasts);
  }
  return verifier.result();
}

/// Tables and sums alike to the last bit: both add up cases in the order of their times.
inline void expect_same(const std::vector<LeadSkill>& summary, const model::VerificationResult& verified) {
  ASSERT_EQ(summary.size(), verified.continuous.size());
  std::size_t k = 0;
  for (std::size_t i = 0; i < summary.size(); ++i) {
    const model::ContinuousScore& errors = verified.continuous[i];
    ASSERT_EQ(summary[i].forecaster, errors.forecaster);
    ASSERT_EQ(summary[i].lead_minutes, errors.lead_minutes);
    EXPECT_EQ(summary[i].cases, verified.cases);
    EXPECT_EQ(summary[i].score.filled_pixels, errors.filled_pixels);
    const model::ContinuousSums &own = summary[i].score.sums, &its = errors.sums;
    EXPECT_EQ(own.pixels, its.pixels);
    for (const auto sum : {&model::ContinuousSums::error, &model::ContinuousSums::absolute_error,
                           &model::ContinuousSums::squared_error, &model::ContinuousSums::forecast,
                           &model::ContinuousSums::truth, &model::ContinuousSums::forecast_squared,
                           &model::ContinuousSums::truth_squared, &model::ContinuousSums::product})
      EXPECT_EQ(own.*sum, its.*sum) << errors.forecaster << " +" << errors.lead_minutes;
    for (const model::ContingencyTable& table : summary[i].score.tables)
      EXPECT_EQ(table, verified.scores[k++].table) << errors.forecaster << " +" << errors.lead_minutes;
  }
  EXPECT_EQ(k, verified.scores.size());
}

inline std::size_t files_in(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder) ? test::files_below(folder).size() : 0;
}

// The fields of tests/model/verification_test.cpp: truth, latest and advected frame each miss one pixel.
inline const std::vector<float> kLatest{2, 2, 0, kNaN, 0, 2};
inline const std::vector<float> kTruth{2, 0, kNaN, 2, 2, 2};
inline const std::vector<float> kAdvected{2, kNaN, 2, 2, 2, 2};
inline const std::vector<float> kHoles{kNaN, kNaN, kNaN, kNaN, kNaN, 0};

inline IssuedForecast small_case(const std::string& name, const std::vector<float>& values) {
  return {kBegin, 1, 1, 6, "grid", kLatest, kAdvected, {{name, values}}, "convlstm", "abcd", "OK"};
}

inline LedgerSpec at_one() {
  LedgerSpec spec;
  spec.thresholds = {1};
  return spec;
}

}  // namespace raincell::app
