#include "io/format_lock.hpp"

#include <hdf5.h>

namespace raincell::io {
namespace {

/// A file that a full disk kept from closing stays open inside HDF5, whose exit handler then crashes on it;
/// every file is closed by its owner, so the handler has nothing to do. Must come before HDF5's first use.
struct LockWithoutExitHandler {
  LockWithoutExitHandler() { H5dont_atexit(); }
  std::mutex mutex;
};

}  // namespace

std::mutex& format_lock() {
  static LockWithoutExitHandler lock;  // the libraries' own state is global, so its lock must be
  return lock.mutex;
}

}  // namespace raincell::io
