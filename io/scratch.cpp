#include "io/scratch.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "io/frame.hpp"

namespace raincell::io {

namespace {

std::string elsewhere() {
  return "name a folder of a disk with room by --scratch, or allow more with --memory";
}

[[noreturn]] void fail(const std::filesystem::path& folder, const std::string& what, int error) {
  throw WriteError(fmt::format("{}: cannot {}: {} (errno {}); {}", folder.string(), what,
                               std::strerror(error), error, elsewhere()));
}

std::int64_t page() {
  return static_cast<std::int64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

ScratchFile::~ScratchFile() {
  for (const std::span<std::byte> piece : pieces_) ::munmap(piece.data(), piece.size());
  if (descriptor_ >= 0) ::close(descriptor_);
}

void ScratchFile::open() {
  const std::filesystem::path folder = folder_.empty() ? "." : folder_;
  struct statfs system {};
  if (::statfs(folder.c_str(), &system) == 0 &&
      (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC)) {
    throw WriteError(fmt::format("{}: lies in memory (tmpfs), which a scratch file shall save; {}",
                                 folder.string(), elsewhere()));
  }
  descriptor_ = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor_ >= 0) return;
  std::string name = (folder / ".raincell-scratch-XXXXXX").string();  // where O_TMPFILE is not known
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail(folder, "create a scratch file there", errno);
  ::unlink(name.c_str());
}

std::span<std::byte> ScratchFile::take(std::size_t bytes, std::string_view what) {
  if (descriptor_ < 0) open();
  const std::int64_t size = (static_cast<std::int64_t>(bytes) + page() - 1) / page() * page();
  if (const int error = ::posix_fallocate(descriptor_, size_, size); error != 0) {
    fail(folder_, fmt::format("take {} MiB of scratch for {}", size >> 20, what), error);
  }
  void* const memory =
      ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, size_);
  if (memory == MAP_FAILED)
    fail(folder_, fmt::format("map {} MiB of scratch for {}", size >> 20, what), errno);
  size_ += size;
  pieces_.emplace_back(static_cast<std::byte*>(memory), static_cast<std::size_t>(size));
  return pieces_.back().first(bytes);
}

void ScratchFile::give_back(std::span<std::byte> piece) noexcept {
  const auto found = std::find_if(pieces_.begin(), pieces_.end(),
                                  [&](std::span<std::byte> each) { return each.data() == piece.data(); });
  if (found == pieces_.end()) return;
  (void)::madvise(found->data(), found->size(), MADV_REMOVE);  // its disk space too
  ::munmap(found->data(), found->size());
  pieces_.erase(found);
}

void ScratchFile::drop(std::span<std::byte> piece) noexcept {
  if (!piece.empty()) (void)::madvise(piece.data(), piece.size(), MADV_DONTNEED);
}

}  // namespace raincell::io
