// Scores of probabilities and ensembles. A score without support is NaN.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace raincell::model {

/// Brier score and reliability diagram of one threshold.
class ReliabilityTable {
 public:
  explicit ReliabilityTable(std::int64_t bins = 10);

  /// probability in [0, 1]; event: whether the truth was at or above the threshold.
  void add(double probability, bool event);
  ReliabilityTable& operator+=(const ReliabilityTable&);

  std::int64_t pixels() const;
  double brier() const;  // mean (probability - event)^2
  /// Brier score relative to always forecasting the observed frequency: 1 is perfect, 0 no better.
  double brier_skill() const;

  struct Bin {
    double forecast = 0;  // mean probability, NaN when empty
    double observed = 0;  // frequency of events, NaN when empty
    std::int64_t pixels = 0;
  };
  /// Equal widths from 0 to 1, the last bin with its upper edge.
  std::vector<Bin> bins() const;

 private:
  std::vector<double> probability_, events_;
  std::vector<std::int64_t> pixels_;
  double squared_error_ = 0;
};

/// Continuous ranked probability score of an ensemble: mean |x - o| - mean |x - x'| / 2. Units of the field.
/// NaN when a member or the truth is missing or there are no members.
double crps_ensemble(std::span<const float> members, float truth);

/// The same from exceedance probabilities P(X >= threshold), restricted to the range from the first to the
/// last threshold: the integral of (P - [o >= x])^2, P linear between thresholds. Units of the field. Throws
/// std::invalid_argument for fewer than two thresholds, unordered ones or unequal sizes.
double crps_exceedance(std::span<const double> thresholds, std::span<const float> probabilities, float truth);

}  // namespace raincell::model
