#include "app/process_memory.hpp"

#include <fstream>
#include <string>

namespace raincell::app {

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    const auto take = [&](const char* key, std::size_t& bytes) {
      const std::string start = std::string(key) + ":";
      if (line.rfind(start, 0) == 0) bytes = std::stoull(line.substr(start.size())) * 1024;  // "  1234 kB"
    };
    take("VmHWM", memory.peak);
    take("VmRSS", memory.resident);
    take("RssFile", memory.files);
  }
  return memory;
}

void restart_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

}  // namespace raincell::app
