// Trainings of several processes, as mpirun starts them: one curve, one end, and who is to blame.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
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

/// How soon all must end; the default tier runs beside others on machines of any speed.
constexpr seconds kEnd(EVERY_FAULT ? 30 : 180);

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
  test::Outcome go(int ranks, const std::string& run, int steps, const std::vector<std::string>& more = {}) {
    test::Limits limits;
    if (ranks > 1) limits.under = mpirun(ranks);
    std::vector<std::string> words = train(run, steps);
    words.insert(words.end(), more.begin(), more.end());
    return run_raincell(folder_.path(), words, limits);
  }
  /// Two ranks, one of which fails at one of its calls of MPI, as rank_fault.cpp says.
  test::Outcome fail(const std::string& run, int steps, int rank, int call, const std::string& fault) {
    test::Limits limits{.under = mpirun(2)};
    for (const std::string& variable :
         {std::string("LD_PRELOAD=" RANK_FAULT), "RAINCELL_TEST_RANK=" + std::to_string(rank),
          "RAINCELL_TEST_CALL=" + std::to_string(call), "RAINCELL_TEST_FAULT=" + fault,
          "RAINCELL_TEST_CALLS=" + (folder_ / (run + ".calls")).string()})
      limits.under.insert(limits.under.end(), {"-x", variable});
    return run_raincell(folder_.path(), train(run, steps), limits);
  }
  /// What the rank that fails called of MPI, in its order.
  std::vector<std::string> calls_of(const std::string& run) const {
    std::vector<std::string> calls;
    std::istringstream lines(test::read_text(folder_ / (run + ".calls")));
    for (std::string line; std::getline(lines, line);) calls.push_back(line);
    return calls;
  }
  /// The last weights, without the header, which names the ranks.
  std::string tensors(const std::string& run) const {
    const std::string bytes = test::read_text(folder_ / run / "last.safetensors");
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    return bytes.substr(sizeof header + header);
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
  Blamed strike(const std::string& run, int rank, const std::function<void(pid_t)>& what,
                const std::vector<std::string>& more = {}) {
    Blamed blamed;
    std::thread all([&] { blamed.outcome = go(2, run, 100000, more); });
    EXPECT_TRUE(test::wait_for_step(folder_ / run, 8));
    const auto begin = steady_clock::now();
    blamed.process = process_of(rank);
    if (blamed.process > 0) what(blamed.process);
    all.join();
    blamed.seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
    return blamed;
  }
  Blamed strike(const std::string& run, int rank, int signal) {
    return strike(run, rank, [signal](pid_t process) { ::kill(process, signal); });
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
  EXPECT_EQ(tensors("again"), tensors("two"));
}

TEST_F(Mpi, ADeadRankEndsAllByNameAndTheSameCommandGoesOn) {
  for (const int rank : {1, 0}) {
    const std::string run = "killed" + std::to_string(rank);
    const Blamed dead = strike(run, rank, SIGKILL);
    ASSERT_GT(dead.process, 0);
    EXPECT_NE(dead.outcome.code, 0);
    EXPECT_LT(dead.seconds, kEnd.count());
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
    EXPECT_LT(stopped.seconds, kEnd.count());
    const std::string who =
        "rank " + std::to_string(rank) + " of 2 (process " + std::to_string(stopped.process);
    EXPECT_TRUE(says(stopped.outcome, who) && says(stopped.outcome, "has not been heard of"))
        << stopped.outcome.err;
  }
}

/// Holds the main thread of a process, while its others run, until the process ends. Returns why it may not.
std::string hold_main_thread(pid_t process, const std::function<void()>& once_held) {
  if (::ptrace(PTRACE_SEIZE, process, nullptr, nullptr) != 0 ||
      ::ptrace(PTRACE_INTERRUPT, process, nullptr, nullptr) != 0) {
    const std::string why = std::strerror(errno);
    once_held();
    ::kill(process, SIGTERM);
    return why;
  }
  // Whoever traces it is told of its end first; its parent would wait for that.
  for (int status = 0; ::waitpid(process, &status, __WALL) == process && WIFSTOPPED(status);) once_held();
  return "";
}

/// In work of its own, as a rule; in the slow tier also while it waits in MPI, whose locks it may then hold.
TEST_F(Mpi, AStuckRankSaysWhereItIsAndEndsAllByNameWithCode8) {
  for (int in_mpi = 0; in_mpi < (EVERY_FAULT ? 4 : 1); ++in_mpi) {
    std::string refused;
    // Steps long enough that it is not held in a save, which may take its time.
    const Blamed stuck = strike("stuck" + std::to_string(in_mpi), 1,
                                [&](pid_t process) {
                                  std::this_thread::sleep_for(std::chrono::milliseconds(200));
                                  const pid_t other = process_of(0);
                                  if (in_mpi != 0) {
                                    ::kill(other, SIGSTOP);
                                    std::this_thread::sleep_for(seconds(1));
                                  }
                                  refused = hold_main_thread(process, [&] {
                                    if (in_mpi != 0) ::kill(other, SIGCONT);
                                  });
                                },
                                {"--set", "training.accumulation=40"});
    ASSERT_GT(stuck.process, 0) << stuck.outcome.err;
    if (!refused.empty()) GTEST_SKIP() << "no thread can be held here: " << refused;
    EXPECT_EQ(stuck.outcome.code, 8) << stuck.outcome.err;
    EXPECT_LT(stuck.seconds, kEnd.count()) << stuck.outcome.err;
    const std::string process = std::to_string(stuck.process);
    EXPECT_TRUE(says(stuck.outcome, "error: rank 1 of 2 (process " + process) &&
                says(stuck.outcome, "has not got on for") && says(stuck.outcome, "it is stuck"))
        << stuck.outcome.err;
    EXPECT_TRUE(says(stuck.outcome, "thread " + process + " (") &&
                says(stuck.outcome, "): state t, waits in ") && says(stuck.outcome, "it takes no signal"))
        << stuck.outcome.err;
  }
}

TEST_F(Mpi, ARankThatHangsInACallOfMpiSaysWhereItIsAndEndsAllByNameWithCode8) {
  expect_ok(fail("whole", 8, 0, 0, ""));
  const std::vector<std::string> calls = calls_of("whole");
  const auto sum = std::find(calls.rbegin(), calls.rend(), "MPI_Alltoallv");
  ASSERT_NE(sum, calls.rend());
  const auto begin = steady_clock::now();
  const auto hung = fail("hung", 8, 0, static_cast<int>(calls.rend() - sum), "hang");
  EXPECT_LT(steady_clock::now() - begin, kEnd);
  EXPECT_EQ(hung.code, 8) << hung.err;
  EXPECT_TRUE(says(hung, "error: rank 0 of 2 (process ") && says(hung, "has not got on for") &&
              says(hung, "it is stuck in a call of MPI"))
      << hung.err;
  const auto where = hung.err.find("the main thread, the innermost call first");
  ASSERT_NE(where, std::string::npos) << hung.err;
  EXPECT_NE(hung.err.find("raincell-mpi.so", where), std::string::npos) << hung.err;  // who called it
  expect_ok(go(2, "hung", 8));
  EXPECT_EQ(tensors("hung"), tensors("whole"));
}

/// exit(3) before a call of MPI or after it, in either rank, from the first one to the last; by default one
/// of the two in turn.
TEST_F(Mpi, ARankThatExitsEndsAllByNameAndTheSameCommandGoesOn) {
  const int steps = 8;
  int faults = 0;
  for (const int rank : {0, 1}) {
    const std::string whole = "whole" + std::to_string(rank);
    expect_ok(fail(whole, steps, rank, 0, ""));
    const std::vector<std::string> calls = calls_of(whole);
    std::vector<int> sums, saves;  // numbers of the sums of gradients, and of the hashes of states after them
    for (std::size_t i = 0; i + 1 < calls.size(); ++i) {
      if (calls[i] == "MPI_Alltoallv") sums.push_back(static_cast<int>(i) + 1);
      // A sum of numbers is an Allgather alone; texts are gathered after their lengths.
      if (calls[i] == "MPI_Allgather" && calls[i + 1] == "MPI_Allgatherv" && !sums.empty())
        saves.push_back(static_cast<int>(i) + 1);
    }
    ASSERT_EQ(calls.front(), "MPI_Init_thread");
    ASSERT_EQ(calls[calls.size() - 2], "MPI_Barrier");
    ASSERT_EQ(calls.back(), "MPI_Finalize");
    ASSERT_GE(sums.size(), 8U);
    ASSERT_GE(saves.size(), 2U);
    const auto last = static_cast<int>(calls.size());
    const std::vector<std::pair<std::string, int>> points = {
        {"init", 1},   {"first", sums.front()},     {"mid", sums[sums.size() / 2]}, {"save", saves.front()},
        {"end", last}, {"before the end", last - 1}};
    for (std::size_t i = 0; i < points.size() - (EVERY_FAULT ? 0 : 1); ++i) {
      for (int after = 0; after < 2; ++after) {
        if (!EVERY_FAULT && (static_cast<int>(i) + rank) % 2 != after) continue;
        const auto& [point, call] = points[i];
        const std::string fault = after != 0 ? "after" : "before";
        const std::string run = point + ", " + fault + ", rank " + std::to_string(rank);
        const auto begin = steady_clock::now();
        const auto outcome = fail(run, steps, rank, call, fault);
        EXPECT_LT(steady_clock::now() - begin, kEnd) << run << ": " << outcome.err;
        ASSERT_EQ(calls_of(run).size(), static_cast<std::size_t>(call)) << run << ": " << outcome.err;
        EXPECT_NE(outcome.code, 0) << run << ": " << outcome.err;
        const std::string name = std::to_string(rank);  // "Process name: [[4711,1],0]", or ours
        EXPECT_TRUE(says(outcome, ",1]," + name + "]") || says(outcome, "rank " + name + " of 2"))
            << run << ": " << outcome.err;
        ++faults;
        const auto resumed = go(2, run, steps);
        ASSERT_EQ(resumed.code, 0) << run << ": " << resumed.err;
        EXPECT_EQ(says(resumed, "going on at step "), point != "init") << run << ": " << resumed.err;
        EXPECT_EQ(tensors(run), tensors(whole)) << run;
      }
    }
  }
  EXPECT_EQ(faults, EVERY_FAULT ? 24 : 10);
}

/// Gradients that the devices sum among themselves, here by shared memory in the place of NCCL, or that go
/// over the hosts because they cannot: the same bits.
TEST_F(Mpi, DevicesSumAmongThemselvesWhereTheyCan) {
  const auto on_devices = [&](const std::string& run, const char* variable) {
    std::vector<std::string> words = train(run, 6);
    words.insert(words.end(), {"--backend", "cuda"});
    std::vector<std::string> under = mpirun(2);
    if (*variable != '\0') {
      ::setenv(variable, "1", 1);
      under.insert(under.end(), {"-x", variable});
    }
    const auto outcome =
        run_raincell(folder_.path(), words, {.under = under, .program = RAINCELL_CUDA_ON_HOST});
    if (*variable != '\0') ::unsetenv(variable);
    expect_ok(outcome);
    return outcome;
  };
  const auto devices = on_devices("devices", "");
  EXPECT_TRUE(says(devices, "gradients are summed on the GPUs: shared memory")) << devices.err;
  const auto one = on_devices("one", "RAINCELL_TEST_ONE_GPU");
  EXPECT_TRUE(says(one, "over the hosts") && says(one, "rank 0 of 2 (process ") &&
              says(one, "are on one GPU (GPU-0)"))
      << one.err;
  const auto without = on_devices("without", "RAINCELL_TEST_NO_NCCL");
  EXPECT_TRUE(says(without, "over the hosts") && says(without, "NCCL cannot be loaded")) << without.err;
  EXPECT_TRUE(tensors("devices") == tensors("one"));
  EXPECT_TRUE(tensors("devices") == tensors("without"));
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
    EXPECT_LT(steady_clock::now() - begin, kEnd);
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
