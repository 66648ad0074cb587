#include "app/issued_skill.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace raincell::app {

namespace {

using std::chrono::hours;

constexpr std::int64_t kDriftLeads = 100;
constexpr double kDriftWet = 0.001;  // share of the pixels
constexpr double kDriftAbove = 1.05;
constexpr std::size_t kDriftStretches = 3;
constexpr double kDriftFall = 0.1, kDriftDeviations = 3.;
constexpr double kSigma = 1.4826;  // of a normal distribution, over its median absolute deviation

constexpr double kErrorAllowed = 1.01, kCsiAllowed = 0.005;

bool within(const CaseLead& at, const Window& window) {
  const io::TimePoint valid = at.first + std::chrono::seconds(at.second);
  return valid > window.from && valid <= window.to;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// A forecaster beside persistence, on the same leads.
struct Stretch {
  std::int64_t leads = 0;
  model::LeadScore own, persistence;

  double ratio() const { return own.sums.squared_error / persistence.sums.squared_error; }
  /// Whether it says anything.
  bool counts() const {
    if (leads < kDriftLeads || !(persistence.sums.squared_error > 0) || own.tables.empty()) return false;
    const auto& lowest = own.tables.front();
    return static_cast<double>(lowest.hits + lowest.misses) >=
           kDriftWet * static_cast<double>(lowest.pixels());
  }
};

/// The newest stretch first.
std::vector<Stretch> stretches_of(const Scores& scores, const std::string& forecaster, io::TimePoint now,
                                  hours length, std::int64_t most) {
  std::vector<Stretch> stretches(static_cast<std::size_t>(most));
  for (const auto& [at, lead] : scores) {
    const auto age = now - (at.first + std::chrono::seconds(at.second));
    const model::LeadScore* own = lead.of(forecaster);
    const model::LeadScore* persistence = lead.of("persistence");
    if (age < age.zero() || age / length >= most || own == nullptr || persistence == nullptr) continue;
    Stretch& stretch = stretches[static_cast<std::size_t>(age / length)];
    ++stretch.leads;
    stretch.own += *own;
    stretch.persistence += *persistence;
  }
  return stretches;
}

/// Mean over the thresholds that the truth reached, NaN for none. The truth is that of both forecasters.
double mean_csi(const model::LeadScore& score) {
  double sum = 0;
  int reached = 0;
  for (const model::ContingencyTable& table : score.tables) {
    if (table.hits + table.misses == 0) continue;
    sum += table.csi();
    ++reached;
  }
  return reached > 0 ? sum / reached : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

std::vector<LeadSkill> skill_of(const Scores& scores, const Window& window) {
  std::map<std::pair<std::string, std::int64_t>, LeadSkill> sums;
  for (const auto& [at, lead] : scores) {
    if (!within(at, window)) continue;
    for (const auto& [forecaster, score] : lead.scores) {
      LeadSkill& sum = sums[{forecaster, at.second}];
      sum.forecaster = forecaster;
      sum.lead_minutes = static_cast<double>(at.second) / 60.;
      ++sum.cases;
      sum.score += score;
    }
  }
  std::vector<LeadSkill> skill;
  for (auto& [key, sum] : sums) skill.push_back(std::move(sum));
  return skill;
}

std::string issued_most(const Scores& scores, const Window& window) {
  std::map<std::string, std::int64_t> times;
  for (const auto& [at, lead] : scores)
    if (within(at, window) && !lead.issued.empty()) ++times[lead.issued];
  const auto most = std::max_element(times.begin(), times.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == times.end() ? std::string() : most->first;
}

std::optional<std::string> drift_of(const Scores& scores, io::TimePoint now, int of_hours, int days) {
  const hours length(of_hours);
  const std::string issued = issued_most(scores, {now - length, now});
  if (issued.empty() || issued == "persistence") return std::nullopt;
  const auto stretches = stretches_of(scores, issued, now, length, std::max(1, days * 24 / of_hours));
  const Stretch& last = stretches.front();
  if (!last.counts()) return std::nullopt;
  const std::string when = fmt::format("In the last {} hours", of_hours);
  if (last.ratio() > kDriftAbove)
    return fmt::format("{} the squared error of {} was {:.2f} times that of persistence ({} scored leads).",
                       when, issued, last.ratio(), last.leads);
  std::vector<double> skills;
  for (auto before = stretches.begin() + 1; before != stretches.end(); ++before)
    if (before->counts()) skills.push_back(1 - before->ratio());
  if (skills.size() < kDriftStretches) return std::nullopt;
  const double usual = median(skills), skill = 1 - last.ratio();
  std::vector<double> distances;
  for (const double one : skills) distances.push_back(std::abs(one - usual));
  if (skill >= usual - std::max(kDriftFall, kDriftDeviations * kSigma * median(distances)))
    return std::nullopt;
  return fmt::format(
      "{} {} took {:.0f} % from the squared error of persistence; the median of the {} stretches before is "
      "{:.0f} %.",
      when, issued, 100 * skill, skills.size(), 100 * usual);
}

Comparison compare(const Scores& scores, const std::string& a, const std::string& b, io::TimePoint since) {
  Comparison both{a, b, 0, 0, {}, {}};
  std::optional<io::TimePoint> last;
  for (auto lead = scores.lower_bound({since, 0}); lead != scores.end(); ++lead) {
    const model::LeadScore* of_a = lead->second.of(a);
    const model::LeadScore* of_b = lead->second.of(b);
    if (of_a == nullptr || of_b == nullptr) continue;
    ++both.leads;
    if (last != lead->first.first) ++both.cases;
    last = lead->first.first;
    both.of_a += *of_a;
    both.of_b += *of_b;
  }
  return both;
}

Verdict not_worse(const Comparison& both, std::int64_t min_cases) {
  if (both.cases < min_cases || both.cases == 0)
    return {false, false,
            fmt::format("{} and {} have {} scored cases in common; {} are needed", both.a, both.b, both.cases,
                        std::max<std::int64_t>(1, min_cases))};
  const double csi_a = mean_csi(both.of_a), csi_b = mean_csi(both.of_b);
  const double mse_a = both.of_a.sums.mse(), mse_b = both.of_b.sums.mse();
  if (std::isnan(csi_b))
    return {false, false,
            fmt::format("no rain fell in the {} cases that {} and {} have in common", both.cases, both.a,
                        both.b)};
  const bool error = mse_a <= kErrorAllowed * mse_b, csi = csi_a >= csi_b - kCsiAllowed;
  return {error && csi, true,
          fmt::format(
              "{} is {} than {}: squared error {:.4g} and {:.4g}, mean CSI {:.4f} and {:.4f} ({} cases, {} "
              "leads)",
              both.a, error && csi ? "not worse" : "worse", both.b, mse_a, mse_b, csi_a, csi_b, both.cases,
              both.leads)};
}

nlohmann::ordered_json skill_json(const Scores& scores, const std::vector<double>& thresholds,
                                  io::TimePoint now, int of_hours, int days) {
  using Json = nlohmann::ordered_json;
  const Window window{now - hours(of_hours), now};
  Json json = {
      {"hours", of_hours}, {"thresholds", thresholds}, {"scores", Json::array()}, {"errors", Json::array()}};
  for (const LeadSkill& skill : skill_of(scores, window)) {
    for (std::size_t k = 0; k < thresholds.size(); ++k) {
      const model::ContingencyTable& table = skill.score.tables[k];
      json["scores"].push_back({{"forecaster", skill.forecaster},
                                {"lead_minutes", skill.lead_minutes},
                                {"threshold_mm_h", thresholds[k]},
                                {"csi", table.csi()},
                                {"bias", table.bias()},
                                {"cases", skill.cases}});
    }
    const model::ContinuousSums& sums = skill.score.sums;
    json["errors"].push_back({{"forecaster", skill.forecaster},
                              {"lead_minutes", skill.lead_minutes},
                              {"mse", sums.mse()},
                              {"mae", sums.mae()},
                              {"me", sums.me()},
                              {"cases", skill.cases}});
  }
  const std::string issued = issued_most(scores, window);
  const auto drift = drift_of(scores, now, of_hours, days);
  json["issued"] = issued.empty() ? Json() : Json(issued);
  json["drift"] = drift ? Json(*drift) : Json();
  return json;
}

}  // namespace raincell::app
