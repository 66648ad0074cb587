#include "app/signals.hpp"

#include <csignal>

#include "app/errors.hpp"

namespace raincell::app {

namespace {

volatile std::sig_atomic_t pending = 0;  // the one thing that a signal handler may write

void remember(int signal) {
  pending = signal;
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
  sigaction(SIGXFSZ, &ignore, nullptr);  // a file-size limit is then an ordinary write error
}

int pending_signal() {
  return pending;
}

void stop_if_asked() {
  if (pending != 0) throw Stopped(pending);
}

}  // namespace raincell::app
