#include "app/commands.hpp"

namespace raincell::app {

std::vector<Command> all_commands() {
  return {inspect_command(), simulate_command(), pack_command(),   plan_command(),  train_command(),
          status_command(),  nowcast_command(),  verify_command(), watch_command(), check_command(), bench_command()};
}

}  // namespace raincell::app
