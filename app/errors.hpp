// What can end a command, beside the errors of io, model and kernels. failure_of() maps each to an exit code.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace raincell::app {

/// Exit codes are part of the contract with scripts.
enum ExitCode : int {
  kOk = 0,
  kInternal = 1,
  kUsage = 2,
  kInput = 3,
  kWithheld = 4,
  kResources = 5,
  kDiverged = 6,
  kWeights = 7,
  kDevice = 8,
  kInterrupted = 130,
  kTerminated = 143,
};

/// The command line or the configuration is wrong (2).
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The input is too old or too short for a nowcast that could be trusted (4).
class Withheld : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// More memory or disk would be needed than there is or than was allowed (5).
class ResourceError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Loss or gradients stay non-finite (6).
class Diverged : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Another process of the same training computes something else (8).
class PeerError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A signal asked for the end, and everything worth keeping is on disk (130, 143).
class Stopped : public std::runtime_error {
 public:
  explicit Stopped(int signal) : std::runtime_error("stopped by a signal"), signal_(signal) {}
  int signal() const { return signal_; }

 private:
  int signal_;
};

/// Nobody reads stdout any more; that is no error.
class OutputClosed : public std::runtime_error {
 public:
  OutputClosed() : std::runtime_error("stdout was closed") {}
};

/// How a command that ended with an error tells it: its exit code, and what to say (empty: nothing).
struct Failure {
  int code = kInternal;
  std::string what;
};
Failure failure_of(std::exception_ptr);

}  // namespace raincell::app
