#include "app/worker.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <utility>

namespace raincell::app {

using Clock = std::chrono::steady_clock;

Worker::Worker(int niceness) : niceness_(niceness), thread_([this] { work(); }) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool Worker::idle() const {
  const std::lock_guard lock(mutex_);
  return !job_;
}

std::chrono::seconds Worker::at_work() const {
  const std::lock_guard lock(mutex_);
  return job_ ? std::chrono::ceil<std::chrono::seconds>(Clock::now() - begun_) : std::chrono::seconds(0);
}

void Worker::start(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    job_ = std::move(job);
    begun_ = Clock::now();
  }
  changed_.notify_all();
}

bool Worker::wait_until(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return !job_; });
}

void Worker::work() {
  // On Linux niceness is a thread's own, and passed on to those that it starts.
  if (niceness_ != 0) ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), niceness_);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ending_ || job_; });
    if (!job_) return;
    lock.unlock();
    job_();
    lock.lock();
    job_ = nullptr;
    changed_.notify_all();
  }
}

}  // namespace raincell::app
