// Scores every forecast of the rolling service once its truth is there, as `raincell verify` would.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "app/exposition.hpp"
#include "app/issued_skill.hpp"
#include "app/log.hpp"
#include "app/pending_forecasts.hpp"
#include "app/score_log.hpp"
#include "model/verification.hpp"

namespace raincell::app {

struct LedgerSpec {
  std::vector<double> thresholds = model::Protocol().thresholds;  // mm/h, ascending
  std::int64_t step_s = 300;                                      // between the leads
  int hours = 24;                                                 // of rolling scores
  int days = 30;                                                  // that scores are kept for
  std::int64_t wait_s = 6 * 3600;  // a truth that is later than the newest forecast by so much never comes
};

struct LedgerCounts {
  std::int64_t scored_leads = 0, unscored_leads = 0;  // since the start; unscored: given up
  std::int64_t pending_leads = 0, pending_cases = 0;
};

/// The state lies in the folder, pending/*.pending and scores.jsonl, so that a new Ledger goes on where one
/// was killed. What cannot be written is kept in memory, within bounds, and tried again at the next call; the
/// methods throw no WriteError. Persistence, and advection where frames were advected, are scored beside what
/// was issued. Times are those of the schedule, where frames may be some seconds off. Not for several threads
/// at once.
class Ledger {
 public:
  /// Throws std::invalid_argument for thresholds that do not ascend, or a step, hours or days below 1.
  Ledger(const std::filesystem::path& folder, LedgerSpec, Log&);

  /// Remembers a forecast; one of the same time as another takes its place for the leads that are not scored
  /// yet. Throws std::invalid_argument as PendingForecasts::add.
  void expect(const IssuedForecast&);
  /// Scores every lead that is valid at this time on this grid. Returns how many. A lead is scored once: a
  /// truth that is revised later changes nothing.
  std::size_t arrived(io::TimePoint, std::span<const float> truth, const std::string& grid);

  /// Of the last hours. By forecaster, then lead.
  std::vector<LeadSkill> summary(io::TimePoint now) const;
  /// The answer of /api/skill; "issued" is the forecaster issued most, or that of the newest forecast.
  nlohmann::ordered_json skill(io::TimePoint now) const;
  std::optional<std::string> drift(io::TimePoint now) const;
  /// Cases before `since` do not count.
  Comparison comparison(const std::string& a, const std::string& b, io::TimePoint since) const;
  LedgerCounts counts() const;
  /// Counts, and CSI of the last hours.
  void add_metrics(Exposition&, io::TimePoint now) const;
  /// What cannot be written, and why; empty: nothing.
  const std::string& trouble() const { return trouble_; }

 private:
  std::optional<ScoredLead> score(const PendingCase&, std::int64_t lead, std::span<const float> truth);
  std::int64_t unscored(const PendingCase&) const;
  void give_up(io::TimePoint);
  void tidy(io::TimePoint newest);
  void write();

  LedgerSpec spec_;
  Log& log_;
  ScoreLog scores_;
  PendingForecasts pending_;
  LedgerCounts counts_;  // since the start
  std::string trouble_;
  model::LeadSupport support_;
  std::vector<float> latest_, advected_, values_, field_;
};

}  // namespace raincell::app
