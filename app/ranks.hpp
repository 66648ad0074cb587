// The processes of one training, as mpirun or Slurm started them.
#pragma once

#include <cstdint>
#include <memory>

#include "app/log.hpp"
#include "kernels/backend.hpp"
#include "model/communicator.hpp"

namespace raincell::app {

/// How many processes the launcher says there are; 1 without one.
int launched_processes();

/// Threads of each process when several share this machine and none is bound to a part of it; 0: all there
/// are.
int threads_beside_others();

/// Of the processes on this machine, this one's number; 0 without a launcher.
int rank_on_this_machine();

/// The communicator of all of them, from the module raincell-mpi.so beside the program; null for a process
/// that was started alone. Throws UsageError when there are several and the module or MPI is missing.
std::unique_ptr<model::Communicator> join_ranks();

/// The devices of all ranks as one group; null, and said where that is a pity, when they cannot be: tensors
/// in the memory of the host, no NCCL, two ranks on one GPU. Made by all.
std::unique_ptr<kernels::DeviceGroup> join_devices(model::Communicator&, kernels::Backend&,
                                                   std::int64_t gradients, Log&);

/// Samples of a batch that a rank takes (count 0: all): they differ by at most one between ranks.
struct Share {
  std::int64_t first = 0, count = 0;
};
Share share_of(std::int64_t batch, int rank, int size);

}  // namespace raincell::app
