// A training that is killed at any instant, or whose disk fails it, ends in the same bytes.
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "tests/app/small_run.hpp"

namespace {

using namespace raincell;
using test::expect_ok;
using test::Folder;
using test::make_archive;
using test::run_raincell;
using Json = nlohmann::json;

/// strace that does `what` to the `when`-th call of a kind; calls that this machine does not know are left
/// out.
std::vector<std::string> strace(const std::string& calls, const std::string& what, int when) {
  return {"strace",
          "-f",
          "-qqq",
          "-o",
          "/dev/null",
          "-e",
          "trace=" + calls,
          "-e",
          "inject=" + calls + ":" + what + ":when=" + std::to_string(when)};
}

/// Why nothing can be injected here; empty when it can.
std::string no_strace(const Folder& folder) {
  const auto outcome =
      run_raincell(folder.path(), {"--version"}, {.under = strace("?write", "signal=SIGKILL", 1)});
  if (outcome.code == 128 + SIGKILL) return "";
  return "strace is not installed or may not trace here: " + outcome.err;
}

/// Loss and norm by step, without the times and the words.
std::map<std::int64_t, std::string> curve(const std::filesystem::path& run) {
  std::map<std::int64_t, std::string> steps;
  for (Json json : test::metrics_of(run)) {
    if (json.contains("event")) continue;
    json.erase("samples_per_s");
    steps[json["step"].get<std::int64_t>()] += json.dump();
  }
  return steps;
}

class Kill : public testing::Test {
 protected:
  void SetUp() override {
    if (RAINCELL_IS_SANITIZED) GTEST_SKIP() << "the leak check of a sanitizer does not run under strace";
    make_archive(folder_, "odim");
    if (const std::string why = no_strace(folder_); !why.empty()) GTEST_SKIP() << why;
  }
  test::Outcome train(const std::string& run, test::Limits limits = {}) {
    std::vector<std::string> words = {"train", "small.yaml", "--run", run, "--threads", "1"};
    words.insert(words.end(), more_.begin(), more_.end());
    return run_raincell(folder_.path(), words, limits);
  }
  void expect_same(const std::string& run, const std::string& as, const std::string& what) {
    for (const char* name : {"last.safetensors", "best.safetensors"})
      ASSERT_EQ(test::read_text(folder_ / run / name) == test::read_text(folder_ / as / name), true)
          << what << ": " << name;
    ASSERT_EQ(curve(folder_ / run), curve(folder_ / as)) << what;
    for (const std::string& name : test::files_below(folder_ / run))
      ASSERT_EQ(name.find(".tmp"), std::string::npos) << what << " leaves " << name;
  }
  Folder folder_;
  std::vector<std::string> more_;
};

TEST_F(Kill, AtEveryCallOfASaveEndsInTheSameBytes) {
  expect_ok(train("whole"));
  int kills = 0;
  for (const char* calls : {"?write", "?pwrite64", "?fsync", "?rename,?renameat,?renameat2",
                            "?unlink,?unlinkat", "?symlink,?symlinkat", "?ftruncate", "?mkdir,?mkdirat"}) {
    for (int when = 1;; when += SWEEP_STRIDE) {
      const std::string what = std::string(calls) + " " + std::to_string(when);
      std::filesystem::remove_all(folder_ / "run");
      const auto killed = train("run", {.under = strace(calls, "signal=SIGKILL", when)});
      if (killed.code == 0) break;  // there are no more such calls
      ASSERT_EQ(killed.code, 128 + SIGKILL) << what << ": " << killed.err;
      ++kills;
      const auto resumed = train("run");
      ASSERT_EQ(resumed.code, 0) << what << ": " << resumed.err;
      expect_same("run", "whole", what);
      if (HasFatalFailure()) return;
    }
  }
  std::cout << kills << " kills\n";
  EXPECT_GT(kills, 100 / SWEEP_STRIDE);
}

/// Kills and stops at random moments, again and again, until the run is through.
TEST_F(Kill, AtRandomMomentsEndsInTheSameBytes) {
  struct Case {
    const char* name;
    std::vector<std::string> settings;
    std::string program;
  };
  const std::vector<std::string> base = {"--set", "training.steps=40", "--set",
                                         "training.checkpoint_every=3"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return more;
  };
  // 9 windows and batches of 2: an epoch ends every four batches; validation every third step.
  const std::vector<Case> cases = {
      {"plain", with({}), ""},
      {"accumulation, average", with({"--set", "training.accumulation=3", "--set", "training.ema=0.9"}), ""},
      {"saved after validation",
       with({"--set", "training.validate_every=3", "--set", "schedule.kind=plateau"}), ""},
      {"bf16", with({"--set", "precision=bf16", "--backend", "cuda"}), RAINCELL_CUDA_ON_HOST}};
  std::mt19937 random(7);
  for (const Case& each : cases) {
    more_ = each.settings;
    const std::string whole = std::string("whole ") + each.name;
    expect_ok(train(whole, {.program = each.program}));
    const int wanted = RANDOM_KILLS / static_cast<int>(cases.size());
    int kills = 0, runs = 0;
    while (kills < wanted) {
      const std::string run = std::string("run ") + each.name + std::to_string(runs++);
      for (int attempt = 0;; ++attempt) {
        ASSERT_LT(attempt, 200) << each.name << " never ends";
        const bool stop = random() % 4 == 0;
        const long longest = each.program.empty() ? 900 : 3000;  // loops in place of a GPU take their time
        const auto outcome = train(
            run, {.signal_after_ms = 60 + static_cast<long>(random() % static_cast<unsigned long>(longest)),
                  .signal = stop ? SIGTERM : SIGKILL,
                  .program = each.program});
        if (outcome.code == 0) break;
        // Before it listens, SIGTERM ends it as any program.
        ASSERT_TRUE(outcome.code == 128 + SIGKILL || outcome.code == 128 + SIGTERM) << outcome.err;
        ++kills;
      }
      expect_same(run, whole, each.name);
      if (HasFatalFailure()) return;
    }
    std::cout << each.name << ": " << kills << " kills in " << runs << " runs\n";
  }
}

/// The same checkpoint is saved again with a lower rate, and newer ones go.
TEST_F(Kill, AroundARollBackEndsInTheSameBytes) {
  more_ = test::kRunaway;
  const auto whole = train("whole");
  expect_ok(whole);
  ASSERT_NE(whole.err.find("learning rate halved"), std::string::npos) << whole.err;
  int kills = 0, around = 0;
  // It goes back at step 570, after eleven saves of nine fsyncs each and what comes before the first.
  for (int when = 100; when <= 140; when += SWEEP_STRIDE) {
    std::filesystem::remove_all(folder_ / "run");
    const auto killed = train("run", {.under = strace("?fsync", "signal=SIGKILL", when)});
    ASSERT_EQ(killed.code, 128 + SIGKILL) << killed.err;
    ++kills;
    around += killed.err.find("learning rate halved") != std::string::npos ? 1 : 0;
    const auto resumed = train("run");
    ASSERT_EQ(resumed.code, 0) << when << ": " << resumed.err;
    expect_same("run", "whole", "fsync " + std::to_string(when));
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(around, 0);
  EXPECT_LT(around, kills);  // some before it, some after
}

/// A save that the disk refuses is said, and training goes on from what it has.
TEST_F(Kill, ARefusedSaveIsSaidAndTheNextOneIsTried) {
  more_ = {"--set", "training.steps=20"};
  expect_ok(train("whole"));
  int said = 0;
  for (const char* error : {"ENOSPC", "EIO", "EACCES", "EROFS"}) {
    for (const char* calls : {"?fsync", "?rename,?renameat,?renameat2"}) {
      for (int when = 13; when <= 23; when += SWEEP_STRIDE > 1 ? 5 : 1) {  // after the first checkpoint
        const std::string what = std::string(calls) + " " + error + " " + std::to_string(when);
        std::filesystem::remove_all(folder_ / "run");
        const auto outcome = train("run", {.under = strace(calls, std::string("error=") + error, when)});
        ASSERT_EQ(outcome.code, 0) << what << ": " << outcome.err;
        ASSERT_TRUE(outcome.err.find("training goes on") != std::string::npos ||
                    outcome.err.find("the checkpoint is saved all the same") != std::string::npos)
            << what << ": " << outcome.err;
        said += outcome.err.find("the checkpoint before is kept") != std::string::npos ? 1 : 0;
        ASSERT_EQ(test::read_text(folder_ / "run/last.safetensors"),
                  test::read_text(folder_ / "whole/last.safetensors"))
            << what;
      }
    }
  }
  EXPECT_GT(said, 4);
}

/// Nothing is published before it is on the disk: each rename follows an fsync of what it renames, and is
/// followed by one of its folder.
TEST_F(Kill, EveryRenameIsBetweenAnFsyncOfTheFileAndOneOfTheFolder) {
  const auto outcome =
      train("run", {.under = {"strace", "-f", "-qqq", "-y", "-o", (folder_ / "trace").string(), "-e",
                              "trace=?fsync,?rename,?renameat,?renameat2,?symlink,?symlinkat"}});
  expect_ok(outcome);
  std::istringstream lines(test::read_text(folder_ / "trace"));
  std::vector<std::string> calls;
  for (std::string line; std::getline(lines, line);) calls.push_back(line);
  int renames = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const auto at = calls[i].find("rename");
    if (at == std::string::npos) continue;
    ++renames;
    const auto open = calls[i].find('"', at) + 1;
    const std::string file =
        std::filesystem::path(calls[i].substr(open, calls[i].find('"', open) - open)).filename();
    ASSERT_GT(i, 0U);
    const bool link = calls[i - 1].find("symlink") != std::string::npos;
    EXPECT_TRUE(link || (calls[i - 1].find("fsync(") != std::string::npos &&
                         calls[i - 1].find(file) != std::string::npos))
        << calls[i - 1] << "\n"
        << calls[i];
    ASSERT_LT(i + 1, calls.size());
    EXPECT_NE(calls[i + 1].find("fsync("), std::string::npos) << calls[i + 1];
  }
  EXPECT_GT(renames, 10);
}

}  // namespace
