#include "app/openmp.hpp"

#include <unistd.h>

#include <cstdlib>

namespace raincell::app {

namespace {
constexpr const char* kSpins = "3000";  // a few microseconds, enough for the gap between two primitives
}

void settle_openmp(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  if (setenv("GOMP_SPINCOUNT", kSpins, 1) != 0) return;
  execv("/proc/self/exe", argv);  // returns only when it fails; then the default must do
}

}  // namespace raincell::app
