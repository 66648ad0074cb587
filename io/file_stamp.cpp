#include "io/file_stamp.hpp"

#include <sys/stat.h>

namespace raincell::io {

namespace {

FileStamp stamp_from(const struct stat& info) {
  return {static_cast<std::uintmax_t>(info.st_size),
          static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1000000000 + info.st_mtim.tv_nsec, info.st_ino};
}

}  // namespace

std::optional<FileStamp> stamp_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
  return stamp_from(info);
}

std::optional<FileStamp> stamp_behind(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return stamp_from(info);
}

}  // namespace raincell::io
