// raincell watch: the rolling service.
#include <fmt/format.h>

#include <csignal>

#include "app/commands.hpp"
#include "app/errors.hpp"
#include "app/service.hpp"

namespace raincell::app {

namespace {

/// "60x"
double speed_of(const Arguments& arguments) {
  std::string text = arguments.text("speed", "60x");
  const std::string given = text;
  if (text.ends_with('x')) text.pop_back();
  const auto value = parse_real(text);
  if (!value || *value < 1. || *value > 100000.)
    throw UsageError(fmt::format("--speed {}: expected a factor from 1x to 100000x, for example 60x", given));
  return *value;
}

int run(const Arguments& arguments, Log& log) {
  const WatchConfig config = load_watch_config(arguments.positional[0], arguments.list("set"));
  if (arguments.has("speed") && !arguments.has("replay"))
    throw UsageError("--speed is for --replay, which is not asked for");
  // A terminal that closes is no reason to stop warning people.
  std::signal(SIGHUP, SIG_IGN);
  const Arguments compute = config.model.empty() ? arguments : arguments.with("model", config.model);
  const Arguments settled = compute.with("scratch", config.output);
  if (!arguments.has("replay")) {
    SystemClock clock;
    Service(config, settled, clock, nullptr, log).run();
    return kOk;
  }
  const double speed = speed_of(arguments);
  Replay replay(arguments.text("replay"), config.input, config.shared.source,
                std::chrono::seconds(arguments.has("delay") ? arguments.seconds("delay", 1) : 20), log);
  ReplayClock clock(replay.first(), speed);
  Service service(config, settled, clock, &replay, log);
  service.run();
  log.result(service.summary());
  return kOk;
}

}  // namespace

Command watch_command() {
  std::vector<Option> options = {
      {"replay", "DIR", "feed the files of a folder into the input, as if they arrived now", false},
      {"speed", "FACTOR", "how fast the clock of a replay runs while the service waits; default 60x", false},
      {"delay", "DURATION", "after its time that a file of a replay arrives; default 20s", false}};
  for (const Option& option : compute_options()) options.push_back(option);
  return {{"watch",
           "Follows a folder and publishes a nowcast for each new frame, day and night.",
           "  raincell watch watch.yaml\n"
           "  raincell watch watch.yaml --replay archive --set input=replayed --speed 60x",
           "CONFIG",
           1,
           1,
           options,
           {}},
          run};
}

}  // namespace raincell::app
