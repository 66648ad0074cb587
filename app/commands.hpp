// The commands of this version, one file each.
#pragma once

#include <vector>

#include "app/cli.hpp"

namespace raincell::app {

Command inspect_command();
Command simulate_command();
Command pack_command();
Command plan_command();
Command train_command();
Command status_command();
Command nowcast_command();
Command verify_command();
Command watch_command();
Command check_command();
Command bench_command();

/// In the order of the work.
std::vector<Command> all_commands();

}  // namespace raincell::app
