#include "app/forecasting.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "app/compute.hpp"
#include "app/errors.hpp"
#include "model/safetensors.hpp"

namespace raincell::app {

namespace {

const std::vector<std::string> kNames = {"persistence", "advection", "convlstm"};

void check_names(const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (std::find(kNames.begin(), kNames.end(), names[i]) == kNames.end()) {
      const std::string near = nearest(names[i], kNames);
      throw UsageError(fmt::format("there is no forecaster '{}'; expected one of {}{}", names[i],
                                   fmt::join(kNames, ", "),
                                   near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
    }
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) !=
        names.begin() + static_cast<std::ptrdiff_t>(i)) {
      throw UsageError(fmt::format("the forecaster '{}' is named twice; keep one", names[i]));
    }
  }
}

}  // namespace

Forecasting::Forecasting(const Arguments& arguments, const std::vector<std::string>& names,
                         const model::MotionSpec& motion, const std::string& command) {
  check_names(names);
  const bool network = std::find(names.begin(), names.end(), "convlstm") != names.end();
  if (arguments.has("model") && !network) {
    throw UsageError(
        fmt::format("raincell {}: --model is for the forecaster convlstm, which is not asked for", command));
  }
  const std::int64_t limit = memory_limit(arguments);
  if (network) {
    model_path_ = arguments.has("model") ? arguments.text("model") : default_weights(command).string();
    backend_ = app::make_backend(arguments);
    model_ = std::make_unique<LoadedModel>(load_model(model_path_, *backend_));
  }
  for (const std::string& name : names) {
    if (name == "persistence") forecasters_.push_back(std::make_unique<model::Persistence>());
    if (name == "advection") forecasters_.push_back(std::make_unique<model::Advection>(motion));
    if (name == "convlstm") forecasters_.push_back(std::make_unique<NetworkForecaster>(*model_, limit));
  }
}

std::vector<model::Forecaster*> Forecasting::all() {
  std::vector<model::Forecaster*> list;
  for (const auto& forecaster : forecasters_) list.push_back(forecaster.get());
  return list;
}

std::int64_t Forecasting::least_past() const {
  std::int64_t least = 2;  // of advection, which bounds the support of every score
  for (const auto& forecaster : forecasters_) least = std::max(least, forecaster->frames_needed());
  return least;
}

void Forecasting::require_fit(const FrameSeries& series) const {
  if (!model_ || series.frames() == 0) return;
  const WeightsInfo& info = model_->info;
  if (info.step_s > 0 && series.step_s() > 0 && info.step_s != series.step_s()) {
    throw model::WeightsError(
        fmt::format("{}: was trained on frames every {}, and the input has one every {}; use weights for "
                    "that step, or --forecaster advection",
                    model_path_, format_duration(static_cast<double>(info.step_s)),
                    format_duration(static_cast<double>(series.step_s()))));
  }
  if (info.transform.quantity != series.quantity(0)) {
    throw model::WeightsError(
        fmt::format("{}: was trained on {}, and the input holds {}; use weights for that quantity",
                    model_path_, io::name_of(info.transform.quantity), io::name_of(series.quantity(0))));
  }
}

std::vector<float> stack_frames(FrameSeries& series, const std::vector<std::int64_t>& indices) {
  const auto pixels = static_cast<std::size_t>(series.grid(indices.back()).pixels());
  std::vector<float> block(indices.size() * pixels);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    series.require_same_grid(indices.back(), indices[i]);
    const auto values = series.values(indices[i]);
    std::copy(values.begin(), values.end(), block.begin() + static_cast<std::ptrdiff_t>(i * pixels));
  }
  return block;
}

}  // namespace raincell::app
