#include "io/jail.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace raincell::io {
namespace {

namespace fs = std::filesystem;

constexpr int kFilesPerChild = 64;
constexpr std::chrono::seconds kTablePatience{
    120};  // some seconds for 400,000 frames, and a disk that sleeps

/// The file as a descriptor to a regular file; anything else is refused before it can block us.
Descriptor open_input(const fs::path& path, struct stat& info) {
  Descriptor input(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!input.open()) {
    const int error = errno;
    if (error == ELOOP) throw DataError("reader: /: is a symbolic link; expected the file itself");
    if (error == ENOENT) throw DataError("reader: /: not found; check the path");
    if (error == EMFILE || error == ENFILE || error == ENOMEM)
      throw ReaderFailure(fmt::format("reader: /: cannot be opened: {}", std::strerror(error)));
    throw DataError(
        fmt::format("reader: /: cannot be opened: {}; check the permissions", std::strerror(error)));
  }
  if (::fstat(input.get(), &info) != 0)
    throw DataError(fmt::format("reader: /: cannot stat: {}", std::strerror(errno)));
  if (S_ISDIR(info.st_mode)) throw DataError("reader: /: is a directory; expected a file");
  if (!S_ISREG(info.st_mode)) throw DataError("reader: /: is not a regular file; expected one");
  if (static_cast<std::uint64_t>(info.st_size) > kMaxInputBytes) {
    throw DataError(
        fmt::format("reader: /: has {} bytes; expected at most {}", info.st_size, kMaxInputBytes));
  }
  if (info.st_size == 0) {
    throw DataError("reader: /: the file is empty (0 bytes); expected HDF5 or NetCDF; still being written?");
  }
  return input;
}

/// Only what finding libraries, PROJ's data and sanitizers need; nothing that loads plugins.
std::vector<std::string> child_environment() {
  std::vector<std::string> out;
  for (const char* name : {"LD_LIBRARY_PATH", "PROJ_DATA", "PROJ_LIB", "ASAN_OPTIONS", "UBSAN_OPTIONS",
                           "TSAN_OPTIONS", "LSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) out.push_back(fmt::format("{}={}", name, value));
  }
  return out;
}

/// Undoes posix_spawn's settings when it ends.
struct SpawnFiles {
  posix_spawn_file_actions_t actions;
  SpawnFiles() { posix_spawn_file_actions_init(&actions); }
  ~SpawnFiles() { posix_spawn_file_actions_destroy(&actions); }
};

MessageKind kind_of(Wanted wanted) {
  switch (wanted) {
    case Wanted::description:
      return MessageKind::describe;
    case Wanted::values:
      return MessageKind::read;
    case Wanted::codes:
      break;
  }
  return MessageKind::read_codes;
}

}  // namespace

SharedMemory::SharedMemory(std::uint64_t bytes)
    : descriptor_(::memfd_create("raincell-frames", MFD_CLOEXEC | MFD_ALLOW_SEALING)), bytes_(bytes) {
  if (!descriptor_.open() || ::ftruncate(descriptor_.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(descriptor_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw ReaderFailure(fmt::format("reader: shared memory: no {} bytes: {}", bytes, std::strerror(errno)));
  }
  void* const at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor_.get(), 0);
  if (at == MAP_FAILED) throw ReaderFailure(fmt::format("reader: shared memory: cannot map {} bytes", bytes));
  at_ = static_cast<const std::byte*>(at);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept {
  *this = std::move(other);
}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  std::swap(at_, other.at_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (at_ != nullptr) ::munmap(const_cast<std::byte*>(at_), bytes_);
}

fs::path reader_executable() {
  if (const char* named = std::getenv("RAINCELL_READER"); named != nullptr && *named != '\0') return named;
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path("raincell-reader") : self.parent_path() / "raincell-reader";
}

std::chrono::seconds Jail::default_patience() {
  return std::chrono::seconds{RAINCELL_IS_SANITIZED ? 120 : 30};
}

Jail::~Jail() {
  retire();
}

void Jail::retire() {
  socket_.reset();
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  pid_ = -1;
  served_ = 0;
  memory_ = {};
}

void Jail::ensure() {
  if (pid_ > 0) {
    // It may have died since, for example with the thread that started it.
    const bool alive = ::waitpid(pid_, nullptr, WNOHANG) == 0;
    if (!alive) pid_ = -1;
    if (!alive || served_ >= kFilesPerChild) retire();
  }
  if (pid_ > 0) return;
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw ReaderFailure(fmt::format("reader: socket: {}", std::strerror(errno)));
  }
  Descriptor ours(ends[0]), theirs(ends[1]);
  const fs::path program = reader_executable();
  SpawnFiles files;
  // dup2 first: the socket may itself be one of the standard descriptors.
  posix_spawn_file_actions_adddup2(&files.actions, theirs.get(), 3);
  posix_spawn_file_actions_addopen(&files.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files.actions, 1, "/dev/null", O_WRONLY, 0);
  if (!RAINCELL_IS_SANITIZED) posix_spawn_file_actions_addopen(&files.actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&files.actions, 4);
  std::string name = "raincell-reader";
  std::array<char*, 2> arguments = {name.data(), nullptr};
  std::vector<std::string> environment = child_environment();
  std::vector<char*> environment_pointers;
  for (std::string& entry : environment) environment_pointers.push_back(entry.data());
  environment_pointers.push_back(nullptr);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, program.c_str(), &files.actions, nullptr, arguments.data(),
                                  environment_pointers.data());
  if (error != 0) {
    throw ReaderFailure(
        fmt::format("reader: {}: cannot be started: {}; install it beside raincell or set RAINCELL_READER",
                    program.string(), std::strerror(error)));
  }
  pid_ = pid;
  socket_ = std::move(ours);
  ++started_;
}

/// Why the child is gone, for the message.
std::string Jail::how_it_ended() {
  socket_.reset();
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(pid_, &status, 0)) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (ended > 0 && WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    if (signal == SIGXCPU) return "took too much computing time; a decompression bomb?";
    if (signal == SIGKILL) return "raincell-reader was killed (out of memory?)";
    return fmt::format("crashed the parser (signal {}, {}); damaged or hostile file", signal,
                       ::strsignal(signal));
  }
  if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
    return "raincell-reader cannot be started";
  return fmt::format("ended the parser (status {}); damaged or hostile file",
                     ended > 0 ? WEXITSTATUS(status) : -1);
}

Message Jail::expect(MessageKind kind, std::chrono::steady_clock::time_point deadline) {
  Message message;
  switch (receive_message(socket_.get(), message, deadline)) {
    case Arrival::message:
      break;
    case Arrival::closed:
      throw DataError("reader: /: " + how_it_ended());
    case Arrival::late:
      throw DataError(
          fmt::format("reader: /: no answer within {} s; damaged or hostile file", patience_.count()));
    case Arrival::garbled:
      throw DataError("reader: /: raincell-reader answered garbage; hostile file?");
  }
  if (message.header.kind == MessageKind::refused) {
    std::string reason = message.payload.substr(0, 4096);
    for (char& c : reason) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
    }
    throw DataError(reason);
  }
  if (message.header.kind != kind)
    throw DataError("reader: /: raincell-reader answered out of turn; hostile file?");
  return message;
}

std::vector<Frame> Jail::exchange(const Descriptor& input, const std::string& name,
                                  const SourceOptions& options, Wanted wanted) {
  const auto deadline = std::chrono::steady_clock::now() + patience_;
  if (!send_message(socket_.get(), kind_of(wanted), pack_request(name, options), input.get())) {
    throw DataError("reader: /: " + how_it_ended());
  }
  std::vector<Frame> frames = unpack_frames(expect(MessageKind::frames, deadline).payload, wanted);
  if (wanted == Wanted::description) return frames;
  const std::uint64_t bytes = shared_bytes(frames, wanted);
  const bool fits = memory_.bytes().size() >= bytes;
  if (!fits) memory_ = SharedMemory(bytes);
  if (!send_message(socket_.get(), MessageKind::memory, {}, fits ? -1 : memory_.descriptor()))
    throw DataError("reader: /: " + how_it_ended());
  expect(MessageKind::done, deadline);
  load_values(memory_.bytes(), wanted, frames);
  return frames;
}

ArchiveTable Jail::read_table(const Descriptor& file, std::uint64_t bytes) {
  ensure();
  try {
    const auto deadline = std::chrono::steady_clock::now() + kTablePatience;
    if (!send_message(socket_.get(), MessageKind::table, {}, file.get()))
      throw DataError("reader: /: " + how_it_ended());
    ArchiveTable table = unpack_table(expect(MessageKind::table, deadline).payload, bytes);
    ++served_;
    return table;
  } catch (...) {
    retire();
    throw;
  }
}

std::vector<Frame> Jail::read(const fs::path& path, const SourceOptions& options, Wanted wanted) {
  try {
    struct stat before {};
    const Descriptor input = open_input(path, before);
    ensure();
    std::vector<Frame> frames;
    try {
      frames = exchange(input, path.filename().string(), options, wanted);
    } catch (...) {
      retire();
      throw;
    }
    ++served_;
    struct stat after {};
    if (::fstat(input.get(), &after) != 0 || after.st_size != before.st_size ||
        after.st_mtim.tv_sec != before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec) {
      throw DataError("reader: /: changed while it was read; try again when it is complete");
    }
    return frames;
  } catch (const ReaderFailure& error) {
    throw ReaderFailure(path.string() + ": " + error.what());
  } catch (const DataError& error) {
    throw DataError(path.string() + ": " + error.what());
  }
}

}  // namespace raincell::io
