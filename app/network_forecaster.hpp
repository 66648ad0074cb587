// convlstm as a forecaster: physical frames -> network units (and advected frames) -> network -> physical
// frames.
#pragma once

#include <memory>

#include "app/weights.hpp"
#include "model/forecasters.hpp"

namespace raincell::app {

/// Missing in the forecast is what nothing is known about: not observed in the latest frame, and no advected
/// rain either.
class NetworkForecaster : public model::Forecaster {
 public:
  /// `memory_limit` bounds the plan; the model must outlive the forecaster.
  NetworkForecaster(LoadedModel& model, std::int64_t memory_limit)
      : model_(model), memory_limit_(memory_limit) {}
  std::string name() const override { return "convlstm"; }
  std::int64_t frames_needed() const override { return model_.info.spec.past; }
  /// Throws std::invalid_argument for too few frames, ResourceError when the domain does not fit.
  model::ForecastFrames forecast(const model::PastFrames&, std::int64_t leads) override;

 private:
  void plan(std::int64_t rows, std::int64_t columns);
  LoadedModel& model_;
  std::int64_t memory_limit_;
};

}  // namespace raincell::app
