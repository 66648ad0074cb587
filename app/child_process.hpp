// A child process with a budget of its own: started, looked at, ended; never waited for while it works.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace raincell::app {

struct ChildSpec {
  std::filesystem::path program = "/proc/self/exe";
  std::vector<std::string> arguments;  // after the program's name
  std::filesystem::path log;           // what it says is added to this file
  int niceness = 0;                    // 0 to 19
  std::int64_t data_bytes = 0;         // of memory that it writes to; 0: no limit
};

/// A process for longer than this program lives: numbers of processes are used again, these are not.
struct ProcessMark {
  pid_t pid = -1;
  std::string began;  // which boot, and when in it; empty: there is no such process
};
ProcessMark mark_of(pid_t);

/// In a process group of its own, with stdin, stdout and stderr and no other descriptor of this process. It
/// is the first to go when memory runs out. A child whose main calls end_with_parent() is asked to end when
/// the thread that started it is gone.
class ChildProcess {
 public:
  /// Throws ResourceError when it cannot be started.
  explicit ChildProcess(const ChildSpec&);
  /// Asks it to end, waits for it a little, and ends it.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  /// How it ended, in words; nothing: all is well with it. An empty optional: it has not ended.
  struct End {
    bool well = false;
    std::string reason;  // when it is not well: the last line that it said, or the signal
  };
  std::optional<End> ended();
  void ask_to_end() const;  // SIGTERM, to it and what it started
  void kill() const;        // SIGKILL

 private:
  std::filesystem::path log_;
  pid_t pid_ = -1;  // -1: it has ended
};

/// In a child: asks it to end (SIGTERM) as soon as the ChildProcess that started it is gone, however that
/// came. Does nothing in another process.
void end_with_parent();

/// Ends a child that was left behind, and waits a little for that. Returns whether there was one.
bool end_left_behind(const ProcessMark&);

}  // namespace raincell::app
