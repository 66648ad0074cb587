// Weights at work on one nowcast after the other, with histories as long as in training or shorter.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/forecasting.hpp"
#include "app/watch_config.hpp"

namespace raincell::app {

/// Frames without gaps, oldest first.
struct RollingInput {
  io::Grid grid;
  io::Quantity quantity = io::Quantity::rain_rate;
  std::chrono::seconds step{0};
  std::int64_t frames = 0;
  std::vector<float> past;  // [frames, rows, columns]

  model::PastFrames view() const { return {frames, grid.rows, grid.columns, past}; }
};

class RollingModel {
 public:
  /// The forecaster of the configuration with the weights of --model. Throws as Forecasting.
  RollingModel(const WatchConfig&, Arguments, Log&);

  /// Null where the forecaster has no network.
  const WeightsInfo* weights() const { return first_->weights(); }
  std::string path() const { return first_->model_path(); }
  /// Frames that it wants: as in training.
  std::int64_t wanted() const { return wanted_; }
  std::int64_t leads(std::chrono::seconds step) const;
  /// With fewer frames than wanted the network sees a shorter history. One thread at a time; loads and plans
  /// when it has to, which may take long. Throws as Forecaster, Forecasting::require_fit and fit.
  model::ForecastFrames forecast(const RollingInput&, std::int64_t leads);

 private:
  struct Loaded {
    std::unique_ptr<Forecasting> forecasting;
    std::string fitted;  // what it was planned for
  };
  Loaded& loaded(std::int64_t past);
  const WatchConfig& config_;
  Arguments arguments_;
  Log& log_;
  std::map<std::int64_t, Loaded> by_past_;  // 0: as in training
  const Forecasting* first_ = nullptr;      // of these
  std::int64_t wanted_ = 1;
};

}  // namespace raincell::app
