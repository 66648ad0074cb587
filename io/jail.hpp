// raincell-reader, the limited child in which hostile bytes are parsed, seen from the computing process.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/archive_table.hpp"
#include "io/channel.hpp"
#include "io/frame.hpp"
#include "io/reader.hpp"

namespace raincell::io {

/// Memory that a child fills and this process reads: of a fixed size, which the child can neither shrink nor
/// grow.
class SharedMemory {
 public:
  SharedMemory() = default;
  /// Throws DataError when there is no such memory.
  explicit SharedMemory(std::uint64_t bytes);
  SharedMemory(SharedMemory&&) noexcept;
  SharedMemory& operator=(SharedMemory&&) noexcept;
  ~SharedMemory();
  int descriptor() const { return descriptor_.get(); }
  std::span<const std::byte> bytes() const { return {at_, bytes_}; }

 private:
  Descriptor descriptor_;
  std::uint64_t bytes_ = 0;
  const std::byte* at_ = nullptr;
};

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
  std::vector<Frame> read(const std::filesystem::path&, const SourceOptions&, Wanted);
  /// The header of a packed file of so many bytes, checked. Throws DataError without the file's name.
  ArchiveTable read_table(const Descriptor& file, std::uint64_t bytes);
  /// How often a child was started: for tests.
  int started() const { return started_; }

 private:
  void ensure();
  void retire();
  std::vector<Frame> exchange(const Descriptor& input, const std::string& name, const SourceOptions&, Wanted);
  Message expect(MessageKind, std::chrono::steady_clock::time_point deadline);
  std::string how_it_ended();

  static std::chrono::seconds default_patience();

  std::chrono::seconds patience_;
  pid_t pid_ = -1;
  Descriptor socket_;
  SharedMemory memory_;  // kept from file to file: new pages would cost as much as reading
  int served_ = 0;
  int started_ = 0;
};

/// Where raincell-reader is: env RAINCELL_READER, else beside this executable.
std::filesystem::path reader_executable();

}  // namespace raincell::io
