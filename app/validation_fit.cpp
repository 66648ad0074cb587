#include "app/validation_fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "app/forecast_memory.hpp"
#include "app/forecasting.hpp"
#include "app/guide.hpp"
#include "app/signals.hpp"
#include "app/weights.hpp"
#include "model/advection/blend_fit.hpp"
#include "model/calibration.hpp"

namespace raincell::app {

namespace {

constexpr std::size_t kMostWindows = 24;     // forecasts of hours apart know more than those of minutes
constexpr std::int64_t kLargestSide = 1024;  // of larger domains the wettest part of this size

/// Where the rain is at the time of the forecast.
io::Crop wettest(const io::Archive& archive, const io::Window& window) {
  const io::Grid& grid = archive.grid();
  io::Crop best{0, 0, std::min(grid.rows, kLargestSide), std::min(grid.columns, kLargestSide)};
  if (best.rows == grid.rows && best.columns == grid.columns) return best;
  double most = -1.;
  for (std::int64_t row = 0; row < grid.rows; row += best.rows) {  // the last ones as far as the domain goes
    for (std::int64_t column = 0; column < grid.columns; column += best.columns) {
      const io::Crop crop{std::min(row, grid.rows - best.rows), std::min(column, grid.columns - best.columns),
                          best.rows, best.columns};
      double sum = 0.;
      for (const float value : read_frames(archive, window, window.past - 1, 1, crop))
        sum += std::isnan(value) ? 0. : static_cast<double>(value);
      if (sum > most) {
        most = sum;
        best = crop;
      }
    }
  }
  return best;
}

/// Some of the windows, evenly spread.
std::vector<io::Window> some(const std::vector<io::Window>& windows) {
  std::vector<io::Window> chosen;
  const std::size_t count = std::min(kMostWindows, windows.size());
  for (std::size_t i = 0; i < count; ++i)
    chosen.push_back(windows[(2 * i + 1) * windows.size() / (2 * count)]);
  return chosen;
}

class ValidationFit {
 public:
  ValidationFit(LoadedModel loaded, const TrainingData& data, kernels::Backend& backend, std::int64_t memory)
      : info_(std::move(loaded.info)), data_(data), backend_(backend), memory_(memory) {
    convlstm_ = make_convlstm(std::move(loaded.network), info_);
  }

  /// False where the memory is too small for it.
  bool add(const io::Window& window) {
    const io::Archive& archive = data_.archives[static_cast<std::size_t>(window.archive)];
    const io::Crop crop = wettest(archive, window);
    info_.guide.scale = field_scale(archive.grid(), archive.step_s());
    const ForecastWork work{.rows = crop.rows,
                            .columns = crop.columns,
                            .past = window.past,
                            .leads = 2 * window.future,  // and the truth
                            .spec = &info_.spec,
                            .blend = info_.spec.thresholds.empty(),
                            .guide = info_.guide};
    convlstm_->network().forget_plan();
    give_freed_memory_back();
    const MemoryChoice choice = choose_memory(work, &backend_, nullptr, memory_, resident_bytes());
    if (!choice.fits || choice.streamed) return false;
    const std::vector<float> past = read_frames(archive, window, 0, window.past, crop);
    const std::vector<float> truth = read_frames(archive, window, window.past, window.future, crop);
    model::HeldFrames frames({window.past, crop.rows, crop.columns, past});
    if (info_.spec.thresholds.empty()) {
      add_blend(frames, truth);
    } else {
      add_probabilities(frames, truth);
    }
    return true;
  }

  std::map<std::string, std::string> metadata() const {
    const std::size_t thresholds = info_.spec.thresholds.size();
    if (thresholds == 0) return {{"blend", blend_.fit().text()}};
    model::Calibration calibration;
    for (const auto& [minutes, samples] : samples_) calibration.lead_minutes.push_back(minutes);
    for (std::size_t k = 0; k < thresholds; ++k)
      for (const auto& [minutes, samples] : samples_) calibration.curves.push_back(samples[k].fit());
    return {{"calibration", calibration.text()}};
  }

 private:
  static std::span<const float> frame(const std::vector<float>& frames, std::int64_t index,
                                      std::size_t pixels) {
    return std::span(frames).subspan(static_cast<std::size_t>(index) * pixels, pixels);
  }

  void add_blend(model::PastStream& past, const std::vector<float>& truth) {
    const auto pixels = static_cast<std::size_t>(past.pixels());
    model::Blend blend(*convlstm_, model::BlendWeights::usual(), info_.guide.motion, info_.spec.past);
    blend.use_scale(info_.guide.scale);
    blend.parts(past, info_.spec.future,
                [&](std::int64_t lead, const model::BlendParts& parts, std::span<const float> rain) {
                  blend_.add(lead, info_.guide.scale.step_minutes, parts, rain, frame(truth, lead, pixels));
                });
  }

  void add_probabilities(model::PastStream& past, const std::vector<float>& truth) {
    const auto pixels = static_cast<std::size_t>(past.pixels());
    const std::vector<double>& thresholds = info_.spec.thresholds;
    convlstm_->stream(past, info_.spec.future,
                      [&](std::int64_t lead, std::span<const float>, std::span<const float> probabilities) {
                        const auto observed = frame(truth, lead, pixels);
                        std::vector<model::CalibrationSample>& samples =
                            samples_[info_.guide.scale.step_minutes * static_cast<double>(lead + 1)];
                        samples.resize(thresholds.size());
                        for (std::size_t k = 0; k < thresholds.size(); ++k) {
                          const auto least = static_cast<float>(thresholds[k]);
                          for (std::size_t i = 0; i < pixels; ++i) {
                            const float p = probabilities[k * pixels + i];
                            if (!std::isnan(p) && !std::isnan(observed[i]))
                              samples[k].add(static_cast<double>(p), observed[i] >= least);
                          }
                        }
                      });
  }

  WeightsInfo info_;
  const TrainingData& data_;
  kernels::Backend& backend_;
  std::int64_t memory_;
  std::unique_ptr<model::ConvLstm> convlstm_;
  model::BlendFit blend_;
  std::map<double, std::vector<model::CalibrationSample>> samples_;  // of a lead in minutes, [thresholds]
};

}  // namespace

void fit_on_validation(const std::filesystem::path& weights, const Config& config, const TrainingData& data,
                       kernels::Backend& backend, std::int64_t memory, const std::function<void()>& alive,
                       Log& log) {
  const bool probabilities = !config.model.thresholds.empty();
  const bool kept_back = !data.validation_windows.empty();
  if (!probabilities && (!kept_back || config.transform.quantity != io::Quantity::rain_rate)) return;
  ValidationFit fit(load_model(weights, backend), data, backend, memory);
  const std::vector<io::Window> windows = some(kept_back ? data.validation_windows : data.train_windows);
  const std::string what = probabilities ? "calibration curves" : "weights of blend";
  if (!kept_back) {
    log.info(what +
             ": fitted on the training windows, for want of a validation part (data.validation); a network "
             "that has learnt them by heart looks surer of itself than it may be");
  }
  Progress progress(log, what, static_cast<std::int64_t>(windows.size()), "windows");
  const auto leave = [&](const std::string& why) {
    log.warning(fmt::format("{}: {}; the {} stay as they are in the file", weights.string(), why, what));
  };
  std::size_t fitted = 0;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (pending_signal() != 0)
      log.info(fmt::format("stopped before the {} were fitted; the same command goes on there", what));
    stop_if_asked();
    alive();
    try {
      if (!fit.add(windows[i]))
        return leave("forecasts of it need more memory than there is or --memory allows");
      ++fitted;
    } catch (const io::UnreadableFrame& error) {
      log.warning(fmt::format("{}; the {} are fitted without it", error.what(), what));
    } catch (const model::NonFiniteForecast& error) {
      return leave(error.what());
    }
    progress.update(static_cast<std::int64_t>(i) + 1);
  }
  if (fitted == 0) return leave("none of the windows for it can be read");
  add_metadata(weights, fit.metadata());
}

}  // namespace raincell::app
