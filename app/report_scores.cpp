#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "app/report.hpp"
#include "io/grid.hpp"
#include "model/verification.hpp"

namespace raincell::app {
namespace {

constexpr std::int64_t kFewestOfABin = 100;  // pixels; fewer say nothing

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

/// Brier score of yes/no forecasts, taken as probabilities of 0 and 1, over always saying how often it
/// rained.
double brier_skill(const model::ContingencyTable& table) {
  const auto all =
      static_cast<double>(table.hits + table.misses + table.false_alarms + table.correct_negatives);
  const double frequency = static_cast<double>(table.hits + table.misses) / all;
  const double climate = frequency * (1. - frequency);
  return climate > 0. ? 1. - static_cast<double>(table.misses + table.false_alarms) / all / climate
                      : kNoNumber;
}

/// How often it rained when a probability was said, by lead.
Chart reliability_chart(const model::VerificationResult& result, double threshold) {
  Chart chart;
  chart.title = fmt::format("{} mm/h", number_text(threshold));
  chart.x_label = "probability forecast";
  chart.y_label = "frequency observed";
  chart.x_low = chart.y_low = 0.;
  chart.x_high = chart.y_high = 1.;
  std::vector<const model::ProbabilityScore*> scores;
  for (const model::ProbabilityScore& score : result.probabilities)
    if (score.threshold == threshold) scores.push_back(&score);
  const std::size_t last = scores.size() - 1;
  for (const std::size_t which : std::set<std::size_t>{0, last / 2, last}) {
    Series series;
    series.name =
        fmt::format("{}, +{} min", scores[which]->forecaster, number_text(scores[which]->lead_minutes));
    series.style = static_cast<int>(chart.series.size());
    for (const model::ReliabilityTable::Bin& bin : scores[which]->table.bins()) {
      series.x.push_back(bin.forecast);
      series.y.push_back(bin.pixels >= kFewestOfABin ? bin.observed : kNoNumber);
    }
    chart.series.push_back(std::move(series));
  }
  Series diagonal;
  diagonal.name = "perfect";
  diagonal.x = {0., 1.};
  diagonal.y = {0., 1.};
  diagonal.style = 7;
  diagonal.markers = false;
  diagonal.faint = true;
  chart.series.push_back(std::move(diagonal));
  return chart;
}

Chart brier_chart(const model::VerificationResult& result, double threshold,
                  std::map<std::string, int> styles) {
  Chart chart;
  chart.title = fmt::format("Brier skill at {} mm/h", number_text(threshold));
  chart.x_label = "lead time, min";
  chart.y_label = "Brier skill";
  chart.reference = 0.;
  std::map<std::string, Series> lines;
  const auto add = [&](const std::string& name, double lead, double skill) {
    Series& line = lines[name];
    line.name = name;
    line.x.push_back(lead);
    line.y.push_back(skill);
  };
  for (const model::ProbabilityScore& score : result.probabilities)
    if (score.threshold == threshold) add(score.forecaster, score.lead_minutes, score.table.brier_skill());
  for (const model::ThresholdScore& score : result.scores)
    if (score.threshold == threshold && score.forecaster == "persistence")
      add(score.forecaster, score.lead_minutes, brier_skill(score.table));
  for (auto& [name, line] : lines) {
    line.style = styles[name];
    chart.series.push_back(std::move(line));
  }
  return chart;
}

void add_probability_sections(const model::VerificationResult& result, VerifyReport& report) {
  ReportSection reliability, skill;
  reliability.title = "Reliability";
  reliability.text = fmt::format(
      "How often it rained as much when a probability was forecast, in tenths of at least {} pixels: on the "
      "diagonal where probabilities mean what they say.",
      kFewestOfABin);
  skill.title = "Brier skill";
  skill.text = "Of probabilities: 1 is perfect, 0 no better than always saying how often it rains as much.";
  std::set<double> thresholds;
  for (const model::ProbabilityScore& score : result.probabilities) thresholds.insert(score.threshold);
  for (const double threshold : thresholds) {
    reliability.charts.push_back(reliability_chart(result, threshold));
    skill.charts.push_back(brier_chart(result, threshold, styles_of(report.forecasters)));
  }
  report.further.push_back(std::move(reliability));
  report.further.push_back(std::move(skill));
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
  if (!result.probabilities.empty()) add_probability_sections(result, report);
  for (const model::SummaryScore& score : result.summary) {
    report.summary.push_back({score.forecaster, score.score, score.threshold, score.value});
  }
  return report;
}

}  // namespace raincell::app
