// A training that is killed at any instant, or whose disk fails it, ends in the same bytes.
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "tests/app/small_run.hpp"

namespace {

using namespace raincell;
using test::expect_ok;
using test::Folder;
using test::make_archive;
using test::run_raincell;
using test::says;
using test::strace;
using Json = nlohmann::json;

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
    make_archive(folder_, "odim");
    if (const std::string why = test::no_strace(folder_); !why.empty()) GTEST_SKIP() << why;
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
    expect_no_leftovers(run, what);
  }
  void expect_no_leftovers(const std::string& run, const std::string& what) {
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
    const auto begin = std::chrono::steady_clock::now();
    expect_ok(train(whole, {.program = each.program}));
    // Within the time of a whole run, which depends on the machine and what else it does; more and more of
    // it.
    const auto whole_ms = static_cast<long>(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
    const int wanted = RANDOM_KILLS / static_cast<int>(cases.size());
    int kills = 0, runs = 0;
    while (kills < wanted) {
      const std::string run = std::string("run ") + each.name + std::to_string(runs++);
      for (int attempt = 0;; ++attempt) {
        ASSERT_LT(attempt, 200) << each.name << " never ends";
        const bool stop = random() % 4 == 0;
        const long longest = whole_ms + 50 * attempt;
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
  const std::string rename = "?rename,?renameat,?renameat2";
  for (const char* error : {"ENOSPC", "EIO", "EACCES", "EROFS", "EXDEV"}) {
    for (const std::string& calls : {std::string("?fsync"), rename}) {
      if (error == std::string("EXDEV") && calls != rename) continue;
      for (int when = 13; when <= 23; when += SWEEP_STRIDE > 1 ? 5 : 1) {  // after the first checkpoint
        const std::string what = calls + " " + error + " " + std::to_string(when);
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
        expect_no_leftovers("run", what);
        if (HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GT(said, 4);
}

/// Numbers, from 1, of the calls of a thread that write the files of checkpoints after the first one; "-y"
/// has told their names.
std::vector<int> calls_of_saves(const std::filesystem::path& trace) {
  static constexpr const char* kNoCalls[] = {" resumed>", " --- ", " +++ "};
  std::map<std::string, int> calls;  // by thread
  std::vector<int> of_saves;
  std::istringstream lines(test::read_text(trace));
  for (std::string line; std::getline(lines, line);) {
    // Ends of calls that another thread's came between, signals and ends of processes.
    if (std::any_of(std::begin(kNoCalls), std::end(kNoCalls),
                    [&](const char* words) { return line.find(words) != std::string::npos; }))
      continue;
    const int number = ++calls[line.substr(0, line.find(' '))];
    if (line.find("checkpoints/.step-") != std::string::npos &&
        line.find("checkpoints/.step-000000000") == std::string::npos)
      of_saves.push_back(number);
  }
  return of_saves;
}

bool injected_into_a_save(const std::filesystem::path& trace) {
  std::istringstream lines(test::read_text(trace));
  for (std::string line; std::getline(lines, line);) {
    if (line.find("(INJECTED)") != std::string::npos && line.find("checkpoints/.step-") != std::string::npos)
      return true;
  }
  return false;
}

/// The disk is full where the bytes of a checkpoint go, or says so only when the file is closed.
TEST_F(Kill, ADiskThatIsFullInASaveIsSaidAndTheNextOneIsTried) {
  more_ = {"--set", "training.steps=12"};
  const std::string trace = (folder_ / "trace").string();
  for (const char* call : {"?write", "?close"}) {
    std::filesystem::remove_all(folder_ / "whole");
    expect_ok(train(
        "whole", {.under = {"strace", "-f", "-qqq", "-y", "-o", trace, "-e", std::string("trace=") + call}}));
    const std::vector<int> saves = calls_of_saves(trace);
    ASSERT_GE(saves.size(), 12U) << call;  // state and manifest of six checkpoints
    int met = 0;
    for (std::size_t i = 0; i<saves.size(); i += SWEEP_STRIDE> 1 ? 3 : 1) {
      const std::string what = std::string(call) + " " + std::to_string(saves[i]);
      std::filesystem::remove_all(folder_ / "run");
      const auto outcome = train("run", {.under = strace(call, "error=ENOSPC", saves[i], "", trace)});
      ASSERT_EQ(outcome.code, 0) << what << ": " << outcome.err;
      expect_same("run", "whole", what);
      if (HasFatalFailure()) return;
      // How often a training tells its progress depends on the time: another call may have been the one.
      if (!injected_into_a_save(trace)) continue;
      ++met;
      ASSERT_TRUE(says(outcome, "No space left on device") && says(outcome, "free space on that disk") &&
                  says(outcome, "the checkpoint before is kept and training goes on"))
          << what << ": " << outcome.err;
      ASSERT_EQ(test::events_of(folder_ / "run", "checkpoint not saved").size(), 1U) << what;
      ASSERT_NE(test::read_text(folder_ / "run/metrics.prom").find("train_checkpoint_failures_total 1\n"),
                std::string::npos)
          << what;
    }
    EXPECT_GT(met, 1) << call;
    std::cout << call << ": " << met << " saves refused\n";
  }
}

/// A disk of 2 MB, and checkpoints that are all kept.
TEST_F(Kill, ADiskThatStaysFullEndsItWithCode5AndKeepsWhatItHas) {
  more_ = {"--set", "training.steps=200", "--set", "training.keep_checkpoints=100"};
  std::filesystem::create_directory(folder_ / "disk");
  const auto full = train("disk/run", {.disk = folder_ / "disk", .disk_bytes = 2 << 20});
  if (!full.no_disk.empty()) GTEST_SKIP() << "no disk can be mounted here: " << full.no_disk;
  EXPECT_EQ(full.code, 5) << full.err;
  EXPECT_TRUE(says(full, "No space left on device") &&
              says(full, "5 checkpoints in a row could not be saved") &&
              says(full, "the same command goes on at the last one"))
      << full.err;
  int refused = 0, checkpoints = 0;
  const std::string kept = "the checkpoint before is kept and training goes on";
  for (auto at = full.err.find(kept); at != std::string::npos; at = full.err.find(kept, at + 1)) ++refused;
  EXPECT_EQ(refused, 5) << full.err;
  std::set<std::string> manifests, states;
  for (const std::string& name : full.disk_files) {
    EXPECT_EQ(name.find(".tmp"), std::string::npos) << name;
    const auto at = name.find("checkpoints/step-");
    if (at == std::string::npos) continue;
    ++checkpoints;
    const bool state = name.find(".state") != std::string::npos;
    (state ? states : manifests).insert(name.substr(0, at + std::strlen("checkpoints/step-000000000")));
  }
  EXPECT_EQ(states, manifests);
  EXPECT_GT(checkpoints, 20);
}

/// Folders are made before the first step, and for the samples of a step that is skipped; a checkpoint needs
/// none.
TEST_F(Kill, ADiskWithoutRoomForAFolderIsSaid) {
  expect_ok(train("whole"));
  const std::string mkdir = "?mkdir,?mkdirat";
  for (const int when : {1, 2}) {
    const auto none = train("none", {.under = strace(mkdir, "error=ENOSPC", when)});
    EXPECT_EQ(none.code, 5) << none.err;
    EXPECT_TRUE(says(none, "none/checkpoints: cannot create the folder") && says(none, "free space"))
        << none.err;
  }
  expect_ok(train("none"));  // nothing is in its way
  expect_same("none", "whole", "after a refused folder");
  // Who trains there is written into the lock, where there is room.
  expect_ok(train("mute", {.under = strace("?pwrite64", "error=ENOSPC", 1)}));
  expect_same("mute", "whole", "a lock without a word");

  more_ = {"--set", "optimizer.kind=sgd",    "--set", "optimizer.learning_rate=100",
           "--set", "optimizer.clip_norm=0", "--set", "training.steps=20",
           "--set", "data.validation=0",     "--set", "training.checkpoint_every=100"};
  const auto skipped = train("skipped", {.under = strace(mkdir, "error=ENOSPC", 3)});
  EXPECT_EQ(skipped.code, 6) << skipped.err;
  EXPECT_TRUE(says(skipped, "skipped/failures: cannot create the folder")) << skipped.err;
  EXPECT_TRUE(says(skipped, "training goes on")) << skipped.err;
}

/// A group of processes whose memory can be bounded; removed at the end, when it is empty.
class MemoryGroup {
 public:
  MemoryGroup() {
    const std::filesystem::path root = "/sys/fs/cgroup";
    const std::string name = "raincell-test-" + std::to_string(::getpid());
    std::error_code none;
    const bool old = std::filesystem::exists(root / "memory", none);
    folder_ = (old ? root / "memory" : root) / name;
    limit_ = folder_ / (old ? "memory.limit_in_bytes" : "memory.max");
    std::filesystem::create_directory(folder_, none);
    if (none) {
      problem_ = folder_.string() + ": " + none.message();
    } else if (!std::filesystem::exists(limit_, none)) {
      problem_ = limit_.string() + " is missing: memory is not controlled there";
    }
  }
  ~MemoryGroup() { ::rmdir(folder_.c_str()); }
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;
  const std::string& problem() const { return problem_; }
  /// What it holds stays counted elsewhere; from now on it gets next to nothing more.
  void starve(const std::string& process) const {
    test::write_text(limit_, "65536");
    test::write_text(folder_ / "cgroup.procs", process);
  }

 private:
  std::filesystem::path folder_, limit_;
  std::string problem_;
};

TEST_F(Kill, ByTheKernelForItsMemoryEndsInTheSameBytes) {
  const MemoryGroup group;
  if (!group.problem().empty()) GTEST_SKIP() << "no memory can be bounded here: " << group.problem();
  more_ = {"--set", "training.steps=400",          "--set", "training.validate_every=100",
           "--set", "training.checkpoint_every=20"};
  expect_ok(train("whole"));
  test::Outcome killed;
  std::thread trainer([&] { killed = train("run"); });
  const bool saved = test::wait_for_step(folder_ / "run", 20);
  const std::string lock = test::read_text(folder_ / "run/lock");  // "process 123 on host"
  if (saved && lock.rfind("process ", 0) == 0) group.starve(std::to_string(std::stoi(lock.substr(8))));
  trainer.join();
  ASSERT_TRUE(saved) << killed.err;
  ASSERT_EQ(killed.code, 128 + SIGKILL) << killed.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/report.html"));  // not at its end
  const auto resumed = train("run");
  expect_ok(resumed);
  EXPECT_TRUE(says(resumed, "going on at step ")) << resumed.err;
  expect_same("run", "whole", "killed for its memory");
}

/// The first signal lets it save, which takes long here; the second of its kind does not wait for that.
TEST_F(Kill, ASecondSignalEndsItAtOnceAndTheRunGoesOn) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const std::string run = "run" + std::to_string(signal);
    more_ = {"--set", "training.steps=1000000", "--set", "training.checkpoint_every=1000000",
             "--set", "data.validation=0"};
    test::Outcome outcome;
    std::thread training([&] { outcome = train(run, {.under = strace("?fsync", "delay_enter=500000", 0)}); });
    EXPECT_TRUE(test::wait_for_step(folder_ / run, 0));
    const Json status = Json::parse(run_raincell(folder_.path(), {"status", run, "--json"}).out);
    const pid_t trainer = std::stoi(status["trainer"].get<std::string>().substr(std::strlen("process ")));
    const auto saving = [&] {  // its first fsync is under way
      for (const std::string& name : test::files_below(folder_ / run))
        if (name.find("step-") != std::string::npos && name.find(".tmp") != std::string::npos) return true;
      return false;
    };
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    ::kill(trainer, signal);
    for (int i = 0; i < 2000 && !saving(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(saving());
    ::kill(trainer, signal);
    training.join();
    EXPECT_EQ(outcome.code, 128 + signal) << outcome.err;
    EXPECT_NE(outcome.err.find("a second signal ends it at once"), std::string::npos) << outcome.err;
    EXPECT_TRUE(test::events_of(folder_ / run, "stopped by a signal").empty());
    more_ = {"--set", "training.steps=6", "--set", "data.validation=0"};
    const auto resumed = train(run);
    expect_ok(resumed);
    EXPECT_NE(resumed.err.find("going on at step 0 of 6"), std::string::npos) << resumed.err;
  }
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
