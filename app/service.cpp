#include "app/service.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/errors.hpp"
#include "app/service_state.hpp"
#include "app/signals.hpp"
#include "app/systemd.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

using io::TimePoint;
using std::chrono::milliseconds;
using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds kRound{1000};  // between two looks at the folder
constexpr seconds kMetricsEvery{10};
constexpr seconds kStartup{15};        // for files that lie there already, before a cycle is withheld
constexpr seconds kGrace{2};           // for a model that is at work when the end comes
constexpr seconds kLongestModel{600};  // after which it is taken for dead
constexpr std::uintmax_t kLongestList = 4 << 20;  // bytes of rejected.jsonl
constexpr std::size_t kFramesForAStep = 6;
constexpr std::size_t kFramesAtLeast = 14;  // in memory: an hour of them for the page

io::IntakeSpec intake_spec(const WatchConfig& config, std::int64_t wanted) {
  io::IntakeSpec spec;
  spec.source = config.shared.source;
  spec.settle = seconds(config.intake.settle_s);
  spec.oldest = seconds(config.intake.oldest_s);
  spec.ahead = seconds(config.intake.ahead_s);
  spec.tries = static_cast<int>(config.intake.tries);
  spec.kept = std::max(kFramesAtLeast, static_cast<std::size_t>(wanted + config.cycle.max_gap + 2));
  return spec;
}

void add_metrics(Exposition& out, const HttpCounts& counts) {
  for (std::size_t digit = 1; digit < counts.answers.size(); ++digit)
    out.add("http_answers_total", "counter", "Answers of the listener by the first digit of their status.",
            static_cast<double>(counts.answers[digit]), {{"status", fmt::format("{}xx", digit)}});
  out.add("http_refused_total", "counter", "Connections that were refused: there were too many.",
          static_cast<double>(counts.refused));
  out.add("http_overdue_total", "counter", "Connections that were cut: they took too long.",
          static_cast<double>(counts.overdue));
}

}  // namespace

Service::State::State(const WatchConfig& config_, const Arguments& arguments, ServiceClock& clock_,
                      Replay* replay_, Log& log_)
    : config(config_),
      clock(clock_),
      replay(replay_),
      log(log_),
      publication(config_, log_),
      trial(config_, arguments, publication.path("weights"), log_),
      tuning(config_, publication.path("fine-tuning"), log_),
      ladder(config_, trial.begin()),
      intake(config_.input, intake_spec(config_, ladder.model().wanted())),
      arrivals(config_.input),
      view(clock_) {
  if (config.http.port == 0) return;
  HttpSpec listen;
  listen.address = config.http.address;
  listen.port = static_cast<std::uint16_t>(config.http.port);
  server.emplace(listen, [this](const HttpRequest& request) { return view.answer(request); });
}

void Service::State::start() {
  started = clock.now().steady;
  begun = clock.now().wall;
  spec.max_wait = seconds(config.cycle.max_wait_s);
  spec.max_age = seconds(config.cycle.max_age_s);
  spec.max_gap = config.cycle.max_gap;
  spec.wanted = ladder.model().wanted();
  spec.step = seconds(config.cycle.step_s);
  know_model();
  done.product = done.attempted = publication.newest_product();
  if (replay != nullptr && done.product && *done.product >= replay->first())
    throw UsageError(fmt::format(
        "{}: holds nowcasts up to {}, and the replay begins at {}; choose another output, or remove that one",
        config.output, io::format_time(*done.product), io::format_time(replay->first())));
  if (const auto& latest = publication.latest()) {
    if (latest->nominal && (!done.attempted || *latest->nominal > *done.attempted))
      done.attempted = latest->nominal;
    if (latest->valid_until) valid_until = *latest->valid_until;
    view.announce(*latest, valid_until);
  } else {
    Bulletin first;
    first.created = clock.now().wall;
    first.reason = fmt::format("no nowcast yet: waiting for radar frames in {}", config.input);
    announce(first);
  }
  write_metrics(true);
  say(fmt::format("watching {}; {} into {}", config.input, config.forecaster, config.output));
  tell_service_manager("READY=1\nSTATUS=waiting for radar frames");
}

void Service::State::know_model() {
  const WeightsInfo* weights = ladder.model().weights();
  if (weights == nullptr) return;
  metrics.model = weights->name;
  metrics.model_sha256 = weights->hash;
  metrics.model_loaded = clock.now().wall.time_since_epoch().count();
}

std::vector<TimePoint> Service::State::frame_times() const {
  std::vector<TimePoint> times;
  // A frame without an observed pixel is a gap.
  for (const auto& [time, frame] : intake.frames())
    if (std::any_of(frame.values.begin(), frame.values.end(), [](float v) { return !std::isnan(v); }))
      times.push_back(time);
  return times;
}

/// From the frames, or else from the weights.
bool Service::State::know_step(const std::vector<TimePoint>& times) {
  if (config.cycle.step_s == 0) {
    // What was seen once stays: a gap in a short history is not another step.
    const seconds seen = step_of(times);
    if (seen.count() > 0 && (spec.step.count() == 0 || times.size() >= kFramesForAStep)) spec.step = seen;
    const WeightsInfo* weights = ladder.model().weights();
    if (spec.step.count() == 0 && weights != nullptr && weights->steps.shortest_s == weights->steps.longest_s)
      spec.step = seconds(weights->steps.shortest_s);
  }
  spec.phase = phase_of(times, spec.step, spec.phase);
  return spec.step.count() > 0;
}

void Service::State::judge(const io::IntakeEvent& event) {
  ++metrics.files[event.verdict];
  const bool new_values = event.verdict == io::Verdict::accepted || event.verdict == io::Verdict::revised;
  if (new_values && config.publish.revise && done.product && event.time <= *done.product + spec.tolerance() &&
      event.time > *done.product - spec.wanted * spec.step)
    revision_due = true;
  const TimePoint now = clock.now().wall;
  switch (event.verdict) {
    case io::Verdict::accepted:
      truths.push_back(event.time);
      metrics.last_arrival = now.time_since_epoch().count();
      break;
    case io::Verdict::duplicate:
    case io::Verdict::unreadable:
    case io::Verdict::old:
      break;
    default:
      warn(fmt::format("{}: {}: {}", event.file.string(), io::name_of(event.verdict), event.reason));
  }
  if (event.verdict != io::Verdict::refused && event.verdict != io::Verdict::foreign) return;
  try {
    const auto file = publication.path("rejected.jsonl");
    std::error_code none;
    if (const auto bytes = std::filesystem::file_size(file, none); !none && bytes > kLongestList)
      std::filesystem::rename(file, publication.path("rejected.before.jsonl"), none);
    const nlohmann::ordered_json line = {{"time", io::format_time(now)},
                                         {"file", event.file.string()},
                                         {"result", io::name_of(event.verdict)},
                                         {"reason", event.reason}};
    io::append_line(file, json_text(line));
  } catch (const io::WriteError&) {  // the log has it, and a full disk is said elsewhere
  }
}

void Service::State::look() {
  const SteadyClock::time_point begin = SteadyClock::now();
  if (arrivals.happened()) intake.stir();
  const std::vector<io::IntakeEvent> events = intake.look(clock.now());
  for (const io::IntakeEvent& event : events) judge(event);
  if (!events.empty()) metrics.stages[static_cast<std::size_t>(Stage::read)].add(seconds_since(begin));
  if (const bool listed = intake.trouble().empty(); listed != folder_listed) {
    if (listed)
      say(fmt::format("{}: can be listed again", config.input));
    else
      warn(intake.trouble());
    folder_listed = listed;
  }
  if (!folder_listed) ++metrics.list_failures;
  metrics.waiting = intake.waiting();
  if (!intake.frames().empty())
    metrics.newest_frame = intake.frames().rbegin()->first.time_since_epoch().count();
}

void Service::State::write_metrics(bool now) {
  const io::Moment moment = clock.now();
  if (!now && metrics_written && moment.steady - metrics_written->steady < kMetricsEvery) return;
  metrics_written = moment;
  const Health health = view.health();
  metrics.live = health.live();
  metrics.ready = health.unready().empty();
  Exposition out;
  metrics.write(out);
  if (ledger) ledger->add_metrics(out, moment.wall);
  tuning.add_metrics(out);
  if (server) add_metrics(out, server->counts());
  view.write(out.text(), json_text(skill));
  using Json = nlohmann::ordered_json;
  const bool scheduled = !config.schedule.config.empty();
  Json status = {{"time", io::format_time(moment.wall)},
                 {"since", io::format_time(begun)},
                 {"cycles", metrics.cycles_json()},
                 {"weights", trial.json()},
                 {"fine_tuning", scheduled ? tuning.json() : Json(nullptr)},
                 {"drift", nullptr}};
  if (drift) status["drift"] = *drift;
  try {
    io::publish(publication.path("metrics.prom"), out.text());
    io::publish(publication.path("status.json"), json_text(status, 1) + "\n");
  } catch (const io::WriteError&) {  // latest.json cannot be written either, which is said
  }
}

/// A nowcast of an earlier service, where no frame says when the next one is due.
void Service::State::expire() {
  const auto& latest = publication.latest();
  const TimePoint now = clock.now().wall;
  if (spec.step.count() > 0 || !latest || latest->status == Status::stale || now < valid_until) return;
  Bulletin bulletin;
  bulletin.nominal = latest->nominal;
  bulletin.created = now;
  bulletin.reason = fmt::format("no radar frame has come to {} since", config.input);
  announce(bulletin);
}

/// A device that hangs does not answer; only a new process can ask it again.
void Service::State::require_live_model() {
  if (std::max(ladder.overdue(), trial.overdue()) <
      std::max(kLongestModel, 10 * seconds(config.cycle.budget_s)))
    return;
  log.error(
      fmt::format("{} has been at work on one nowcast for {}; the device does not answer: this process "
                  "ends, to be started again",
                  config.forecaster,
                  format_duration(static_cast<double>(std::max(ladder.overdue(), trial.overdue()).count()))));
  tuning.stop();
  std::_Exit(kDevice);
}

/// False when a replay is over.
bool Service::State::round() {
  stop_if_asked();
  if (replay != nullptr) replay->feed(clock.now().wall);
  look();
  view.beat(ladder.overdue().count() == 0, writable, spec.step);
  require_live_model();
  Decision decision;
  decision.until = clock.now().wall + seconds(1);
  const std::vector<TimePoint> times = frame_times();
  if (know_step(times)) {
    if (!ledger || ledger_step != spec.step) {
      ledger_step = spec.step;
      ledger.emplace(publication.path("ledger"),
                     LedgerSpec{config.ledger.thresholds_mm_h, spec.step.count(),
                                static_cast<int>(config.ledger.hours), static_cast<int>(config.ledger.days)},
                     log);
    }
    if (!done.attempted) {
      // The first cycle of a service is that of a frame, or the next one that is due.
      Done none;
      const Decision first = decide(spec, times, clock.now().wall, none);
      if (first.action != Decision::Action::issue) done.attempted = first.nominal;
    }
    decision = decide(spec, times, clock.now().wall, done);
    const bool settling = intake.waiting() > 0 && clock.now().steady - started < kStartup;
    if (decision.action == Decision::Action::issue ||
        (decision.action == Decision::Action::withhold && !settling)) {
      cycle(decision);
      return true;
    }
    if (std::exchange(revision_due, false)) {
      const TimePoint before = *done.product - spec.step;
      const Decision again = decide(spec, times, clock.now().wall, {before, before});
      if (again.action == Decision::Action::issue && again.nominal == *done.product) cycle(again);
    }
    score();
  }
  if (const auto tuned = tuning.round(clock.now(), trial.in_use()))
    trial.promote(tuned->weights, "fine-tuning", tuned->reason, clock.now().wall);
  if (auto promoted = trial.round(clock.now(), ledger ? &*ledger : nullptr)) {
    ladder.use(std::move(promoted));
    spec.wanted = ladder.model().wanted();
    know_model();
  }
  expire();
  if (replay != nullptr && replay->over() && clock.now().wall > replay->last() + spec.max_wait &&
      intake.waiting() == 0)
    return false;
  write_metrics(false);
  if (const auto interval = watchdog_interval();
      interval && SteadyClock::now() - watchdog_told > *interval / 3) {
    tell_service_manager("WATCHDOG=1");
    watchdog_told = SteadyClock::now();
  }
  const auto until = std::chrono::duration_cast<milliseconds>(decision.until - clock.now().wall);
  clock.wait(std::clamp(until, milliseconds(50), kRound), arrivals.descriptor());
  return true;
}

Service::Service(const WatchConfig& config, const Arguments& arguments, ServiceClock& clock, Replay* replay,
                 Log& log)
    : state_(std::make_unique<State>(config, arguments, clock, replay, log)) {}

Service::~Service() = default;

void Service::run() {
  state_->start();
  try {
    while (state_->round()) {
    }
  } catch (...) {
    tell_service_manager("STOPPING=1");
    state_->write_metrics(true);
    state_->tuning.stop();
    // Whoever waits for a model that does not answer does not end.
    const SteadyClock::time_point begin = SteadyClock::now();
    const auto busy = [&] {
      return state_->ladder.overdue().count() > 0 || state_->trial.overdue().count() > 0;
    };
    while (busy() && SteadyClock::now() - begin < kGrace) std::this_thread::sleep_for(milliseconds(50));
    if (!busy()) throw;
    const Failure failure = failure_of(std::current_exception());
    if (!failure.what.empty()) state_->log.error(failure.what);
    std::_Exit(failure.code);
  }
}

std::string Service::summary() const {
  const nlohmann::ordered_json cycles = state_->metrics.cycles_json();
  std::int64_t all = 0;
  std::string parts;
  for (const auto& [name, count] : cycles.items()) {
    if (name != "missed") all += count.get<std::int64_t>();
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", count.get<std::int64_t>(), name);
  }
  return fmt::format("{} cycles: {}; {}", all, parts, state_->config.output);
}

}  // namespace raincell::app
