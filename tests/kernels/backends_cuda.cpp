#include "tests/kernels/backends.hpp"

namespace raincell::test {

std::vector<TestedBackend> tested_backends() {
  return {{"cuda", "cuda", 0}};
}

}  // namespace raincell::test
