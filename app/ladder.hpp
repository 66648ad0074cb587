// The ladder of the rolling service: the best forecast that can be had in time from the frames that are
// there.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "app/nowcast_product.hpp"
#include "app/rolling_model.hpp"
#include "app/watch_config.hpp"
#include "app/worker.hpp"

namespace raincell::app {

/// convlstm and blend see as many frames as in training, or fewer; advection needs two, persistence one.
enum class Rung : std::uint8_t { model, shorter, advection, persistence };

/// Frames of a history on one grid. Gaps are empty.
struct LadderInput {
  io::Grid grid;
  io::Quantity quantity = io::Quantity::rain_rate;
  std::chrono::seconds step{0};
  std::vector<const io::Frame*> frames;  // oldest first, null: a gap between two frames
};

struct LadderResult {
  Rung rung = Rung::persistence;
  std::string forecaster;          // "convlstm"
  std::vector<std::string> lacks;  // why it is no better one
  NowcastInput origin;
  std::shared_ptr<const RollingInput> input;  // gaps filled; shared with a model that is not waited for
  std::vector<bool> filled;                   // one a frame of it
  model::ForecastFrames forecast;             // [leads, rows, columns]
  model::ForecastFrames advected;             // empty where there is one frame
  std::int64_t raised = 0, lowered = 0;       // values below 0 that were set to it, and above what is rain
  double prepare_s = 0., model_s = 0.;
  /// "convlstm", "convlstm, shorter history"
  std::string rung_text() const;
  bool by_network() const { return rung == Rung::model || rung == Rung::shorter; }
  /// The newest frame, [rows, columns].
  std::span<const float> latest() const;
};

/// Seconds since a moment of the steady clock.
double seconds_since(std::chrono::steady_clock::time_point begin);

class Ladder {
 public:
  Ladder(const WatchConfig&, std::shared_ptr<RollingModel>);

  const RollingModel& model() const { return *model_; }
  /// From the next climb on.
  void use(std::shared_ptr<RollingModel> model) { model_ = std::move(model); }
  /// Climbs as high as it can until `deadline`. Throws kernels::DeviceError when the device is lost, and
  /// Withheld when the newest frame has no observed pixel.
  LadderResult climb(const LadderInput&, std::chrono::steady_clock::time_point deadline);
  /// How long the model has been at work on a forecast that was not waited for; 0: it is not.
  std::chrono::seconds overdue() const { return worker_.at_work(); }

 private:
  void ask_model(LadderResult&, std::int64_t leads, std::chrono::steady_clock::time_point deadline);
  const model::MotionSpec& motion() const { return config_.shared.guide.motion; }
  const WatchConfig& config_;
  std::shared_ptr<RollingModel> model_;  // shared with a job that is not waited for
  Worker worker_;
};

}  // namespace raincell::app
