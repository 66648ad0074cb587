// Drift and comparisons on scores made up by hand.
#include "app/issued_skill.hpp"

#include <gtest/gtest.h>

namespace raincell::app {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

const io::TimePoint kNow = *io::parse_time("2010-08-26T06:00Z");

/// 100 pixels, of which the truth has rain on 10 at 1 mm/h and on none at 30.
model::LeadScore score(double squared_error, std::int64_t hits) {
  model::LeadScore one;
  one.tables = {{hits, 10 - hits, 2, 88}, {0, 0, 0, 100}};
  one.sums.pixels = 100;
  one.sums.squared_error = squared_error;
  return one;
}

/// `leads` scores of a case every five minutes that are valid until `ago` before now.
void fill(Scores& scores, hours ago, std::int64_t leads, double persistence, double convlstm,
          const std::string& issued = "convlstm", std::int64_t hits = 5) {
  for (std::int64_t i = 0; i < leads; ++i) {
    ScoredLead& lead = scores[{kNow - ago - seconds(300 * (i + 1)), 300}];
    lead.issued = issued;
    lead.scores = {{"convlstm", score(convlstm, hits)}, {"persistence", score(persistence, 5)}};
  }
}

TEST(IssuedSkill, WorseThanPersistenceIsSaid) {
  Scores scores;
  fill(scores, hours(0), 120, 10, 10.4);
  EXPECT_FALSE(drift_of(scores, kNow, 24, 30));
  fill(scores, hours(0), 120, 10, 12);
  EXPECT_EQ(
      drift_of(scores, kNow, 24, 30),
      "In the last 24 hours the squared error of convlstm was 1.20 times that of persistence (120 scored "
      "leads).");
  EXPECT_FALSE(drift_of(scores, kNow + hours(24), 24, 30));
}

TEST(IssuedSkill, NothingIsSaidOfFewScoresOfDryDaysOrOfPersistenceItself) {
  Scores scores;
  fill(scores, hours(0), 99, 10, 20);
  EXPECT_FALSE(drift_of(scores, kNow, 24, 30));
  fill(scores, hours(0), 120, 10, 20, "persistence");
  EXPECT_FALSE(drift_of(scores, kNow, 24, 30));
  fill(scores, hours(0), 120, 0, 20);
  EXPECT_FALSE(drift_of(scores, kNow, 24, 30));
  fill(scores, hours(0), 120, 10, 20);
  for (auto& [at, lead] : scores)
    for (auto& one : lead.scores) one.score.tables.front() = {0, 0, 12, 88};
  EXPECT_FALSE(drift_of(scores, kNow, 24, 30));
}

TEST(IssuedSkill, AFallBelowTheMedianOfTheDaysBeforeIsSaid) {
  Scores scores;
  for (const auto& [day, error] : {std::pair{1, 5.}, {2, 6.}, {4, 5.5}})
    fill(scores, hours(24 * day), 120, 10, error);
  // Median skill .45, median distance .05: three deviations are .222.
  fill(scores, hours(0), 120, 10, 7.7);
  EXPECT_FALSE(drift_of(scores, kNow, 24, 30));
  fill(scores, hours(0), 120, 10, 7.8);
  EXPECT_EQ(
      drift_of(scores, kNow, 24, 30),
      "In the last 24 hours convlstm took 22 % from the squared error of persistence; the median of the 3 "
      "stretches before is 45 %.");
  EXPECT_FALSE(drift_of(scores, kNow, 24, 4));  // the fourth day before is not asked for: two are no median
  Scores steady;
  for (int day = 1; day < 9; ++day) fill(steady, hours(24 * day), 120, 10, 5);
  fill(steady, hours(0), 120, 10, 5.9);
  EXPECT_FALSE(drift_of(steady, kNow, 24, 30));  // less than .1
  fill(steady, hours(0), 120, 10, 6.1);
  EXPECT_TRUE(drift_of(steady, kNow, 24, 30));
}

/// A case at 300 s times `i` with two leads, and what candidate and convlstm got.
void add_case(Scores& scores, int i, double candidate, std::int64_t candidate_hits, double convlstm,
              std::int64_t convlstm_hits) {
  for (const std::int64_t lead_s : {300, 600}) {
    scores[{kNow + seconds(300 * i), lead_s}].scores = {{"convlstm", score(convlstm, convlstm_hits)},
                                                        {"candidate", score(candidate, candidate_hits)}};
  }
}

TEST(IssuedSkill, ForecastersAreComparedWhereBothHaveScores) {
  Scores scores;
  add_case(scores, 0, 10, 6, 20, 3);
  add_case(scores, 1, 20, 5, 30, 4);
  add_case(scores, 2, 1000, 0, 0, 10);
  scores[{kNow + seconds(600), 300}].scores.pop_back();
  scores.erase({kNow + seconds(600), 600});
  const Comparison both = compare(scores, "candidate", "convlstm", kNow);
  EXPECT_EQ(both.cases, 2);
  EXPECT_EQ(both.leads, 4);
  EXPECT_DOUBLE_EQ(both.of_a.sums.mse(), 60. / 400);
  EXPECT_DOUBLE_EQ(both.of_b.sums.mse(), 100. / 400);
  EXPECT_EQ(both.of_a.tables[0], (model::ContingencyTable{22, 18, 8, 352}));
  EXPECT_EQ(compare(scores, "candidate", "convlstm", kNow + seconds(1)).cases, 1);
  EXPECT_EQ(compare(scores, "candidate", "blend", kNow).cases, 0);
  const Verdict verdict = not_worse(both, 2);
  EXPECT_TRUE(verdict.not_worse);
  // 22 / 48 and 14 / 48; the truth never reached the second threshold.
  EXPECT_EQ(
      verdict.reason,
      "candidate is not worse than convlstm: squared error 0.15 and 0.25, mean CSI 0.4583 and 0.2917 (2 "
      "cases, 4 leads)");
}

TEST(IssuedSkill, NotWorseAllowsOnePercentOfErrorAndFiveThousandthsOfCsi) {
  const auto verdict = [](double error, std::int64_t hits) {
    Scores scores;
    ScoredLead& lead = scores[{kNow, 300}];
    lead.scores = {{"convlstm", score(100, 5)}, {"candidate", score(error, 5)}};
    for (auto& one : lead.scores) one.score.tables.front() = {500, 500, 0, 0};  // CSI .5
    lead.scores[1].score.tables.front() = {hits, 1000 - hits, 0, 0};
    return not_worse(compare(scores, "candidate", "convlstm", kNow), 1).not_worse;
  };
  EXPECT_TRUE(verdict(100.9, 496));
  EXPECT_FALSE(verdict(101.1, 600));
  EXPECT_FALSE(verdict(50, 494));
  EXPECT_FALSE(verdict(std::numeric_limits<double>::quiet_NaN(), 600));
  EXPECT_FALSE(verdict(std::numeric_limits<double>::infinity(), 600));
}

TEST(IssuedSkill, TooFewCasesOrNoRainAreNoProof) {
  Scores scores;
  add_case(scores, 0, 10, 6, 20, 3);
  Verdict verdict = not_worse(compare(scores, "candidate", "convlstm", kNow), 2);
  EXPECT_FALSE(verdict.not_worse);
  EXPECT_EQ(verdict.reason, "candidate and convlstm have 1 scored cases in common; 2 are needed");
  for (auto& [at, lead] : scores)
    for (auto& one : lead.scores) one.score.tables.front() = {0, 0, 3, 97};
  verdict = not_worse(compare(scores, "candidate", "convlstm", kNow), 1);
  EXPECT_FALSE(verdict.not_worse);
  EXPECT_EQ(verdict.reason, "no rain fell in the 1 cases that candidate and convlstm have in common");
  EXPECT_FALSE(not_worse(compare({}, "candidate", "convlstm", kNow), 0).not_worse);
}

}  // namespace
}  // namespace raincell::app
