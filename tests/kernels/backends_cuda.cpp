#include "tests/kernels/backends.hpp"

namespace raincell::test {

std::vector<TestedBackend> tested_backends() {
  // tf32 keeps 10 bits of the factors, bf16 7 bits of every number.
  return {{"f32", "cuda", 0},
          {"tf32", "cuda", 0, kernels::Precision::tf32, 2e-3},
          {"bf16", "cuda", 0, kernels::Precision::bf16, 1.2e-2}};
}

}  // namespace raincell::test
