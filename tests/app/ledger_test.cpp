// Issued forecasts are scored as verify scores them, whatever happens to the process and the order of truths.
#include "app/ledger.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>

#include "tests/app/ledger_day.hpp"

namespace raincell::app {
namespace {

namespace fs = std::filesystem;
using test::Folder;
using test::read_text;

TEST(Ledger, ALeadIsScoredAsCountedByHand) {
  const Folder folder;
  Log log;
  Ledger ledger(folder.path(), at_one(), log);
  ledger.expect(small_case("convlstm", kHoles));
  EXPECT_EQ(ledger.counts().pending_leads, 1);
  EXPECT_EQ(ledger.skill(at_step(1))["issued"], "convlstm");
  EXPECT_EQ(ledger.arrived(at_step(1), kTruth, "grid"), 1U);
  const auto summary = ledger.summary(at_step(1));
  ASSERT_EQ(summary.size(), 3U);  // pixels 0, 4 and 5 count
  EXPECT_EQ(summary[0].forecaster, "advection");
  EXPECT_EQ(summary[0].score.tables[0], (model::ContingencyTable{3, 0, 0, 0}));
  EXPECT_EQ(summary[1].forecaster, "convlstm");  // 2 and 0 of persistence, and its own 0
  EXPECT_EQ(summary[1].score.tables[0], (model::ContingencyTable{1, 2, 0, 0}));
  EXPECT_EQ(summary[1].score.filled_pixels, 2);
  EXPECT_EQ(summary[2].forecaster, "persistence");
  EXPECT_EQ(summary[2].score.tables[0], (model::ContingencyTable{2, 1, 0, 0}));
  EXPECT_DOUBLE_EQ(summary[2].score.sums.mse(), 4. / 3);

  const auto json = ledger.skill(at_step(1));
  EXPECT_EQ(json["hours"], 24);
  EXPECT_EQ(json["scores"][2].dump(),
            "{\"forecaster\":\"persistence\",\"lead_minutes\":5.0,\"threshold_mm_h\":1.0,"
            "\"csi\":0.6666666666666666,\"bias\":0.6666666666666666,\"cases\":1}");
  EXPECT_EQ(
      json["errors"][0].dump(),
      "{\"forecaster\":\"advection\",\"lead_minutes\":5.0,\"mse\":0.0,\"mae\":0.0,\"me\":0.0,\"cases\":1}");
  EXPECT_EQ(json["issued"], "convlstm");
  EXPECT_TRUE(json["drift"].is_null());
  EXPECT_EQ(ledger.skill(at_step(1) + std::chrono::hours(24))["scores"].size(), 0U);

  Exposition out;
  ledger.add_metrics(out, at_step(1));
  for (const char* line :
       {"raincell_scored_leads_total 1\n", "raincell_pending_leads 0\n", "raincell_unscored_leads_total 0\n",
        "raincell_skill_csi{forecaster=\"advection\",lead_minutes=\"5\",threshold_mm_h=\"1\"} 1\n"})
    EXPECT_NE(out.text().find(line), std::string::npos) << out.text();
}

TEST(Ledger, ABaselineThatIsIssuedCountsOnceAndWithoutAdvectionTheSupportIsObserved) {
  const Folder folder;
  Log log;
  Ledger ledger(folder.path(), at_one(), log);
  ledger.expect(small_case("advection", kAdvected));
  IssuedForecast second = small_case("persistence", kLatest);
  second.time = at_step(1);
  second.advected = {};
  ledger.expect(second);
  ledger.arrived(at_step(1), kTruth, "grid");
  ledger.arrived(at_step(2), kTruth, "grid");
  const auto summary = ledger.summary(at_step(2));
  ASSERT_EQ(summary.size(), 2U);
  EXPECT_EQ(summary[0].score.tables[0], (model::ContingencyTable{3, 0, 0, 0}));  // of the first case alone
  EXPECT_EQ(summary[1].score.tables[0], (model::ContingencyTable{4, 2, 1, 0}));  // pixel 1 in the second one
  EXPECT_EQ(ledger.comparison("advection", "persistence", kBegin).cases, 1);
}

TEST(Ledger, IsWhatVerifySaysOnRandomFieldsWithMissingPixels) {
  const Day day(1, 40, 6, 7, 9);
  const Folder folder;
  Log log;
  Ledger ledger(folder.path(), {}, log);
  for (std::int64_t t = 0; t < day.frames; ++t) {
    if (t < day.cases()) ledger.expect(day.forecast(t));
    EXPECT_EQ(ledger.arrived(at_step(t), day.truth(t), "grid"),
              static_cast<std::size_t>(std::min({t, day.leads, day.frames - t, day.cases()})))
        << t;
  }
  expect_same(ledger.summary(day.end()), verified(day, day.cases()));
  EXPECT_EQ(files_in(folder / "pending"), 0U);
  EXPECT_EQ(ledger.counts().scored_leads, day.cases() * day.leads);
  EXPECT_EQ(ledger.counts().unscored_leads, 0);
}

TEST(Ledger, IsTheSameAfterADeathAtEveryPointAndWithTruthsOutOfOrder) {
  const Day day(2, 20, 4, 5, 6);
  const Folder folder;
  Log log;
  const auto reborn = [&] { return std::make_unique<Ledger>(folder.path(), LedgerSpec{}, log); };
  for (std::int64_t t = 0; t < day.cases(); ++t) reborn()->expect(day.forecast(t));
  std::vector<std::int64_t> order(static_cast<std::size_t>(day.frames));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 engine(3);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[engine() % i]);
  for (const std::int64_t t : order) {
    reborn()->arrived(at_step(t), day.truth(t), "grid");
    EXPECT_EQ(reborn()->arrived(at_step(t), day.truth(t), "grid"), 0U);  // a duplicate
    const std::vector<float> revised(static_cast<std::size_t>(day.rows * day.columns), 50);
    EXPECT_EQ(reborn()->arrived(at_step(t), revised, "grid"), 0U);
  }
  expect_same(reborn()->summary(day.end()), verified(day, day.cases()));
  EXPECT_EQ(reborn()->counts().pending_cases, 0);
  EXPECT_EQ(files_in(folder / "pending"), 0U);
}

TEST(Ledger, AKilledServiceGoesOnAsIfNothingHadHappened) {
  const Day day(4, 30, 4, 12, 12);
  const auto expected = verified(day, day.cases());
  for (const std::size_t lines : {1U, 9U, 30U, 64U, 90U}) {
    const Folder folder;
    const fs::path scores = folder / "scores.jsonl";
    const auto run = [&] {
      SilentLog log;
      Ledger ledger(folder.path(), {}, log);
      for (std::int64_t t = 0; t < day.frames; ++t) {
        ledger.arrived(at_step(t), day.truth(t), "grid");
        if (t < day.cases()) ledger.expect(day.forecast(t));
      }
      return ledger.summary(day.end());
    };
    const pid_t child = ::fork();
    if (child == 0) {
      run();
      ::_exit(0);
    }
    const auto written = [&] {
      const std::string text = fs::exists(scores) ? read_text(scores) : std::string();
      return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    };
    int status = 0;
    while (written() < lines && ::waitpid(child, &status, WNOHANG) == 0) ::usleep(200);
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, &status, 0), child) << "it ended by itself";
    expect_same(run(), expected);  // what was issued and scored before is met again
    EXPECT_EQ(files_in(folder.path()), 1U);
    EXPECT_EQ(written(), static_cast<std::size_t>(day.cases() * day.leads));
  }
}

TEST(Ledger, ATruthThatNeverComesIsCountedAndForgotten) {
  const Day day(5, 12, 3, 4, 4);
  const Folder folder;
  Log log;
  LedgerSpec spec;
  spec.wait_s = 2 * kStep;
  Ledger ledger(folder.path(), spec, log);
  ledger.expect(day.forecast(0));  // valid at 1, 2 and 3
  ledger.arrived(at_step(2), day.truth(2), "grid");
  ledger.expect(day.forecast(5));
  EXPECT_EQ(ledger.counts().unscored_leads, 0);
  ledger.expect(day.forecast(6));  // 3 lies more than two steps before
  EXPECT_EQ(ledger.counts().unscored_leads, 2);
  EXPECT_EQ(ledger.counts().pending_cases, 2);
  EXPECT_EQ(ledger.arrived(at_step(1), day.truth(1), "grid"), 0U);
  EXPECT_EQ(files_in(folder / "pending"), 2U);
  EXPECT_EQ(ledger.counts().pending_leads, 6);  // valid at 6 to 8, and at 7 to 9
}

TEST(Ledger, ATruthOfAnotherGridIsNoTruth) {
  const Day day(6, 6, 2, 4, 4), wider(6, 6, 2, 4, 5);
  const Folder folder;
  Log log;
  Ledger ledger(folder.path(), {}, log);
  ledger.expect(day.forecast(0));
  EXPECT_EQ(ledger.arrived(at_step(1), day.truth(1), "another"), 0U);
  EXPECT_EQ(ledger.arrived(at_step(1), wider.truth(1), "grid"), 0U);
  IssuedForecast moved = wider.forecast(1);
  moved.grid = "another";
  ledger.expect(moved);
  EXPECT_EQ(ledger.arrived(at_step(2), wider.truth(2), "another"), 1U);
  EXPECT_EQ(ledger.arrived(at_step(2), day.truth(2), "grid"), 1U);
  EXPECT_EQ(ledger.arrived(at_step(1), day.truth(1), "grid"), 1U);
  EXPECT_EQ(ledger.counts().pending_leads, 1);
}

TEST(Ledger, AForecastIssuedAgainTakesThePlaceOfTheFirst) {
  const Day day(7, 6, 2, 4, 4), again(8, 6, 2, 4, 4);
  const Folder folder, straight;
  Log log;
  Ledger ledger(folder.path(), {}, log), expected(straight.path(), {}, log);
  ledger.expect(day.forecast(0));
  ledger.expect(again.forecast(0));
  expected.expect(again.forecast(0));
  for (Ledger* one : {&ledger, &expected}) EXPECT_EQ(one->arrived(at_step(1), day.truth(1), "grid"), 1U);
  EXPECT_EQ(read_text(folder / "scores.jsonl"), read_text(straight / "scores.jsonl"));
}

TEST(Ledger, EqualFramesLieOnDiskOnce) {
  const Day day(16, 6, 4, 20, 20);
  const Folder folder;
  Log log;
  Ledger ledger(folder.path(), {}, log);
  std::vector<float> same;
  for (int lead = 0; lead < 4; ++lead) same.insert(same.end(), day.frame[0].begin(), day.frame[0].end());
  IssuedForecast issued = day.forecast(0);
  issued.advected = {};
  issued.forecasts = {{"persistence", same}};
  ledger.expect(issued);
  const auto one = fs::file_size(folder / "pending/20100826T0600Z.pending");
  issued = day.forecast(1);
  issued.forecasts.clear();  // four frames that differ, and the latest
  ledger.expect(issued);
  EXPECT_GT(fs::file_size(folder / "pending/20100826T0605Z.pending"), 3 * one);
}

TEST(Ledger, WhatDoesNotFitIsRefused) {
  const Day day(9, 4, 2, 4, 4);
  const Folder folder;
  Log log;
  Ledger ledger(folder.path(), {}, log);
  IssuedForecast one = day.forecast(0);
  one.forecasts[0].values = one.forecasts[0].values.first(5);
  EXPECT_THROW(ledger.expect(one), std::invalid_argument);
  one = day.forecast(0);
  one.forecasts[1].name = "convlstm";
  EXPECT_THROW(ledger.expect(one), std::invalid_argument);
  one = day.forecast(0);
  one.latest = one.latest.first(3);
  EXPECT_THROW(ledger.expect(one), std::invalid_argument);
  LedgerSpec spec;
  spec.thresholds = {2, 1};
  EXPECT_THROW(Ledger(folder.path(), spec, log), std::invalid_argument);
}

long resident_kb() {
  std::istringstream lines(read_text("/proc/self/status"));
  for (std::string word; lines >> word;) {
    long kb = 0;
    if (word == "VmRSS:" && lines >> kb) return kb;
  }
  return 0;
}

TEST(Ledger, ThousandsOfCyclesLeaveAFlatFolderAndFlatMemory) {
  const Day day(15, 50, 2, 4, 4);  // again and again
  const Folder folder;
  SilentLog log;
  LedgerSpec spec;
  spec.thresholds = {0.5, 5};
  spec.days = 1;
  spec.wait_s = 4 * kStep;
  Ledger ledger(folder.path(), spec, log);
  const std::size_t of_a_day = 2 * 288;  // leads
  std::size_t most_files = 0;
  std::uintmax_t most_bytes = 0, bytes_of_line = 0;
  long resident = 0;
  for (std::int64_t cycle = 0; cycle < 2000; ++cycle) {
    IssuedForecast issued = day.forecast(cycle % 40);
    issued.time = at_step(cycle);
    ledger.expect(issued);
    // One truth in fifty never comes.
    if (cycle % 50 != 7) ledger.arrived(at_step(cycle), day.truth(cycle % 50), "grid");
    most_files = std::max(most_files, files_in(folder / "pending"));
    most_bytes = std::max(most_bytes,
                          fs::exists(folder / "scores.jsonl") ? fs::file_size(folder / "scores.jsonl") : 0);
    if (cycle == 3) bytes_of_line = most_bytes / 5;
    if (cycle == 1000) resident = resident_kb();
  }
  EXPECT_LE(most_files, 9U);
  EXPECT_GT(most_files, 2U);
  EXPECT_LT(most_bytes, (of_a_day * 10 / 8 + 1200) * bytes_of_line);
  if (RAINCELL_IS_SANITIZED == 0) {  // else what is freed stays
    EXPECT_LT(resident_kb() - resident, 1024);
  }
  std::int64_t cases = 0;
  for (const LeadSkill& skill : ledger.summary(at_step(2000))) cases = std::max(cases, skill.cases);
  EXPECT_NEAR(static_cast<double>(cases), 288 * .98, 4);
  EXPECT_EQ(ledger.counts().unscored_leads, 2 * 2000 / 50);
}

}  // namespace
}  // namespace raincell::app
