// The clock of the rolling service: the wall's, or that of a replay, which runs fast while the service waits.
#pragma once

#include <chrono>
#include <mutex>

#include "io/intake.hpp"

namespace raincell::app {

class ServiceClock {
 public:
  virtual ~ServiceClock() = default;
  /// Any thread.
  virtual io::Moment now() const = 0;
  /// Until `at_most` of this clock has passed, `descriptor` (-1: none) can be read, or a signal comes.
  virtual void wait(std::chrono::milliseconds at_most, int descriptor) = 0;
  virtual double speed() const { return 1.; }
};

class SystemClock : public ServiceClock {
 public:
  io::Moment now() const override;
  void wait(std::chrono::milliseconds at_most, int descriptor) override;
};

/// Begins at a time of the past. A second of waiting counts `speed` seconds, a second of work counts one:
/// what has to be done in time has as long as it has in earnest.
class ReplayClock : public ServiceClock {
 public:
  ReplayClock(io::TimePoint begin, double speed);
  io::Moment now() const override;
  void wait(std::chrono::milliseconds at_most, int descriptor) override;
  double speed() const override { return speed_; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::duration passed() const;  // with the lock held
  io::TimePoint begin_;
  double speed_;
  Clock::time_point started_ = Clock::now();
  mutable std::mutex mutex_;
  Clock::duration waited_{0};          // in all
  Clock::time_point waiting_since_{};  // the epoch: at work
};

}  // namespace raincell::app
