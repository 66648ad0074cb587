#include "app/ranks.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "app/cli.hpp"
#include "app/errors.hpp"

namespace raincell::app {

namespace {

constexpr const char* kModule = "raincell-mpi.so";

/// Open MPI, Slurm with PMIx, and launchers that speak PMI-1 or 2 each have a word for it.
constexpr const char* kSizes[] = {"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "PMI_SIZE"};

[[noreturn]] void refuse(int processes, const std::string& why) {
  throw UsageError(fmt::format(
      "started as one of {} processes, but {}; install Open MPI (package openmpi-bin) and a raincell "
      "that was built with RAINCELL_MPI=ON, or start one process",
      processes, why));
}

/// A number that the launcher put into the environment; `least` where there is none.
int number_of(const char* name, int least) {
  const char* value = std::getenv(name);
  const auto number = value == nullptr ? std::nullopt : parse_integer(value);
  return number && *number > least && *number < 1 << 20 ? static_cast<int>(*number) : least;
}

}  // namespace

int launched_processes() {
  int most = 1;
  for (const char* name : kSizes) most = std::max(most, number_of(name, 1));
  return most;
}

int threads_beside_others() {
  const int here = std::max(number_of("OMPI_COMM_WORLD_LOCAL_SIZE", 1), number_of("MPI_LOCALNRANKS", 1));
  cpu_set_t set;
  if (here == 1 || ::sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  const long cores = ::sysconf(_SC_NPROCESSORS_ONLN);
  if (CPU_COUNT(&set) < cores) return 0;  // bound already
  return std::max(1, static_cast<int>(cores) / here);
}

int rank_on_this_machine() {
  int number = 0;
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "MPI_LOCALRANKID"})
    number = std::max(number, number_of(name, 0));
  return number;
}

std::unique_ptr<model::Communicator> join_ranks() {
  const int processes = launched_processes();
  if (processes == 1) return nullptr;
  std::error_code none;
  const auto beside = std::filesystem::read_symlink("/proc/self/exe", none).parent_path();
  std::filesystem::path path = beside / kModule;
  if (!std::filesystem::exists(path, none)) path = beside.parent_path() / "lib/raincell" / kModule;
  if (!std::filesystem::exists(path, none))
    refuse(processes, fmt::format("{} is not beside the program", kModule));
  // Never closed: MPI's own libraries cannot be unloaded. Open MPI's plug-ins look for its symbols globally.
  void* const module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (module == nullptr) refuse(processes, fmt::format("MPI cannot be loaded: {}", ::dlerror()));
  using Join = model::Communicator* (*)(std::string*);
  const auto join = reinterpret_cast<Join>(::dlsym(module, "raincell_join"));
  if (join == nullptr) refuse(processes, fmt::format("{} is of another version", path.string()));
  std::string problem;
  std::unique_ptr<model::Communicator> ranks(join(&problem));
  if (ranks == nullptr) refuse(processes, problem);
  if (ranks->size() != processes) {
    refuse(processes,
           fmt::format("MPI knows of {}: the launcher is of another MPI than the module", ranks->size()));
  }
  return ranks;
}

std::unique_ptr<kernels::DeviceGroup> join_devices(model::Communicator& ranks, kernels::Backend& backend,
                                                   std::int64_t gradients, Log& log) {
  const std::vector<std::string> problems = ranks.gather(backend.no_group()),
                                 devices = ranks.gather(backend.info().identity);
  if (!backend.info().own_memory) return nullptr;
  const auto over_hosts = [&](const std::string& why) {
    log.warning("gradients are summed over the hosts, which is slower: " + why);
    return nullptr;
  };
  for (std::size_t r = 0; r < problems.size(); ++r) {
    const std::string name = ranks.name(static_cast<int>(r));
    if (!problems[r].empty()) return over_hosts(fmt::format("{}: {}", name, problems[r]));
    for (std::size_t other = 0; other < r; ++other) {
      if (devices[other] == devices[r]) {
        return over_hosts(fmt::format("{} and {} are on one GPU ({}); start one process a GPU",
                                      ranks.name(static_cast<int>(other)), name, devices[r]));
      }
    }
  }
  std::vector<std::byte> id;
  if (ranks.rank() == 0) {
    const std::string drawn = backend.draw_group_id();
    const auto bytes = std::as_bytes(std::span(drawn));
    id.assign(bytes.begin(), bytes.end());
  }
  ranks.broadcast(id);
  auto group = backend.join_group({reinterpret_cast<const char*>(id.data()), id.size()}, ranks.rank(),
                                  ranks.size(), gradients);
  log.info("gradients are summed on the GPUs: " + group->text());
  return group;
}

Share share_of(std::int64_t batch, int rank, int size) {
  const std::int64_t each = batch / size, more = batch % size;
  return {rank * each + std::min<std::int64_t>(rank, more), each + (rank < more ? 1 : 0)};
}

}  // namespace raincell::app
