// Stands in for the cuda backend where there is none.
#include "kernels/cuda/cuda.hpp"

namespace raincell::kernels {

std::unique_ptr<Backend> make_cuda(const BackendOptions&) {
  throw BackendUnavailable("this version of raincell has no cuda backend yet; use --backend cpu");
}

}  // namespace raincell::kernels
