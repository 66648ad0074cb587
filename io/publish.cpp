#include "io/publish.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {
namespace {

namespace fs = std::filesystem;

std::string what_to_do(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free space on that disk or choose another folder";
    case EROFS:
      return "the file system is read-only; choose another folder";
    case EACCES:
    case EPERM:
      return "grant write permission on the folder or choose another one";
    case ENOENT:
      return "create the folder first";
    case ENOTDIR:
      return "a file stands where a folder is expected; choose another path";
    case EISDIR:
      return "a folder stands where the file should go; choose another name";
    case ENAMETOOLONG:
      return "choose a shorter name";
    case EFBIG:
      return "raise the file-size limit (ulimit -f) or choose another disk";
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files (ulimit -n)";
    case EIO:
      return "the device reports errors; check the disk";
    default:
      return "check the path and the disk";
  }
}

[[noreturn]] void fail(const fs::path& path, const char* step, int error) {
  throw WriteError(fmt::format("{}: cannot {}: {} (errno {}); {}", path.string(), step, std::strerror(error),
                               error, what_to_do(error)));
}

/// A file descriptor closed at the end; close errors of written files are checked by close_checked.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool close_checked() {
    const int fd = std::exchange(fd_, -1);
    return ::close(fd) == 0;
  }

 private:
  int fd_;
};

/// Removes the temporary unless it was renamed away.
class Temporary {
 public:
  explicit Temporary(fs::path path) : path_(std::move(path)) {}
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (armed_) ::unlink(path_.c_str());
  }
  const fs::path& path() const { return path_; }
  void keep() { armed_ = false; }

 private:
  fs::path path_;
  bool armed_ = true;
};

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

void write_all(int fd, std::span<const std::byte> bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(path, "write", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void verify(int fd, std::span<const std::byte> bytes, const fs::path& path) {
  std::vector<std::byte> back(std::min<std::size_t>(bytes.size(), std::size_t{1} << 20));
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t got =
        ::pread(fd, back.data(), std::min(back.size(), bytes.size() - at), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, "read back what was written", errno);
    if (got == 0 || std::memcmp(back.data(), bytes.data() + at, static_cast<std::size_t>(got)) != 0) {
      throw WriteError(fmt::format("{}: what was read back differs from what was written at byte {}; {}",
                                   path.string(), at, what_to_do(EIO)));
    }
    at += static_cast<std::size_t>(got);
  }
}

void sync_folder(const fs::path& folder) {
  const Descriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) fail(folder, "open the folder to make the rename durable", errno);
  // Some file systems cannot sync a folder; that is their limit, not a failure of the write.
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP) fail(folder, "sync the folder", errno);
}

}  // namespace

fs::path temporary_beside(const fs::path& path) {
  if (!path.has_filename()) fail(path, "write", EISDIR);
  static std::atomic<unsigned> counter{0};
  return folder_of(path) /
         fmt::format(".{}.{}-{}.tmp", path.filename().string(), ::getpid(), counter.fetch_add(1));
}

void publish(const fs::path& path, std::span<const std::byte> bytes) {
  Temporary temporary(temporary_beside(path));
  const int raw = ::open(temporary.path().c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (raw < 0) {
    const int error = errno;
    temporary.keep();
    fail(path, "create a temporary file beside it", error);
  }
  Descriptor fd(raw);
  write_all(fd.get(), bytes, path);
  if (::fsync(fd.get()) != 0) fail(path, "sync to disk", errno);
  verify(fd.get(), bytes, path);
  if (!fd.close_checked()) fail(path, "close", errno);
  if (::rename(temporary.path().c_str(), path.c_str()) != 0) fail(path, "rename into place", errno);
  temporary.keep();
  sync_folder(folder_of(path));
}

void begin_sync(const fs::path& temporary) {
  const Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd.get() >= 0) ::sync_file_range(fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
}

void sync_file(const fs::path& temporary) {
  Descriptor fd(::open(temporary.c_str(), O_RDWR | O_CLOEXEC));
  if (fd.get() < 0) fail(temporary, "open to sync", errno);
  if (::fsync(fd.get()) != 0) fail(temporary, "sync to disk", errno);
  if (!fd.close_checked()) fail(temporary, "close", errno);
}

void publish_file(const fs::path& temporary, const fs::path& target) {
  Temporary owner(temporary);
  sync_file(temporary);
  if (::rename(temporary.c_str(), target.c_str()) != 0) fail(target, "rename into place", errno);
  owner.keep();
  sync_folder(folder_of(target));
}

void publish(const fs::path& path, const std::string& text) {
  publish(path, std::as_bytes(std::span(text.data(), text.size())));
}

void publish_link(const fs::path& path, const fs::path& target) {
  Temporary temporary(temporary_beside(path));
  if (::symlink(target.c_str(), temporary.path().c_str()) != 0) {
    const int error = errno;
    temporary.keep();
    fail(path, "create a link beside it", error);
  }
  if (::rename(temporary.path().c_str(), path.c_str()) != 0) fail(path, "rename into place", errno);
  temporary.keep();
  sync_folder(folder_of(path));
}

void append(const fs::path& path, std::span<const std::byte> bytes) {
  Descriptor fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
  if (fd.get() < 0) fail(path, "open for appending", errno);
  struct stat before {};
  const bool regular = ::fstat(fd.get(), &before) == 0 && S_ISREG(before.st_mode);
  try {
    write_all(fd.get(), bytes, path);
  } catch (const WriteError&) {
    if (regular) {  // no half a line, which the next one would go on with
      [[maybe_unused]] const int cut = ::ftruncate(fd.get(), before.st_size);
    }
    throw;
  }
  if (!fd.close_checked()) fail(path, "close", errno);
}

void append_line(const fs::path& path, const std::string& line) {
  const std::string text = line + "\n";
  append(path, std::as_bytes(std::span(text.data(), text.size())));
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(path, "create the folder", error.value());
  if (!fs::is_directory(path, error)) fail(path, "use as a folder", ENOTDIR);
  if (::access(path.c_str(), W_OK | X_OK) != 0) fail(path, "write into the folder", errno);
}

std::string sha256(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("sha256: OpenSSL could not hash");
  }
  std::string text;
  for (unsigned i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

std::string read_file(const fs::path& path, std::uint64_t limit) {
  const auto refuse = [&](const std::string& why) -> DataError {
    return DataError(path.string() + ": " + why);
  };
  // O_NONBLOCK so that a FIFO in the folder cannot hold us up.
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (fd.get() < 0)
    throw refuse(fmt::format("cannot open: {}; check the path and permissions", std::strerror(errno)));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw refuse(fmt::format("cannot stat: {}", std::strerror(errno)));
  if (S_ISDIR(info.st_mode)) throw refuse("is a directory; expected a file");
  if (!S_ISREG(info.st_mode)) throw refuse("is not a regular file; expected a file");
  if (static_cast<std::uint64_t>(info.st_size) > limit) {
    throw refuse(fmt::format("has {} bytes; expected at most {}", info.st_size, limit));
  }
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t got = ::pread(fd.get(), bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw refuse(fmt::format("read error at byte {}: {}", at, std::strerror(errno)));
    if (got == 0) throw refuse(fmt::format("ended at byte {} of {}; still being written?", at, bytes.size()));
    at += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace raincell::io
