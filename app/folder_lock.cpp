#include "app/folder_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "app/errors.hpp"
#include "io/frame.hpp"

namespace raincell::app {

namespace {

constexpr int kTries = 5;
constexpr std::chrono::milliseconds kPause{50};

std::string host_name() {
  struct utsname system {};
  ::uname(&system);
  return system.nodename;
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder, const FolderUse& use) : file_(folder / "lock") {
  lock_ = ::open(file_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (lock_ < 0) {
    throw io::WriteError(fmt::format("{}: cannot be written: {}; choose {}", folder.string(),
                                     std::strerror(errno), use.choose));
  }
  int error = EWOULDBLOCK;
  for (int i = 0; i < kTries && (error == EWOULDBLOCK || error == EINTR); ++i) {
    if (i > 0) std::this_thread::sleep_for(kPause);  // 'raincell status' holds it for a moment
    error = ::flock(lock_, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  }
  if (error != 0) {
    ::close(lock_);
    if (error != EWOULDBLOCK) {
      throw io::WriteError(fmt::format("{}: cannot be locked: {}; choose {} on a file system with locks",
                                       file_.string(), std::strerror(error), use.choose));
    }
    const std::string who = holder_of(folder);
    throw UsageError(fmt::format("{}: another raincell{} {} there; wait for it, or choose {}",
                                 folder.string(), who.empty() ? "" : " (" + who + ")", use.does, use.choose));
  }
  const std::string me = fmt::format("process {} on {}\n", ::getpid(), host_name());
  // Only a word to whoever finds the folder locked; on a full disk there is none.
  if (::ftruncate(lock_, 0) == 0 && ::pwrite(lock_, me.data(), me.size(), 0) < 0) return;
}

FolderLock::~FolderLock() {
  ::close(lock_);
}

bool FolderLock::still_own() const {
  struct stat own {};
  struct stat there {};
  if (::fstat(lock_, &own) != 0 || (::stat(file_.c_str(), &there) != 0 && errno != ENOENT)) return true;
  return own.st_dev == there.st_dev && own.st_ino == there.st_ino;
}

std::string holder_of(const std::filesystem::path& folder) {
  const int lock = ::open((folder / "lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return "";
  std::string who;
  if (::flock(lock, LOCK_SH | LOCK_NB) != 0) {
    char text[256] = {};
    const ssize_t got = ::pread(lock, text, sizeof text, 0);
    who.assign(text, got > 0 ? static_cast<std::size_t>(got) : 0);
    who = who.substr(0, who.find('\n'));
    if (who.empty()) who = "a process";
  }
  ::close(lock);
  return who;
}

}  // namespace raincell::app
