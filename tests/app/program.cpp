#include "tests/app/program.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace raincell::test {

namespace fs = std::filesystem;

namespace {

constexpr int kNoDisk = 126;

/// Mounts the disk in a mount namespace of this process. Returns why that is not permitted.
std::string mount_disk(const Limits& limits) {
  if (::unshare(CLONE_NEWNS) != 0) return std::string("unshare: ") + std::strerror(errno);
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return std::string("making mounts private: ") + std::strerror(errno);
  const bool read_only = limits.disk_bytes < 0;
  const std::string size = read_only ? "" : "size=" + std::to_string(limits.disk_bytes);
  if (::mount("none", limits.disk.c_str(), "tmpfs", read_only ? MS_RDONLY : 0, size.c_str()) != 0)
    return std::string("mounting a tmpfs: ") + std::strerror(errno);
  return {};
}

int status_code(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

[[noreturn]] void execute(const fs::path& folder, char** argv, const fs::path& capture,
                          const Limits& limits) {
  ::dup2(::open((capture / "out").c_str(), O_CREAT | O_WRONLY, 0600), STDOUT_FILENO);
  ::dup2(::open((capture / "err").c_str(), O_CREAT | O_WRONLY, 0600), STDERR_FILENO);
  if (limits.file_bytes >= 0) {
    const rlimit limit{static_cast<rlim_t>(limits.file_bytes), static_cast<rlim_t>(limits.file_bytes)};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ::setenv("RAINCELL_WEIGHTS", limits.shipped_weights.c_str(), 1);
  if (::chdir(folder.c_str()) == 0) ::execvp(argv[0], argv);
  ::_exit(127);
}

/// In a child: the program on a disk of its own, which nobody else sees; what it left there goes to "left".
[[noreturn]] void execute_on_disk(const fs::path& folder, char** argv, const fs::path& capture,
                                  const Limits& limits) {
  const std::string refused = mount_disk(limits);
  if (!refused.empty()) {
    write_text(capture / "refused", refused);
    ::_exit(kNoDisk);
  }
  const pid_t child = ::fork();
  if (child == 0) execute(folder, argv, capture, limits);
  int status = 0;
  ::waitpid(child, &status, 0);
  std::string left;
  for (const std::string& name : files_below(limits.disk)) left += name + "\n";
  write_text(capture / "left", left);
  ::_exit(status_code(status));
}

void kill_when_there(pid_t child, const fs::path& file) {
  siginfo_t ended{};
  while (::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid == 0) {
    if (fs::exists(file)) ::kill(child, SIGKILL);
    ::usleep(500);
  }
}

}  // namespace

Outcome run_raincell(const fs::path& folder, const std::vector<std::string>& arguments, Limits limits) {
  const Folder capture;
  std::vector<char*> argv;
  std::vector<std::string> words = limits.under;
  words.push_back(limits.program.empty() ? RAINCELL_PROGRAM : limits.program);
  words.insert(words.end(), arguments.begin(), arguments.end());
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    if (!limits.disk.empty()) execute_on_disk(folder, argv.data(), capture.path(), limits);
    execute(folder, argv.data(), capture.path(), limits);
  }
  if (!limits.kill_at.empty()) kill_when_there(child, limits.kill_at);
  if (limits.signal_after_ms >= 0) {
    ::usleep(static_cast<useconds_t>(limits.signal_after_ms * 1000));
    ::kill(child, limits.signal);
  }
  int status = 0;
  rusage used{};
  ::wait4(child, &status, 0, &used);
  Outcome outcome;
  outcome.peak_bytes = used.ru_maxrss * 1024;
  outcome.code = status_code(status);
  outcome.out = read_text(capture / "out");
  outcome.err = read_text(capture / "err");
  outcome.no_disk = read_text(capture / "refused");
  std::istringstream left(read_text(capture / "left"));
  for (std::string name; std::getline(left, name);) outcome.disk_files.push_back(name);
  return outcome;
}

Folder::Folder() {
  std::string name = (fs::temp_directory_path() / "raincell-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::vector<std::string> files_below(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) names.push_back(fs::relative(entry.path(), folder).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace raincell::test
