#include "app/compute.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "app/errors.hpp"

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

std::unique_ptr<kernels::Backend> make_backend(const Arguments& arguments, Log& log) {
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
  options.threads = static_cast<int>(arguments.integer("threads", 0, 1, 4096));
  options.deterministic = arguments.has("deterministic");
  try {
    auto backend = kernels::make_backend(name, options);
    if (const kernels::BackendInfo& info = backend->info(); !info.passed_over.empty())
      log.warning(fmt::format("computing on {}, not on {}", info.name, info.passed_over));
    return backend;
  } catch (const kernels::BackendUnavailable& absence) {
    throw kernels::BackendUnavailable(fmt::format("--backend {}: {}", name, absence.what()));
  }
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

void require_memory(std::int64_t wanted, std::int64_t limit, const std::string& what,
                    const std::string& remedy) {
  if (wanted <= limit) return;
  throw ResourceError(fmt::format("{} needs about {} of memory, and {} may be used; {}", what,
                                  format_bytes(static_cast<double>(wanted)),
                                  format_bytes(static_cast<double>(limit)), remedy));
}

}  // namespace raincell::app
