#include "app/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <thread>

#include "app/errors.hpp"

namespace raincell::app {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kGrace{5};  // to save what is worth it
constexpr std::chrono::seconds kLeftBehind{2};
constexpr std::chrono::milliseconds kPause{10};
constexpr const char* kParent = "RAINCELL_PARENT";
constexpr std::streamoff kLastLines = 4096;
constexpr int kFirstToGo = 800;  // of 1000

/// Undo posix_spawn's settings when they end.
struct SpawnFiles {
  posix_spawn_file_actions_t actions;
  SpawnFiles() { posix_spawn_file_actions_init(&actions); }
  ~SpawnFiles() { posix_spawn_file_actions_destroy(&actions); }
};
struct SpawnSettings {
  posix_spawnattr_t attributes;
  SpawnSettings() { posix_spawnattr_init(&attributes); }
  ~SpawnSettings() { posix_spawnattr_destroy(&attributes); }
};

/// Ours, without what lets a child speak for the service, and with what end_with_parent() asks for.
std::vector<std::string> child_environment() {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    if (name != "NOTIFY_SOCKET" && name != "WATCHDOG_USEC" && name != "WATCHDOG_PID" && name != kParent)
      out.push_back(text);
  }
  out.push_back(fmt::format("{}={}", kParent, ::getpid()));
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

/// A group of its own, and signals as a program expects them, whatever this one does with them.
void settle(SpawnSettings& settings) {
  sigset_t none, usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGXFSZ}) sigaddset(&usual, signal);
  posix_spawnattr_setpgroup(&settings.attributes, 0);
  posix_spawnattr_setsigmask(&settings.attributes, &none);
  posix_spawnattr_setsigdefault(&settings.attributes, &usual);
  posix_spawnattr_setflags(&settings.attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

/// posix_spawn has no settings for these; the child has not begun to compute when it gets them. None is worth
/// a failure.
void give_budget(pid_t pid, const ChildSpec& spec) {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), spec.niceness);
  if (spec.data_bytes > 0) {  // the soft limit alone: raincell-reader sets its own
    rlimit limit{};
    ::prlimit(pid, RLIMIT_DATA, nullptr, &limit);
    limit.rlim_cur = std::min(static_cast<rlim_t>(spec.data_bytes), limit.rlim_max);
    ::prlimit(pid, RLIMIT_DATA, &limit, nullptr);
  }
  std::ofstream(fmt::format("/proc/{}/oom_score_adj", pid)) << kFirstToGo;
}

/// What it ended with: its error, which may be several lines, or else its last line.
std::string last_words(const fs::path& log) {
  std::ifstream file(log, std::ios::binary | std::ios::ate);
  const std::streamoff bytes = file.tellg();
  if (bytes <= 0) return {};
  file.seekg(std::max<std::streamoff>(0, bytes - kLastLines));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  text.erase(text.find_last_not_of('\n') + 1);
  constexpr std::string_view kError = "error: ";
  const std::size_t error = text.rfind(kError);
  const bool is_line = error != std::string::npos && (error == 0 || text[error - 1] == '\n');
  text.erase(0, is_line ? error + kError.size() : text.rfind('\n') + 1);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::string text_of(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Whether it ended, without taking note of it: its number stays its own.
bool has_ended(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

}  // namespace

ProcessMark mark_of(pid_t pid) {
  const std::string stat = text_of(fmt::format("/proc/{}/stat", pid));
  const std::size_t name_end = stat.rfind(')');  // the name may hold anything
  if (pid <= 0 || name_end == std::string::npos) return {};
  std::istringstream fields(stat.substr(name_end + 1));
  std::string state, field;
  fields >> state;
  if (state == "Z" || state == "X") return {};
  for (int i = 4; i <= 22; ++i) fields >> field;  // proc(5): 22 is the time of its beginning
  std::string boot = text_of("/proc/sys/kernel/random/boot_id");
  return {pid, boot.substr(0, boot.find('\n')) + " " + field};
}

ChildProcess::ChildProcess(const ChildSpec& spec) : log_(spec.log) {
  SpawnFiles files;
  posix_spawn_file_actions_addopen(&files.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files.actions, 1, spec.log.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0644);
  posix_spawn_file_actions_adddup2(&files.actions, 1, 2);
  posix_spawn_file_actions_addclosefrom_np(&files.actions, 3);
  SpawnSettings settings;
  settle(settings);
  std::vector<std::string> words = {"raincell"}, environment = child_environment();
  words.insert(words.end(), spec.arguments.begin(), spec.arguments.end());
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, spec.program.c_str(), &files.actions, &settings.attributes,
                                  pointers(words).data(), pointers(environment).data());
  if (error != 0)
    throw ResourceError(fmt::format("{}: cannot be started with its log in {}: {}; is the disk full?",
                                    spec.program.string(), spec.log.string(), std::strerror(error)));
  pid_ = pid;
  give_budget(pid, spec);
}

ChildProcess::~ChildProcess() {
  if (pid_ <= 0) return;
  ask_to_end();
  const Clock::time_point begin = Clock::now();
  while (!has_ended(pid_) && Clock::now() - begin < kGrace) std::this_thread::sleep_for(kPause);
  kill();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void ChildProcess::ask_to_end() const {
  if (pid_ > 0) ::kill(-pid_, SIGTERM);
}

void ChildProcess::kill() const {
  if (pid_ > 0) ::kill(-pid_, SIGKILL);
}

std::optional<ChildProcess::End> ChildProcess::ended() {
  if (pid_ <= 0 || !has_ended(pid_)) return std::nullopt;
  kill();  // what it started and left
  int status = 0;
  pid_t taken = 0;
  while ((taken = ::waitpid(pid_, &status, 0)) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (taken < 0) return End{false, "it vanished"};
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    return End{false, fmt::format("it was ended by signal {} ({}){}", signal, ::strsignal(signal),
                                  signal == SIGKILL ? "; out of memory?" : "")};
  }
  if (WEXITSTATUS(status) == 0) return End{true, ""};
  const int code = WEXITSTATUS(status);
  const std::string said = last_words(log_);
  return End{false, !said.empty()
                        ? said
                        : fmt::format("it ended with exit code {} and said nothing in {}{}", code,
                                      log_.string(), code == kResources ? "; is the disk full?" : "")};
}

void end_with_parent() {
  const char* parent = std::getenv(kParent);
  if (parent == nullptr) return;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (fmt::format("{}", ::getppid()) != parent) ::raise(SIGTERM);  // it was too late for that
}

bool end_left_behind(const ProcessMark& mark) {
  if (mark.pid <= 0 || mark.began.empty() || mark_of(mark.pid).began != mark.began) return false;
  ::kill(-mark.pid, SIGKILL);  // a training goes on from its checkpoint
  const Clock::time_point begin = Clock::now();
  while (mark_of(mark.pid).began == mark.began && Clock::now() - begin < kLeftBehind)
    std::this_thread::sleep_for(kPause);
  return true;
}

}  // namespace raincell::app
