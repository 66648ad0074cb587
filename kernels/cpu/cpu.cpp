#include "kernels/cpu/cpu.hpp"

namespace raincell::kernels {

std::unique_ptr<Backend> make_cpu(const BackendOptions&) {
  throw BackendUnavailable("the cpu backend is not in this build; use --backend reference");
}

}  // namespace raincell::kernels
