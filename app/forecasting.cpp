#include "app/forecasting.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "app/compute.hpp"
#include "app/errors.hpp"
#include "app/guide.hpp"
#include "model/safetensors.hpp"

namespace raincell::app {

namespace {

const std::vector<std::string> kNames = {"persistence", "advection", "convlstm", "blend"};

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

/// The guide of a network, of as many frames as in training.
class StreamedGuide : public model::LeadGuide {
 public:
  StreamedGuide(model::PastStream& past, std::int64_t frames, const model::GuideSpec& spec,
                model::Scratch* scratch)
      : past_(past, frames), guide_(past_, spec, scratch) {}
  void next(std::span<float> values, std::span<float> tendency) override { guide_.next(values, tendency); }

 private:
  model::LastFrames past_;
  model::GuideStream guide_;
};

}  // namespace

Forecasting::Forecasting(const Arguments& arguments, kernels::Precision precision, Log& log,
                         const std::vector<std::string>& names, const model::MotionSpec& motion,
                         const std::string& command, std::int64_t past) {
  check_names(names);
  const auto asked = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const bool network = asked("convlstm") || asked("blend");
  if (arguments.has("model") && !network) {
    throw UsageError(fmt::format(
        "raincell {}: --model is for the forecasters convlstm and blend, which are not asked for", command));
  }
  memory_limit_ = memory_limit(arguments);
  limited_ = arguments.has("memory");
  scratch_ = std::make_unique<FileScratch>(scratch_folder(arguments));
  if (network) {
    model_path_ = arguments.has("model") ? arguments.text("model") : default_weights(command).string();
    backend_ = app::make_backend(arguments, precision, log);
  }
  std::unique_ptr<model::ConvLstm> convlstm = network ? load_convlstm(past) : nullptr;
  convlstm_ = convlstm.get();
  for (const std::string& name : names) {
    if (name == "persistence") forecasters_.push_back(std::make_unique<model::Persistence>());
    if (name == "advection") {
      auto advection = std::make_unique<model::Advection>(motion);
      advection_ = advection.get();
      forecasters_.push_back(std::move(advection));
    }
    if (name == "convlstm") forecasters_.push_back(std::move(convlstm));
    if (name == "blend") forecasters_.push_back(make_blend());
  }
  behind_blend_ = std::move(convlstm);
}

std::unique_ptr<model::Forecaster> Forecasting::make_blend() {
  if (!info_->spec.thresholds.empty())
    throw UsageError(
        fmt::format("{}: forecasts probabilities, which cannot be blended with advected rain; use weights "
                    "that forecast rain rates, or the forecaster convlstm",
                    model_path_));
  auto blend =
      std::make_unique<model::Blend>(*convlstm_, info_->blend, info_->guide.motion, info_->spec.past);
  blend_ = blend.get();
  return blend;
}

std::unique_ptr<model::ConvLstm> Forecasting::load_convlstm(std::int64_t past) {
  LoadedModel loaded = load_model(model_path_, *backend_, past);
  info_ = std::move(loaded.info);
  return make_convlstm(std::move(loaded.network), *info_);
}

std::unique_ptr<model::ConvLstm> make_convlstm(std::unique_ptr<model::Network> network,
                                               const WeightsInfo& info) {
  const io::Transform transform = info.transform;
  const model::FieldTransform fields{
      [transform](std::span<const float> physical, std::span<float> values, std::span<float> mask) {
        transform.to_network(physical, values, mask);
      },
      [transform](std::span<float> changes) {
        for (float& change : changes) change = transform.change_to_network(change);
      },
      [transform](std::span<float> values) { transform.to_physical(values, values); }};
  // The motion of as many frames as in training, however many more there are.
  const auto guide = [&info](const model::PastFrames& past, std::int64_t leads) {
    const model::GuideSpec& spec = info.guide;
    const std::int64_t needed = info.spec.past;
    const auto pixels = static_cast<std::size_t>(past.rows * past.columns);
    const auto newest = past.values.last(static_cast<std::size_t>(needed) * pixels);
    const model::Guide made({needed, past.rows, past.columns, newest}, spec, leads);
    model::GuideFrames frames;
    frames.values.resize(static_cast<std::size_t>(leads) * pixels);
    frames.tendency.resize(spec.tendency ? frames.values.size() : 0);
    made.frames(0, 0, past.rows, past.columns, frames.values, frames.tendency);
    return frames;
  };
  return std::make_unique<model::ConvLstm>(std::move(network), fields, guide);
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

void Forecasting::require_fit(const FrameSeries& series, Log& log) {
  if (series.frames() == 0) return;
  require_fit(series.step_s(), series.quantity(0), log);
}

void Forecasting::require_fit(std::int64_t step_s, io::Quantity quantity, Log& log) {
  step_s_ = step_s;
  if (!info_) return;
  const WeightsInfo& info = *info_;
  const bool known = info.steps.shortest_s > 0 && step_s_ > 0;
  if (known && !info.steps.hold(step_s_, info.reach())) {
    throw model::WeightsError(
        fmt::format("{}: was trained on frames every {}, and the input has one every {}; use weights for "
                    "that step, or --forecaster advection",
                    model_path_, info.steps.text(), format_duration(static_cast<double>(step_s_))));
  }
  if (known && !info.steps.hold(step_s_)) {
    log.warning(fmt::format(
        "{}: was trained on frames every {}, and the input has one every {}; near enough, but untried",
        model_path_, info.steps.text(), format_duration(static_cast<double>(step_s_))));
  }
  if (info.transform.quantity != quantity) {
    throw model::WeightsError(
        fmt::format("{}: was trained on {}, and the input holds {}; use weights for that quantity",
                    model_path_, io::name_of(info.transform.quantity), io::name_of(quantity)));
  }
}

ForecastWork Forecasting::work_of(const io::Grid& grid, std::int64_t past, std::int64_t leads) const {
  return {.rows = grid.rows,
          .columns = grid.columns,
          .past = past,
          .leads = leads,
          .spec = info_ ? &info_->spec : nullptr,
          .advection = advection_ != nullptr,
          .blend = blend_ != nullptr,
          .guide = info_ ? info_->guide : model::GuideSpec{}};
}

void Forecasting::use_scale(const io::Grid& grid) {
  if (info_) info_->guide.scale = field_scale(grid, step_s_);
  if (convlstm_ != nullptr) convlstm_->use_calibration(info_->calibration, info_->guide.scale.step_minutes);
  if (blend_ != nullptr) blend_->use_scale(field_scale(grid, step_s_));
}

const MemoryChoice& Forecasting::fit(const io::Grid& grid, std::int64_t past, std::int64_t leads,
                                     bool pictures, Log& log) {
  use_scale(grid);
  ForecastWork work = work_of(grid, past, leads);
  work.pictures = pictures;
  return choose(work, fmt::format("a forecast of {}x{} pixels", grid.columns, grid.rows), log);
}

const MemoryChoice& Forecasting::fit_scoring(const io::Grid& grid, std::int64_t past, std::int64_t leads,
                                             std::int64_t threads, Log& log) {
  constexpr std::int64_t kScoringPlanes = 11;  // of a thread: fields, events, sums of areas, a spectrum
  const auto plane = static_cast<std::int64_t>(sizeof(float)) * grid.pixels();
  const auto forecasts =
      static_cast<std::int64_t>(forecasters_.size()) + 1;  // and where advection brings rain
  use_scale(grid);
  ForecastWork work = work_of(grid, past, leads);
  work.advection = work.may_hold = true;
  work.held_beside = plane * (forecasts * leads + kScoringPlanes * std::min(threads, leads));
  work.scoring = plane * (kScoringPlanes + forecasts + 3);
  return choose(work, fmt::format("verifying forecasts of {}x{} pixels", grid.columns, grid.rows), log);
}

void Forecasting::rest() {
  if (convlstm_ != nullptr) convlstm_->network().forget_plan();
}

const MemoryChoice& Forecasting::choose(const ForecastWork& work, const std::string& what, Log& log) {
  give_freed_memory_back();
  choice_ = choose_memory(work, backend_.get(), scratch_.get(), memory_limit_, resident_bytes());
  if (!choice_.fits) refuse(what);
  give_freed_memory_back();  // of plans that were tried
  model::Scratch* const trajectories = choice_.trajectories_in_scratch ? scratch_.get() : nullptr;
  if (advection_ != nullptr) advection_->use_scratch(trajectories);
  if (blend_ != nullptr) blend_->use_scratch(trajectories);
  if (convlstm_ != nullptr && choice_.network.plan.bands.on()) {
    convlstm_->use_bands(choice_.network.plan.bands, [guide = info_->guide, needed = info_->spec.past,
                                                      trajectories](model::PastStream& frames) {
      return std::make_unique<StreamedGuide>(frames, needed, guide, trajectories);
    });
  }
  if (limited_ || (choice_.streamed && (convlstm_ != nullptr || work.may_hold)))
    log.info(what + ": " + choice_.text(scratch_->folder()));
  return choice_;
}

void Forecasting::refuse(const std::string& what) const {
  const bool own = backend_ != nullptr && backend_->info().own_memory;
  const auto host = static_cast<std::size_t>(choice_.peak_bytes);
  const std::string least =
      choice_.streamed ? what + ", in the smallest bands and with a scratch file," : what;
  if (backend_ != nullptr) {
    require_memory({host, own ? choice_.network.bytes.device : 0}, *backend_, memory_limit_, least,
                   "forecast a smaller domain, allow more with --memory, or use --forecaster advection");
  }
  throw ResourceError(fmt::format(
      "{} needs about {} of memory, and {} may be used; forecast a smaller domain or "
      "allow more with --memory",
      least, format_bytes(static_cast<double>(host)), format_bytes(static_cast<double>(memory_limit_))));
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
