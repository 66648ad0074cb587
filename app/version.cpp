#include "app/version.hpp"

#include <fmt/format.h>

#include "kernels/backend.hpp"

namespace raincell::app {

const char* version() {
  return RAINCELL_VERSION;
}

std::string version_text() {
  std::string names;
  for (const std::string& name : kernels::backend_names()) names += (names.empty() ? "" : ", ") + name;
  return fmt::format("raincell {} (compiler {}; backends {})", version(), __VERSION__, names);
}

}  // namespace raincell::app
