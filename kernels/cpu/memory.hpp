// Aligned host memory, zeroed by the threads that will use it.
#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/tensor.hpp"

namespace raincell::kernels::cpu {

/// Zero-filled, 64-byte aligned (2 MiB and huge pages for large ones). Throws OutOfMemory, naming `what`.
Buffer allocate_host(std::size_t bytes, std::string_view what, int threads);

}  // namespace raincell::kernels::cpu
