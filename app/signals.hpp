// SIGINT and SIGTERM as a question that long work asks between two steps.
#pragma once

namespace raincell::app {

/// The first signal is remembered, the second has its usual effect. SIGPIPE is ignored.
void install_signal_handlers();
/// 0, SIGINT or SIGTERM.
int pending_signal();
/// Throws Stopped when a signal has arrived. For work that leaves nothing half-written at this point.
void stop_if_asked();

}  // namespace raincell::app
