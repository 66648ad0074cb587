#include "app/service.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/arrivals.hpp"
#include "app/cycle.hpp"
#include "app/errors.hpp"
#include "app/ladder.hpp"
#include "app/ledger.hpp"
#include "app/publication.hpp"
#include "app/service_metrics.hpp"
#include "app/service_view.hpp"
#include "app/signals.hpp"
#include "app/systemd.hpp"
#include "app/weights_trial.hpp"
#include "io/publish.hpp"
#include "kernels/backend.hpp"

namespace raincell::app {

namespace {

using io::TimePoint;
using std::chrono::milliseconds;
using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds kRound{1000};  // between two looks at the folder
constexpr seconds kMetricsEvery{10};
constexpr seconds kStartup{15};             // for files that lie there already, before a cycle is withheld
constexpr seconds kGrace{5};                // for a model that is at work when the end is asked for
constexpr seconds kLongestModel{600};       // after which it is taken for dead
constexpr std::size_t kFramesAtLeast = 14;  // in memory: an hour of them for the page
constexpr std::int64_t kStepsValid = 2;     // after its time, that a nowcast is valid

double seconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

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

struct Service::State {
  const WatchConfig& config;
  ServiceClock& clock;
  Replay* replay;
  Log& log;
  Publication publication;
  WeightsTrial trial;
  Ladder ladder;
  io::Intake intake;
  Arrivals arrivals;
  ServiceMetrics metrics;
  ServiceView view;
  std::optional<Ledger> ledger;      // once the step is known
  std::vector<TimePoint> truths;     // frames that forecasts have not been scored with
  std::optional<HttpServer> server;  // after what it shows
  CycleSpec spec;
  Done done;
  TimePoint valid_until;  // of the newest product
  milliseconds started{0};
  bool revision_due = false;  // a frame came that the newest product lacks
  bool writable = true, folder_listed = true, map_refused = false;
  std::optional<io::Moment> metrics_written;
  std::chrono::steady_clock::time_point watchdog_told{};

  State(const WatchConfig& config_, const Arguments& arguments, ServiceClock& clock_, Replay* replay_,
        Log& log_)
      : config(config_),
        clock(clock_),
        replay(replay_),
        log(log_),
        publication(config_, log_),
        trial(config_, arguments, publication.path("weights"), log_),
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

  void say(const std::string& text) { log.info(io::format_time(clock.now().wall) + " " + text); }
  void warn(const std::string& text) { log.warning(io::format_time(clock.now().wall) + " " + text); }

  void start();
  bool round();
  void look();
  void judge(const io::IntakeEvent&);
  bool know_step();
  Decision next() const;
  void cycle(const Decision&);
  void issue(const Decision&, SteadyClock::time_point begin);
  void withhold(const Decision&, const std::string& reason);
  void announce(Bulletin);
  void write_metrics(bool now);
  void show(const Decision&, const LadderResult&);
  void remember(const Decision&, std::shared_ptr<const LadderResult>, const Bulletin&);
  void know_model();
  void score();
  void require_live_model();
  LadderInput history_of(const Decision&) const;
  std::vector<TimePoint> frame_times() const;
};

void Service::State::start() {
  started = clock.now().steady;
  spec.max_wait = seconds(config.cycle.max_wait_s);
  spec.max_age = seconds(config.cycle.max_age_s);
  spec.max_gap = config.cycle.max_gap;
  spec.wanted = ladder.model().wanted();
  spec.step = seconds(config.cycle.step_s);
  know_model();
  done.product = done.attempted = publication.newest_product();
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
  for (const auto& [time, frame] : intake.frames()) times.push_back(time);
  return times;
}

/// From the frames, or else from the weights.
bool Service::State::know_step() {
  const std::vector<TimePoint> times = frame_times();
  if (times.empty()) return spec.step.count() > 0;
  if (config.cycle.step_s == 0) {
    // What was seen once stays: a gap in a short history is not another step.
    if (const Rhythm rhythm = rhythm_of(times);
        rhythm.step.count() > 0 && (spec.step.count() == 0 || times.size() >= 6))
      spec.step = rhythm.step;
    const WeightsInfo* weights = ladder.model().weights();
    if (spec.step.count() == 0 && weights != nullptr && weights->steps.shortest_s == weights->steps.longest_s)
      spec.step = seconds(weights->steps.shortest_s);
  }
  spec.phase = phase_of(times, spec.step);
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
    const nlohmann::ordered_json line = {{"time", io::format_time(now)},
                                         {"file", event.file.string()},
                                         {"result", io::name_of(event.verdict)},
                                         {"reason", event.reason}};
    io::append_line(publication.path("rejected.jsonl"), json_text(line));
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

void Service::State::issue(const Decision& decision, SteadyClock::time_point begin) {
  const auto shared = std::make_shared<LadderResult>(
      ladder.climb(history_of(decision), begin + seconds(config.cycle.budget_s)));
  LadderResult& made = *shared;
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
  const bool network = made.rung == Rung::model || made.rung == Rung::shorter;
  const WeightsInfo* weights = network ? ladder.model().weights() : nullptr;
  if (weights != nullptr) {
    bulletin.model = weights->name;
    bulletin.model_sha256 = weights->hash;
  }
  if (const auto& latest = publication.latest();
      latest && latest->nominal == decision.nominal && !latest->product.empty())
    bulletin.revision = latest->revision + 1;

  const SteadyClock::time_point publishing = SteadyClock::now();
  made.origin.age_s = (decision.nominal - *slot_of(spec, made.origin.frames.back())).count();
  const auto pixels = static_cast<std::size_t>(made.origin.grid.pixels());
  const auto leads = static_cast<std::int64_t>(made.forecast.values.size() / pixels);
  io::Product product =
      describe_product(made.origin, weights, made.forecaster, leads, made.latest(), "watch");
  if (made.forecast.probabilities.empty()) product.probability_thresholds.clear();
  product.status = name_of(bulletin.status);
  std::vector<std::int64_t> ends;
  for (const double minutes : config.publish.accumulations_min)
    if (const auto end = std::llround(60. * minutes);
        product.quantity == io::Quantity::rain_rate &&
        std::binary_search(product.lead_s.begin(), product.lead_s.end(), end))
      ends.push_back(end);
  product.accumulations = accumulations_to(product, ends, "publish.accumulations");
  publication.write(product, made.forecast, bulletin);
  const double published_s = seconds_since(publishing);
  const SteadyClock::time_point drawing = SteadyClock::now();
  try {
    publication.draw(product, made, bulletin);
  } catch (const io::WriteError& error) {
    warn(error.what());  // the product is there
  }
  const double drawn_s = seconds_since(drawing);
  bulletin.created = clock.now().wall;
  bulletin.input_age_s = (*bulletin.created - made.origin.frames.back()).count();
  announce(bulletin);
  if (!writable) throw io::WriteError("latest.json could not be written");

  show(decision, made);
  remember(decision, shared, bulletin);
  ++metrics.cycles[bulletin.status];
  ++metrics.rungs[bulletin.rung];
  if (bulletin.revision > 0) ++metrics.revisions;
  metrics.filled += made.origin.filled;
  metrics.raised_values += made.raised;
  if (ladder.overdue().count() > 0) ++metrics.late_models;
  metrics.last_product = bulletin.created->time_since_epoch().count();
  metrics.last_nominal = decision.nominal.time_since_epoch().count();
  std::error_code none;
  metrics.product_bytes +=
      static_cast<std::int64_t>(std::filesystem::file_size(publication.path(bulletin.product), none));
  float max = 0.F;
  std::size_t wet = 0;
  for (const float value : made.forecast.values) {
    max = std::max(max, value);
    wet += value >= 0.1F ? 1 : 0;
  }
  metrics.forecast_max = static_cast<double>(max);
  metrics.wet_fraction = static_cast<double>(wet) / static_cast<double>(made.forecast.values.size());
  const auto time = [&](Stage stage, double s) { metrics.stages[static_cast<std::size_t>(stage)].add(s); };
  time(Stage::prepare, made.prepare_s);
  if (made.model_s > 0.) time(Stage::model, made.model_s);
  time(Stage::publish, published_s);
  time(Stage::pictures, drawn_s);
  time(Stage::whole, seconds_since(begin));
  const std::string text =
      fmt::format("{} {}: {} ({}), {:.1f} s{}{}", name_of(bulletin.status), io::format_time(decision.nominal),
                  bulletin.product, bulletin.rung, seconds_since(begin), bulletin.reason.empty() ? "" : ": ",
                  bulletin.reason);
  if (bulletin.status == Status::ok)
    say(text);
  else
    warn(text);
  tell_service_manager("STATUS=" + text);
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
    if (frame == intake.frames().end() || !slot || frame->second.quantity != io::Quantity::rain_rate)
      continue;
    ledger->arrived(*slot, frame->second.values, io::describe(frame->second.grid));
  }
  metrics.stages[static_cast<std::size_t>(Stage::ledger)].add(seconds_since(begin));
}

void Service::State::cycle(const Decision& decision) {
  const SteadyClock::time_point begin = SteadyClock::now();
  metrics.missed += decision.missed;
  done.attempted = decision.nominal;
  if (decision.missed > 0)
    warn(fmt::format("{} cycles before {} were missed", decision.missed, io::format_time(decision.nominal)));
  try {
    if (decision.action == Decision::Action::issue) {
      issue(decision, begin);
    } else {
      withhold(decision, decision.reason);
    }
  } catch (const Withheld& reason) {
    withhold(decision, reason.what());
  } catch (const io::WriteError& error) {
    ++metrics.failed;
    warn(fmt::format("no nowcast of {}: {}; the next cycle tries again", io::format_time(decision.nominal),
                     error.what()));
    tell_service_manager(fmt::format("STATUS=no nowcast: {}", error.what()));
  }
  if (decision.action == Decision::Action::issue) done.product = decision.nominal;
  score();
  metrics.pruned += publication.prune(clock.now().wall, log);
  write_metrics(true);
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
  if (server) add_metrics(out, server->counts());
  view.write(out.text(), ledger ? json_text(ledger->skill(moment.wall)) : "{}");
  try {
    io::publish(publication.path("metrics.prom"), out.text());
  } catch (const io::WriteError&) {  // said by the next cycle
  }
}

/// A device that hangs does not answer; only a new process can ask it again.
void Service::State::require_live_model() {
  if (ladder.overdue() < std::max(kLongestModel, 10 * seconds(config.cycle.budget_s))) return;
  log.error(
      fmt::format("{} has been at work on one nowcast for {}; the device does not answer: this process "
                  "ends, to be started again",
                  config.forecaster, format_duration(static_cast<double>(ladder.overdue().count()))));
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
  if (know_step()) {
    if (!ledger) {
      ledger.emplace(publication.path("ledger"),
                     LedgerSpec{config.ledger.thresholds_mm_h, spec.step.count(),
                                static_cast<int>(config.ledger.hours), static_cast<int>(config.ledger.days)},
                     log);
    }
    if (!done.attempted) {
      // The first cycle of a service is that of a frame, or the next one that is due.
      Done none;
      const Decision first = decide(spec, frame_times(), clock.now().wall, none);
      if (first.action != Decision::Action::issue) done.attempted = first.nominal;
    }
    decision = decide(spec, frame_times(), clock.now().wall, done);
    const bool settling = intake.waiting() > 0 && clock.now().steady - started < kStartup;
    if (decision.action == Decision::Action::issue ||
        (decision.action == Decision::Action::withhold && !settling)) {
      cycle(decision);
      return true;
    }
    if (std::exchange(revision_due, false)) {
      const TimePoint before = *done.product - spec.step;
      const Decision again = decide(spec, frame_times(), clock.now().wall, {before, before});
      if (again.action == Decision::Action::issue && again.nominal == *done.product) cycle(again);
    }
    score();
  }
  if (auto promoted = trial.round(clock.now(), ledger ? &*ledger : nullptr)) {
    ladder.use(std::move(promoted));
    spec.wanted = ladder.model().wanted();
    know_model();
  }
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
  } catch (const Stopped& stop) {
    tell_service_manager("STOPPING=1");
    state_->write_metrics(true);
    const SteadyClock::time_point begin = SteadyClock::now();
    while (state_->ladder.overdue().count() > 0 && SteadyClock::now() - begin < kGrace)
      std::this_thread::sleep_for(milliseconds(50));
    if (state_->ladder.overdue().count() > 0) std::_Exit(128 + stop.signal());
    throw;
  }
}

std::string Service::summary() const {
  const ServiceMetrics& m = state_->metrics;
  const auto count = [&](Status status) {
    const auto found = m.cycles.find(status);
    return found == m.cycles.end() ? std::int64_t{0} : found->second;
  };
  std::int64_t all = m.failed;
  for (const auto& [status, number] : m.cycles) all += number;
  return fmt::format("{} cycles: {} OK, {} DEGRADED, {} WITHHELD, {} STALE, {} failed, {} missed; {}", all,
                     count(Status::ok), count(Status::degraded), count(Status::withheld),
                     count(Status::stale), m.failed, m.missed, state_->config.output);
}

}  // namespace raincell::app
