#include "io/format_lock.hpp"

namespace raincell::io {

std::mutex& format_lock() {
  static std::mutex lock;  // the libraries' own state is global, so its lock must be
  return lock;
}

}  // namespace raincell::io
