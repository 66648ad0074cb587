// The ways to forecast, behind one interface: persistence, advection, convlstm.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace raincell::model {

/// Past frames in physical units on one grid, oldest first, NaN where missing.
struct PastFrames {
  std::int64_t frames = 0, rows = 0, columns = 0;
  std::span<const float> values;  // [frames, rows, columns]
};

/// Future frames, NaN where there is no forecast.
struct ForecastFrames {
  std::int64_t leads = 0, rows = 0, columns = 0;
  std::vector<float> values;         // [leads, rows, columns]
  std::vector<double> thresholds;    // exceedance forecasts: thresholds in physical units
  std::vector<float> probabilities;  // [thresholds, leads, rows, columns], empty otherwise
};

/// Lead l of a forecast is valid (l + 1) steps after the last past frame.
class Forecaster {
 public:
  virtual ~Forecaster() = default;
  virtual std::string name() const = 0;
  virtual std::int64_t frames_needed() const = 0;
  /// Throws std::invalid_argument when there are fewer frames than needed.
  virtual ForecastFrames forecast(const PastFrames&, std::int64_t leads) = 0;
};

/// The last frame, unchanged.
class Persistence : public Forecaster {
 public:
  std::string name() const override { return "persistence"; }
  std::int64_t frames_needed() const override { return 1; }
  ForecastFrames forecast(const PastFrames&, std::int64_t leads) override;
};

}  // namespace raincell::model
