// The scores of issued forecasts: in memory for as many days as asked for, and in scores.jsonl, a line a case
// and lead.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/log.hpp"
#include "io/frame.hpp"
#include "model/lead_score.hpp"

namespace raincell::app {

/// All forecasts of one case and lead, on the same pixels.
struct ScoredLead {
  std::string issued;  // which forecaster's was published; empty: none
  struct One {
    std::string forecaster;
    model::LeadScore score;
  };
  std::vector<One> scores;
  const model::LeadScore* of(const std::string& forecaster) const;  // null: it has none
};

/// A case by the time of its latest frame, and a lead in seconds.
using CaseLead = std::pair<io::TimePoint, std::int64_t>;
using Scores = std::map<CaseLead, ScoredLead>;

/// How the forecast was made.
struct Provenance {
  std::string rung, status, model_sha256;
};

/// Lines that cannot be read are left out with one warning, and duplicates count once. A line ends in a hash
/// of itself, so that a number with one bit turned over is no score.
class ScoreLog {
 public:
  /// Reads what is there; scores of other thresholds stay in the file and are not used.
  ScoreLog(std::filesystem::path file, std::vector<double> thresholds, Log&);

  bool has(const CaseLead& at) const { return scores_.contains(at); }
  void add(const CaseLead&, ScoredLead, const Provenance&);
  /// Writes lines that are not yet written, and now and then the whole file without those that are forgotten.
  /// Throws WriteError; what is left is tried again at the next call, of some days at most.
  void save();
  /// What save() wrote outlives a power failure. Throws WriteError.
  void sync() const;
  /// Cases before this time.
  void forget_before(io::TimePoint);
  const Scores& scores() const { return scores_; }

 private:
  void load();
  void compact();
  std::filesystem::path file_;
  std::vector<double> thresholds_;
  Log& log_;
  Scores scores_;
  std::deque<std::string> unsaved_;
  io::TimePoint first_;                     // older ones are forgotten
  std::size_t lines_ = 0, most_lines_ = 0;  // in the file, and before it is written anew
  bool damaged_ = false;                    // some of them
  bool unfinished_ = false;                 // the last one has no end
};

}  // namespace raincell::app
