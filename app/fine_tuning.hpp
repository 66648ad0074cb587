// At set times of the day the weights in use are trained further on what has come in, by children of this
// process, and scored beside those in use on the newest frames, which the training has not seen.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/child_process.hpp"
#include "app/exposition.hpp"
#include "app/fine_tuning_run.hpp"
#include "app/log.hpp"
#include "app/watch_config.hpp"
#include "io/intake.hpp"

namespace raincell::app {

/// The newest of the set times, minutes of the day, that is not after `now`. There must be one.
io::TimePoint newest_set_time(const std::vector<std::int64_t>& at_minutes, io::TimePoint now);

/// A run: `raincell pack --append`; `verify` of the weights in use; `train`, from them; `verify` of the new
/// ones. What fails, in any way, is a reason, said once; the weights in use stay, and the next set time tries
/// again. state.json holds the run and when the last one was, so that a new service neither repeats nor
/// forgets one: it goes on with the step that was interrupted. The configuration must outlive this.
class FineTuning {
 public:
  /// Ends a child that a service before this one has left behind.
  FineTuning(const WatchConfig&, std::filesystem::path folder, Log&,
             std::filesystem::path program = "/proc/self/exe");
  ~FineTuning();  // as stop()
  FineTuning(const FineTuning&) = delete;
  FineTuning& operator=(const FineTuning&) = delete;

  struct Result {
    std::filesystem::path weights;
    std::string reason;  // the numbers that they are not worse by
  };
  /// Between cycles: starts what is due and looks at what runs; waits for nothing. Returns weights that are
  /// not worse than those in use, once.
  std::optional<Result> round(io::Moment, const std::filesystem::path& weights_in_use);
  /// For people.
  nlohmann::ordered_json json() const;
  void add_metrics(Exposition&) const;
  /// Ends the child; the run goes on at the next round, or in the next service.
  void stop();
  /// The child at work, -1 where there is none: for tests.
  pid_t child() const { return child_ ? child_->pid() : -1; }

 private:
  enum class Outcome : std::uint8_t { promoted, kept, failed };
  bool due(io::TimePoint now);
  void begin(io::Moment, const std::filesystem::path& weights_in_use);
  void launch(io::Moment);
  void look(io::Moment, const std::filesystem::path& weights_in_use);
  void go_on(io::Moment, const std::filesystem::path& weights_in_use);
  void conclude(Outcome, const std::string& reason);
  std::filesystem::path run_folder() const { return folder_ / run_->name(); }
  void load();
  void remember();
  void tidy() const;

  const WatchConfig& config_;
  std::filesystem::path folder_, program_;
  Log& log_;
  std::optional<io::TimePoint> last_;  // the newest set time that has had its run
  std::optional<FineTuningRun> run_;
  std::unique_ptr<ChildProcess> child_;
  std::optional<Result> result_;                           // not handed out yet
  std::chrono::milliseconds launched_{0};                  // the child
  std::optional<std::chrono::milliseconds> asked_to_end_;  // the child, since it takes too long
  std::string last_decision_;
  std::int64_t promoted_ = 0, kept_ = 0, failed_ = 0;  // since the start
  bool unsaved_ = false, writable_ = true;
};

}  // namespace raincell::app
