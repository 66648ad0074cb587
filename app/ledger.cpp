#include "app/ledger.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <stdexcept>

#include "io/publish.hpp"

namespace raincell::app {

namespace {

constexpr std::uint64_t kMostHeld = 64U << 20;  // bytes of forecasts that wait for a disk

LedgerSpec checked(LedgerSpec spec) {
  if (std::adjacent_find(spec.thresholds.begin(), spec.thresholds.end(), std::greater_equal<>()) !=
      spec.thresholds.end())
    throw std::invalid_argument("ledger: thresholds must ascend");
  if (spec.step_s < 1 || spec.hours < 1 || spec.days < 1 || spec.wait_s < 0)
    throw std::invalid_argument("ledger: step, hours and days are at least 1");
  return spec;
}

/// What went wrong; empty: nothing.
std::string attempt(const std::function<void()>& write) {
  try {
    write();
    return {};
  } catch (const io::WriteError& error) {
    return error.what();
  }
}

}  // namespace

Ledger::Ledger(const std::filesystem::path& folder, LedgerSpec spec, Log& log)
    : spec_(checked(std::move(spec))),
      log_(log),
      scores_(folder / "scores.jsonl", spec_.thresholds, log),
      pending_(folder / "pending", log) {
  if (!pending_.cases().empty()) tidy(pending_.cases().rbegin()->first);
  write();
}

void Ledger::expect(const IssuedForecast& issued) {
  pending_.add(issued, spec_.step_s);
  tidy(pending_.cases().rbegin()->first);
  write();
}

std::size_t Ledger::arrived(io::TimePoint time, std::span<const float> truth, const std::string& grid) {
  std::vector<std::pair<io::TimePoint, std::int64_t>> due;  // case, lead
  for (const auto& [when, one] : pending_.cases()) {
    const auto after_s = (time - when).count();
    const std::int64_t lead = after_s / one.step_s - 1;
    if (after_s <= 0 || after_s % one.step_s != 0 || lead >= one.leads) continue;
    const bool fits = one.grid == grid && truth.size() == static_cast<std::size_t>(one.rows * one.columns);
    if (fits && !scores_.has({when, one.lead_s(lead)})) due.emplace_back(when, lead);
  }
  std::size_t done = 0;
  for (const auto& [when, lead] : due) {
    const PendingCase& one = pending_.cases().at(when);
    auto scored = score(one, lead, truth);
    if (!scored) continue;
    scores_.add({when, one.lead_s(lead)}, std::move(*scored), {one.rung, one.status, one.model_sha256});
    ++done;
  }
  counts_.scored_leads += static_cast<std::int64_t>(done);
  write();
  return done;
}

/// nullopt where the forecast cannot be read; its case is gone then.
std::optional<ScoredLead> Ledger::score(const PendingCase& one, std::int64_t lead,
                                        std::span<const float> truth) {
  const auto at = static_cast<std::size_t>(lead);
  ScoredLead scored;
  try {
    pending_.read(one, one.latest, latest_);
    advected_.clear();
    if (!one.advected.empty()) pending_.read(one, one.advected[at], advected_);
    model::find_support(truth, latest_, advected_, support_);
    const auto add = [&](const std::string& name, std::span<const float> values) {
      if (values.empty() || scored.of(name) != nullptr) return;
      scored.scores.push_back({name, model::score_lead(support_, values, latest_, spec_.thresholds, field_)});
    };
    for (const PendingCase::Forecast& forecast : one.forecasts) {
      pending_.read(one, forecast.planes[at], values_);
      add(forecast.name, values_);
    }
    add("persistence", latest_);
    add("advection", advected_);
  } catch (const io::DataError& error) {
    counts_.unscored_leads += unscored(one);
    pending_.set_aside(one.time, error.what());
    return std::nullopt;
  }
  if (!one.forecasts.empty()) scored.issued = one.forecasts.front().name;
  return scored;
}

std::int64_t Ledger::unscored(const PendingCase& one) const {
  std::int64_t leads = 0;
  for (std::int64_t lead = 0; lead < one.leads; ++lead)
    leads += scores_.has({one.time, one.lead_s(lead)}) ? 0 : 1;
  return leads;
}

void Ledger::give_up(io::TimePoint time) {
  counts_.unscored_leads += unscored(pending_.cases().at(time));
  pending_.remove(time);
}

/// Ends what is too old, and what is too much.
void Ledger::tidy(io::TimePoint newest) {
  const auto too_old = newest - std::chrono::seconds(spec_.wait_s);
  std::vector<io::TimePoint> late;
  for (const auto& [time, one] : pending_.cases())
    if (one.valid(one.leads - 1) < too_old) late.push_back(time);
  for (const io::TimePoint time : late) give_up(time);
  while (pending_.held_bytes() > kMostHeld) {
    const auto held = std::find_if(pending_.cases().begin(), pending_.cases().end(),
                                   [](const auto& one) { return !one.second.held.empty(); });
    give_up(held->first);
  }
  scores_.forget_before(newest - std::chrono::hours(24) * spec_.days);
}

void Ledger::write() {
  const std::string of_scores = attempt([&] {
    scores_.save();
    std::vector<io::TimePoint> done;
    for (const auto& [time, one] : pending_.cases())
      if (unscored(one) == 0) done.push_back(time);
    // Once a forecast is removed, its scores can be had from nowhere else.
    if (!done.empty()) scores_.sync();
    for (const io::TimePoint time : done) pending_.remove(time);
  });
  const std::string of_pending = attempt([&] { pending_.save(); });
  const std::string& trouble = of_scores.empty() ? of_pending : of_scores;
  if (!trouble.empty() && trouble_.empty())
    log_.warning(trouble + "; scores of issued forecasts stay in memory until it can be written");
  if (trouble.empty() && !trouble_.empty()) log_.info("scores of issued forecasts: can be written again");
  trouble_ = trouble;
}

std::vector<LeadSkill> Ledger::summary(io::TimePoint now) const {
  return skill_of(scores_.scores(), {now - std::chrono::hours(spec_.hours), now});
}

nlohmann::ordered_json Ledger::skill(io::TimePoint now) const {
  auto json = skill_json(scores_.scores(), spec_.thresholds, now, spec_.hours, spec_.days);
  if (!json["issued"].is_null() || pending_.cases().empty()) return json;
  const PendingCase& newest = pending_.cases().rbegin()->second;
  if (!newest.forecasts.empty()) json["issued"] = newest.forecasts.front().name;
  return json;
}

std::optional<std::string> Ledger::drift(io::TimePoint now) const {
  return drift_of(scores_.scores(), now, spec_.hours, spec_.days);
}

Comparison Ledger::comparison(const std::string& a, const std::string& b, io::TimePoint since) const {
  return compare(scores_.scores(), a, b, since);
}

LedgerCounts Ledger::counts() const {
  LedgerCounts counts = counts_;
  for (const auto& [time, one] : pending_.cases()) {
    ++counts.pending_cases;
    counts.pending_leads += unscored(one);
  }
  return counts;
}

void Ledger::add_metrics(Exposition& out, io::TimePoint now) const {
  const LedgerCounts counts = this->counts();
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  out.add("scored_leads_total", "counter", "Leads of issued forecasts that were scored.",
          number(counts.scored_leads));
  out.add("unscored_leads_total", "counter", "Leads given up: their truth never came, or they were damaged.",
          number(counts.unscored_leads));
  out.add("pending_leads", "gauge", "Leads that wait for their truth.", number(counts.pending_leads));
  for (const LeadSkill& skill : summary(now)) {
    for (std::size_t k = 0; k < spec_.thresholds.size(); ++k)
      out.add("skill_csi", "gauge", "Critical success index of the last hours.", skill.score.tables[k].csi(),
              {{"forecaster", skill.forecaster},
               {"lead_minutes", fmt::format("{}", skill.lead_minutes)},
               {"threshold_mm_h", fmt::format("{}", spec_.thresholds[k])}});
  }
}

}  // namespace raincell::app
