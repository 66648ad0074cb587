// The rolling service: frames in, a nowcast a cycle out, in time or with an honest word why not.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "app/cli.hpp"
#include "app/replay.hpp"
#include "app/service_clock.hpp"
#include "app/watch_config.hpp"

namespace raincell::app {

class Service {
 public:
  /// Loads the weights, locks the output and reads what is there of an earlier service. `replay` may be null.
  /// Throws as Forecasting, UsageError when another service is at work there, io::WriteError.
  Service(const WatchConfig&, const Arguments&, ServiceClock&, Replay* replay, Log&);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// Goes round until a signal comes (Stopped), the replay is over, or the device is lost (DeviceError).
  void run();
  /// "72 cycles: 70 OK, 2 DEGRADED, ...", for the end of a replay.
  std::string summary() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace raincell::app
