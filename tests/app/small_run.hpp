// A small run of the program: simulated frames, an archive and a configuration.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/app/program.hpp"

namespace raincell::test {

inline const char* const kSmallConfig =
    "data: {archive: archive.nc, past: 3, future: 3, crop: 32x32, validation: 0.3, validation_blocks: 3}\n"
    "model:\n"
    "  stages:\n"
    "    - down: {channels: 4, kernel: 3, stride: 2, padding: 1}\n"
    "      hidden: 6\n"
    "      up: {channels: 4, kernel: 4, stride: 2, padding: 1}\n"
    "  feed: advection\n"
    "training: {batch: 2, steps: 6, validate_every: 3, checkpoint_every: 2}\n";

/// Options with which the loss of kSmallConfig runs away some steps after 500, its gradients being finite.
inline const std::vector<std::string> kRunaway = {
    "--set", "data.validation=0",      "--set", "data.crop=16x16",
    "--set", "training.batch=1",       "--set", "model.feed=none",
    "--set", "training.steps=700",     "--set", "training.checkpoint_every=50",
    "--set", "optimizer.kind=sgd",     "--set", "optimizer.learning_rate=3",
    "--set", "optimizer.clip_norm=1",  "--set", "guard.sigmas=2",
    "--set", "schedule.kind=constant", "--set", "schedule.warmup_steps=1200"};

inline void expect_ok(const Outcome& outcome) {
  ASSERT_EQ(outcome.code, 0) << outcome.err << outcome.out;
}

/// In the folder: radar/, archive.nc of 29 frames of 40x36 pixels every 5 minutes, small.yaml.
inline void make_archive(const Folder& folder, const std::string& format) {
  expect_ok(run_raincell(folder.path(), {"simulate", "--output", "radar", "--frames", "30", "--size", "40x36",
                                         "--gaps", "12", "--seed", "3", "--format", format}));
  expect_ok(run_raincell(folder.path(), {"pack", "radar", "--output", "archive.nc"}));
  write_text(folder / "small.yaml", kSmallConfig);
}

/// strace that does `what` to calls of a kind; calls that this machine does not know are left out. `when`:
/// the how manieth call of a thread, 0: each. With `path`: only those that have to do with it.
inline std::vector<std::string> strace(const std::string& calls, const std::string& what, int when,
                                       const std::string& path = "",
                                       const std::string& report = "/dev/null") {
  std::vector<std::string> words = {"strace", "-f", "-qqq", "-y", "-o", report, "-e", "trace=" + calls, "-e"};
  words.push_back("inject=" + calls + ":" + what + (when > 0 ? ":when=" + std::to_string(when) : ""));
  if (!path.empty()) words.insert(words.end(), {"-P", path});
  return words;
}

/// Why nothing can be injected here; empty when it can.
inline std::string no_strace(const Folder& folder) {
  if (RAINCELL_IS_SANITIZED) return "the leak check of a sanitizer does not run under strace";
  const auto outcome =
      run_raincell(folder.path(), {"--version"}, {.under = strace("?write", "signal=SIGKILL", 1)});
  if (outcome.code == 128 + SIGKILL) return "";
  return "strace is not installed or may not trace here: " + outcome.err;
}

inline bool says(const Outcome& outcome, const std::string& words) {
  return outcome.err.find(words) != std::string::npos;
}

/// Lines of a run's metrics.jsonl.
inline std::vector<nlohmann::json> metrics_of(const std::filesystem::path& run) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(read_text(run / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

/// Those of them that say that something happened.
inline std::vector<nlohmann::json> events_of(const std::filesystem::path& run, const std::string& what) {
  std::vector<nlohmann::json> found;
  for (const nlohmann::json& line : metrics_of(run))
    if (line.value("event", "") == what) found.push_back(line);
  return found;
}

/// The state of the checkpoint of a step; empty when there is none.
inline std::filesystem::path state_file(const std::filesystem::path& run, std::int64_t step) {
  char stem[32];
  std::snprintf(stem, sizeof stem, "step-%09lld-", static_cast<long long>(step));
  for (const auto& entry : std::filesystem::directory_iterator(run / "checkpoints")) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(stem, 0) == 0 && entry.path().extension() == ".state") return entry.path();
  }
  return {};
}

/// Waits until a run that goes on beside has a checkpoint of a step or later; false after a minute.
inline bool wait_for_step(const std::filesystem::path& run, std::int64_t step) {
  for (int i = 0; i < 3000; ++i) {
    std::error_code none;
    const std::string latest = std::filesystem::read_symlink(run / "checkpoints/latest", none).string();
    if (!none && latest.size() > 5 && std::stoll(latest.substr(5)) >= step) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

}  // namespace raincell::test
