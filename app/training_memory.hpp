// Memory of a training, counted before anything is allocated.
#pragma once

#include <utility>

#include "app/cli.hpp"
#include "app/config.hpp"
#include "kernels/backend.hpp"
#include "model/network.hpp"

namespace raincell::app {

/// {columns, rows} of the frames to plan for: --size, or data.crop. Throws UsageError.
std::pair<std::int64_t, std::int64_t> planned_size(const Arguments&, const Config&);

/// Device: network, gradients, moments, average. Host: what the network stages, and the batches that lie
/// ready.
model::PlanBytes training_bytes(const Config&, kernels::Backend&, std::int64_t rows, std::int64_t columns);
/// Host bytes while a checkpoint is made: everything that a resumed run needs, in double and as a file.
std::size_t checkpoint_bytes(const Config&);
/// Bytes that a training's guides may take when the process may take `memory_limit`, of which `taken` are
/// spoken for.
std::int64_t guide_cache_bytes(std::int64_t memory_limit, std::size_t taken = 0);
/// Bytes of one batch on the host.
std::int64_t batch_bytes(const Config&, std::int64_t rows, std::int64_t columns);

}  // namespace raincell::app
