#include "app/commands.hpp"

namespace raincell::app {

std::vector<Command> all_commands() {
  return {};
}

}  // namespace raincell::app
