// Probabilities that agree with frequencies: what is fitted to forecasts and events, and the curve it gives.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace raincell::model {

/// p becomes 1 / (1 + exp(-(a ln p - b ln(1 - p) + c))), with a and b of 0 or more, so that a larger
/// probability stays the larger one (beta calibration, Kull et al. 2017, doi 10.1214/17-EJS1338SI).
struct CalibrationCurve {
  double a = 1., b = 1., c = 0.;  // these leave p as it is, but for 1e-5 at either end
  double of(double probability) const;
};

/// A curve for each threshold and lead: between leads in proportion, beyond them the nearest one's.
struct Calibration {
  std::vector<double> lead_minutes;      // ascending
  std::vector<CalibrationCurve> curves;  // [thresholds, leads]; empty: probabilities stay as they are

  /// Of a lead, [thresholds, pixels], in place; NaN stays NaN. No threshold is likelier than the one before.
  void apply(std::span<float> probabilities, double minutes) const;
  /// JSON, and back. Throws ModelError for anything else, or for another number of thresholds.
  std::string text() const;
  static Calibration parse(const std::string& text, std::size_t thresholds);
};

/// Forecasts and events of one threshold and lead, from which a curve is fitted.
class CalibrationSample {
 public:
  CalibrationSample();
  void add(double probability, bool event);
  /// Of the largest likelihood, with a weak pull to a curve that changes nothing.
  CalibrationCurve fit() const;

 private:
  struct Bin {
    double probability = 0.;  // sum
    std::int64_t pixels = 0, events = 0;
  };
  /// Log-likelihood of a curve, less the pull.
  double worth(const std::array<double, 3>& curve) const;
  std::vector<Bin> bins_;  // of equal width in ln(p / (1 - p))
};

}  // namespace raincell::model
