// What the commands that compute share: backend, threads and memory from the command line.
#pragma once

#include <memory>

#include "app/cli.hpp"
#include "kernels/backend.hpp"
#include "model/network.hpp"

namespace raincell::app {

/// From --backend, --threads and --deterministic; warns when a GPU was hoped for and there is none. Throws
/// UsageError or BackendUnavailable.
std::unique_ptr<kernels::Backend> make_backend(const Arguments&, kernels::Precision, Log&);
/// "f32", "tf32", "bf16"
const char* name_of(kernels::Precision);
/// --memory, or what the machine has free.
std::int64_t memory_limit(const Arguments&);
/// Throws ResourceError that names what needs the memory, when it does not fit: `limit` for the host, what is
/// free for a device with memory of its own.
void require_memory(const model::PlanBytes& wanted, const kernels::Backend&, std::int64_t limit,
                    const std::string& what, const std::string& remedy);

}  // namespace raincell::app
