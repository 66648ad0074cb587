// The folder of a run: what it refuses, what it goes on with, what it keeps.
#include "app/run_directory.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "io/frame.hpp"
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

class Run : public testing::Test {
 protected:
  void SetUp() override { make_archive(folder_, "odim"); }
  test::Outcome train(std::vector<std::string> more, test::Limits limits = {}) {
    std::vector<std::string> words = {"train", "small.yaml", "--run", "run", "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return run_raincell(folder_.path(), words, limits);
  }
  std::vector<std::string> checkpoints() const {
    std::vector<std::string> names;
    for (const std::string& name : test::files_below(folder_ / "run/checkpoints"))
      if (name.find(".json") != std::string::npos) names.push_back(name);
    names.erase(std::unique(names.begin(), names.end()), names.end());  // latest is one of them
    return names;
  }
  Folder folder_;
};

TEST_F(Run, AnotherConfigurationIsRefusedKeyByKeyOrGoesOnWhereThatIsMeant) {
  expect_ok(train({}));
  const std::string weights = test::read_text(folder_ / "run/last.safetensors");
  const auto refused = train({"--set", "data.crop=16x16", "--set", "seed=2", "--set", "training.steps=8"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_TRUE(says(refused, "data.crop: 32x32 -> 16x16") && says(refused, "seed: 1 -> 2") &&
              says(refused, "--fresh") && says(refused, "--force"))
      << refused.err;
  EXPECT_FALSE(says(refused, "training.steps")) << refused.err;
  EXPECT_EQ(test::read_text(folder_ / "run/last.safetensors"), weights);

  const auto longer = train({"--set", "training.steps=8", "--set", "optimizer.learning_rate=5e-4"});
  expect_ok(longer);
  EXPECT_TRUE(says(longer, "training.steps: 6 -> 8") && says(longer, "optimizer.learning_rate: ") &&
              says(longer, "going on at step 6 of 8"))
      << longer.err;
  ASSERT_EQ(test::events_of(folder_ / "run", "resumed").size(), 1U);
  EXPECT_EQ(test::events_of(folder_ / "run", "resumed")[0]["changes"].size(), 2U);

  const auto forced = train({"--set", "training.steps=9", "--set", "optimizer.learning_rate=5e-4", "--set",
                             "data.flips=true", "--force"});
  expect_ok(forced);
  EXPECT_TRUE(says(forced, "data.flips: false -> true") && says(forced, "going on at step 8 of 9"))
      << forced.err;
  // Not even by force: these weights belong to another network. And the run is still the one it was.
  const auto network = train({"--set", "training.steps=9", "--set", "optimizer.learning_rate=5e-4", "--set",
                              "data.flips=true", "--set", "model.tendency=true", "--force"});
  EXPECT_EQ(network.code, 7);
  EXPECT_TRUE(says(network, "another model")) << network.err;
  const auto same = train(
      {"--set", "training.steps=9", "--set", "optimizer.learning_rate=5e-4", "--set", "data.flips=true"});
  expect_ok(same);
  EXPECT_FALSE(says(same, "another configuration")) << same.err;
}

TEST_F(Run, AnotherArchiveIsRefusedOrForced) {
  expect_ok(train({}));
  expect_ok(run_raincell(
      folder_.path(), {"simulate", "--output", "other", "--frames", "30", "--size", "40x36", "--seed", "4"}));
  expect_ok(run_raincell(folder_.path(), {"pack", "other", "--output", "other.nc"}));
  const std::vector<std::string> other = {"--set", "data.archive=other.nc", "--set", "training.steps=8"};
  const auto refused = train(other);
  EXPECT_EQ(refused.code, 2);
  EXPECT_TRUE(says(refused, "another archive") && says(refused, "--fresh")) << refused.err;
  std::vector<std::string> force = other;
  force.emplace_back("--force");
  const auto forced = train(force);
  expect_ok(forced);
  EXPECT_TRUE(says(forced, "another archive, and goes on with this one")) << forced.err;
}

TEST_F(Run, DamagedCheckpointsAreSetAsideAndTheOneBeforeIsTaken) {
  expect_ok(train({}));
  const std::string whole = test::read_text(folder_ / "run/last.safetensors");
  const fs::path newest = test::state_file(folder_ / "run", 6), before = test::state_file(folder_ / "run", 4);
  const fs::path manifest_file = folder_ / "run/checkpoints/step-000000006.json";
  const std::string good = test::read_text(newest), manifest = test::read_text(manifest_file);
  const auto damaged = [&](const char* what, const std::string& expected) {
    const auto outcome = train({});
    expect_ok(outcome);
    EXPECT_TRUE(says(outcome, expected) && says(outcome, "set aside") && says(outcome, "going on at step 4"))
        << what << ": " << outcome.err;
    EXPECT_TRUE(fs::exists(fs::path(manifest_file).concat(".corrupt"))) << what;
    EXPECT_EQ(test::read_text(folder_ / "run/last.safetensors"), whole) << what;
    EXPECT_EQ(test::read_text(newest), good) << what;  // saved again
  };
  fs::resize_file(newest, good.size() / 2);
  damaged("truncated", "instead of");
  std::string flipped = good;
  flipped[flipped.size() - 5] = static_cast<char>(flipped[flipped.size() - 5] ^ 4);
  test::write_text(newest, flipped);
  damaged("one bit", "hash of the state is wrong");
  fs::remove(newest);
  damaged("no state", "is missing");
  test::write_text(manifest_file, manifest.substr(0, manifest.size() / 2));
  damaged("half a manifest", "no JSON object");

  // When none is valid, it does not start over.
  test::write_text(newest, "x");
  test::write_text(before, "x");
  const auto none = train({});
  EXPECT_EQ(none.code, 7);
  EXPECT_TRUE(says(none, "no checkpoint is valid") && says(none, "--fresh")) << none.err;
  const auto again = train({});
  EXPECT_EQ(again.code, 7) << again.err;
  expect_ok(train({"--fresh"}));
  EXPECT_EQ(test::read_text(folder_ / "run/last.safetensors"), whole);
}

/// What cannot be read now may be whole: it keeps its name, and the run goes on from another one.
TEST_F(Run, ACheckpointThatTheDiskDoesNotReadIsPassedOverAndKeepsItsName) {
  if (const std::string why = test::no_strace(folder_); !why.empty()) GTEST_SKIP() << why;
  expect_ok(train({}));
  const std::string whole = test::read_text(folder_ / "run/last.safetensors");
  const std::string manifest = "run/checkpoints/step-000000006.json";
  const std::string state = fs::relative(test::state_file(folder_ / "run", 6), folder_.path());
  for (const std::string& file : {state, manifest}) {
    for (const char* call : {"?pread64", "?openat", "?newfstatat,?fstat,?statx"}) {
      const auto outcome = train({}, {.under = test::strace(call, "error=EIO", 0, file)});
      const std::string what = file + " " + call + ": " + outcome.err;
      ASSERT_EQ(outcome.code, 0) << what;
      EXPECT_TRUE(says(outcome, file + ": ") && says(outcome, "Input/output error") &&
                  says(outcome, "another checkpoint is taken"))
          << what;
      EXPECT_TRUE(says(outcome, "going on at step 4 of 6")) << what;
      EXPECT_FALSE(says(outcome, "set aside")) << what;
      for (const std::string& name : test::files_below(folder_ / "run"))
        EXPECT_EQ(name.find(".corrupt"), std::string::npos) << name << " after " << what;
      EXPECT_EQ(test::read_text(folder_ / "run/last.safetensors"), whole) << what;
    }
  }
  const std::string before = test::read_text(folder_ / "run/checkpoints/step-000000004.json");
  std::vector<std::string> none = test::strace("?pread64", "error=EIO", 0, manifest);
  none.insert(none.end(), {"-P", "run/checkpoints/step-000000004.json"});
  const auto unread = train({}, {.under = none});
  EXPECT_EQ(unread.code, 7) << unread.err;
  EXPECT_TRUE(says(unread, "no checkpoint is valid; mend the disk, or start anew with --fresh"))
      << unread.err;
  EXPECT_EQ(test::read_text(folder_ / "run/checkpoints/step-000000004.json"), before);
  const auto mended = train({});
  expect_ok(mended);
  EXPECT_TRUE(says(mended, "going on at step 6 of 6")) << mended.err;
}

TEST_F(Run, ACheckpointOfAnotherVersionIsRefusedAndKept) {
  expect_ok(train({}));
  const fs::path file = folder_ / "run/checkpoints/step-000000006.json";
  Json manifest = Json::parse(test::read_text(file));
  manifest["format"] = manifest["format"].get<int>() - 1;
  manifest.erase("manifest_sha256");  // which the version before did not have
  test::write_text(file, manifest.dump(1) + "\n");
  const auto refused = train({});
  EXPECT_EQ(refused.code, 7) << refused.err;
  EXPECT_TRUE(says(refused, "of another version of raincell") && says(refused, "--fresh")) << refused.err;
  EXPECT_TRUE(fs::exists(file) && !test::state_file(folder_ / "run", 6).empty());
}

TEST_F(Run, AHistoryWithoutCheckpointsIsNotStartedOver) {
  expect_ok(train({}));
  for (const std::string& name : test::files_below(folder_ / "run/checkpoints"))
    fs::remove(folder_ / "run/checkpoints" / name);
  const auto refused = train({});
  EXPECT_EQ(refused.code, 7);
  EXPECT_TRUE(says(refused, "metrics.jsonl is left") && says(refused, "no checkpoint is") &&
              says(refused, "--fresh"))
      << refused.err;
  expect_ok(train({"--fresh"}));
}

TEST_F(Run, KeepsTheNewestAndEveryManyth) {
  expect_ok(train({"--set", "training.steps=20", "--set", "training.checkpoint_every=2", "--set",
                   "training.keep_checkpoints=2", "--set", "training.keep_every=8"}));
  EXPECT_EQ(checkpoints(),
            (std::vector<std::string>{"step-000000000.json", "step-000000008.json", "step-000000016.json",
                                      "step-000000018.json", "step-000000020.json"}));
  EXPECT_EQ(fs::read_symlink(folder_ / "run/checkpoints/latest"), "step-000000020.json");
}

TEST_F(Run, NobodyWhoListensAndNoMemoryAreNoReasonToLoseARun) {
  // stdout and stderr are closed pipes from the start.
  run_raincell(folder_.path(), {"train", "small.yaml", "--run", "unheard", "--threads", "1"},
               {.under = {"sh", "-c", "\"$0\" \"$@\" 2>&1 | true"}});
  expect_ok(train({}));
  EXPECT_EQ(test::read_text(folder_ / "unheard/last.safetensors"),
            test::read_text(folder_ / "run/last.safetensors"));
  if (RAINCELL_IS_SANITIZED) return;  // a sanitizer reserves terabytes
  // The address space is bounded after the libraries are loaded and before a batch fits.
  const auto small = run_raincell(
      folder_.path(),
      {"train", "small.yaml", "--run", "small", "--threads", "1", "--force", "--set", "training.batch=1000"},
      {.under = {"sh", "-c", "ulimit -v 450000; exec \"$0\" \"$@\""}});
  EXPECT_EQ(small.code, 5) << small.err;
  EXPECT_TRUE(says(small, "no memory for") && says(small, "smaller batch")) << small.err;
}

/// Two checkpoints of 200 kB, as a training would save them.
class Damage : public testing::Test {
 protected:
  Damage() : directory_(folder_ / "run", "seed: 1\n", {}, log_) {
    save(2);
    good_ = save(4);
    manifest_ = folder_ / "run/checkpoints/step-000000004.json";
    state_ = test::state_file(folder_ / "run", 4);
    manifest_text_ = test::read_text(manifest_);
    state_text_ = test::read_text(state_);
  }
  app::Checkpoint save(std::int64_t step) {
    app::Position p;
    p.updates = p.window_updates = step;
    p.batches = 3 * step;
    p.best_validation = 0.00153083561263406;
    p.best_step = step - 1;
    p.rollbacks = 1;
    p.skipped = p.window_skipped = 2;
    p.spikes = {7, -6.942983975160106, 1e-9, 0.};
    p.archives = "497bbd67cba3ab91310e9071a6359db2e35b7b1699bfea1ea721041fbb085e26";
    p.environment = R"({"threads":1,"place":"M\u00fcnchen"})";
    std::vector<std::byte> state(200000);
    for (std::byte& byte : state) byte = static_cast<std::byte>(random_() & 255U);
    directory_.save(p, state, {}, log_);
    return {p, state};
  }
  /// The newest checkpoint while a file has other bytes; then it has the right ones again.
  void look(const fs::path& file, const std::string& bytes, const std::string& what) {
    test::write_text(file, bytes);
    testing::internal::CaptureStderr();
    const auto found = directory_.newest(log_);
    const std::string said = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(found) << what;
    if (found->position.updates == 4) {  // only a manifest that says the same in other letters
      ++harmless_;
      ASSERT_EQ(file, manifest_) << what;
      ASSERT_EQ(text_of(*found), text_of(good_)) << what;
      ASSERT_EQ(found->state, good_.state) << what;
    } else {
      ++found_;
      ASSERT_EQ(found->position.updates, 2) << what;
      ASSERT_NE(said.find("step-000000004.json: the checkpoint is damaged ("), std::string::npos)
          << what << ": " << said;
      ASSERT_NE(said.find("set aside as .corrupt; another is taken"), std::string::npos) << said;
      for (const fs::path& each : {manifest_, state_}) {
        ASSERT_FALSE(fs::exists(each)) << what;
        ASSERT_TRUE(fs::remove(fs::path(each).concat(".corrupt"))) << what;
      }
    }
    test::write_text(manifest_, manifest_text_);
    test::write_text(state_, state_text_);
  }
  static std::string text_of(const app::Checkpoint& checkpoint) {
    return app::manifest_text({checkpoint.position, "step-", 0, ""});
  }
  static std::string flipped(std::string bytes, std::size_t bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    return bytes;
  }
  Folder folder_;
  app::Log log_;
  std::mt19937_64 random_{5};
  app::RunDirectory directory_;
  app::Checkpoint good_;
  fs::path manifest_, state_;
  std::string manifest_text_, state_text_;
  int found_ = 0, harmless_ = 0;
};

TEST_F(Damage, WhereverAStateOrAManifestEndsTooEarlyTheOneBeforeIsTaken) {
  for (std::size_t bytes = 0; bytes < state_text_.size(); bytes += 4096)
    ASSERT_NO_FATAL_FAILURE(look(state_, state_text_.substr(0, bytes), std::to_string(bytes) + " bytes"));
  EXPECT_EQ(found_, 49);
  // Without its last line end it still says all of it.
  for (std::size_t bytes = 0; bytes + 1 < manifest_text_.size(); bytes += 64)
    ASSERT_NO_FATAL_FAILURE(look(manifest_, manifest_text_.substr(0, bytes), std::to_string(bytes)));
  EXPECT_EQ(harmless_, 0);
}

TEST_F(Damage, WhicheverBitIsTurnedOverTheOneBeforeIsTaken) {
  for (int i = 0; i < 200; ++i) {
    for (const bool of_state : {true, false}) {
      const std::string& text = of_state ? state_text_ : manifest_text_;
      const std::size_t bit = random_() % (8 * text.size());
      ASSERT_NO_FATAL_FAILURE(look(of_state ? state_ : manifest_, flipped(text, bit),
                                   (of_state ? "state, bit " : "manifest, bit ") + std::to_string(bit)));
    }
  }
  std::cout << found_ << " found, " << harmless_ << " change nothing\n";
  EXPECT_GT(found_, 390);
}

/// No bit of a manifest makes another number of one of its numbers, nor another version of this one.
TEST_F(Damage, EveryBitOfAManifestIsFoundOrSaysTheSame) {
  int same = 0;
  for (std::size_t bit = 0; bit < 8 * manifest_text_.size(); ++bit) {
    try {
      const app::Manifest manifest = app::parse_manifest(flipped(manifest_text_, bit));
      ASSERT_EQ(app::manifest_text(manifest), manifest_text_) << "bit " << bit;
      ++same;
    } catch (const io::DataError&) {
    }
  }
  EXPECT_LT(same, 10);
}

/// Whatever is kept, the newest is there, and no manifest is without its state.
TEST(RunDirectory, RetentionKeepsWhatItSaysInAnyOrderOfSteps) {
  const Folder folder;
  app::Log log;
  std::uint64_t random = 1;
  for (int round = 0; round < 30; ++round) {
    const fs::path run = folder / ("run" + std::to_string(round));
    const app::RunDirectory directory(run, "seed: 1\n", {}, log);
    const auto draw = [&](std::uint64_t below) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      return static_cast<std::int64_t>((random >> 33) % below);
    };
    const app::Retention retention{1 + draw(4), draw(3) * 5, draw(2) * 12};
    std::int64_t step = 0;
    std::map<std::int64_t, bool> saved;
    for (int save = 0; save < 25; ++save) {
      step += draw(7);
      app::Position position;
      position.updates = step;
      position.archives = "a";
      position.environment = "{}";
      directory.save(position, std::vector<std::byte>(static_cast<std::size_t>(1 + draw(50))), retention,
                     log);
      saved[step] = true;
      ASSERT_EQ(directory.newest(log)->position.updates, step);
      std::int64_t newer = 0;
      bool reached = retention.reach == 0;
      for (auto each = saved.rbegin(); each != saved.rend(); ++each) {
        const bool far = !reached && each->first <= step - retention.reach && each->second;
        reached = reached || far;
        const bool due = each->second && (newer < retention.newest || far ||
                                          (retention.every > 0 && each->first % retention.every == 0));
        newer += each->second ? 1 : 0;
        each->second = due;
        std::ostringstream name;
        name << "step-" << std::string(9 - std::to_string(each->first).size(), '0') << each->first;
        const bool manifest = fs::exists(run / "checkpoints" / (name.str() + ".json"));
        const bool state = !test::state_file(run, each->first).empty();
        ASSERT_EQ(manifest, due) << each->first;
        ASSERT_EQ(state, due) << each->first;
      }
    }
  }
}

/// The lock goes with the folder, and nothing keeps a second training from a new one of that name.
TEST_F(Run, AFolderThatIsReplacedUnderATrainingIsLeftToWhoeverIsThereNow) {
  for (const bool replaced : {true, false}) {
    test::Outcome first;
    std::thread trainer([&] {
      first = train({"--set", "training.steps=1000000", "--set", "data.validation=0"});
    });
    EXPECT_TRUE(test::wait_for_step(folder_ / "run", 2));
    fs::rename(folder_ / "run", folder_ / "away");
    if (replaced) expect_ok(train({}));
    trainer.join();
    EXPECT_EQ(first.code, 5) << first.err;
    EXPECT_TRUE(says(first, "run: the folder was removed or replaced while this training worked in it"))
        << first.err;
    if (replaced) {
      EXPECT_EQ(fs::read_symlink(folder_ / "run/checkpoints/latest"), "step-000000006.json");
    }
    fs::remove_all(folder_ / "run");
    fs::remove_all(folder_ / "away");
  }
}

TEST_F(Run, TwoTrainersOnOneFolderAreOneTooMany) {
  const std::vector<std::string> long_run = {"--set", "training.steps=100000", "--set", "data.validation=0"};
  test::Outcome first;
  std::thread trainer([&] { first = train(long_run); });
  EXPECT_TRUE(test::wait_for_step(folder_ / "run", 2));
  const auto second = train(long_run);
  const auto status = run_raincell(folder_.path(), {"status", "run", "--json"});
  const Json running = Json::parse(status.out);
  const std::string who = running.value("trainer", "");
  if (who.rfind("process ", 0) == 0)
    ::kill(std::stoi(who.substr(8)), SIGTERM);  // as a user would who reads it
  trainer.join();
  EXPECT_EQ(who.rfind("process ", 0), 0U) << who;
  EXPECT_EQ(second.code, 2);
  EXPECT_TRUE(says(second, "another raincell (" + who + ") trains there")) << second.err;
  EXPECT_EQ(running["state"], "running");
  EXPECT_EQ(running["steps"], 100000);

  EXPECT_EQ(first.code, 143) << first.err;
  EXPECT_TRUE(says(first, "saving a checkpoint") && says(first, "the same command goes on there"))
      << first.err;
  EXPECT_TRUE(fs::exists(folder_ / "run/last.safetensors"));
  const Json stopped = Json::parse(run_raincell(folder_.path(), {"status", "run", "--json"}).out);
  EXPECT_EQ(stopped["state"], "stopped");
  EXPECT_TRUE(stopped["trainer"].is_null());
  EXPECT_EQ(stopped["checkpoint"], fs::read_symlink(folder_ / "run/checkpoints/latest").string());
  const auto text = run_raincell(folder_.path(), {"status", "run"});
  EXPECT_NE(text.out.find("run: stopped"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("stopped by a signal at step"), std::string::npos) << text.out;
  const auto nowhere = run_raincell(folder_.path(), {"status", "radar"});
  EXPECT_EQ(nowhere.code, 2);
  EXPECT_TRUE(says(nowhere, "radar: is neither the folder of a training")) << nowhere.err;
}

}  // namespace
