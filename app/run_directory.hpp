// The folder of a training run: config, environment, metrics, checkpoints, weights; what a resumed run starts
// from.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/log.hpp"

namespace raincell::app {

/// What a checkpoint knows beside the trainer's state.
struct Position {
  std::int64_t updates = 0, batches = 0;
  double best_validation = 0.;  // valid when best_step > 0
  std::int64_t best_step = 0, rollbacks = 0, skipped = 0;
  std::string archives;  // hashes of their content
};

/// The text beside the trainer's state, which makes it a checkpoint.
struct Manifest {
  Position position;
  std::string sha256;  // of the state
};
/// Throws DataError on anything but what manifest_text writes.
Manifest parse_manifest(const std::string& text);
std::string manifest_text(const Manifest&);

struct Checkpoint {
  Position position;
  std::vector<std::byte> state;
};

/// One trainer at a time: the folder is locked while this lives.
class RunDirectory {
 public:
  /// Creates the folder. With `fresh`, results of an earlier run there are removed. Throws UsageError when
  /// another process trains there, or when the folder belongs to another config (`resolved`), naming the keys
  /// that differ.
  RunDirectory(std::filesystem::path folder, const std::string& resolved, bool fresh);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  /// The newest checkpoint whose hash is right; damaged ones are warnings. Throws model::WeightsError when
  /// there are checkpoints and none is valid.
  std::optional<Checkpoint> newest(Log&) const;
  bool has_checkpoint() const { return !manifests().empty(); }
  /// State, then manifest: the checkpoint exists once the manifest does. Older ones beyond `keep` are
  /// removed.
  void save(const Position&, const std::vector<std::byte>& state, std::int64_t keep) const;
  /// Drops lines of metrics after the step that training goes on from.
  void cut_metrics(std::int64_t step) const;
  std::filesystem::path path(const std::string& name) const { return folder_ / name; }

 private:
  std::vector<std::filesystem::path> manifests() const;  // newest first
  std::filesystem::path folder_;
  int lock_ = -1;
};

}  // namespace raincell::app
