// A thread for one job at a time, so that a slow one need not be waited for.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace raincell::app {

class Worker {
 public:
  /// niceness: of the thread and those that it starts, 0 to 19.
  explicit Worker(int niceness = 0);
  ~Worker();  // waits for the job
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  bool idle() const;
  /// Since the job began, rounded up; 0 when there is none.
  std::chrono::seconds at_work() const;
  /// Only when idle. The job must not throw.
  void start(std::function<void()> job);
  /// False: it is still at work.
  bool wait_until(std::chrono::steady_clock::time_point deadline);

 private:
  void work();
  int niceness_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> job_;
  std::chrono::steady_clock::time_point begun_;
  bool ending_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace raincell::app
