#include "tests/kernels/backends.hpp"

namespace raincell::test {

// 3 threads on any machine: the parts of the work must not depend on how many really run.
std::vector<TestedBackend> tested_backends() {
  return {{"reference", "reference", 1},
          {"reference_f32", "reference-f32", 1},
          {"cpu_1", "cpu", 1},
          {"cpu_3", "cpu", 3},
          {"cpu_bf16", "cpu", 3, kernels::Precision::bf16, 1.2e-2}};
}

}  // namespace raincell::test
