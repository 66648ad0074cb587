// Stands in for the cuda backend in builds without it.
#include "kernels/cuda/cuda.hpp"

namespace raincell::kernels {

std::unique_ptr<Backend> make_cuda(const BackendOptions&) {
  throw BackendUnavailable(
      "the cuda backend is not in this build; use --backend cpu, or build it with the CUDA Toolkit and "
      "cuDNN: "
      "cmake --preset cuda && cmake --build --preset cuda");
}

}  // namespace raincell::kernels
