// What a training says while it runs: metrics.jsonl, TensorBoard events and a file for Prometheus.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "app/log.hpp"
#include "app/tensorboard.hpp"

namespace raincell::app {

/// Counts and states for metrics.prom, which has the newest values alone.
struct TrainingState {
  std::int64_t step = 0, steps = 0, samples = 0;
  std::int64_t left_out = 0;  // of the samples
  std::int64_t skipped = 0, empty = 0, rollbacks = 0;
  std::int64_t failed_saves = 0;  // since this process began
  std::int64_t last_saved = 0;    // seconds of the Unix epoch; 0: not yet
  double loss = 0., validation_loss = 0., gradient_norm = 0., learning_rate = 0.;  // NaN: none
  double step_seconds = 0.;
};

/// A sink that cannot be written is a warning, once until it can be again; training goes on.
class RunLog {
 public:
  /// An empty folder: another process says it.
  RunLog(std::filesystem::path folder, Log& log) : folder_(std::move(folder)), log_(log) {}
  /// One line; its numbers go to TensorBoard as well.
  void line(const nlohmann::ordered_json&);
  /// `what` happened at a step: "resumed", "rolled back", ...; not for TensorBoard.
  void event(std::int64_t step, const std::string& what, const nlohmann::ordered_json& details);
  /// At most every few seconds, unless `now`.
  void state(const TrainingState&, bool now);
  /// Where TensorBoard's next file begins; after a resume or a roll-back.
  void begin_at(std::int64_t step);

 private:
  void attempt(const std::string& sink, const std::function<void()>& write);
  std::filesystem::path folder_;
  Log& log_;
  std::optional<EventFile> events_;
  std::int64_t begin_ = 0;
  std::map<std::string, bool> failing_;
  std::optional<std::chrono::steady_clock::time_point> written_;
};

/// The text of metrics.prom: Prometheus' exposition format, base units.
std::string prometheus_text(const TrainingState&, const std::string& version);

}  // namespace raincell::app
