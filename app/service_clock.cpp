#include "app/service_clock.hpp"

#include <poll.h>

#include <algorithm>

#include "app/signals.hpp"

namespace raincell::app {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// A signal that comes just before the wait is noticed by the next one.
constexpr milliseconds kLongestWait{1000};

void wait_for(milliseconds time, int descriptor) {
  if (pending_signal() != 0) return;
  pollfd one{descriptor, POLLIN, 0};
  ::poll(&one, descriptor >= 0 ? 1 : 0,
         static_cast<int>(std::clamp(time, milliseconds(1), kLongestWait).count()));
}

}  // namespace

io::Moment SystemClock::now() const {
  return {std::chrono::floor<seconds>(std::chrono::system_clock::now()),
          duration_cast<milliseconds>(std::chrono::steady_clock::now().time_since_epoch())};
}

void SystemClock::wait(milliseconds at_most, int descriptor) {
  wait_for(at_most, descriptor);
}

ReplayClock::ReplayClock(io::TimePoint begin, double speed) : begin_(begin), speed_(speed) {}

ReplayClock::Clock::duration ReplayClock::passed() const {
  const Clock::time_point now = Clock::now();
  const bool waiting = waiting_since_ != Clock::time_point{};
  const Clock::duration waited = waited_ + (waiting ? now - waiting_since_ : Clock::duration(0));
  return now - started_ + duration_cast<Clock::duration>(waited * (speed_ - 1.));
}

io::Moment ReplayClock::now() const {
  const std::lock_guard lock(mutex_);
  const Clock::duration since = passed();
  return {begin_ + duration_cast<seconds>(since), duration_cast<milliseconds>(since)};
}

void ReplayClock::wait(milliseconds at_most, int descriptor) {
  {
    const std::lock_guard lock(mutex_);
    waiting_since_ = Clock::now();
  }
  wait_for(duration_cast<milliseconds>(at_most / speed_), descriptor);
  const std::lock_guard lock(mutex_);
  waited_ += Clock::now() - waiting_since_;
  waiting_since_ = {};
}

}  // namespace raincell::app
