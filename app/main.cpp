// The command table and the only catch.
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "app/child_process.hpp"
#include "app/commands.hpp"
#include "app/errors.hpp"
#include "app/openmp.hpp"
#include "app/signals.hpp"
#include "app/version.hpp"

namespace raincell::app {
namespace {

std::string overview() {
  std::string text =
      "raincell: from radar files to a verified nowcast\n\n"
      "  raincell nowcast --input radar/ --output nowcast.nc --png maps/\n\n"
      "Commands:\n";
  for (const Command& command : all_commands()) {
    text += fmt::format("  {:<9} {}\n", command.spec.name, command.spec.summary);
  }
  return text +
         "\n'raincell help COMMAND' explains a command, 'raincell --version' says which build this is.\n"
         "Times are UTC (2010-08-26T06:00Z), grids columns x rows, leads in minutes.";
}

const Command& find(const std::vector<Command>& commands, const std::string& name) {
  std::vector<std::string> names{"help"};
  for (const Command& command : commands) {
    if (command.spec.name == name) return command;
    names.push_back(command.spec.name);
  }
  const std::string near = nearest(name, names);
  throw UsageError(fmt::format("raincell: this version has no command '{}'; {}see 'raincell help'", name,
                               near.empty() ? "" : fmt::format("did you mean '{}'? ", near)));
}

int dispatch(const std::vector<std::string>& words, Log& log) {
  if (words.empty()) {
    log.info(overview());
    return kUsage;
  }
  const std::vector<Command> commands = all_commands();
  const std::string& first = words[0];
  if (first == "--version") {
    log.result(version_text());
    return kOk;
  }
  const bool help_of = first == "help" || first == "--help" || first == "-h";
  if (help_of && words.size() == 1) {
    log.result(overview());
    return kOk;
  }
  const Command& command = find(commands, help_of ? words[1] : first);
  std::vector<std::string> rest(words.begin() + 1, words.end());
  for (const std::string& word : rest) {
    if (word == "--") break;
    if (help_of || word == "--help" || word == "-h") {
      log.result(help_text(command.spec));
      return kOk;
    }
  }
  return command.run(parse_arguments(command.spec, rest), log);
}

int run(const std::vector<std::string>& words, Log& log) {
  try {
    return dispatch(words, log);
  } catch (...) {
    const Failure failure = failure_of(std::current_exception());
    if (!failure.what.empty()) log.error(failure.what);
    return failure.code;
  }
}

/// Commands that only read and write files start once.
bool computes(const std::string& name) {
  for (const Command& command : all_commands()) {
    if (command.spec.name != name) continue;
    const auto& options = command.spec.options;
    return std::any_of(options.begin(), options.end(),
                       [](const Option& option) { return option.name == "backend"; });
  }
  return false;
}

}  // namespace
}  // namespace raincell::app

int main(int argc, char** argv) {
  if (argc > 1 && raincell::app::computes(argv[1])) raincell::app::settle_openmp(argv);
  raincell::app::install_signal_handlers();
  raincell::app::end_with_parent();
  raincell::app::Log log;
  return raincell::app::run(std::vector<std::string>(argv + 1, argv + argc), log);
}
