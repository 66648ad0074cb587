// The CPU backend: oneDNN convolutions, fused OpenMP and SIMD kernels for the rest.
#pragma once

#include <memory>

#include "kernels/backend.hpp"

namespace raincell::kernels {

/// f32, channels-last activations.
std::unique_ptr<Backend> make_cpu(const BackendOptions&);

}  // namespace raincell::kernels
