// raincell-reader: parses one file after another inside narrow limits, for a parent that trusts nothing it
// answers. Descriptor 3 is the socket; each request brings the file as a descriptor.
#include <fcntl.h>
#include <malloc.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "io/archive_header.hpp"
#include "io/channel.hpp"
#include "io/formats.hpp"
#include "io/wire.hpp"

namespace {

using namespace raincell::io;

constexpr int kSocket = 3;
constexpr rlim_t kOpenFiles = 16;
// A file; the largest composite takes a second.
constexpr rlim_t kCpuSeconds = RAINCELL_IS_SANITIZED ? 60 : 10;
constexpr rlim_t kTableCpuSeconds = RAINCELL_IS_SANITIZED ? 240 : 60;
// Bytes of data, which is what a bomb fills; packed files are mapped and may be larger. Sanitizers reserve
// terabytes.
constexpr rlim_t kMemory = RAINCELL_IS_SANITIZED ? RLIM_INFINITY : rlim_t{4} << 30;

void limit(__rlimit_resource_t resource, rlim_t soft, rlim_t hard) {
  const rlimit value{soft, hard};
  if (::setrlimit(resource, &value) != 0) ::_exit(3);
}

void allow_open_files(bool allow) {
  if (RAINCELL_IS_SANITIZED) return;  // UBSan looks at memory through a pipe
  limit(RLIMIT_NOFILE, allow ? kOpenFiles : 0, kOpenFiles);
}

void limit_cpu_of_file(rlim_t seconds) {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  rlimit now{};
  ::getrlimit(RLIMIT_CPU, &now);
  const rlim_t soft = static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + seconds;
  limit(RLIMIT_CPU, std::min(soft, now.rlim_max), now.rlim_max);
}

/// Everything that is not computing on memory fails: no files, no network, no processes.
void confine() {
  if (RAINCELL_IS_SANITIZED) return;  // sanitizers make calls of their own
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (filter == nullptr) ::_exit(3);
  static constexpr int kAllowed[] = {SCMP_SYS(read),
                                     SCMP_SYS(pread64),
                                     SCMP_SYS(recvmsg),
                                     SCMP_SYS(sendmsg),
                                     SCMP_SYS(poll),
                                     SCMP_SYS(ppoll),
                                     SCMP_SYS(close),
                                     SCMP_SYS(fstat),
                                     SCMP_SYS(newfstatat),
                                     SCMP_SYS(lseek),
                                     SCMP_SYS(mmap),
                                     SCMP_SYS(munmap),
                                     SCMP_SYS(mremap),
                                     SCMP_SYS(mprotect),
                                     SCMP_SYS(madvise),
                                     SCMP_SYS(brk),
                                     SCMP_SYS(futex),
                                     SCMP_SYS(rt_sigaction),
                                     SCMP_SYS(rt_sigprocmask),
                                     SCMP_SYS(rt_sigreturn),
                                     SCMP_SYS(clock_gettime),
                                     SCMP_SYS(gettimeofday),
                                     SCMP_SYS(getrusage),
                                     SCMP_SYS(getrlimit),
                                     SCMP_SYS(setrlimit),
                                     SCMP_SYS(prlimit64),
                                     SCMP_SYS(getpid),
                                     SCMP_SYS(gettid),
                                     SCMP_SYS(tgkill),
                                     SCMP_SYS(getrandom),
                                     SCMP_SYS(sched_yield),
                                     SCMP_SYS(restart_syscall),
                                     SCMP_SYS(exit),
                                     SCMP_SYS(exit_group),
                                     SCMP_SYS(sched_getaffinity)};
  for (const int call : kAllowed) {
    if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) != 0) ::_exit(3);
  }
  if (seccomp_load(filter) != 0) ::_exit(3);
  seccomp_release(filter);
}

void enter_jail() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_DUMPABLE, 0);
  limit(RLIMIT_CORE, 0, 0);
  limit(RLIMIT_FSIZE, 0, 0);
  limit(RLIMIT_DATA, kMemory, kMemory);
  allow_open_files(true);
  confine();
}

std::vector<std::byte> read_all(int fd, std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t got = ::pread(fd, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw DataError("reader: /: read error");
    if (got == 0) throw DataError("reader: /: became shorter while it was read; still being written?");
    at += static_cast<std::size_t>(got);
  }
  return bytes;
}

/// A file of any size, mapped.
class MappedFile {
 public:
  explicit MappedFile(int fd) {
    struct stat info {};
    if (::fstat(fd, &info) != 0 || info.st_size <= 0) throw DataError("is empty");
    size_ = static_cast<std::size_t>(info.st_size);
    at_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at_ == MAP_FAILED) throw DataError("cannot be mapped into memory");
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() {
    if (at_ != MAP_FAILED) ::munmap(at_, size_);
  }
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(at_), size_}; }

 private:
  void* at_ = MAP_FAILED;
  std::size_t size_ = 0;
};

/// The bytes of a file: of one that fits well into memory a copy, which nobody can change while it is parsed;
/// of a larger one the file itself.
class Input {
 public:
  explicit Input(int fd) {
    struct stat info {};
    if (::fstat(fd, &info) != 0 || info.st_size < 0 ||
        static_cast<std::uint64_t>(info.st_size) > kMaxInputBytes)
      throw DataError("reader: /: the file's size is out of range");
    if (info.st_size > kLargestCopy) {
      mapped_.emplace(fd);
    } else {
      copied_ = read_all(fd, static_cast<std::size_t>(info.st_size));
    }
  }
  std::span<const std::byte> bytes() const { return mapped_ ? mapped_->bytes() : std::span(copied_); }

 private:
  static constexpr off_t kLargestCopy = off_t{256} << 20;
  std::optional<MappedFile> mapped_;
  std::vector<std::byte> copied_;
};

/// The frames, or the reason why not.
std::vector<Frame> parse(Message& request, Wanted what, std::string& reason) {
  try {
    ReadRequest wanted;
    std::string name;
    unpack_request(request.payload, name, wanted.options);
    wanted.wanted = what;
    const Input input(request.descriptor.get());
    request.descriptor.reset();
    allow_open_files(false);
    limit_cpu_of_file(kCpuSeconds);
    return read_content(std::move(name), input.bytes(), wanted);
  } catch (const std::bad_alloc&) {
    reason = "reader: /: needs more memory than a reader may take; a bomb, or a file of too many frames";
  } catch (const std::exception& error) {
    reason = error.what();
    if (reason.empty()) reason = "reader: /: unknown error";
  }
  return {};
}

bool answer_table(Message& request) {
  std::string reason;
  try {
    const MappedFile file(request.descriptor.get());
    request.descriptor.reset();
    allow_open_files(false);
    limit_cpu_of_file(kTableCpuSeconds);
    const std::string table = pack_table(read_archive_header(file.bytes()));
    allow_open_files(true);
    return send_message(kSocket, MessageKind::table, table);
  } catch (const std::bad_alloc&) {
    reason = "needs more memory than a reader may take";
  } catch (const std::exception& error) {
    reason = error.what();
  }
  allow_open_files(true);
  return send_message(kSocket, MessageKind::refused, reason.empty() ? "unknown error" : reason);
}

/// The parent's memory, kept from file to file.
class Memory {
 public:
  /// Takes another one where the message brings it. False when it cannot be mapped or is smaller than
  /// `bytes`.
  bool take(const Message& message, std::uint64_t bytes) {
    if (message.descriptor.open()) {
      if (at_ != nullptr) ::munmap(at_, bytes_);
      at_ = nullptr;
      bytes_ = 0;
      struct stat info {};
      if (::fstat(message.descriptor.get(), &info) != 0 || info.st_size <= 0) return false;
      const auto size = static_cast<std::size_t>(info.st_size);
      void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, message.descriptor.get(), 0);
      if (at == MAP_FAILED) return false;
      at_ = static_cast<std::byte*>(at);
      bytes_ = size;
    }
    return bytes_ >= bytes;
  }
  std::span<std::byte> bytes() const { return {at_, bytes_}; }

 private:
  std::byte* at_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Sends frames: first what describes them, then, into memory of the parent's making, their values.
bool answer(const std::vector<Frame>& frames, Wanted wanted, Memory& memory) {
  if (!send_message(kSocket, MessageKind::frames, pack_frames(frames))) return false;
  if (wanted == Wanted::description) return true;
  Message message;
  if (receive_message(kSocket, message) != Arrival::message || message.header.kind != MessageKind::memory)
    return false;
  if (!memory.take(message, shared_bytes(frames, wanted)))
    return send_message(kSocket, MessageKind::refused, "reader: /: shared memory cannot be mapped");
  store_values(frames, wanted, memory.bytes());
  return send_message(kSocket, MessageKind::done, {});
}

std::optional<Wanted> wanted_of(MessageKind kind) {
  if (kind == MessageKind::describe) return Wanted::description;
  if (kind == MessageKind::read) return Wanted::values;
  if (kind == MessageKind::read_codes) return Wanted::codes;
  return std::nullopt;
}

}  // namespace

int main() {
  // Freed memory is kept for the next file: pages from the system cost as much as inflating what they hold.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  enter_jail();
  Memory memory;
  for (;;) {
    Message request;
    if (receive_message(kSocket, request) != Arrival::message) break;
    if (request.header.kind == MessageKind::table) {
      if (!answer_table(request)) break;
      continue;
    }
    const std::optional<Wanted> wanted = wanted_of(request.header.kind);
    if (!wanted) break;
    std::string reason;
    const std::vector<Frame> frames = parse(request, *wanted, reason);
    allow_open_files(true);
    const bool sent = reason.empty() ? answer(frames, *wanted, memory)
                                     : send_message(kSocket, MessageKind::refused, reason);
    if (!sent) break;
  }
  // The libraries' exit handlers have crashed on damaged files before.
  ::_exit(0);
}
