// The folder of a training run: config, environment, metrics, checkpoints, weights; what a resumed run starts
// from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/folder_lock.hpp"
#include "app/log.hpp"
#include "model/spike_guard.hpp"

namespace raincell::app {

/// What a checkpoint knows beside the trainer's state.
struct Position {
  std::int64_t updates = 0, batches = 0;
  double best_validation = 0.;  // valid when best_step > 0
  std::int64_t best_step = 0, rollbacks = 0, skipped = 0;
  std::int64_t left_out = 0;                            // samples, for want of a readable frame
  std::int64_t window_updates = 0, window_skipped = 0;  // at the last checkpoint that was due, not asked for
  model::SpikeState spikes;
  std::string archives;     // hashes of their content
  std::string environment;  // what it was computed with: a JSON object, as in env.json
};

/// The text beside the trainer's state, which makes it a checkpoint.
struct Manifest {
  Position position;
  std::string state;       // name of the file beside it
  std::int64_t bytes = 0;  // of the state
  std::string sha256;
};
/// Throws DataError on anything but what manifest_text writes, model::WeightsError on what another version
/// wrote.
Manifest parse_manifest(const std::string& text);
std::string manifest_text(const Manifest&);

struct Checkpoint {
  Position position;
  std::vector<std::byte> state;
};

/// How a folder is opened: anew, or although its configuration differs.
struct Opening {
  bool fresh = false, force = false;
};

/// Checkpoints that stay: the newest, every so many steps (0: no others), and the newest that is at least so
/// many steps older than the one just saved (0: none for that).
struct Retention {
  std::int64_t newest = 2, every = 0, reach = 0;
};

/// One trainer at a time: the folder is locked while this lives.
class RunDirectory {
 public:
  /// Creates the folder; removes what a killed save left there. With `fresh`, results of an earlier run are
  /// removed. Throws UsageError when another process trains there, or when the folder belongs to another
  /// config (`resolved`), naming the keys that differ with both values, unless the run may go on with them
  /// (`force`: with any), which is said; model::WeightsError when it has a history but no checkpoint.
  RunDirectory(std::filesystem::path folder, const std::string& resolved, Opening, Log&);

  /// The newest checkpoint whose size and hash are right. Damaged ones get names that end in .corrupt, with a
  /// warning. Throws model::WeightsError when there are checkpoints and none is valid.
  std::optional<Checkpoint> newest(Log&) const;
  /// The newest valid one up to a step, or else the oldest, of those that were due and not asked for by a
  /// signal. Throws model::WeightsError when there is none.
  Checkpoint newest_or_oldest(Log&, std::int64_t up_to) const;
  /// The run goes on with the configuration that it was opened with: config.yaml is that one from now on.
  void accept() const;
  /// Keys whose values differ from those the run had before, "key: before -> now"; empty when none does.
  const std::vector<std::string>& changes() const { return changes_; }
  /// State under a name of its own, then manifest: the checkpoint exists, or is another one, once the
  /// manifest is there. Then checkpoints/latest names it, and older ones go as `retention` says. Throws
  /// io::WriteError when it could not be saved; what was there before is still there then.
  void save(const Position&, const std::vector<std::byte>& state, const Retention&, Log&) const;
  /// Throws ResourceError when the folder is no longer the one that was locked; save() asks first.
  void require_own() const;
  /// Removes the checkpoints after a step: after a roll-back they are of a run that did not happen.
  void drop_after(std::int64_t step) const;
  /// Drops lines of metrics after the step that training goes on from.
  void cut_metrics(std::int64_t step) const;
  std::filesystem::path path(const std::string& name) const { return folder_ / name; }

 private:
  void clear() const;
  void remove_leftovers() const;
  void remove_others(const std::filesystem::path& manifest) const;
  void prune(std::int64_t saved, const Retention&) const;
  void compare(bool force, Log&);
  std::optional<Checkpoint> first_valid(const std::vector<std::filesystem::path>&, Log&) const;
  std::filesystem::path folder_;
  std::string resolved_;
  std::vector<std::string> changes_;
  std::optional<FolderLock> lock_;
};

/// The newest manifest of a run's folder, whether its checkpoint is valid or not.
std::optional<std::filesystem::path> newest_manifest(const std::filesystem::path& folder);

}  // namespace raincell::app
