// Trainings of several processes, as mpirun starts them: one curve, one end, and who is to blame.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
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
using Json = nlohmann::json;
namespace fs = std::filesystem;
using std::chrono::seconds;
using std::chrono::steady_clock;

class Mpi : public testing::Test {
 protected:
  void SetUp() override {
    // Two cores must do for three ranks, and containers run as root.
    for (const char* name :
         {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe"})
      ::setenv(name, "1", 1);
    const auto here = run_raincell(folder_.path(), {"--version"}, {.under = {"mpirun", "-n", "2"}});
    if (here.code != 0) GTEST_SKIP() << "mpirun does not run here: " << here.err;
    make_archive(folder_, "odim");
  }
  static std::vector<std::string> mpirun(int ranks) { return {"mpirun", "-n", std::to_string(ranks)}; }
  std::vector<std::string> train(const std::string& run, int steps) const {
    return {"train",     "small.yaml",
            "--run",     run,
            "--threads", "1",
            "--set",     "training.batch=4",
            "--set",     "schedule.kind=constant",
            "--set",     "training.checkpoint_every=4",
            "--set",     "training.accumulation=2",
            "--set",     "training.steps=" + std::to_string(steps)};
  }
  test::Outcome go(int ranks, const std::string& run, int steps) {
    test::Limits limits;
    if (ranks > 1) limits.under = mpirun(ranks);
    return run_raincell(folder_.path(), train(run, steps), limits);
  }
  std::map<std::string, double> curve(const std::string& run) const {
    std::map<std::string, double> values;
    for (const Json& json : test::metrics_of(folder_ / run)) {
      for (const char* key : {"loss", "validation_loss", "gradient_norm"})
        if (json.contains(key)) values[key + json["step"].dump()] = json[key].get<double>();
    }
    return values;
  }
  /// The process of a rank that works in this test's folder; 0: there is none.
  pid_t process_of(int rank) const {
    const std::string wanted = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::error_code none;
      if (fs::read_symlink(entry.path() / "cwd", none) != folder_.path() || none) continue;
      const std::string all = test::read_text(entry.path() / "environ");
      if (('\0' + all).find('\0' + wanted + '\0') != std::string::npos)
        return std::stoi(entry.path().filename());
    }
    return 0;
  }
  /// A long run of two ranks that one of them is done something to after its second checkpoint.
  struct Blamed {
    test::Outcome outcome;
    pid_t process = 0;
    double seconds = 0.;
  };
  Blamed strike(const std::string& run, int rank, int signal) {
    Blamed blamed;
    std::thread all([&] { blamed.outcome = go(2, run, 100000); });
    EXPECT_TRUE(test::wait_for_step(folder_ / run, 8));
    const auto begin = steady_clock::now();
    blamed.process = process_of(rank);
    if (blamed.process > 0) ::kill(blamed.process, signal);
    all.join();
    blamed.seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
    return blamed;
  }
  Folder folder_;
};

TEST_F(Mpi, TwoRanksGiveTheCurveOfOneAndAnyNumberGoesOn) {
  expect_ok(go(1, "one", 12));
  expect_ok(go(2, "two", 12));
  const auto one = curve("one"), two = curve("two");
  ASSERT_EQ(one.size(), two.size());
  for (const auto& [key, value] : one) EXPECT_NEAR(two.at(key), value, 1e-3 * value) << key;

  expect_ok(go(2, "mixed", 4));
  const auto alone = go(1, "mixed", 8);
  expect_ok(alone);
  EXPECT_TRUE(says(alone, "ranks (2 -> 1)")) << alone.err;
  const auto three = go(3, "mixed", 12);
  expect_ok(three);
  EXPECT_TRUE(says(three, "ranks (1 -> 3)") && says(three, "going on at step 8 of 12")) << three.err;
  const auto mixed = curve("mixed");
  for (const char* key : {"validation_loss12", "gradient_norm10"})
    EXPECT_NEAR(mixed.at(key), one.at(key), 1e-3 * one.at(key)) << key;

  // The same number of ranks ends in the same bits, interrupted or not.
  expect_ok(go(2, "again", 4));
  expect_ok(go(2, "again", 12));
  const auto tensors = [&](const std::string& run) {
    const std::string bytes = test::read_text(folder_ / run / "last.safetensors");
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    return bytes.substr(sizeof header + header);
  };
  EXPECT_EQ(tensors("again"), tensors("two"));
}

TEST_F(Mpi, ADeadRankEndsAllByNameAndTheSameCommandGoesOn) {
  for (const int rank : {1, 0}) {
    const std::string run = "killed" + std::to_string(rank);
    const Blamed dead = strike(run, rank, SIGKILL);
    ASSERT_GT(dead.process, 0);
    EXPECT_NE(dead.outcome.code, 0);
    EXPECT_LT(dead.seconds, 30.);
    EXPECT_TRUE(says(dead.outcome, "rank " + std::to_string(rank) + " "))
        << dead.outcome.err;  // mpirun says so
    const auto latest = fs::read_symlink(folder_ / run / "checkpoints/latest").string();
    const auto resumed = go(2, run, static_cast<int>(std::stoll(latest.substr(5))) + 4);
    expect_ok(resumed);
    EXPECT_TRUE(says(resumed, "going on at step ")) << resumed.err;
  }
}

TEST_F(Mpi, AStoppedRankEndsAllByNameWithCode8) {
  for (const int rank : {1, 0}) {
    const Blamed stopped = strike("stopped" + std::to_string(rank), rank, SIGSTOP);
    ASSERT_GT(stopped.process, 0);
    EXPECT_EQ(stopped.outcome.code, 8) << stopped.outcome.err;
    EXPECT_LT(stopped.seconds, 30.);
    const std::string who =
        "rank " + std::to_string(rank) + " of 2 (process " + std::to_string(stopped.process);
    EXPECT_TRUE(says(stopped.outcome, who) && says(stopped.outcome, "has not been heard of"))
        << stopped.outcome.err;
  }
}

TEST_F(Mpi, SigtermSavesAndEndsWith143) {
  const Blamed asked = strike("asked", 1, SIGTERM);
  EXPECT_EQ(asked.outcome.code, 143) << asked.outcome.err;
  EXPECT_TRUE(says(asked.outcome, "saving a checkpoint")) << asked.outcome.err;
  EXPECT_TRUE(fs::exists(folder_ / "asked/last.safetensors"));
}

/// Ranks started with something else, or that fail where the others do not.
TEST_F(Mpi, ARankThatIsStartedWithSomethingElseIsNamed) {
  const auto pair = [&](const std::vector<std::string>& first, const std::vector<std::string>& second) {
    std::vector<std::string> words = first;
    words.insert(words.end(), {":", "-n", "1", RAINCELL_PROGRAM});
    words.insert(words.end(), second.begin(), second.end());
    const auto begin = steady_clock::now();
    const auto outcome = run_raincell(folder_.path(), words, {.under = mpirun(1)});
    EXPECT_LT(steady_clock::now() - begin, seconds(30));
    return outcome;
  };
  std::vector<std::string> good = train("run", 4), other = good, lost = good, broken = good;
  other.insert(other.end(), {"--set", "seed=9"});
  lost.insert(lost.end(), {"--set", "data.archive=nowhere.nc"});
  const auto disagree = pair(good, other);
  EXPECT_EQ(disagree.code, 2) << disagree.err;
  EXPECT_TRUE(says(disagree, "the ranks disagree") && says(disagree, "rank 1 of 2 (process ") &&
              says(disagree, "has another configuration"))
      << disagree.err;
  for (const bool first : {true, false}) {
    const auto absent = first ? pair(lost, good) : pair(good, lost);
    EXPECT_EQ(absent.code, 3) << absent.err;
    EXPECT_TRUE(says(absent, "nowhere.nc") && says(absent, first ? "rank 0 of 2" : "rank 1 of 2"))
        << absent.err;
  }
  // Only the first rank sees the folder; the second must not wait for it.
  test::write_text(folder_ / "taken", "a file");
  const auto taken = run_raincell(folder_.path(), train("taken", 4), {.under = mpirun(2)});
  EXPECT_EQ(taken.code, 5) << taken.err;
  const auto few =
      run_raincell(folder_.path(), {"train", "small.yaml", "--run", "few"}, {.under = mpirun(3)});
  EXPECT_EQ(few.code, 2);
  EXPECT_TRUE(says(few, "2 samples are too few for 3 ranks")) << few.err;
}

}  // namespace
