// What changes when a file does, without reading it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace raincell::io {

struct FileStamp {
  std::uintmax_t bytes = 0;
  std::int64_t changed_ns = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileStamp&) const = default;
};

/// Of the name itself, where it is a link. Empty: there is none.
std::optional<FileStamp> stamp_of(const std::filesystem::path&);
/// Of the file that a link leads to.
std::optional<FileStamp> stamp_behind(const std::filesystem::path&);

}  // namespace raincell::io
