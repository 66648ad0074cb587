// Stands in for the cuda backend when it was asked for (RAINCELL_CUDA=ON) but is not part of this version.
#include "kernels/cuda/cuda.hpp"

namespace raincell::kernels {

std::unique_ptr<Backend> make_cuda(const BackendOptions&) {
  throw BackendUnavailable(
      "this version of raincell has no cuda backend yet, although it was built with "
      "RAINCELL_CUDA=ON; use --backend cpu");
}

}  // namespace raincell::kernels
