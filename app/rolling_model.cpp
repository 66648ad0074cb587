#include "app/rolling_model.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace raincell::app {

RollingModel::RollingModel(const WatchConfig& config, Arguments arguments, Log& log)
    : config_(config), arguments_(std::move(arguments)), log_(log) {
  Forecasting& forecasting = *loaded(0).forecasting;
  first_ = &forecasting;
  wanted_ = std::max(forecasting[0].frames_needed(),
                     config.forecaster == "advection" ? config.shared.guide.motion.frames : 1);
}

RollingModel::Loaded& RollingModel::loaded(std::int64_t past) {
  Loaded& made = by_past_[past];
  if (!made.forecasting)
    made.forecasting = std::make_unique<Forecasting>(arguments_, config_.shared.precision, log_,
                                                     std::vector<std::string>{config_.forecaster},
                                                     config_.shared.guide.motion, "watch", past);
  return made;
}

std::int64_t RollingModel::leads(std::chrono::seconds step) const {
  if (config_.horizon_s == 0 || step.count() <= 0) return first_->leads();
  return std::clamp<std::int64_t>(config_.horizon_s / step.count(), 1, 512);
}

model::ForecastFrames RollingModel::forecast(const RollingInput& input, std::int64_t leads) {
  Loaded& made = loaded(input.frames < wanted_ ? input.frames : 0);
  const std::string wanted = fmt::format("{} every {} s: {} -> {}", io::describe(input.grid),
                                         input.step.count(), input.frames, leads);
  if (made.fitted != wanted) {
    made.fitted.clear();
    made.forecasting->require_fit(input.step.count(), input.quantity, log_);
    made.forecasting->fit(input.grid, input.frames, leads, true, log_);
    made.fitted = wanted;
  }
  return (*made.forecasting)[0].forecast(input.view(), leads);
}

}  // namespace raincell::app
