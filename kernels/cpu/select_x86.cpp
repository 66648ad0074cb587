// Chooses the instruction set at run time, so that one binary serves every x86-64: the one that oneDNN
// chooses, too.
#include "kernels/cpu/conv_onednn.hpp"

namespace raincell::kernels::cpu {

const PointwiseKernels& pointwise_kernels() {
  if (Onednn::has(InstructionSet::avx512)) return kPointwiseAvx512;
  return Onednn::has(InstructionSet::avx2) ? kPointwiseAvx2 : kPointwisePortable;
}

}  // namespace raincell::kernels::cpu
