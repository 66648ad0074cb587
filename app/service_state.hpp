// The parts of a rolling service, for service.cpp and service_cycle.cpp.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/arrivals.hpp"
#include "app/cycle.hpp"
#include "app/fine_tuning.hpp"
#include "app/ladder.hpp"
#include "app/ledger.hpp"
#include "app/publication.hpp"
#include "app/service.hpp"
#include "app/service_metrics.hpp"
#include "app/service_view.hpp"
#include "app/weights_trial.hpp"

namespace raincell::app {

struct Service::State {
  const WatchConfig& config;
  ServiceClock& clock;
  Replay* replay;
  Log& log;
  Publication publication;
  WeightsTrial trial;
  FineTuning tuning;
  Ladder ladder;
  io::Intake intake;
  Arrivals arrivals;
  ServiceMetrics metrics;
  ServiceView view;
  std::chrono::seconds ledger_step{0};
  std::optional<Ledger> ledger;       // once the step is known
  std::vector<io::TimePoint> truths;  // frames that forecasts have not been scored with
  nlohmann::ordered_json skill = nlohmann::ordered_json::object();  // as of the newest truth
  std::optional<std::string> drift;
  std::optional<HttpServer> server;  // after what it shows
  CycleSpec spec;
  Done done;
  io::TimePoint valid_until;  // of the newest product
  std::chrono::milliseconds started{0};
  io::TimePoint begun;
  bool revision_due = false;  // a frame came that the newest product lacks
  bool writable = true, folder_listed = true, map_refused = false;
  std::optional<io::Moment> metrics_written;
  std::chrono::steady_clock::time_point watchdog_told{};

  State(const WatchConfig&, const Arguments&, ServiceClock&, Replay*, Log&);

  void say(const std::string& text) { log.info(io::format_time(clock.now().wall) + " " + text); }
  void warn(const std::string& text) { log.warning(io::format_time(clock.now().wall) + " " + text); }

  void start();
  bool round();
  void look();
  void judge(const io::IntakeEvent&);
  bool know_step(const std::vector<io::TimePoint>& times);
  void cycle(const Decision&);
  void issue(const Decision&, std::chrono::steady_clock::time_point begin);
  Bulletin bulletin_of(const Decision&, LadderResult&) const;
  io::Product product_of(const Decision&, LadderResult&, const Bulletin&) const;
  void count(const LadderResult&, const Bulletin&);
  void withhold(const Decision&, const std::string& reason);
  void announce(Bulletin);
  void write_metrics(bool now);
  void show(const Decision&, const LadderResult&);
  void remember(const Decision&, std::shared_ptr<const LadderResult>, const Bulletin&);
  void know_model();
  void score();
  void require_live_model();
  void expire();
  LadderInput history_of(const Decision&) const;
  std::vector<io::TimePoint> frame_times() const;
};

}  // namespace raincell::app
