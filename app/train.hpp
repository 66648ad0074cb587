// One training from first or newest checkpoint to last step.
#pragma once

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "app/log.hpp"
#include "app/run_directory.hpp"
#include "app/run_log.hpp"
#include "app/sample_forecast.hpp"
#include "app/training_data.hpp"
#include "app/unreadable_frames.hpp"
#include "model/trainer.hpp"

namespace raincell::app {

/// The trainer's settings; class bounds in network units.
model::TrainingSpec training_spec(const Config&);

/// How a run is taken up.
struct TakingUp {
  bool deterministic = false;
  bool force = false;  // although the archive is another
  std::string start;   // SHA-256 of the weights it starts from, or empty
};

class TrainingRun {
 public:
  /// `run`: its folder, which the first rank alone opens and writes (null: another does); `ranks`: null for a
  /// process alone.
  TrainingRun(const Config&, TrainingData&, model::Network&, model::Trainer&, std::filesystem::path run,
              RunDirectory*, model::Communicator* ranks, Log&);
  /// From the newest valid checkpoint of the folder, if there is one; writes env.json. What the run is
  /// computed with now and was not before is a warning. Throws UsageError when the archive is another, or
  /// when a deterministic run was begun with something else.
  void resume(const TakingUp&);
  /// True when the last step is done, false when a signal asked for the end. Throws Diverged, and
  /// ResourceError when checkpoint after checkpoint cannot be saved.
  bool go();
  /// That asked for the end.
  int signal() const { return signal_; }
  /// Weights with what is fitted on the validation windows within so many bytes, report, and a word to the
  /// user. Nothing can be trained afterwards.
  void finish(bool finished, std::int64_t memory);

 private:
  model::HostBatch host_batch() const;
  nlohmann::ordered_json environment(const TakingUp&) const;
  void compare_environment(const std::string& before, const nlohmann::ordered_json& now,
                           const TakingUp&) const;
  int agreed_signal() const;
  std::optional<Checkpoint> shared(std::optional<Checkpoint>) const;
  void rest() const;
  void seek_batch();
  void seek();
  bool log_step();
  void count_left_out();
  void keep_failures(const std::vector<double>& norms, std::int64_t first);
  void validate();
  bool forecasts_rain() const;
  std::vector<ReportPicture> sample_pictures();
  bool too_many_skipped();
  void roll_back(const std::string& why, std::int64_t up_to);
  enum class Save : std::uint8_t { due, asked_for };
  void save_checkpoint(Save);
  bool save_weights(const std::string& name);
  void require_same_state(const std::vector<std::byte>& state) const;
  TrainingState progress() const;
  void write_report(const std::string& status, const std::vector<ReportPicture>& pictures);

  const Config& config_;
  TrainingData& data_;
  model::Network& network_;
  model::Trainer& trainer_;
  std::filesystem::path run_;
  RunDirectory* folder_;
  model::Communicator* ranks_;
  Log& log_;
  RunLog run_log_;
  UnreadableFrames unreadable_;
  Position position_;
  io::Batch batch_;
  std::vector<float> forecast_;    // [N,T',1,H,W] of a batch, network units
  std::vector<float> thresholds_;  // network units
  std::string note_, validation_note_;
  std::chrono::steady_clock::time_point logged_ = std::chrono::steady_clock::now();
  std::int64_t logged_batches_ = 0, logged_updates_ = 0;
  std::int64_t left_out_ = 0;  // samples of this process that have not been counted yet
  std::int64_t failed_saves_ = 0, failed_in_a_row_ = 0, last_saved_ = 0;
  bool spike_said_ = false;
  int signal_ = 0;
  double loss_ = NAN, validation_loss_ = NAN, norm_ = NAN, step_seconds_ = 0.;
};

}  // namespace raincell::app
