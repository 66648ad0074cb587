#include "app/version.hpp"

#include <fmt/format.h>

#include "kernels/backend.hpp"

namespace raincell::app {

const char* version() {
  return RAINCELL_VERSION;
}

std::string version_text() {
  std::string names;
  for (const std::string& name : kernels::backend_names()) {
    try {
      kernels::make_backend(name, {.threads = 1});
      names += (names.empty() ? "" : ", ") + name;
    } catch (const kernels::BackendUnavailable&) {
      // not in this build or not on this machine
    }
  }
  return fmt::format("raincell {} (compiler {}; backends {})", version(), __VERSION__, names);
}

}  // namespace raincell::app
