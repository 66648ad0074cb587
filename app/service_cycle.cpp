// A cycle of the rolling service: what is issued or withheld, shown, and remembered for the ledger.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "app/errors.hpp"
#include "app/service_state.hpp"
#include "app/systemd.hpp"
#include "kernels/backend.hpp"

namespace raincell::app {

using io::TimePoint;
using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;

namespace {

constexpr std::int64_t kStepsValid = 2;  // after its time, that a nowcast is valid
constexpr float kWet = 0.1F;             // mm/h

}  // namespace

LadderInput Service::State::history_of(const Decision& decision) const {
  LadderInput input;
  for (const HistorySlot& slot : decision.history)
    input.frames.push_back(slot.frame ? &intake.frames().at(*slot.frame) : nullptr);
  const io::Frame& latest = *input.frames.back();
  input.grid = latest.grid;
  input.quantity = latest.quantity;
  input.step = spec.step;
  return input;
}

void Service::State::announce(Bulletin bulletin) {
  try {
    publication.announce(bulletin);
    if (bulletin.valid_until) valid_until = *bulletin.valid_until;
    view.announce(bulletin, valid_until);
    if (!writable) say(config.output + ": can be written again");
    writable = true;
  } catch (const io::WriteError& error) {
    if (writable) warn(error.what());
    writable = false;
  }
}

void Service::State::withhold(const Decision& decision, const std::string& reason) {
  Bulletin bulletin;
  bulletin.nominal = decision.nominal;
  bulletin.created = clock.now().wall;
  bulletin.status = *bulletin.created < valid_until ? Status::withheld : Status::stale;
  bulletin.reason = reason;
  if (!intake.frames().empty()) bulletin.input_age_s = decision.age.count();
  ++metrics.cycles[bulletin.status];
  warn(fmt::format("{} of {}: {}", name_of(bulletin.status), io::format_time(decision.nominal), reason));
  tell_service_manager(fmt::format("STATUS={}: {}", name_of(bulletin.status), reason));
  announce(bulletin);
}

/// What latest.json will say, but for the product.
Bulletin Service::State::bulletin_of(const Decision& decision, LadderResult& made) const {
  if (!decision.reason.empty()) made.lacks.insert(made.lacks.begin(), decision.reason);
  if (made.origin.filled > 0)
    made.lacks.push_back(fmt::format("{} of {} frames were missing and are filled by advection",
                                     made.origin.filled, made.filled.size()));
  Bulletin bulletin;
  bulletin.nominal = decision.nominal;
  bulletin.status = made.lacks.empty() ? Status::ok : Status::degraded;
  bulletin.reason = fmt::format("{}", fmt::join(made.lacks, "; "));
  bulletin.valid_until = decision.nominal + kStepsValid * spec.step;
  bulletin.forecaster = made.forecaster;
  bulletin.rung = made.rung_text();
  bulletin.frames_used = made.origin.frames;
  bulletin.frames_filled = made.origin.filled;
  if (const WeightsInfo* weights = made.by_network() ? ladder.model().weights() : nullptr) {
    bulletin.model = weights->name;
    bulletin.model_sha256 = weights->hash;
  }
  const auto& latest = publication.latest();
  if (latest && latest->nominal == decision.nominal && !latest->product.empty())
    bulletin.revision = latest->revision + 1;
  return bulletin;
}

/// All but its values.
io::Product Service::State::product_of(const Decision& decision, LadderResult& made,
                                       const Bulletin& bulletin) const {
  const WeightsInfo* weights = made.by_network() ? ladder.model().weights() : nullptr;
  made.origin.age_s = (decision.nominal - decision.history.back().slot).count();
  const auto pixels = static_cast<std::size_t>(made.origin.grid.pixels());
  const auto leads = static_cast<std::int64_t>(made.forecast.values.size() / pixels);
  io::Product product =
      describe_product(made.origin, weights, made.forecaster, leads, made.latest(), "watch");
  product.status = name_of(bulletin.status);
  std::vector<std::int64_t> ends;
  for (const double minutes : config.publish.accumulations_min) {
    const auto end = std::llround(60. * minutes);
    const bool lead = std::binary_search(product.lead_s.begin(), product.lead_s.end(), end);
    if (lead && product.quantity == io::Quantity::rain_rate) ends.push_back(end);
  }
  product.accumulations = accumulations_to(product, ends, "publish.accumulations");
  return product;
}

void Service::State::count(const LadderResult& made, const Bulletin& bulletin) {
  ++metrics.cycles[bulletin.status];
  ++metrics.rungs[bulletin.rung];
  if (bulletin.revision > 0) ++metrics.revisions;
  metrics.filled += made.origin.filled;
  metrics.raised_values += made.raised;
  metrics.lowered_values += made.lowered;
  if (ladder.overdue().count() > 0) ++metrics.late_models;
  metrics.last_product = bulletin.created->time_since_epoch().count();
  metrics.last_nominal = bulletin.nominal->time_since_epoch().count();
  std::error_code none;
  const auto bytes = std::filesystem::file_size(publication.path(bulletin.product), none);
  if (!none) metrics.product_bytes += static_cast<std::int64_t>(bytes);
  float max = 0.F;
  std::size_t wet = 0;
  for (const float value : made.forecast.values) {
    max = std::max(max, value);
    wet += value >= kWet ? 1 : 0;
  }
  metrics.forecast_max = static_cast<double>(max);
  metrics.wet_fraction = static_cast<double>(wet) / static_cast<double>(made.forecast.values.size());
}

void Service::State::issue(const Decision& decision, SteadyClock::time_point begin) {
  const auto shared = std::make_shared<LadderResult>(
      ladder.climb(history_of(decision), begin + seconds(config.cycle.budget_s)));
  LadderResult& made = *shared;
  const auto time = [&](Stage stage, double s) { metrics.stages[static_cast<std::size_t>(stage)].add(s); };
  time(Stage::prepare, made.prepare_s);
  if (made.model_s > 0.) time(Stage::model, made.model_s);
  Bulletin bulletin = bulletin_of(decision, made);
  const SteadyClock::time_point publishing = SteadyClock::now();
  io::Product product = product_of(decision, made, bulletin);
  publication.write(product, made.forecast, bulletin);
  time(Stage::publish, seconds_since(publishing));
  const SteadyClock::time_point drawing = SteadyClock::now();
  try {
    publication.draw(product, made, bulletin);
  } catch (const io::WriteError& error) {
    warn(error.what());  // the product is there
  }
  time(Stage::pictures, seconds_since(drawing));
  bulletin.created = clock.now().wall;
  bulletin.input_age_s = (*bulletin.created - made.origin.frames.back()).count();
  announce(bulletin);
  if (!writable) throw io::WriteError("latest.json could not be written");
  time(Stage::whole, seconds_since(begin));
  count(made, bulletin);
  const std::string text =
      fmt::format("{} {}: {} ({}), {:.1f} s{}{}", name_of(bulletin.status), io::format_time(decision.nominal),
                  bulletin.product, bulletin.rung, seconds_since(begin), bulletin.reason.empty() ? "" : ": ",
                  bulletin.reason);
  if (bulletin.status == Status::ok) {
    say(text);
  } else {
    warn(text);
  }
  tell_service_manager("STATUS=" + text);
  show(decision, made);
  remember(decision, shared, bulletin);
}

/// For the page: observed frames, gaps as they were filled, and the forecast.
void Service::State::show(const Decision& decision, const LadderResult& made) {
  if (!server) return;
  const auto pixels = static_cast<std::size_t>(made.origin.grid.pixels());
  std::vector<ViewFrame> frames;
  for (const auto& [time, frame] : intake.frames())
    if (time <= made.origin.frames.back()) frames.push_back({time, FrameKind::observed, 0, frame.values});
  for (std::size_t i = 0; i < made.filled.size(); ++i)
    if (made.filled[i])
      frames.push_back({decision.history[i].slot, FrameKind::filled, 0,
                        std::span<const float>(made.input->past).subspan(i * pixels, pixels)});
  std::stable_sort(frames.begin(), frames.end(),
                   [](const ViewFrame& a, const ViewFrame& b) { return a.time < b.time; });
  for (std::size_t lead = 0; lead * pixels < made.forecast.values.size(); ++lead) {
    const seconds after = static_cast<std::int64_t>(lead + 1) * spec.step;
    frames.push_back({made.origin.frames.back() + after, FrameKind::forecast, after.count() / 60,
                      std::span<const float>(made.forecast.values).subspan(lead * pixels, pixels)});
  }
  try {
    view.show(made.origin.grid, made.origin.quantity, spec.step, frames);
  } catch (const io::DataError& error) {
    if (!map_refused) warn(std::string("no map on the page: ") + error.what());
    view.hide();
    map_refused = true;
  }
}

/// For the ledger: what is to be scored when the truth comes.
void Service::State::remember(const Decision& decision, std::shared_ptr<const LadderResult> shared,
                              const Bulletin& bulletin) {
  const LadderResult& made = *shared;
  if (!ledger || made.origin.quantity != io::Quantity::rain_rate) return;
  const io::Grid& grid = made.origin.grid;
  const auto pixels = static_cast<std::size_t>(grid.pixels());
  IssuedForecast issued;
  issued.time = decision.history.back().slot;
  issued.leads = static_cast<std::int64_t>(made.forecast.values.size() / pixels);
  issued.rows = grid.rows;
  issued.columns = grid.columns;
  issued.grid = io::describe(grid);
  issued.latest = made.latest();
  issued.advected = made.advected.values;
  issued.forecasts.push_back({made.forecaster, made.forecast.values});
  issued.rung = bulletin.rung;
  issued.model_sha256 = bulletin.model_sha256;
  issued.status = name_of(bulletin.status);
  ledger->expect(issued);
  const bool full = made.rung == Rung::model && made.origin.filled == 0;
  if (full) trial.follow({std::move(shared), std::move(issued)});
}

/// Forecasts whose truth has come.
void Service::State::score() {
  if (!ledger || truths.empty()) return;
  const SteadyClock::time_point begin = SteadyClock::now();
  for (const TimePoint time : std::exchange(truths, {})) {
    const auto frame = intake.frames().find(time);
    const auto slot = slot_of(spec, time);
    if (!slot)
      warn(fmt::format("the frame of {} lies beside the slots every {}, by more than {}; it is not used",
                       io::format_time(time), format_duration(static_cast<double>(spec.step.count())),
                       format_duration(static_cast<double>(spec.tolerance().count()))));
    if (frame == intake.frames().end() || !slot || frame->second.quantity != io::Quantity::rain_rate)
      continue;
    ledger->arrived(*slot, frame->second.values, io::describe(frame->second.grid));
  }
  // Over all that is kept: not for every look at the metrics.
  const TimePoint now = clock.now().wall;
  skill = ledger->skill(now);
  drift = ledger->drift(now);
  metrics.stages[static_cast<std::size_t>(Stage::ledger)].add(seconds_since(begin));
}

void Service::State::cycle(const Decision& decision) {
  const SteadyClock::time_point begin = SteadyClock::now();
  metrics.missed += decision.missed;
  done.attempted = decision.nominal;
  if (decision.missed > 0)
    warn(fmt::format("{} before {} missed",
                     decision.missed == 1 ? "1 cycle" : fmt::format("{} cycles", decision.missed),
                     io::format_time(decision.nominal)));
  try {
    if (decision.action == Decision::Action::issue) {
      issue(decision, begin);
    } else {
      withhold(decision, decision.reason);
    }
  } catch (const Withheld& reason) {
    withhold(decision, reason.what());
  } catch (const kernels::DeviceError& error) {
    withhold(decision, error.what());  // and the end: only a new process can ask the device again
    throw;
  } catch (const Stopped&) {
    throw;
  } catch (const ResourceError&) {
    throw;
  } catch (const std::exception& error) {  // of this cycle alone
    ++metrics.failed;
    warn(fmt::format("no nowcast of {}: {}; the next cycle tries again", io::format_time(decision.nominal),
                     error.what()));
    tell_service_manager(fmt::format("STATUS=no nowcast: {}", error.what()));
  }
  if (decision.action == Decision::Action::issue) done.product = decision.nominal;
  score();
  // By the newest nowcast: a clock that is set wrong must not cost them all.
  if (done.product) metrics.pruned += publication.prune(*done.product, log);
  write_metrics(true);
}

}  // namespace raincell::app
