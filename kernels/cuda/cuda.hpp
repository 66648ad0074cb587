// The CUDA backend; unavailable.cpp stands in for it in builds without one.
#pragma once

#include <memory>

#include "kernels/backend.hpp"

namespace raincell::kernels {

/// Throws BackendUnavailable, saying what is missing, when this build or this machine has no CUDA.
std::unique_ptr<Backend> make_cuda(const BackendOptions&);

}  // namespace raincell::kernels
