#include "model/calibration.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "model/spec.hpp"

namespace raincell::model {

namespace {

constexpr double kLeast = 1e-5;     // probabilities are told apart from here to 1 - kLeast
constexpr std::size_t kBins = 240;  // a tenth of a unit of ln(p / (1 - p)) each
constexpr double kPull = 100.;      // as much as so many pixels know: neighbours know much the same
constexpr int kMostIterations = 1000;
constexpr double kShortest = 1e-9, kLeastGain = 1e-9;  // of a step; of the likelihood

using Three = std::array<double, 3>;

constexpr Three kUnchanged{1., 1., 0.};

template <class Real>
std::array<Real, 3> features(Real probability) {
  const auto least = static_cast<Real>(kLeast);
  const Real p = std::clamp(probability, least, 1 - least);
  return {std::log(p), -std::log1p(-p), 1};
}

template <class Real>
Real logistic(Real x) {
  return 1 / (1 + std::exp(-x));
}

template <class Real>
Real dot(const std::array<Real, 3>& a, const std::array<Real, 3>& b) {
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
  return logistic(dot(Three{a, b, c}, features(probability)));
}

void Calibration::apply(std::span<float> probabilities, double minutes) const {
  if (curves.empty()) return;
  const std::size_t leads = lead_minutes.size(), classes = curves.size() / leads,
                    pixels = probabilities.size() / classes;
  const auto after = static_cast<std::size_t>(
      std::lower_bound(lead_minutes.begin(), lead_minutes.end(), minutes) - lead_minutes.begin());
  const std::size_t above = std::min(after, leads - 1),
                    below = above == 0 || after == leads ? above : above - 1;
  const double part =
      above == below ? 0. : (minutes - lead_minutes[below]) / (lead_minutes[above] - lead_minutes[below]);
  for (std::size_t k = 0; k < classes; ++k) {
    const CalibrationCurve &from = curves[k * leads + below], &to = curves[k * leads + above];
    const auto between = [&](double before, double beyond) {
      return static_cast<float>(before + part * (beyond - before));
    };
    const std::array<float, 3> curve{between(from.a, to.a), between(from.b, to.b), between(from.c, to.c)};
    for (std::size_t i = 0; i < pixels; ++i) {
      float& p = probabilities[k * pixels + i];
      if (std::isnan(p)) continue;
      p = logistic(dot(curve, features(p)));  // in single precision: of every pixel and lead
      if (k > 0) p = std::min(p, probabilities[(k - 1) * pixels + i]);
    }
  }
}

std::string Calibration::text() const {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const CalibrationCurve& curve : curves) list.push_back({curve.a, curve.b, curve.c});
  return nlohmann::ordered_json{{"lead_minutes", lead_minutes}, {"curves", list}}.dump();
}

Calibration Calibration::parse(const std::string& text, std::size_t thresholds) {
  Calibration calibration;
  bool fits = true;
  try {
    const auto json = nlohmann::json::parse(text);
    json.at("lead_minutes").get_to(calibration.lead_minutes);
    for (const auto& values : json.at("curves")) {
      const Three curve = values.get<Three>();
      fits = fits && values.size() == 3 && curve[0] >= 0. && curve[1] >= 0.;
      calibration.curves.push_back({curve[0], curve[1], curve[2]});
    }
  } catch (const nlohmann::json::exception& error) {
    throw ModelError(std::string("calibration: ") + error.what());
  }
  const std::vector<double>& leads = calibration.lead_minutes;
  if (!fits || thresholds == 0 || leads.empty() || !(leads.front() > 0.) ||
      std::adjacent_find(leads.begin(), leads.end(), std::greater_equal<>()) != leads.end() ||
      calibration.curves.size() % thresholds != 0 || calibration.curves.size() / thresholds != leads.size()) {
    throw ModelError("calibration: expected ascending lead_minutes above 0, and for each of " +
                     std::to_string(thresholds) +
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

double CalibrationSample::worth(const Three& curve) const {
  double sum = 0.;
  for (std::size_t k = 0; k < 3; ++k)
    sum -= kPull / 2. * (curve[k] - kUnchanged[k]) * (curve[k] - kUnchanged[k]);
  for (const Bin& bin : bins_) {
    if (bin.pixels == 0) continue;
    const double x = dot(curve, features(bin.probability / static_cast<double>(bin.pixels)));
    const double log_sum = x > 0. ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
    sum += static_cast<double>(bin.events) * x - static_cast<double>(bin.pixels) * log_sum;
  }
  return sum;
}

/// Newton's method; what stands at its bound of 0 is left there while it would fall further.
CalibrationCurve CalibrationSample::fit() const {
  Three curve = kUnchanged;
  double worth_now = worth(curve);
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
    for (std::size_t k = 0; k < 2; ++k) {
      if (curve[k] > 0. || slope[k] > 0.) continue;
      slope[k] = 0.;
      for (std::size_t l = 0; l < 3; ++l) curvature[k][l] = curvature[l][k] = k == l ? 1. : 0.;
    }
    const Three step = solve(curvature, slope);
    double length = 1., gained = 0.;
    for (; length > kShortest; length /= 2.) {  // a whole step may go far beyond the best
      Three next = curve;
      for (std::size_t k = 0; k < 3; ++k) next[k] += length * step[k];
      for (std::size_t k = 0; k < 2; ++k) next[k] = std::max(next[k], 0.);
      const double worth_then = worth(next);
      gained = worth_then - worth_now;
      if (!(gained > 0.)) continue;
      curve = next;
      worth_now = worth_then;
      break;
    }
    if (!(gained > kLeastGain)) break;
  }
  return {curve[0], curve[1], curve[2]};
}

}  // namespace raincell::model
