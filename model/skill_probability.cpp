#include "model/skill_probability.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace raincell::model {
namespace {

constexpr double kNoScore = std::numeric_limits<double>::quiet_NaN();

/// Integral over an interval of a squared function that is linear between its ends.
double squared_linear(double width, double left, double right) {
  return width * (left * left + left * right + right * right) / 3;
}

}  // namespace

ReliabilityTable::ReliabilityTable(std::int64_t bins) {
  if (bins < 1) throw std::invalid_argument("reliability: at least one bin");
  const auto size = static_cast<std::size_t>(bins);
  probability_.resize(size);
  events_.resize(size);
  pixels_.resize(size);
}

void ReliabilityTable::add(double probability, bool event) {
  const auto last = static_cast<double>(pixels_.size() - 1);
  const double place = std::floor(probability * static_cast<double>(pixels_.size()));
  const auto bin = static_cast<std::size_t>(std::clamp(place, 0., last));
  const double outcome = event ? 1 : 0;
  probability_[bin] += probability;
  events_[bin] += outcome;
  ++pixels_[bin];
  squared_error_ += (probability - outcome) * (probability - outcome);
}

ReliabilityTable& ReliabilityTable::operator+=(const ReliabilityTable& other) {
  if (other.pixels_.size() != pixels_.size())
    throw std::invalid_argument("reliability: tables differ in bins");
  for (std::size_t bin = 0; bin < pixels_.size(); ++bin) {
    probability_[bin] += other.probability_[bin];
    events_[bin] += other.events_[bin];
    pixels_[bin] += other.pixels_[bin];
  }
  squared_error_ += other.squared_error_;
  return *this;
}

std::int64_t ReliabilityTable::pixels() const {
  return std::accumulate(pixels_.begin(), pixels_.end(), std::int64_t{0});
}

double ReliabilityTable::brier() const {
  const auto n = pixels();
  return n > 0 ? squared_error_ / static_cast<double>(n) : kNoScore;
}

double ReliabilityTable::brier_skill() const {
  const auto n = static_cast<double>(pixels());
  if (!(n > 0)) return kNoScore;
  const double frequency = std::accumulate(events_.begin(), events_.end(), 0.) / n;
  const double reference = frequency * (1 - frequency);
  return reference > 0 ? 1 - brier() / reference : kNoScore;
}

std::vector<ReliabilityTable::Bin> ReliabilityTable::bins() const {
  std::vector<Bin> out;
  for (std::size_t bin = 0; bin < pixels_.size(); ++bin) {
    const auto n = static_cast<double>(pixels_[bin]);
    out.push_back({.forecast = n > 0 ? probability_[bin] / n : kNoScore,
                   .observed = n > 0 ? events_[bin] / n : kNoScore,
                   .pixels = pixels_[bin]});
  }
  return out;
}

double crps_ensemble(std::span<const float> members, float truth) {
  if (members.empty()) return kNoScore;
  std::vector<double> sorted(members.begin(), members.end());
  if (std::any_of(sorted.begin(), sorted.end(), [](double x) { return std::isnan(x); })) return kNoScore;
  std::sort(sorted.begin(), sorted.end());
  const auto n = static_cast<double>(sorted.size());
  double distance = 0, spread = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    distance += std::abs(sorted[i] - static_cast<double>(truth));
    // sum over pairs of |x - x'| / 2 from the order statistics
    spread += (2 * static_cast<double>(i) + 1 - n) * sorted[i];
  }
  return distance / n - spread / (n * n);
}

double crps_exceedance(std::span<const double> thresholds, std::span<const float> probabilities,
                       float truth) {
  if (thresholds.size() < 2 || thresholds.size() != probabilities.size()) {
    throw std::invalid_argument("crps: at least two thresholds and one probability each");
  }
  if (std::isnan(truth)) return kNoScore;
  const double o = truth;
  double total = 0;
  for (std::size_t k = 0; k + 1 < thresholds.size(); ++k) {
    const double a = thresholds[k], b = thresholds[k + 1], p = probabilities[k], q = probabilities[k + 1];
    if (!(b > a)) throw std::invalid_argument("crps: thresholds must ascend");
    if (std::isnan(p) || std::isnan(q)) return kNoScore;
    const double split = std::clamp(o, a, b);
    const double middle = p + (q - p) * (split - a) / (b - a);
    total += squared_linear(split - a, p - 1, middle - 1) + squared_linear(b - split, middle, q);
  }
  return total;
}

}  // namespace raincell::model
