#include "app/arrivals.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace raincell::app {

Arrivals::Arrivals(std::filesystem::path folder)
    : folder_(std::move(folder)), notify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  watch();
}

Arrivals::~Arrivals() {
  if (notify_ >= 0) ::close(notify_);
}

void Arrivals::watch() {
  if (notify_ < 0 || watched_ >= 0) return;
  watched_ = ::inotify_add_watch(notify_, folder_.c_str(),
                                 IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

bool Arrivals::happened() {
  watch();
  bool any = false;
  alignas(inotify_event) std::array<char, 4096> events;
  for (ssize_t got = 0; notify_ >= 0 && (got = ::read(notify_, events.data(), events.size())) > 0;) {
    any = true;
    for (ssize_t at = 0; at < got;) {
      inotify_event event;
      std::memcpy(&event, events.data() + at, sizeof event);
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) == 0 || watched_ < 0)
        continue;
      ::inotify_rm_watch(notify_, watched_);  // another folder may take its place
      watched_ = -1;
    }
  }
  return any;
}

}  // namespace raincell::app
