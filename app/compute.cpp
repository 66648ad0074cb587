#include "app/compute.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "app/errors.hpp"
#include "app/ranks.hpp"

namespace raincell::app {

namespace {

/// MemAvailable of /proc/meminfo, or the physical memory where that is missing.
std::int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  std::int64_t kib = 0;
  while (file >> word) {
    if (word == "MemAvailable:" && file >> kib) return kib * 1024;
  }
  return static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

}  // namespace

std::unique_ptr<kernels::Backend> make_backend(const Arguments& arguments, kernels::Precision precision,
                                               Log& log) {
  const std::string name = arguments.text("backend", "auto");
  std::vector<std::string> names = kernels::backend_names();
  names.insert(names.begin(), "auto");
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    const std::string near = nearest(name, names);
    throw UsageError(fmt::format("--backend {}: there is no such backend; expected one of {}{}", name,
                                 fmt::join(names, ", "),
                                 near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
  }
  kernels::BackendOptions options;
  options.threads = static_cast<int>(arguments.integer("threads", threads_beside_others(), 1, 4096));
  options.deterministic = arguments.has("deterministic");
  options.precision = precision;
  options.device = rank_on_this_machine();
  try {
    auto backend = kernels::make_backend(name, options);
    if (const kernels::BackendInfo& info = backend->info(); !info.passed_over.empty())
      log.warning(fmt::format("computing on {}, not on {}", info.name, info.passed_over));
    return backend;
  } catch (const kernels::BackendUnavailable& absence) {
    throw kernels::BackendUnavailable(fmt::format("--backend {}: {}", name, absence.what()));
  }
}

const char* name_of(kernels::Precision precision) {
  return precision == kernels::Precision::bf16   ? "bf16"
         : precision == kernels::Precision::tf32 ? "tf32"
                                                 : "f32";
}

std::int64_t memory_limit(const Arguments& arguments) {
  if (!arguments.has("memory")) return available_memory();
  const auto bytes = parse_bytes(arguments.text("memory"));
  if (!bytes || *bytes < (1 << 20)) {
    throw UsageError(fmt::format("--memory {}: expected a size of at least 1MiB, for example 2GiB",
                                 arguments.text("memory")));
  }
  return *bytes;
}

void require_memory(const model::PlanBytes& wanted, const kernels::Backend& backend, std::int64_t limit,
                    const std::string& what, const std::string& remedy) {
  const auto require = [&](std::size_t bytes, std::int64_t room, const char* where, const char* verb) {
    if (bytes <= static_cast<std::size_t>(room)) return;
    throw ResourceError(fmt::format("{} needs about {} of {}, and {} {}; {}", what,
                                    format_bytes(static_cast<double>(bytes)), where,
                                    format_bytes(static_cast<double>(room)), verb, remedy));
  };
  require(wanted.host, limit, "memory", "may be used");
  if (!backend.info().own_memory) return;
  require(wanted.device, static_cast<std::int64_t>(backend.free_memory() + backend.shared_bytes()),
          "the memory of the GPU", "are free");
}

}  // namespace raincell::app
