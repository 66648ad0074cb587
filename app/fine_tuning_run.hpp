// One run of the fine-tuning: what it is about, the commands of its steps, and the scores that they leave.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/watch_config.hpp"
#include "model/lead_score.hpp"

namespace raincell::app {

enum class RunStep : std::uint8_t { pack, score_in_use, train, score_new };
const char* phase_of(RunStep);  // "packing", "scoring", "training"

struct FineTuningRun {
  io::TimePoint set_time;
  std::filesystem::path in_use;               // weights when it began
  io::TimePoint train_from, held_out, until;  // it trains before held_out, and is scored from there on
  std::int64_t past = 0, future = 0;  // frames, as those weights have them: then both see the same cases
  RunStep step = RunStep::pack;
  std::int64_t interrupted = 0;  // times that a service died beside it

  /// Of its folder: "20240601T0300Z".
  std::string name() const;
  nlohmann::ordered_json json() const;
};
/// Nothing when it is none.
std::optional<FineTuningRun> run_of(const nlohmann::ordered_json&);

/// Files in the folder of a run.
namespace run_files {
inline constexpr const char* kStart = "start.safetensors";  // a copy of the weights that were in use
inline constexpr const char* kTraining = "training";        // the folder of `raincell train`
inline constexpr const char* kNew = "training/best.safetensors";
inline constexpr const char* kScoresInUse = "scores_in_use.json";
inline constexpr const char* kScoresNew = "scores_new.json";
}  // namespace run_files

/// What `raincell` is started with for the run's step. folder: that of the run.
std::vector<std::string> arguments_of(const FineTuningRun&, const WatchConfig&,
                                      const std::filesystem::path& folder);
/// When the frames of the archive begin, by the names of its parts; nothing when none says so.
std::optional<io::TimePoint> begin_of_archive(const WatchConfig&);
/// Whether a name is that of a run's folder.
bool is_run_name(const std::string&);

/// What `raincell verify --json` has written, pooled over all leads.
struct PooledScores {
  std::int64_t cases = 0, leads = 0;  // leads over all cases
  model::LeadScore score;
};
/// Throws DataError.
PooledScores read_scores(const std::filesystem::path&);

}  // namespace raincell::app
