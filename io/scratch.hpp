// A file that nobody sees, for what memory is too small for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace raincell::io {

/// Room in a file of a folder that has no name there: whatever ends the process ends it too. Every piece has
/// its disk space from the start. One thread at a time.
class ScratchFile {
 public:
  /// Makes nothing yet. Throws WriteError at the first take() when the folder cannot be used, or lies in
  /// memory itself.
  explicit ScratchFile(std::filesystem::path folder) : folder_(std::move(folder)) {}
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  /// Zeros, at the start of a page; until give_back() or the end. Throws WriteError that names the folder and
  /// `what` when the disk has no room.
  std::span<std::byte> take(std::size_t bytes, std::string_view what);
  void give_back(std::span<std::byte>) noexcept;
  /// Out of the memory of this process; the contents stay.
  static void drop(std::span<std::byte>) noexcept;
  const std::filesystem::path& folder() const { return folder_; }
  std::int64_t bytes() const { return size_; }

 private:
  void open();
  std::filesystem::path folder_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
  std::vector<std::span<std::byte>> pieces_;
};

}  // namespace raincell::io
