// One training from first or newest checkpoint to last step.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "app/log.hpp"
#include "app/run_directory.hpp"
#include "app/training_data.hpp"
#include "model/trainer.hpp"

namespace raincell::app {

/// The trainer's settings; class bounds in network units.
model::TrainingSpec training_spec(const Config&);

class TrainingRun {
 public:
  TrainingRun(const Config&, TrainingData&, model::Network&, model::Trainer&, RunDirectory&, Log&);
  /// What the run computes with, in env.json; start: SHA-256 of the weights it starts from, or empty. Throws
  /// UsageError when a deterministic run was begun with something else.
  void write_environment(const kernels::Backend&, bool deterministic, const std::string& start);
  /// From the newest valid checkpoint of the folder, if there is one.
  void resume();
  /// True when the last step is done, false when a signal asked for the end. Throws Diverged.
  bool go();
  /// Weights with what is fitted on the validation windows within so many bytes, report, and a word to the
  /// user. Nothing can be trained afterwards.
  void finish(bool finished, std::int64_t memory);

 private:
  model::HostBatch host_batch() const;
  void seek();
  void write_metrics();
  void append(const nlohmann::ordered_json& line);
  void validate();
  bool roll_back_if_needed();
  void save_checkpoint();
  void save_weights(const std::string& name);
  void write_report(bool finished);
  void refuse_other_environment(const nlohmann::ordered_json& now) const;

  const Config& config_;
  TrainingData& data_;
  model::Network& network_;
  model::Trainer& trainer_;
  RunDirectory& folder_;
  Log& log_;
  Position position_;
  io::Batch batch_;
  std::vector<float> thresholds_;  // network units
  std::string note_, validation_note_;
  std::chrono::steady_clock::time_point logged_ = std::chrono::steady_clock::now();
  std::int64_t logged_batches_ = 0;
};

}  // namespace raincell::app
