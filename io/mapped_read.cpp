#include "io/mapped_read.hpp"

#include <csetjmp>
#include <csignal>

namespace raincell::io {
namespace {

thread_local sigjmp_buf* way_out = nullptr;

void leave(int signal) {
  if (way_out != nullptr) siglongjmp(*way_out, 1);
  std::signal(signal, SIG_DFL);  // not of a read: the access is tried again, and ends the process as it would
}

bool install() {
  struct sigaction action {};
  action.sa_handler = leave;
  action.sa_flags = SA_NODEFER;  // the mask stays as it is, so that a jump need not restore it
  return ::sigaction(SIGBUS, &action, nullptr) == 0;
}

}  // namespace

bool read_mapped(void (*copy)(void* context), void* context) {
  static const bool installed = install();
  static_cast<void>(installed);
  sigjmp_buf here;
  if (sigsetjmp(here, 0) != 0) {
    way_out = nullptr;
    return false;
  }
  way_out = &here;
  copy(context);
  way_out = nullptr;
  return true;
}

}  // namespace raincell::io
