#include "model/skill.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace raincell::model {
namespace {

constexpr double kNoScore = std::numeric_limits<double>::quiet_NaN();

double ratio(double numerator, double denominator) {
  return denominator > 0 ? numerator / denominator : kNoScore;
}

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(std::string("skill: ") + what);
}

/// How many thresholds the value reaches.
std::size_t class_of(float value, std::span<const double> thresholds) {
  std::size_t reached = 0;
  for (const double threshold : thresholds) reached += static_cast<double>(value) >= threshold ? 1 : 0;
  return reached;
}

}  // namespace

double ContingencyTable::csi() const {
  return ratio(static_cast<double>(hits), static_cast<double>(hits + misses + false_alarms));
}

double ContingencyTable::pod() const {
  return ratio(static_cast<double>(hits), static_cast<double>(hits + misses));
}

double ContingencyTable::far() const {
  return ratio(static_cast<double>(false_alarms), static_cast<double>(hits + false_alarms));
}

double ContingencyTable::hss() const {
  const auto h = static_cast<double>(hits), m = static_cast<double>(misses);
  const auto f = static_cast<double>(false_alarms), c = static_cast<double>(correct_negatives);
  return ratio(2 * (h * c - f * m), (h + m) * (m + c) + (h + f) * (f + c));
}

double ContingencyTable::ets() const {
  const auto h = static_cast<double>(hits), m = static_cast<double>(misses);
  const auto f = static_cast<double>(false_alarms);
  if (pixels() == 0) return kNoScore;
  const double chance = (h + m) * (h + f) / static_cast<double>(pixels());
  return ratio(h - chance, h + m + f - chance);
}

double ContingencyTable::bias() const {
  return ratio(static_cast<double>(hits + false_alarms), static_cast<double>(hits + misses));
}

ContingencyTable& ContingencyTable::operator+=(const ContingencyTable& other) {
  hits += other.hits;
  misses += other.misses;
  false_alarms += other.false_alarms;
  correct_negatives += other.correct_negatives;
  return *this;
}

void add_contingency(std::span<const float> forecast, std::span<const float> truth,
                     std::span<const std::uint8_t> mask, std::span<const double> thresholds,
                     std::span<ContingencyTable> tables) {
  require(forecast.size() == truth.size() && truth.size() == mask.size(), "fields and mask differ in size");
  require(tables.size() == thresholds.size() && thresholds.size() < 256,
          "one table a threshold, 255 at most");
  require(std::is_sorted(thresholds.begin(), thresholds.end(), std::less_equal<>()) || thresholds.size() < 2,
          "thresholds must ascend");
  const std::size_t classes = thresholds.size() + 1;
  std::vector<std::int64_t> joint(classes * classes);  // [class of truth, class of forecast]
  for (std::size_t pixel = 0; pixel < mask.size(); ++pixel) {
    if (mask[pixel] == 0) continue;
    ++joint[class_of(truth[pixel], thresholds) * classes + class_of(forecast[pixel], thresholds)];
  }
  for (std::size_t k = 0; k < thresholds.size(); ++k) {
    for (std::size_t observed = 0; observed < classes; ++observed) {
      for (std::size_t predicted = 0; predicted < classes; ++predicted) {
        const std::int64_t count = joint[observed * classes + predicted];
        auto& table = tables[k];
        auto& cell = observed > k ? (predicted > k ? table.hits : table.misses)
                                  : (predicted > k ? table.false_alarms : table.correct_negatives);
        cell += count;
      }
    }
  }
}

double ContinuousSums::mse() const {
  return ratio(squared_error, static_cast<double>(pixels));
}
double ContinuousSums::mae() const {
  return ratio(absolute_error, static_cast<double>(pixels));
}
double ContinuousSums::me() const {
  return ratio(error, static_cast<double>(pixels));
}
double ContinuousSums::rmse() const {
  return std::sqrt(mse());
}

double ContinuousSums::correlation() const {
  if (pixels == 0) return kNoScore;
  const auto n = static_cast<double>(pixels);
  const double forecast_variance = forecast_squared - forecast * forecast / n;
  const double truth_variance = truth_squared - truth * truth / n;
  // A constant field leaves only rounding errors of the two terms behind.
  if (forecast_variance <= 1e-12 * forecast_squared || truth_variance <= 1e-12 * truth_squared)
    return kNoScore;
  return (product - forecast * truth / n) / std::sqrt(forecast_variance * truth_variance);
}

double ContinuousSums::uncentred_correlation() const {
  return ratio(product, std::sqrt(forecast_squared * truth_squared));
}

ContinuousSums& ContinuousSums::operator+=(const ContinuousSums& other) {
  pixels += other.pixels;
  error += other.error;
  absolute_error += other.absolute_error;
  squared_error += other.squared_error;
  forecast += other.forecast;
  truth += other.truth;
  forecast_squared += other.forecast_squared;
  truth_squared += other.truth_squared;
  product += other.product;
  return *this;
}

void add_continuous(std::span<const float> forecast, std::span<const float> truth,
                    std::span<const std::uint8_t> mask, ContinuousSums& sums) {
  require(forecast.size() == truth.size() && truth.size() == mask.size(), "fields and mask differ in size");
  ContinuousSums added;
  for (std::size_t pixel = 0; pixel < mask.size(); ++pixel) {
    if (mask[pixel] == 0) continue;
    const double p = forecast[pixel], t = truth[pixel], error = p - t;
    ++added.pixels;
    added.error += error;
    added.absolute_error += std::abs(error);
    added.squared_error += error * error;
    added.forecast += p;
    added.truth += t;
    added.forecast_squared += p * p;
    added.truth_squared += t * t;
    added.product += p * t;
  }
  sums += added;
}

double structural_similarity(std::span<const float> forecast, std::span<const float> truth, std::int64_t rows,
                             std::int64_t columns, double data_range) {
  constexpr std::int64_t kSide = 7;
  constexpr double kPixels = kSide * kSide;
  require(forecast.size() == truth.size() && static_cast<std::int64_t>(truth.size()) == rows * columns,
          "fields differ in size");
  if (rows < kSide || columns < kSide) return kNoScore;
  const double c1 = std::pow(0.01 * data_range, 2), c2 = std::pow(0.03 * data_range, 2);
  const double sample = kPixels / (kPixels - 1);
  double total = 0;
  for (std::int64_t row = 0; row + kSide <= rows; ++row) {
    for (std::int64_t column = 0; column + kSide <= columns; ++column) {
      double p = 0, t = 0, pp = 0, tt = 0, pt = 0;
      for (std::int64_t pixel = 0; pixel < kSide * kSide; ++pixel) {
        const auto at = static_cast<std::size_t>((row + pixel / kSide) * columns + column + pixel % kSide);
        const double x = forecast[at], y = truth[at];
        p += x, t += y, pp += x * x, tt += y * y, pt += x * y;
      }
      p /= kPixels, t /= kPixels;
      const double var_p = sample * (pp / kPixels - p * p), var_t = sample * (tt / kPixels - t * t);
      const double covariance = sample * (pt / kPixels - p * t);
      total += (2 * p * t + c1) * (2 * covariance + c2) / ((p * p + t * t + c1) * (var_p + var_t + c2));
    }
  }
  return total / static_cast<double>((rows - kSide + 1) * (columns - kSide + 1));
}

}  // namespace raincell::model
