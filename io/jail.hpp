// raincell-reader, the limited child in which hostile bytes are parsed, seen from the computing process.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "io/channel.hpp"
#include "io/frame.hpp"
#include "io/reader.hpp"

namespace raincell::io {

/// One child, started on the first file with posix_spawn, replaced after 64 files and after any crash,
/// time-out or refusal.
class Jail {
 public:
  /// `patience`: how long a file may take before the child is given up.
  explicit Jail(std::chrono::seconds patience = default_patience()) : patience_(patience) {}
  Jail(const Jail&) = delete;
  Jail& operator=(const Jail&) = delete;
  ~Jail();

  /// The frames of a file, checked. Throws DataError beginning with the path.
  std::vector<Frame> read(const std::filesystem::path&, const SourceOptions&, bool with_values);
  /// How often a child was started: for tests.
  int started() const { return started_; }

 private:
  void ensure();
  void retire();
  std::vector<Frame> exchange(const Descriptor& input, const std::string& name, const SourceOptions&,
                              bool with_values);
  Message expect(MessageKind, std::chrono::steady_clock::time_point deadline);
  std::string how_it_ended();

  static std::chrono::seconds default_patience();

  std::chrono::seconds patience_;
  pid_t pid_ = -1;
  Descriptor socket_;
  int served_ = 0;
  int started_ = 0;
};

/// Where raincell-reader is: env RAINCELL_READER, else beside this executable.
std::filesystem::path reader_executable();

}  // namespace raincell::io
