// What a training step will take, from trials of its operations: no network and no batch are ever in memory.
#pragma once

#include <cstdint>

#include "app/config.hpp"
#include "kernels/backend.hpp"

namespace raincell::app {

/// Seconds of one update, all of its accumulated batches: every operation that the network would ask for is
/// run a few times on tensors of its own, of fewer images or rows where a call takes long; operations of the
/// same sizes once. Memory: some 100 MiB and one convolution's plan.
double tried_step_seconds(const Config&, kernels::Backend&, std::int64_t rows, std::int64_t columns);

}  // namespace raincell::app
