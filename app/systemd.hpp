// Words to the service manager that started this process, where one did (sd_notify's protocol).
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace raincell::app {

/// "READY=1", "STATUS=...", "WATCHDOG=1", "STOPPING=1"; lost in silence where nobody listens.
void tell_service_manager(const std::string& words);
/// How often it wants to hear WATCHDOG=1; empty: it does not.
std::optional<std::chrono::microseconds> watchdog_interval();

}  // namespace raincell::app
