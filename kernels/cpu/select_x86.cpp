// Chooses the instruction set at run time, so that one binary serves every x86-64.
#include "kernels/cpu/pointwise.hpp"

namespace raincell::kernels::cpu {

const PointwiseKernels& pointwise_kernels() {
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (avx512) return kPointwiseAvx512;
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return avx2 ? kPointwiseAvx2 : kPointwisePortable;
}

}  // namespace raincell::kernels::cpu
