// A training whose archive is damaged, or goes away under it.
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "tests/app/small_run.hpp"
#include "tests/io/archive_support.hpp"

namespace {

using namespace raincell;
using test::expect_ok;
using test::Folder;
using test::make_archive;
using test::run_raincell;
using test::says;
namespace fs = std::filesystem;

class ArchiveFault : public testing::Test {
 protected:
  void SetUp() override { make_archive(folder_, "odim"); }
  test::Outcome train(const std::string& run, const std::vector<std::string>& settings,
                      test::Limits limits = {}) {
    std::vector<std::string> words = {"train", "small.yaml", "--run", run, "--threads", "1"};
    for (const std::string& setting : settings) words.insert(words.end(), {"--set", setting});
    return run_raincell(folder_.path(), words, limits);
  }
  std::string weights(const std::string& run) const {
    return test::read_text(folder_ / run / "last.safetensors");
  }
  std::int64_t left_out(const std::string& run) const {
    std::int64_t count = -1;
    for (const auto& line : test::metrics_of(folder_ / run)) count = line.value("left_out", count);
    return count;
  }
  /// A long run that something is done to after its second checkpoint.
  template <class Do>
  test::Outcome meanwhile(const std::string& run, const std::vector<std::string>& settings, const Do& act) {
    test::Outcome outcome;
    std::thread training([&] { outcome = train(run, settings); });
    EXPECT_TRUE(test::wait_for_step(folder_ / run, 4));
    act();
    training.join();
    return outcome;
  }
  Folder folder_;
};

TEST_F(ArchiveFault, SamplesWithADamagedFrameAreLeftOutAndCountedAlsoAfterAResume) {
  const std::string whole = test::read_text(folder_ / "archive.nc");
  const std::vector<std::string> settings = {"training.steps=20", "data.validation=0",
                                             "data.rain_weighting=0", "training.checkpoint_every=3"};
  expect_ok(train("whole", settings));
  EXPECT_EQ(left_out("whole"), 0);
  io::damage_frame(folder_ / "archive.nc", 14);  // one of 29: 3.4 %
  const auto damaged = train("damaged", settings);
  expect_ok(damaged);
  EXPECT_TRUE(
      says(damaged, "archive.nc: the frame of ") &&
      says(damaged, "its bytes are not those that were packed; pack it again; samples with it are left out"))
      << damaged.err;
  const std::int64_t out = left_out("damaged");
  EXPECT_GT(out, 0);
  EXPECT_LT(out, 40);
  EXPECT_TRUE(weights("damaged") != weights("whole"));
  const std::string metrics = test::read_text(folder_ / "damaged/metrics.prom");
  EXPECT_NE(metrics.find("raincell_train_samples_left_out_total " + std::to_string(out) + "\n"),
            std::string::npos)
      << metrics;
  const std::string status = run_raincell(folder_.path(), {"status", "damaged"}).out;
  EXPECT_NE(status.find(std::to_string(out) + " samples with an unreadable frame"), std::string::npos)
      << status;

  // In pieces: the same bytes, and none is counted twice or forgotten.
  for (const char* steps : {"training.steps=7", "training.steps=13", "training.steps=20"}) {
    std::vector<std::string> piece = settings;
    piece[0] = steps;
    piece.emplace_back("schedule.kind=constant");
    expect_ok(train("pieces", piece));
  }
  std::vector<std::string> at_once = settings;
  at_once.emplace_back("schedule.kind=constant");
  expect_ok(train("at_once", at_once));
  EXPECT_TRUE(weights("pieces") == weights("at_once"));
  EXPECT_EQ(left_out("pieces"), left_out("at_once"));

  std::vector<std::string> strict = settings;
  strict.emplace_back("data.unreadable=0.01");
  const auto refused = train("strict", strict);
  EXPECT_EQ(refused.code, 3) << refused.err;
  EXPECT_TRUE(says(refused, "1 of ") && says(refused, "more than data.unreadable (0.01) allows"))
      << refused.err;
}

TEST_F(ArchiveFault, AnArchiveThatIsRemovedUnderARunIsReadToItsEnd) {
  const std::vector<std::string> settings = {"training.steps=300"};
  expect_ok(train("whole", settings));
  const auto outcome = meanwhile("run", settings, [&] {
    fs::rename(folder_ / "archive.nc", folder_ / "gone.nc"), fs::remove(folder_ / "gone.nc");
  });
  expect_ok(outcome);
  EXPECT_TRUE(weights("run") == weights("whole"));
  const auto again = train("run", {"training.steps=310"});
  EXPECT_EQ(again.code, 3);
  EXPECT_TRUE(says(again, "archive.nc: there is no such archive")) << again.err;
}

TEST_F(ArchiveFault, AnArchiveThatIsCutShortUnderARunEndsItWithAReasonAndItGoesOnWithTheWholeOne) {
  const std::vector<std::string> settings = {"training.steps=400", "schedule.kind=constant",
                                             "data.rain_weighting=0"};
  expect_ok(train("whole", settings));
  fs::copy_file(folder_ / "archive.nc", folder_ / "copy.nc");
  const auto outcome = meanwhile("run", settings, [&] {
    fs::resize_file(folder_ / "archive.nc", fs::file_size(folder_ / "archive.nc") / 4);
  });
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  EXPECT_TRUE(says(outcome, "cut short") &&
              says(outcome, "the same command goes on from the last checkpoint"))
      << outcome.err;
  fs::rename(folder_ / "copy.nc", folder_ / "archive.nc");
  const auto resumed = train("run", settings);
  expect_ok(resumed);
  EXPECT_TRUE(says(resumed, "going on at step ")) << resumed.err;
}

}  // namespace
