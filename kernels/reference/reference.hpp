// The oracle: plain loops with formulas of their own, against which every other backend is tested.
#pragma once

#include <memory>

#include "kernels/backend.hpp"

namespace raincell::kernels {

/// f64 (the oracle of all tests and of the gradient checks) or f32. One thread, planes (channel_block 1).
std::unique_ptr<Backend> make_reference(DType, const BackendOptions&);

}  // namespace raincell::kernels
