// Other processors than x86-64: the compiler's own baseline, which includes SIMD on all that matter.
#include "kernels/cpu/pointwise.hpp"

namespace raincell::kernels::cpu {

const PointwiseKernels& pointwise_kernels() {
  return kPointwisePortable;
}

}  // namespace raincell::kernels::cpu
