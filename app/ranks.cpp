#include "app/ranks.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "app/cli.hpp"
#include "app/errors.hpp"

namespace raincell::app {

namespace {

constexpr const char* kModule = "raincell-mpi.so";

/// Open MPI, Slurm with PMIx, and launchers that speak PMI-1 or 2 each have a word for it.
constexpr const char* kSizes[] = {"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "PMI_SIZE"};

[[noreturn]] void refuse(int processes, const std::string& why) {
  throw UsageError(
      fmt::format("started as one of {} processes, but {}; install Open MPI (package openmpi-bin) and a raincell "
                  "that was built with "
                  "RAINCELL_MPI=ON, or start one process",
                  processes, why));
}

/// A count that the launcher put into the environment; 1 where there is none.
int count_of(const char* name) {
  const char* value = std::getenv(name);
  const auto count = value == nullptr ? std::nullopt : parse_integer(value);
  return count && *count > 1 && *count < 1 << 20 ? static_cast<int>(*count) : 1;
}

}  // namespace

int launched_processes() {
  int most = 1;
  for (const char* name : kSizes) most = std::max(most, count_of(name));
  return most;
}

int threads_beside_others() {
  const int here = std::max(count_of("OMPI_COMM_WORLD_LOCAL_SIZE"), count_of("MPI_LOCALNRANKS"));
  cpu_set_t set;
  if (here == 1 || ::sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  const long cores = ::sysconf(_SC_NPROCESSORS_ONLN);
  if (CPU_COUNT(&set) < cores) return 0;  // bound already
  return std::max(1, static_cast<int>(cores) / here);
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

Share share_of(std::int64_t batch, int rank, int size) {
  const std::int64_t each = batch / size, more = batch % size;
  return {rank * each + std::min<std::int64_t>(rank, more), each + (rank < more ? 1 : 0)};
}

}  // namespace raincell::app
