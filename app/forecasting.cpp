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

Forecasting::Forecasting(const Arguments& arguments, kernels::Precision precision, Log& log,
                         const std::vector<std::string>& names, const model::MotionSpec& motion,
                         const std::string& command) {
  check_names(names);
  const bool network = std::find(names.begin(), names.end(), "convlstm") != names.end();
  if (arguments.has("model") && !network) {
    throw UsageError(
        fmt::format("raincell {}: --model is for the forecaster convlstm, which is not asked for", command));
  }
  memory_limit_ = memory_limit(arguments);
  if (network) {
    model_path_ = arguments.has("model") ? arguments.text("model") : default_weights(command).string();
    backend_ = app::make_backend(arguments, precision, log);
  }
  for (const std::string& name : names) {
    if (name == "persistence") forecasters_.push_back(std::make_unique<model::Persistence>());
    if (name == "advection") forecasters_.push_back(std::make_unique<model::Advection>(motion));
    if (name == "convlstm") forecasters_.push_back(make_convlstm());
  }
}

std::unique_ptr<model::Forecaster> Forecasting::make_convlstm() {
  LoadedModel loaded = load_model(model_path_, *backend_);
  network_ = loaded.network.get();
  info_ = std::move(loaded.info);
  const io::Transform transform = info_->transform;
  const model::FieldTransform fields{
      [transform](std::span<const float> physical, std::span<float> values, std::span<float> mask) {
        transform.to_network(physical, values, mask);
      },
      [transform](std::span<float> changes) {
        for (float& change : changes) change = transform.change_to_network(change);
      },
      [transform](std::span<float> values) { transform.to_physical(values, values); }};
  // The motion of as many frames as in training, however many more there are.
  const auto guide = [spec = info_->guide, needed = info_->spec.past](const model::PastFrames& past,
                                                                      std::int64_t leads) {
    const auto pixels = static_cast<std::size_t>(past.rows * past.columns);
    const auto newest = past.values.last(static_cast<std::size_t>(needed) * pixels);
    const model::Guide made({needed, past.rows, past.columns, newest}, spec, leads);
    model::GuideFrames frames;
    frames.values.resize(static_cast<std::size_t>(leads) * pixels);
    frames.tendency.resize(spec.tendency ? frames.values.size() : 0);
    made.frames(0, 0, past.rows, past.columns, frames.values, frames.tendency);
    return frames;
  };
  return std::make_unique<model::ConvLstm>(std::move(loaded.network), fields, guide);
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
  if (!info_ || series.frames() == 0) return;
  const WeightsInfo& info = *info_;
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

void Forecasting::require_memory_for(const io::Grid& grid) const {
  if (network_ == nullptr) return;
  const model::NetworkPlan plan{.batch = 1, .height = grid.rows, .width = grid.columns};
  model::PlanBytes wanted = model::Network::predict_bytes(network_->spec(), *backend_, plan, 1);
  if (info_->spec.feed == model::Feed::advection) {
    const std::int64_t planes = info_->spec.tendency ? 3 : 2;  // guide, mask and tendency of every lead
    wanted.host += static_cast<std::size_t>(
        model::Guide::bytes(info_->guide, grid.pixels(), info_->spec.future) +
        planes * info_->spec.future * grid.pixels() * static_cast<std::int64_t>(sizeof(float)));
  }
  require_memory(wanted, *backend_, memory_limit_,
                 fmt::format("a forecast of {}x{} pixels", grid.columns, grid.rows),
                 "forecast a smaller domain, allow more with --memory, or use --forecaster advection");
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
