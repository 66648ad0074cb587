// Damaged files and disks that cannot be written make no wrong score, and no end of the service.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>

#include "app/ledger.hpp"
#include "tests/app/ledger_day.hpp"

namespace raincell::app {
namespace {

namespace fs = std::filesystem;
using test::Folder;
using test::read_text;
using test::write_text;

/// Scores of the folder, after all truths of the day came.
std::pair<std::size_t, std::string> scored_in(const fs::path& folder, const Day& day) {
  SilentLog log;
  Ledger ledger(folder, {}, log);
  std::size_t scored = 0;
  for (std::int64_t t = 0; t < day.frames; ++t) scored += ledger.arrived(at_step(t), day.truth(t), "grid");
  const fs::path scores = folder / "scores.jsonl";
  return {scored, fs::exists(scores) ? read_text(scores) : std::string()};
}

TEST(Ledger, NoDamageToAForecastOnDiskMakesAWrongScore) {
  const Day day(10, 3, 2, 3, 3);
  const Folder folder;
  {
    Log log;
    Ledger(folder.path(), {}, log).expect(day.forecast(0));
  }
  ASSERT_EQ(files_in(folder / "pending"), 1U);
  const std::string name = test::files_below(folder / "pending").front();
  EXPECT_EQ(name, "20100826T0600Z.pending");
  const fs::path file = folder.path() / "pending" / name;
  const std::string bytes = read_text(file);
  const auto [all, right] = scored_in(folder.path(), day);
  ASSERT_EQ(all, 2U);
  const std::string first_line = right.substr(0, right.find('\n') + 1);
  const auto try_bytes = [&](const std::string& damaged, const std::string& what) {
    fs::remove_all(folder / "pending");
    fs::remove(folder / "scores.jsonl");
    fs::create_directory(folder / "pending");
    write_text(file, damaged);
    const auto [scored, text] = scored_in(folder.path(), day);
    EXPECT_LT(scored, 2U) << what;  // every byte is of some lead or of all
    EXPECT_EQ(text, scored == 1 ? first_line : "") << what;
    EXPECT_EQ(files_in(folder / "pending"), 1U) << what;
    EXPECT_TRUE(fs::exists(file.string() + ".damaged")) << what;
  };
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    try_bytes(damaged, "byte " + std::to_string(i));
    try_bytes(bytes.substr(0, i), "cut at " + std::to_string(i));
  }
  try_bytes(bytes + "x", "longer");
}

TEST(Ledger, NoDamageToTheScoresMakesAWrongOne) {
  const Day day(11, 4, 2, 3, 3);
  const Folder folder;
  const fs::path file = folder / "scores.jsonl";
  {
    Log own;
    Ledger ledger(folder.path(), {}, own);
    ledger.expect(day.forecast(0));
    ledger.arrived(at_step(1), day.truth(1), "grid");
    ledger.arrived(at_step(2), day.truth(2), "grid");
  }
  const std::string bytes = read_text(file);
  ASSERT_EQ(std::count(bytes.begin(), bytes.end(), '\n'), 2);
  SilentLog log;
  const std::vector<double> thresholds = LedgerSpec().thresholds;
  const Scores right = ScoreLog(file, thresholds, log).scores();
  const auto try_bytes = [&](const std::string& damaged, bool last, const std::string& what) {
    write_text(file, damaged);
    const ScoreLog read(file, thresholds, log);
    EXPECT_LT(read.scores().size(), last ? 3U : 2U) << what;
    for (const auto& [at, lead] : read.scores()) {
      ASSERT_TRUE(right.contains(at)) << what;
      for (const char* name : {"convlstm", "candidate", "persistence", "advection"}) {
        ASSERT_NE(lead.of(name), nullptr) << what;
        EXPECT_EQ(lead.of(name)->tables, right.at(at).of(name)->tables) << what;
        EXPECT_EQ(lead.of(name)->sums.product, right.at(at).of(name)->sums.product) << what;
      }
    }
  };
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    const bool last = i + 1 == bytes.size();  // the end of the last line may be missing
    try_bytes(damaged, last, "byte " + std::to_string(i));
    try_bytes(bytes.substr(0, i), last, "cut at " + std::to_string(i));
  }
}

TEST(Ledger, ATornLineIsLeftOutDuplicatesCountOnceAndOtherThresholdsAreNotMixedIn) {
  const Day day(12, 8, 2, 3, 3);
  const Folder folder;
  const fs::path file = folder / "scores.jsonl";
  Log log;
  const auto feed = [&](LedgerSpec spec, std::int64_t from, std::int64_t to) {
    Ledger ledger(folder.path(), spec, log);
    for (std::int64_t t = from; t < to; ++t) {
      ledger.arrived(at_step(t), day.truth(t), "grid");
      if (t < day.cases()) ledger.expect(day.forecast(t));
    }
    return ledger.summary(day.end());
  };
  feed({}, 0, 5);
  const std::string text = read_text(file);
  write_text(file, text + text + text.substr(0, 300));
  testing::internal::CaptureStderr();
  feed({}, 5, 6);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find(file.string() + ": line " + std::to_string(2 * 7 + 1) + " cannot be read"),
            std::string::npos)
      << said;
  std::string whole = read_text(file);
  whole.pop_back();  // the last line lacks its end, and is no worse for it
  write_text(file, whole);
  testing::internal::CaptureStderr();
  const auto summary = feed({}, 6, 8);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  expect_same(summary, verified(day, day.cases()));
  expect_same(feed({}, 8, 8), verified(day, day.cases()));

  LedgerSpec others;
  others.thresholds = {0.25};
  testing::internal::CaptureStderr();
  EXPECT_TRUE(feed(others, 8, 8).empty());
  EXPECT_NE(testing::internal::GetCapturedStderr().find("scores at other thresholds"), std::string::npos);
  expect_same(feed({}, 8, 8), verified(day, day.cases()));
}

TEST(Ledger, WhatIsNotFiniteIsReadAsItWasWritten) {
  const Folder folder;
  Log log;
  const std::vector<float> wild{std::numeric_limits<float>::infinity(), 0, 0, 0, 0, 0};
  {
    Ledger ledger(folder.path(), at_one(), log);
    ledger.expect(small_case("convlstm", wild));
    ledger.arrived(at_step(1), kTruth, "grid");
  }
  const auto summary = Ledger(folder.path(), at_one(), log).summary(at_step(1));
  ASSERT_EQ(summary.size(), 3U);
  EXPECT_EQ(summary[1].score.sums.squared_error, std::numeric_limits<double>::infinity());
  EXPECT_EQ(summary[1].score.tables[0], (model::ContingencyTable{1, 2, 0, 0}));
}

TEST(Ledger, FilesThatAreNotOursAreNamedAndSetAside) {
  const Folder folder;
  const fs::path pending = folder / "pending";
  fs::create_directories(pending / "folder.pending");
  ASSERT_EQ(::mkfifo((pending / "20100826T0600Z.pending").c_str(), 0600), 0);
  write_text(pending / "notes.txt", "mine");
  write_text(pending / ".20100826T0605Z.pending.1-0.tmp", "half");
  write_text(folder / ".scores.jsonl.1-0.tmp", "half");
  testing::internal::CaptureStderr();
  Log log;
  Ledger ledger(folder.path(), at_one(), log);
  const std::string said = testing::internal::GetCapturedStderr();
  for (const char* name : {"folder.pending", "20100826T0600Z.pending", "notes.txt"}) {
    EXPECT_NE(said.find(name + std::string(": is no ")), std::string::npos) << said;
    EXPECT_TRUE(fs::exists(pending / (name + std::string(".damaged"))));
  }
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 3);
  EXPECT_FALSE(fs::exists(pending / ".20100826T0605Z.pending.1-0.tmp"));
  EXPECT_FALSE(fs::exists(folder / ".scores.jsonl.1-0.tmp"));
  ledger.expect(small_case("convlstm", kHoles));
  fs::copy_file(pending / "20100826T0600Z.pending", pending / "20100826T0700Z.pending");
  testing::internal::CaptureStderr();
  EXPECT_EQ(Ledger(folder.path(), at_one(), log).counts().pending_cases, 1);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("20100826T0700Z.pending: is named as another case"),
            std::string::npos);
  fs::remove(pending / "20100826T0600Z.pending");
  testing::internal::CaptureStderr();
  EXPECT_EQ(ledger.arrived(at_step(1), kTruth, "grid"), 0U);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("20100826T0600Z.pending"), std::string::npos);
  EXPECT_EQ(ledger.counts().unscored_leads, 1);
}

TEST(Ledger, ADiskThatCannotBeWrittenIsSaidOnceAndLosesNothing) {
  const Day day(13, 16, 3, 4, 4);
  const Folder folder;
  const fs::path place = folder / "ledger";
  write_text(place, "in the way");
  testing::internal::CaptureStderr();
  Log log;
  {
    Ledger ledger(place, {}, log);
    for (std::int64_t t = 0; t < day.frames; ++t) {
      if (t == 9) fs::remove(place);
      ledger.arrived(at_step(t), day.truth(t), "grid");
      if (t < day.cases()) ledger.expect(day.forecast(t));
      EXPECT_EQ(ledger.trouble().empty(), t >= 9) << t << ledger.trouble();
      EXPECT_EQ(ledger.trouble().find(place.string()) != std::string::npos, t < 9);
    }
    expect_same(ledger.summary(day.end()), verified(day, day.cases()));
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 2) << said;
  EXPECT_NE(said.find("scores of issued forecasts: can be written again"), std::string::npos) << said;
  expect_same(Ledger(place, {}, log).summary(day.end()), verified(day, day.cases()));
}

TEST(Ledger, AForecastStaysUntilItsScoresAreWritten) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "needs /dev/full";
  const Day day(14, 12, 3, 4, 4);
  const Folder folder;
  SilentLog log;
  fs::create_symlink("/dev/full", folder / "scores.jsonl");
  const auto feed = [&] {
    Ledger ledger(folder.path(), {}, log);
    for (std::int64_t t = 0; t < day.frames; ++t) {
      ledger.arrived(at_step(t), day.truth(t), "grid");
      if (t < day.cases() && fs::is_symlink(folder / "scores.jsonl")) ledger.expect(day.forecast(t));
    }
    EXPECT_EQ(ledger.trouble().find("No space left") != std::string::npos,
              fs::is_symlink(folder / "scores.jsonl"));
    return ledger.summary(day.end());
  };
  expect_same(feed(), verified(day, day.cases()));
  EXPECT_EQ(files_in(folder / "pending"), static_cast<std::size_t>(day.cases()));
  fs::remove(folder / "scores.jsonl");
  expect_same(feed(), verified(day, day.cases()));  // from the forecasts on disk
  EXPECT_EQ(files_in(folder / "pending"), 0U);
}

}  // namespace
}  // namespace raincell::app
