// Stands in for the cuda backend where there is none.
#include "kernels/cuda/cuda.hpp"

namespace raincell::kernels {

std::unique_ptr<Backend> make_cuda(const BackendOptions&) {
  throw BackendNotBuilt(
      "this build has none; configure with -DRAINCELL_CUDA=ON where nvcc and cuDNN 9 are, or use --backend "
      "cpu");
}

}  // namespace raincell::kernels
