#include "app/thread_dump.hpp"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

namespace raincell::app {

namespace {

constexpr int kFrames = 64;
constexpr int kTries = 20;  // a main thread that is stopped takes no signal
constexpr std::chrono::milliseconds kPause{50};

std::atomic<bool> answered{false};

extern "C" void print_own_frames(int) {
  void* frames[kFrames];
  ::backtrace_symbols_fd(frames, ::backtrace(frames, kFrames), STDERR_FILENO);
  answered = true;
}

/// What the kernel tells of a thread, in one line; "?" where it does not.
std::string told(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "?" : text;
}

}  // namespace

void prepare_thread_dump() {
  void* frame = nullptr;
  ::backtrace(&frame, 1);  // the first call loads what it unwinds with, and may wait for a lock
}

void print_threads() {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", none)) {
    const std::string stat = told(entry.path() / "stat"), call = told(entry.path() / "syscall");
    const std::size_t name = stat.rfind(") ");  // whatever the thread is called
    ::dprintf(STDERR_FILENO, "  thread %s (%s): state %c, waits in %s, system call %s\n",
              entry.path().filename().c_str(), told(entry.path() / "comm").c_str(),
              name == std::string::npos ? '?' : stat[name + 2], told(entry.path() / "wchan").c_str(),
              call.substr(0, call.find(' ')).c_str());
  }
  struct sigaction action {};
  action.sa_handler = print_own_frames;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGURG, &action, nullptr);
  ::dprintf(STDERR_FILENO, "  the main thread, the innermost call first:\n");
  ::syscall(SYS_tgkill, ::getpid(), ::getpid(), SIGURG);
  for (int i = 0; i < kTries && !answered; ++i) std::this_thread::sleep_for(kPause);
  if (!answered)
    ::dprintf(STDERR_FILENO, "  it takes no signal: it is stopped, or does not come back from the kernel\n");
}

}  // namespace raincell::app
