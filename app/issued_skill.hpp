// What the scores of issued forecasts say: the last hours, what changed, and which of two forecasters is
// better.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/score_log.hpp"

namespace raincell::app {

/// A stretch of time: leads that were valid after `from`, until `to`.
struct Window {
  io::TimePoint from, to;
};

/// One forecaster and lead, pooled over cases in the order of their times, as Verifier does.
struct LeadSkill {
  std::string forecaster;
  double lead_minutes = 0.;
  std::int64_t cases = 0;
  model::LeadScore score;
};
/// By forecaster, then lead.
std::vector<LeadSkill> skill_of(const Scores&, const Window&);

/// The forecaster whose forecasts were most often issued; empty: nothing was scored.
std::string issued_most(const Scores&, const Window&);

/// When the forecaster issued most is clearly worse than it should be, one sentence that says so. It is, in
/// the `hours` until `now`, when its squared error over all leads is more than 1.05 times that of persistence
/// on the same cases, or its skill (one less that ratio) lies below the median of the stretches of as many
/// hours before, of `days`, by more than 0.1 and more than three deviations (1.4826 times their median
/// distance from the median). A stretch counts with 100 scored leads, rain of the lowest threshold on one
/// pixel in a thousand of their truths, and an error of persistence; three stretches make a median.
std::optional<std::string> drift_of(const Scores&, io::TimePoint now, int hours, int days);

/// Two forecasters where both have a score.
struct Comparison {
  std::string a, b;
  std::int64_t cases = 0, leads = 0;  // in common; leads over all cases
  model::LeadScore of_a, of_b;        // pooled over them
};
/// since: cases before this time do not count.
Comparison compare(const Scores&, const std::string& a, const std::string& b, io::TimePoint since);

struct Verdict {
  bool not_worse = false;
  bool known = true;   // false: there were too few cases, or no rain in them
  std::string reason;  // one sentence, with the numbers
};
/// a is not worse than b where its squared error is at most 1 % higher, and its CSI, mean over the thresholds
/// that the truth reached, at most 0.005 lower. With fewer than `min_cases` cases, or no rain, it is not
/// known to be so.
Verdict not_worse(const Comparison&, std::int64_t min_cases);

/// The answer of /api/skill.
nlohmann::ordered_json skill_json(const Scores&, const std::vector<double>& thresholds, io::TimePoint now,
                                  int hours, int days);

}  // namespace raincell::app
