#include "app/commands.hpp"

namespace raincell::app {

std::vector<Command> all_commands() {
  return {simulate_command(), plan_command(), check_command()};
}

}  // namespace raincell::app
