// Fine-tuning by a clock of the test's own, with children that are the built program.
#include "app/fine_tuning.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/weights.hpp"
#include "io/publish.hpp"
#include "tests/app/small_run.hpp"

namespace raincell::app {
namespace {

namespace fs = std::filesystem;
using io::TimePoint;
using std::chrono::days;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TimePoint time(const char* text) {
  return *io::parse_time(text);
}

TEST(SetTimes, AreOfTheDay) {
  const auto newest = [](const std::vector<std::int64_t>& minutes_of_day, const char* now) {
    return io::format_time(newest_set_time(minutes_of_day, time(now)));
  };
  EXPECT_EQ(newest({180}, "2024-06-01T02:59Z"), "2024-05-31T03:00Z");
  EXPECT_EQ(newest({180}, "2024-06-01T03:00Z"), "2024-06-01T03:00Z");
  EXPECT_EQ(newest({180, 900}, "2024-06-01T14:59:59Z"), "2024-06-01T03:00Z");
  EXPECT_EQ(newest({900, 180}, "2024-06-01T23:59Z"), "2024-06-01T15:00Z");
  EXPECT_EQ(newest({900, 180}, "2025-01-01T00:00Z"), "2024-12-31T15:00Z");
  EXPECT_EQ(newest({0, 1439}, "2024-03-01T00:00Z"), "2024-03-01T00:00Z");
  EXPECT_EQ(newest({1439}, "2024-03-01T00:00Z"), "2024-02-29T23:59Z");
}

/// Five hours of rain, a network that was trained for a few steps on it, and a service's folders.
class FineTune : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    world_ = new test::Folder;  // made once for all of them
    test::expect_ok(test::run_raincell(world_->path(), {"simulate", "--output", "radar", "--frames", "60",
                                                        "--size", "40x36", "--seed", "3"}));
    test::expect_ok(test::run_raincell(world_->path(), {"pack", "radar", "--output", "archive.nc"}));
    test::write_text(*world_ / "small.yaml", test::kSmallConfig);
    for (const auto& [run, rate] : {std::pair{"run", "0.001"}, {"spoilt", "0.5"}})
      test::expect_ok(test::run_raincell(
          world_->path(), {"train", "small.yaml", "--run", run, "--set", "data.archive=archive.nc",
                           "--threads", "1", "--set", std::string("optimizer.learning_rate=") + rate}));
    fs::current_path(world_->path());
  }
  static void TearDownTestSuite() {
    fs::current_path("/");
    delete world_;
    world_ = nullptr;
  }
  FineTune() {
    config_.input = (*world_ / "radar").string();
    config_.output = folder_.path().string();
    config_.weights.min_cases = 5;
    config_.schedule.config = (*world_ / "small.yaml").string();
    config_.schedule.at_minutes = {300};
    config_.schedule.steps = 20;
    config_.schedule.holdout_s = 2 * 3600;
    config_.schedule.threads = 1;
    ::setenv("RAINCELL_WEIGHTS", "", 1);
    begin_again();
  }
  void TearDown() override {
    tuning_.reset();
    errno = 0;
    EXPECT_TRUE(::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD) << "a child was left unreaped";
  }
  /// A new service.
  void begin_again() {
    tuning_.reset();
    tuning_ = std::make_unique<FineTuning>(config_, folder_ / "fine-tuning", log_, RAINCELL_PROGRAM);
  }
  void round() {
    now_.steady += milliseconds(10);
    if (auto result = tuning_->round(now_, in_use_)) results_.push_back(*result);
  }
  void round_at(const char* text) {
    now_.wall = time(text);
    round();
  }
  std::string state() const { return tuning_->json()["state"]; }
  std::string decision() const {
    const auto text = tuning_->json()["last_decision"];
    return text.is_null() ? "" : text.get<std::string>();
  }
  bool decided(const std::string& words) const { return decision().find(words) != std::string::npos; }
  /// Real time, two minutes at most.
  bool until(const std::string& wanted) {
    for (int i = 0; i < 24000 && state() != wanted; ++i) {
      round();
      std::this_thread::sleep_for(milliseconds(5));
    }
    return state() == wanted;
  }
  /// From a service that has just begun to the end of a run.
  bool whole_run() {
    round_at("2024-06-01T04:50Z");
    EXPECT_EQ(state(), "idle");
    round_at("2024-06-01T05:00Z");
    EXPECT_EQ(state(), "packing") << decision();
    const bool ended = until("idle");
    round();
    return ended;
  }
  std::int64_t count(const char* what) const { return tuning_->json()[what].get<std::int64_t>(); }
  fs::path run_folder() const { return folder_ / "fine-tuning/20240601T0500Z"; }
  std::string said(const std::string& phase) const {
    return test::read_text(run_folder() / (phase + ".log"));
  }
  static std::size_t descriptors() {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
  }

  static inline test::Folder* world_ = nullptr;
  test::Folder folder_;
  WatchConfig config_;
  Log log_;
  io::Moment now_;
  fs::path in_use_ = *world_ / "run/best.safetensors";
  std::unique_ptr<FineTuning> tuning_;
  std::vector<FineTuning::Result> results_;
};

TEST_F(FineTune, NewFramesAreAppendedTrainedOnAndWeightsThatAreNotWorsePromoted) {
  in_use_ = *world_ / "spoilt/best.safetensors";  // can only become better
  config_.schedule.learning_rate = 0.01;
  config_.schedule.steps = 60;
  const std::size_t open = descriptors();
  ASSERT_TRUE(whole_run()) << state();
  ASSERT_EQ(results_.size(), 1U) << decision();
  EXPECT_TRUE(decided("fine-tuned convlstm is not worse than convlstm in use") &&
              decided("the new weights are to be used"))
      << decision();
  EXPECT_NE(results_[0].reason.find("squared error"), std::string::npos) << results_[0].reason;
  EXPECT_EQ(count("promoted"), 1);

  const WeightsInfo before = read_weights_info(in_use_), after = read_weights_info(results_[0].weights);
  EXPECT_NE(after.hash, before.hash);
  EXPECT_NE(said("packing").find("60 frames"), std::string::npos) << said("packing");
  const std::string& trained = after.config;  // what was held out, 03:00 to 05:00, is no part of it
  EXPECT_NE(trained.find("2024-06-01T00:00Z/2024-06-01T02:59:59Z"), std::string::npos) << trained;
  EXPECT_NE(trained.find("learning_rate: 0.01"), std::string::npos);
  EXPECT_NE(trained.find("steps: 60"), std::string::npos);
  const auto scores = nlohmann::json::parse(test::read_text(run_folder() / "scores_new.json"));
  EXPECT_EQ(scores["cases"], 24 - 3 - 3 + 1);  // frames from 03:00 to 04:55
  EXPECT_FALSE(fs::exists(run_folder() / "training/checkpoints"));
  EXPECT_EQ(descriptors(), open);

  // The next day: the frames are there, and no more came. No rain was held out, so nothing is trained.
  round_at("2024-06-02T05:00Z");
  ASSERT_TRUE(until("idle"));
  EXPECT_TRUE(decided("2024-06-02T05:00Z: scoring failed") && decided("no case of 3 + 3 consecutive frames"))
      << decision();
  EXPECT_EQ(results_.size(), 1U);
}

TEST_F(FineTune, WeightsThatAreWorseAreKeptOutWithTheReason) {
  config_.schedule.learning_rate = 0.5;
  ASSERT_TRUE(whole_run()) << state();
  EXPECT_TRUE(decided("fine-tuned convlstm is worse than convlstm in use: squared error") &&
              decided("the weights in use are kept"))
      << decision();
  EXPECT_TRUE(results_.empty());
  EXPECT_EQ(count("kept"), 1);
}

TEST_F(FineTune, TooFewCasesDecideNothingAndNothingIsTrained) {
  config_.weights.min_cases = 20;  // 19 are there
  ASSERT_TRUE(whole_run()) << state();
  EXPECT_TRUE(decided("have 19 scored cases in common; 20 are needed")) << decision();
  EXPECT_FALSE(fs::exists(run_folder() / "training"));
  EXPECT_EQ(count("kept"), 1);
}

TEST_F(FineTune, RoundsNeverWaitForAChild) {
  config_.schedule.steps = 1000000;
  round_at("2024-06-01T04:50Z");
  round_at("2024-06-01T05:00Z");
  ASSERT_TRUE(until("training")) << decision();
  const pid_t child = tuning_->child();
  ::kill(-child, SIGSTOP);  // it will neither go on nor end
  for (int i = 0; i < 1000; ++i) round();
  EXPECT_EQ(tuning_->child(), child);
  EXPECT_EQ(state(), "training");
  ::kill(-child, SIGCONT);
}

TEST_F(FineTune, AChildThatIsKilledIsAReasonAndTheNextSetTimeTriesAgain) {
  config_.schedule.steps = 1000000;
  round_at("2024-06-01T04:50Z");
  round_at("2024-06-01T05:00Z");
  ASSERT_TRUE(until("training")) << decision();
  ASSERT_TRUE(test::wait_for_step(run_folder() / "training", 0));
  ::kill(tuning_->child(), SIGKILL);
  ASSERT_TRUE(until("idle"));
  EXPECT_TRUE(decided("training failed: it was ended by signal 9") && decided("the weights in use are kept"))
      << decision();
  EXPECT_EQ(count("failed"), 1);
  round_at("2024-06-01T23:00Z");
  EXPECT_EQ(state(), "idle");
  round_at("2024-06-02T05:01Z");
  EXPECT_EQ(state(), "packing");
}

TEST_F(FineTune, AChildThatTakesTooLongIsEnded) {
  config_.schedule.steps = 1000000;
  round_at("2024-06-01T04:50Z");
  round_at("2024-06-01T05:00Z");
  ASSERT_TRUE(until("training")) << decision();
  ASSERT_TRUE(test::wait_for_step(run_folder() / "training", 0));
  now_.steady += hours(6) + seconds(1);
  round();
  ASSERT_TRUE(until("idle"));
  EXPECT_TRUE(decided("training failed: it took longer than 6 h (schedule.longest)")) << decision();
  EXPECT_NE(said("training").find("stopped at step"), std::string::npos);  // it was asked first

  round_at("2024-06-02T05:00Z");  // and one that does not listen
  ::kill(-tuning_->child(), SIGSTOP);
  now_.steady += hours(6) + seconds(1);
  round();
  round();
  EXPECT_EQ(state(), "packing");
  now_.steady += seconds(31);
  round();
  ASSERT_TRUE(until("idle"));
  EXPECT_TRUE(decided("packing failed: it took longer")) << decision();
}

TEST_F(FineTune, WhatIsWrongWithTheConfigurationIsTheReason) {
  test::write_text(folder_ / "broken.yaml", "training: {stepz: 3}\n");
  config_.schedule.config = (folder_ / "broken.yaml").string();
  begin_again();
  ASSERT_TRUE(whole_run());
  EXPECT_TRUE(decided("training failed: ") && decided("training.stepz: there is no such key")) << decision();
  EXPECT_EQ(count("failed"), 1);
}

TEST_F(FineTune, AnotherNetworkIsRefused) {
  test::write_text(folder_ / "other.yaml", std::string(test::kSmallConfig) + "seed: 2\n");
  std::string text = test::kSmallConfig;
  text.replace(text.find("hidden: 6"), 9, "hidden: 8");
  test::write_text(folder_ / "other.yaml", text);
  config_.schedule.config = (folder_ / "other.yaml").string();
  ASSERT_TRUE(whole_run());
  EXPECT_TRUE(decided("belongs to another network than the configuration's")) << decision();
}

TEST_F(FineTune, AnEmptyFolderOrMissingWeightsAreAReason) {
  fs::create_directories(folder_ / "empty");
  config_.input = (folder_ / "empty").string();
  ASSERT_TRUE(whole_run());
  EXPECT_TRUE(decided("packing failed: ")) << decision();
  in_use_ = folder_ / "nowhere";
  round_at("2024-06-02T05:00Z");
  EXPECT_EQ(state(), "idle");
  EXPECT_TRUE(decided("nowhere")) << decision();
  EXPECT_EQ(count("failed"), 2);
}

TEST_F(FineTune, AShortArchiveIsAReason) {
  config_.schedule.holdout_s = 4 * 3600 + 45 * 60;  // leaves two frames
  ASSERT_TRUE(whole_run());
  EXPECT_TRUE(decided("training failed: ") && decided("no window of 3 + 3 consecutive frames")) << decision();
  config_.schedule.holdout_s = 30 * 3600;
  round_at("2024-06-02T05:00Z");
  ASSERT_TRUE(until("idle"));
  EXPECT_TRUE(decided("the archive begins at 2024-06-01T00:00Z")) << decision();
}

TEST_F(FineTune, AFolderThatCannotBeWrittenIsAReason) {
  test::write_text(folder_ / "fine-tuning", "in the way");
  ASSERT_NO_THROW(begin_again());
  round_at("2024-06-01T04:50Z");
  round_at("2024-06-01T05:00Z");
  EXPECT_EQ(state(), "idle");
  EXPECT_TRUE(decided("fine-tuning")) << decision();
  EXPECT_EQ(count("failed"), 1);
  round_at("2024-06-01T05:01Z");
  EXPECT_EQ(count("failed"), 1);
}

TEST_F(FineTune, AFullDiskIsAReasonAtWhateverStep) {
  fs::create_directories(folder_ / "fine-tuning");
  for (const int size : {4, 32, 64, 128, 256}) {  // KiB
    const pid_t service = ::fork();               // a file system of its own
    ASSERT_GE(service, 0);
    if (service == 0) {
      const std::string option = "size=" + std::to_string(size) + "k";
      if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          ::mount("none", (folder_ / "fine-tuning").c_str(), "tmpfs", 0, option.c_str()) != 0)
        ::_exit(2);
      begin_again();
      round_at("2024-06-01T04:50Z");
      round_at("2024-06-01T05:00Z");
      const bool ended = until("idle") && results_.empty() && count("failed") == 1;
      test::write_text(folder_ / std::to_string(size), decision());
      tuning_.reset();
      ::_exit(ended ? 0 : 1);
    }
    int status = 0;
    ::waitpid(service, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) GTEST_SKIP() << "no file system may be mounted here";
    const std::string reason = test::read_text(folder_ / std::to_string(size));
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << size << ": " << reason;
    EXPECT_TRUE(reason.find("disk") != std::string::npos || reason.find("make room") != std::string::npos)
        << size << ": " << reason;
  }
}

TEST_F(FineTune, OtherWeightsInUseMeanwhileAreKept) {
  config_.schedule.learning_rate = 1e-6;
  round_at("2024-06-01T04:50Z");
  round_at("2024-06-01T05:00Z");
  ASSERT_TRUE(until("training"));
  in_use_ = *world_ / "run/last.safetensors";
  ASSERT_TRUE(until("idle"));
  EXPECT_TRUE(decided("other weights have come into use meanwhile")) << decision();
  EXPECT_TRUE(results_.empty());
}

TEST_F(FineTune, ANewServiceGoesOnWhereOneWasStopped) {
  config_.schedule.steps = 400;
  round_at("2024-06-01T04:50Z");
  round_at("2024-06-01T05:00Z");
  ASSERT_TRUE(until("training")) << decision();
  ASSERT_TRUE(test::wait_for_step(run_folder() / "training", 40));
  begin_again();  // on the same day
  EXPECT_EQ(state(), "training");
  EXPECT_EQ(tuning_->child(), -1);
  round_at("2024-06-01T05:10Z");
  EXPECT_GT(tuning_->child(), 0);
  ASSERT_TRUE(until("idle"));
  EXPECT_NE(said("training").find("going on at step"), std::string::npos) << said("training");
  EXPECT_EQ(count("promoted") + count("kept"), 1) << decision();
  round();
  begin_again();  // and does not repeat it
  const std::string before = decision();
  EXPECT_FALSE(before.empty());
  round_at("2024-06-01T20:00Z");
  EXPECT_EQ(state(), "idle");
  EXPECT_EQ(decision(), before);
}

TEST_F(FineTune, ANewServiceEndsWhatAKilledOneLeft) {
  config_.schedule.steps = 1000000;
  for (int deaths = 0; deaths < 3; ++deaths) {
    const pid_t service = ::fork();
    ASSERT_GE(service, 0);
    if (service == 0) {
      begin_again();
      if (deaths == 0) round_at("2024-06-01T04:50Z");
      round_at("2024-06-01T05:00Z");
      until("training");
      test::write_text(folder_ / ("child" + std::to_string(deaths)), std::to_string(tuning_->child()) + "\n");
      ::sleep(120);
      ::_exit(0);
    }
    const fs::path file = folder_ / ("child" + std::to_string(deaths));
    for (int i = 0; i < 6000 && test::read_text(file).find('\n') == std::string::npos; ++i)
      std::this_thread::sleep_for(milliseconds(10));
    ASSERT_TRUE(test::wait_for_step(run_folder() / "training", 0));
    const auto child = static_cast<pid_t>(std::stol(test::read_text(file)));
    ::kill(service, SIGKILL);
    ::waitpid(service, nullptr, 0);
    begin_again();
    EXPECT_TRUE(mark_of(child).began.empty());
    EXPECT_EQ(state(), deaths < 2 ? "training" : "idle");
  }
  EXPECT_TRUE(decided("the service died 3 times beside it")) << decision();
}

TEST_F(FineTune, ASetTimeIsNeitherForgottenNorRepeated) {
  config_.input = (*world_ / "nowhere").string();  // each run fails at once
  const auto runs = [&] { return count("failed") + (state() == "idle" ? 0 : 1); };
  round_at("2024-06-01T09:00Z");  // a new service waits for its next set time
  EXPECT_EQ(runs(), 0);
  round_at("2024-06-02T04:59Z");
  EXPECT_EQ(runs(), 0);
  round_at("2024-06-02T05:00Z");
  EXPECT_EQ(runs(), 1);
  ASSERT_TRUE(until("idle"));
  round_at("2024-06-02T03:00Z");  // set back over the set time, and past it again
  round_at("2024-06-02T05:00Z");
  round_at("2024-06-02T05:30Z");
  EXPECT_EQ(runs(), 1);
  round();
  begin_again();  // away for two days and a half: one run
  round_at("2024-06-04T17:00Z");
  EXPECT_EQ(runs(), 1);
  ASSERT_TRUE(until("idle"));
  round_at("2024-06-04T17:01Z");
  EXPECT_EQ(runs(), 1);
  round_at("2030-01-01T06:00Z");  // a clock that was wrong
  EXPECT_EQ(runs(), 2);
  ASSERT_TRUE(until("idle"));
  round_at("2024-06-04T18:00Z");
  EXPECT_EQ(runs(), 2);
  round_at("2024-06-05T05:00Z");
  EXPECT_EQ(runs(), 3);
}

TEST_F(FineTune, ADamagedStateIsNoState) {
  fs::create_directories(folder_ / "fine-tuning");
  for (const char* text :
       {"", "[]", "{\"run\": 3, \"last_set_time\": 4}", "{\"run\": {\"step\": \"x\"}}", "{"}) {
    test::write_text(folder_ / "fine-tuning/state.json", text);
    begin_again();
    EXPECT_EQ(state(), "idle") << text;
    round_at("2024-06-01T06:00Z");
    EXPECT_EQ(state(), "idle") << text;
  }
}

TEST_F(FineTune, OnlyTheLastRunsStay) {
  config_.input = (*world_ / "nowhere").string();
  test::write_text(folder_ / "fine-tuning/notes.txt", "mine");
  round_at("2024-06-01T04:50Z");
  for (int day = 0; day < 5; ++day) {
    now_.wall = time("2024-06-01T05:00Z") + days(day);
    round();
    ASSERT_TRUE(until("idle"));
  }
  round();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_ / "fine-tuning"))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"20240603T0500Z", "20240604T0500Z", "20240605T0500Z"}));
}

TEST_F(FineTune, WithoutAScheduleNothingHappens) {
  config_.schedule.config.clear();
  begin_again();
  round_at("2024-06-01T04:50Z");
  round_at("2024-06-01T05:00Z");
  EXPECT_EQ(state(), "idle");
  EXPECT_FALSE(fs::exists(folder_ / "fine-tuning"));
}

TEST(ScheduleKeys, AreReadAndWrittenBack) {
  const std::string text =
      "input: in\noutput: out\nschedule:\n  config: radar.yaml\n  at: [03:00, \"15:30\"]\n  memory: 2GiB\n"
      "  holdout: 12h\n  backend: auto\n";
  const WatchConfig config = parse_watch_config(text, "watch.yaml", {});
  EXPECT_EQ(config.schedule.at_minutes, (std::vector<std::int64_t>{180, 930}));
  EXPECT_EQ(config.schedule.memory_bytes, std::int64_t{2} << 30);
  const WatchConfig again = parse_watch_config(resolved_text(config), "watch.yaml", {});
  EXPECT_EQ(resolved_text(again), resolved_text(config));
  EXPECT_EQ(again.schedule.at_minutes, config.schedule.at_minutes);

  const auto refused = [&](const std::string& setting) -> std::string {
    try {
      parse_watch_config(text, "watch.yaml", {setting});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  for (const char* at : {"24:00", "[3:00]", "[\"03:60\"]", "3", "[]", "[[03:00]]"})
    EXPECT_NE(refused(std::string("schedule.at=") + at).find("schedule.at"), std::string::npos) << at;
  EXPECT_NE(refused("schedule.memory=3").find("expected 0 or a size"), std::string::npos);
  EXPECT_NE(refused("schedule.archive=a.nc").find("expected a folder"), std::string::npos);
  EXPECT_NE(refused("forecaster=advection").find("there are no weights to train"), std::string::npos);
}

}  // namespace
}  // namespace raincell::app
