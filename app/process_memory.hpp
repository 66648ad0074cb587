// What this process has in memory, as the system counts it.
#pragma once

#include <cstddef>

namespace raincell::app {

/// Bytes; 0 where the system does not say.
struct ProcessMemory {
  std::size_t resident = 0;  // now, of memory and of mapped files
  std::size_t files = 0;     // of these mapped files
  std::size_t peak = 0;      // the most that was resident, ever or since restart_peak()
};

/// From /proc/self/status.
ProcessMemory process_memory();
/// From now on the peak is that of what comes; where the system cannot, it stays.
void restart_peak();

}  // namespace raincell::app
