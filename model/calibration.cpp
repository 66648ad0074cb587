#include "model/calibration.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "model/spec.hpp"

namespace raincell::model {

namespace {

constexpr double kLeast = 1e-5;     // probabilities are told apart from here to 1 - kLeast
constexpr std::size_t kBins = 240;  // a tenth of a unit of ln(p / (1 - p)) each
constexpr double kPull = 100.;      // as much as so many pixels know: neighbours know much the same
constexpr int kMostIterations = 100;

using Three = std::array<double, 3>;

Three features(double probability) {
  const double p = std::clamp(probability, kLeast, 1. - kLeast);
  return {std::log(p), -std::log1p(-p), 1.};
}

double logistic(double x) {
  return 1. / (1. + std::exp(-x));
}

double dot(const Three& a, const Three& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/// Of a symmetric positive definite matrix, by elimination.
Three solve(std::array<Three, 3> matrix, Three right) {
  for (std::size_t k = 0; k < 3; ++k) {
    for (std::size_t row = k + 1; row < 3; ++row) {
      const double factor = matrix[row][k] / matrix[k][k];
      for (std::size_t column = k; column < 3; ++column) matrix[row][column] -= factor * matrix[k][column];
      right[row] -= factor * right[k];
    }
  }
  for (std::size_t k = 3; k-- > 0;) {
    for (std::size_t column = k + 1; column < 3; ++column) right[k] -= matrix[k][column] * right[column];
    right[k] /= matrix[k][k];
  }
  return right;
}

}  // namespace

double CalibrationCurve::of(double probability) const {
  return logistic(dot({a, b, c}, features(probability)));
}

void Calibration::apply(std::span<float> probabilities, std::int64_t lead) const {
  if (curves.empty()) return;
  const auto each = static_cast<std::size_t>(leads);
  const std::size_t classes = curves.size() / each, pixels = probabilities.size() / classes;
  for (std::size_t k = 0; k < classes; ++k) {
    const CalibrationCurve& curve = curves[k * each + static_cast<std::size_t>(std::min(lead, leads - 1))];
    for (std::size_t i = 0; i < pixels; ++i) {
      float& p = probabilities[k * pixels + i];
      if (std::isnan(p)) continue;
      p = static_cast<float>(curve.of(static_cast<double>(p)));
      if (k > 0) p = std::min(p, probabilities[(k - 1) * pixels + i]);
    }
  }
}

std::string Calibration::text() const {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const CalibrationCurve& curve : curves) list.push_back({curve.a, curve.b, curve.c});
  return nlohmann::ordered_json{{"leads", leads}, {"curves", list}}.dump();
}

Calibration Calibration::parse(const std::string& text, std::size_t thresholds) {
  Calibration calibration;
  bool fits = true;
  try {
    const auto json = nlohmann::json::parse(text);
    json.at("leads").get_to(calibration.leads);
    for (const auto& values : json.at("curves")) {
      const Three curve = values.get<Three>();
      fits = fits && values.size() == 3 && curve[0] >= 0. && curve[1] >= 0.;
      calibration.curves.push_back({curve[0], curve[1], curve[2]});
    }
  } catch (const nlohmann::json::exception& error) {
    throw ModelError(std::string("calibration: ") + error.what());
  }
  if (!fits || calibration.leads < 1 || thresholds == 0 ||
      calibration.curves.size() != thresholds * static_cast<std::size_t>(calibration.leads)) {
    throw ModelError("calibration: expected for each of " + std::to_string(thresholds) +
                     " thresholds and each lead a curve of three numbers, the first two 0 or more");
  }
  return calibration;
}

CalibrationSample::CalibrationSample() : bins_(kBins) {}

void CalibrationSample::add(double probability, bool event) {
  const auto x = features(probability);
  const double place = (x[0] + x[1]) / (2. * std::log(1. / kLeast)) + 0.5;  // from 0 to 1
  Bin& bin = bins_[std::min(kBins - 1, static_cast<std::size_t>(std::max(place, 0.) * kBins))];
  bin.probability += probability;
  ++bin.pixels;
  bin.events += event ? 1 : 0;
}

std::int64_t CalibrationSample::pixels() const {
  std::int64_t sum = 0;
  for (const Bin& bin : bins_) sum += bin.pixels;
  return sum;
}

CalibrationCurve CalibrationSample::fit() const {
  constexpr Three kUnchanged{1., 1., 0.};
  Three curve = kUnchanged;
  std::array<bool, 3> free{true, true, true};
  for (int iteration = 0; iteration < kMostIterations; ++iteration) {
    Three slope{};
    std::array<Three, 3> curvature{};
    for (std::size_t k = 0; k < 3; ++k) {
      slope[k] = kPull * (kUnchanged[k] - curve[k]);
      curvature[k][k] = kPull;
    }
    for (const Bin& bin : bins_) {
      if (bin.pixels == 0) continue;
      const auto pixels = static_cast<double>(bin.pixels);
      const Three x = features(bin.probability / pixels);
      const double p = logistic(dot(curve, x));
      for (std::size_t k = 0; k < 3; ++k) {
        slope[k] += x[k] * (static_cast<double>(bin.events) - pixels * p);
        for (std::size_t l = 0; l < 3; ++l) curvature[k][l] += x[k] * x[l] * pixels * p * (1. - p);
      }
    }
    for (std::size_t k = 0; k < 3; ++k) {  // what stands at its bound stays there
      if (free[k]) continue;
      slope[k] = 0.;
      for (std::size_t l = 0; l < 3; ++l) curvature[k][l] = curvature[l][k] = k == l ? 1. : 0.;
    }
    const Three step = solve(curvature, slope);
    double largest = 0.;
    for (std::size_t k = 0; k < 3; ++k) {
      const double change = std::clamp(step[k], -1., 1.);  // Newton's steps may be far too long at first
      curve[k] += change;
      largest = std::max(largest, std::abs(change));
    }
    for (std::size_t k = 0; k < 2; ++k) {
      if (curve[k] >= 0.) continue;
      curve[k] = 0.;
      free[k] = false;
    }
    if (largest < 1e-9) break;
  }
  return {curve[0], curve[1], curve[2]};
}

}  // namespace raincell::model
