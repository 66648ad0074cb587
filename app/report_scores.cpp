#include <algorithm>
#include <cmath>

#include "app/report.hpp"
#include "io/grid.hpp"
#include "model/verification.hpp"

namespace raincell::app {
namespace {

EventRow event_row(const model::ThresholdScore& score) {
  EventRow row;
  row.forecaster = score.forecaster;
  row.lead_minutes = score.lead_minutes;
  row.threshold_mm_h = score.threshold;
  const model::ContingencyTable& table = score.table;
  row.csi = {table.csi(), score.csi_interval.low, score.csi_interval.high};
  row.pod.value = table.pod();
  row.far.value = table.far();
  row.hss.value = table.hss();
  row.ets.value = table.ets();
  row.bias.value = table.bias();
  row.hits = table.hits;
  row.misses = table.misses;
  row.false_alarms = table.false_alarms;
  row.correct_negatives = table.correct_negatives;
  row.filled_pixels = score.filled_pixels;
  return row;
}

ErrorRow error_row(const model::ContinuousScore& score) {
  ErrorRow row;
  row.forecaster = score.forecaster;
  row.lead_minutes = score.lead_minutes;
  row.mse = {score.sums.mse(), score.mse_interval.low, score.mse_interval.high};
  row.mae.value = score.sums.mae();
  row.me.value = score.sums.me();
  row.correlation.value = score.sums.correlation();
  row.pixels = score.sums.pixels;
  return row;
}

}  // namespace

VerifyReport report_of(const model::VerificationResult& result, const io::Grid& grid) {
  VerifyReport report;
  report.cases = result.cases;
  report.facts = {
      {"protocol", result.protocol.name},
      {"cases", std::to_string(result.cases)},
      {"support", result.protocol.support == model::Support::transported
                      ? "truth, latest frame and the point that advection brings there are observed"
                      : "truth and latest frame are observed"}};
  if (result.skipped_cases > 0)
    report.facts.emplace_back("skipped cases", std::to_string(result.skipped_cases));
  const double km = io::pixel_km(grid);
  for (const model::ThresholdScore& score : result.scores) report.events.push_back(event_row(score));
  for (const model::ContinuousScore& score : result.continuous) {
    report.errors.push_back(error_row(score));
    if (std::find(report.forecasters.begin(), report.forecasters.end(), score.forecaster) ==
        report.forecasters.end()) {
      report.forecasters.push_back(score.forecaster);
    }
  }
  for (const model::FssScore& score : result.fss) {
    report.fss.push_back({score.forecaster,
                          score.lead_minutes,
                          score.threshold,
                          static_cast<double>(score.scale_pixels) * km,
                          {score.fss}});
  }
  for (const model::SpectrumScore& score : result.spectra) {
    SpectrumRow row{score.forecaster, score.lead_minutes, score.wavelength_pixels, score.ratio};
    for (double& wavelength : row.wavelength_km) wavelength *= km;
    report.spectra.push_back(std::move(row));
  }
  for (const model::SummaryScore& score : result.summary) {
    report.summary.push_back({score.forecaster, score.score, score.threshold, score.value});
  }
  return report;
}

}  // namespace raincell::app
