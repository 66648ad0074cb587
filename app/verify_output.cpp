#include "app/verify_output.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/log.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

Json threshold_scores(const model::VerificationResult& result) {
  Json list = Json::array();
  for (const model::ThresholdScore& score : result.scores) {
    const model::ContingencyTable& table = score.table;
    list.push_back({{"forecaster", score.forecaster},
                    {"lead_minutes", score.lead_minutes},
                    {"threshold_mm_h", score.threshold},
                    {"csi", number(table.csi())},
                    {"pod", number(table.pod())},
                    {"far", number(table.far())},
                    {"hss", number(table.hss())},
                    {"ets", number(table.ets())},
                    {"bias", number(table.bias())},
                    {"hits", table.hits},
                    {"misses", table.misses},
                    {"false_alarms", table.false_alarms},
                    {"correct_negatives", table.correct_negatives},
                    {"filled_pixels", score.filled_pixels}});
  }
  return list;
}

Json continuous_scores(const model::VerificationResult& result) {
  Json list = Json::array();
  for (const model::ContinuousScore& score : result.continuous) {
    list.push_back({{"forecaster", score.forecaster},
                    {"lead_minutes", score.lead_minutes},
                    {"mse", number(score.sums.mse())},
                    {"mae", number(score.sums.mae())},
                    {"me", number(score.sums.me())},
                    {"correlation", number(score.sums.correlation())},
                    {"pixels", score.sums.pixels}});
  }
  return list;
}

/// Of CSI by threshold and of MSE (threshold null): bootstrap over blocks of cases.
Json intervals(const model::VerificationResult& result) {
  Json list = Json::array();
  const auto add = [&](const char* name, const auto& score, const Json& threshold,
                       const model::Interval& value) {
    list.push_back({{"forecaster", score.forecaster},
                    {"lead_minutes", score.lead_minutes},
                    {"score", name},
                    {"threshold_mm_h", threshold},
                    {"low", number(value.low)},
                    {"high", number(value.high)}});
  };
  for (const model::ThresholdScore& score : result.scores)
    add("csi", score, score.threshold, score.csi_interval);
  for (const model::ContinuousScore& score : result.continuous)
    add("mse", score, nullptr, score.mse_interval);
  return list;
}

Json spectra(const model::VerificationResult& result) {
  Json list = Json::array();
  for (const model::SpectrumScore& score : result.spectra) {
    Json ratio = Json::array();
    for (const double value : score.ratio) ratio.push_back(number(value));
    list.push_back({{"forecaster", score.forecaster},
                    {"lead_minutes", score.lead_minutes},
                    {"wavelength_pixels", score.wavelength_pixels},
                    {"power_ratio", ratio}});
  }
  return list;
}

/// What the tables show: the threshold nearest to 1 mm/h.
double shown_threshold(const model::VerificationResult& result) {
  double best = NAN;
  for (const double t : result.protocol.thresholds) {
    if (std::isnan(best) || std::abs(std::log(t)) < std::abs(std::log(best))) best = t;
  }
  return best;
}

Json probability_scores(const model::VerificationResult& result) {
  Json all = Json::array();
  for (const model::ProbabilityScore& score : result.probabilities) {
    Json bins = Json::array();
    for (const model::ReliabilityTable::Bin& bin : score.table.bins())
      bins.push_back(
          {{"forecast", number(bin.forecast)}, {"observed", number(bin.observed)}, {"pixels", bin.pixels}});
    all.push_back({{"forecaster", score.forecaster},
                   {"lead_minutes", score.lead_minutes},
                   {"threshold_mm_h", score.threshold},
                   {"brier", number(score.table.brier())},
                   {"brier_skill", number(score.table.brier_skill())},
                   {"pixels", score.table.pixels()},
                   {"reliability", bins}});
  }
  return all;
}

std::string cell(double value) {
  return std::isfinite(value) ? fmt::format("{:.3f}", value) : "-";
}

}  // namespace

std::string verification_json(const model::VerificationResult& result) {
  Json json = {{"protocol", result.protocol.name},
               {"cases", result.cases},
               {"scores", threshold_scores(result)},
               {"continuous", continuous_scores(result)},
               {"skipped_cases", result.skipped_cases},
               {"support", result.protocol.support == model::Support::observed ? "observed" : "transported"}};
  json["intervals"] = intervals(result);
  json["fss"] = Json::array();
  for (const model::FssScore& score : result.fss) {
    json["fss"].push_back({{"forecaster", score.forecaster},
                           {"lead_minutes", score.lead_minutes},
                           {"threshold_mm_h", score.threshold},
                           {"scale_pixels", score.scale_pixels},
                           {"fss", number(score.fss)}});
  }
  json["spectra"] = spectra(result);
  json["probabilities"] = probability_scores(result);
  json["crps"] = Json::array();
  for (const model::CrpsScore& score : result.crps) {
    json["crps"].push_back({{"forecaster", score.forecaster},
                            {"lead_minutes", score.lead_minutes},
                            {"crps", number(score.crps)},
                            {"pixels", score.pixels}});
  }
  json["summary"] = Json::array();
  for (const model::SummaryScore& score : result.summary) {
    json["summary"].push_back({{"forecaster", score.forecaster},
                               {"score", score.score},
                               {"threshold", number(score.threshold)},
                               {"value", number(score.value)}});
  }
  return json_text(json);
}

std::string verification_table(const model::VerificationResult& result) {
  const double threshold = shown_threshold(result);
  std::vector<std::string> names;
  for (const model::ContinuousScore& score : result.continuous) {
    if (std::find(names.begin(), names.end(), score.forecaster) == names.end())
      names.push_back(score.forecaster);
  }
  std::string text = fmt::format(
      "{} cases, protocol {}, support {}; CSI at {:g} {} / MSE\n\n{:>8} {:>11}", result.cases,
      result.protocol.name, result.protocol.support == model::Support::observed ? "observed" : "transported",
      threshold, result.protocol.unit, "lead", "pixels");
  for (const std::string& name : names) text += fmt::format(" {:>17}", name);
  for (const model::ContinuousScore& row : result.continuous) {
    if (names.empty() || row.forecaster != names.front()) continue;
    text += fmt::format("\n{:>4.4g} min {:>11}", row.lead_minutes, row.sums.pixels);
    for (const std::string& name : names) {
      double csi = NAN, mse = NAN;
      for (const model::ThresholdScore& score : result.scores) {
        const bool here = score.forecaster == name && score.lead_minutes == row.lead_minutes;
        if (here && score.threshold == threshold) csi = score.table.csi();
      }
      for (const model::ContinuousScore& score : result.continuous) {
        if (score.forecaster == name && score.lead_minutes == row.lead_minutes) mse = score.sums.mse();
      }
      text += fmt::format(" {:>17}", cell(csi) + " / " + cell(mse));
    }
  }
  for (const model::SummaryScore& score : result.summary) {
    text += fmt::format("\n{} {}{}: {}", score.forecaster, score.score,
                        std::isnan(score.threshold) ? "" : fmt::format(" at {:g}", score.threshold),
                        cell(score.value));
  }
  return text;
}

}  // namespace raincell::app
