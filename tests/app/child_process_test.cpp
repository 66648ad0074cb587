// Children of a process: how they start, end, and what is left of them.
#include "app/child_process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "app/errors.hpp"
#include "tests/app/program.hpp"

namespace raincell::app {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

/// A minute at most.
template <class Condition>
bool wait_for(Condition condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

bool is_alive(pid_t pid) {
  return !mark_of(pid).began.empty();
}

class Child : public testing::Test {
 protected:
  ChildSpec shell(const std::string& script) const {
    ChildSpec spec;
    spec.program = "/bin/sh";
    spec.arguments = {"-c", script};
    spec.log = log();
    return spec;
  }
  /// This program as one that main() has told to end with its parent.
  ChildSpec sleeper() const {
    ChildSpec spec;
    spec.arguments = {"--gtest_filter=EndWithParent.IsForChildrenAlone"};
    spec.log = log();
    return spec;
  }
  fs::path log() const { return folder_ / "log"; }
  std::string said() const { return test::read_text(log()); }
  ChildProcess::End end_of(ChildProcess& child) const {
    std::optional<ChildProcess::End> end;
    EXPECT_TRUE(wait_for([&] { return (end = child.ended()).has_value(); }));
    return end.value_or(ChildProcess::End{});
  }
  void TearDown() override {
    errno = 0;
    EXPECT_TRUE(::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD) << "a child was left unreaped";
  }

  test::Folder folder_;
};

TEST(EndWithParent, IsForChildrenAlone) {
  end_with_parent();
  if (std::getenv("RAINCELL_PARENT") != nullptr) {  // a child of the tests below
    std::ofstream("/dev/stdout") << "asleep" << std::endl;
    ::sleep(120);
  }
  int signal = -1;
  ASSERT_EQ(::prctl(PR_GET_PDEATHSIG, &signal), 0);
  EXPECT_EQ(signal, 0);
}

TEST_F(Child, SaysHowItEnded) {
  const auto reason_of = [&](const std::string& script) {
    fs::remove(log());
    ChildProcess child(shell(script));
    const ChildProcess::End end = end_of(child);
    EXPECT_FALSE(end.well) << script;
    EXPECT_FALSE(child.ended());  // once
    return end.reason;
  };
  EXPECT_EQ(reason_of("echo working; echo 'error: no frames; look again' >&2; exit 3"),
            "no frames; look again");
  EXPECT_EQ(reason_of("printf 'x\\nerror: 2 problems\\n  a\\n  b\\n'; exit 2"), "2 problems   a   b");
  EXPECT_EQ(reason_of("echo last; exit 1"), "last");
  EXPECT_NE(reason_of("exit 7").find("exit code 7"), std::string::npos);
  EXPECT_NE(reason_of("kill -9 $$").find("signal 9"), std::string::npos);
  ChildProcess well(shell("echo done"));
  EXPECT_TRUE(end_of(well).well);
}

TEST_F(Child, ThatCannotStartSaysWhy) {
  ChildSpec spec = shell("true");
  spec.program = folder_ / "nowhere";
  EXPECT_THROW(ChildProcess{spec}, ResourceError);
  spec = shell("true");
  spec.log = folder_ / "no/log";
  EXPECT_THROW(ChildProcess{spec}, ResourceError);
  spec.log = folder_ / "link";
  fs::create_symlink(log(), spec.log);
  EXPECT_THROW(ChildProcess{spec}, ResourceError);
}

TEST_F(Child, HasItsOwnGroupAndSignalsButNoDescriptorOfOurs) {
  const int open = ::open("/dev/null", O_RDONLY);  // not for this process alone
  ASSERT_GT(open, 2);
  ::signal(SIGHUP, SIG_IGN);
  ChildProcess child(shell("ls /proc/$$/fd; grep SigIgn /proc/$$/status; sleep 60"));
  ::signal(SIGHUP, SIG_DFL);
  ::close(open);
  EXPECT_EQ(::getpgid(child.pid()), child.pid());
  ASSERT_TRUE(wait_for([&] { return said().find("SigIgn") != std::string::npos; }));
  EXPECT_EQ(said().substr(0, 6), "0\n1\n2\n") << said();
  const std::size_t ignored = said().find("SigIgn:");
  ASSERT_EQ(ignored, 6U) << said();
  EXPECT_EQ(std::stoull(said().substr(ignored + 8), nullptr, 16) & 1U, 0U) << said();  // bit 0: SIGHUP
}

TEST_F(Child, HasABudget) {
  ChildSpec spec = shell("sleep 60");
  spec.niceness = 7;
  spec.data_bytes = 300 << 20;
  ChildProcess child(spec);
  EXPECT_EQ(::getpriority(PRIO_PROCESS, static_cast<id_t>(child.pid())), 7);
  rlimit limit{};
  ASSERT_EQ(::prlimit(child.pid(), RLIMIT_DATA, nullptr, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, rlim_t{300 << 20});
  EXPECT_EQ(test::read_text("/proc/" + std::to_string(child.pid()) + "/oom_score_adj"), "800\n");
}

TEST_F(Child, EndsWithItsOwnerEvenWhereItDoesNotWantTo) {
  pid_t pid = -1, grandchild = -1;
  {
    ChildProcess child(shell("trap '' TERM; sleep 120 & echo $!; wait; wait; sleep 120"));
    pid = child.pid();
    ASSERT_TRUE(wait_for([&] { return said().find('\n') != std::string::npos; }));
    grandchild = static_cast<pid_t>(std::stol(said()));
    EXPECT_TRUE(is_alive(pid) && is_alive(grandchild));
  }
  EXPECT_FALSE(is_alive(pid));
  EXPECT_TRUE(wait_for([&] { return !is_alive(grandchild); }));
}

TEST_F(Child, EndsWhenItsParentIsKilled) {
  const pid_t parent = ::fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    ChildProcess child(sleeper());
    test::write_text(folder_ / "pid", std::to_string(child.pid()) + "\n");
    ::sleep(120);
    ::_exit(0);
  }
  EXPECT_TRUE(wait_for([&] { return said().find("asleep") != std::string::npos; }));
  ASSERT_TRUE(wait_for([&] { return test::read_text(folder_ / "pid").find('\n') != std::string::npos; }));
  const auto child = static_cast<pid_t>(std::stol(test::read_text(folder_ / "pid")));
  EXPECT_TRUE(is_alive(child));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  EXPECT_TRUE(wait_for([&] { return !is_alive(child); }));
}

TEST_F(Child, ThatWasLeftBehindIsKnownByMoreThanItsNumber) {
  ChildProcess child(shell("sleep 120"));
  const ProcessMark mark = mark_of(child.pid());
  ASSERT_FALSE(mark.began.empty());
  EXPECT_FALSE(end_left_behind({mark.pid, mark.began + "0"}));  // another one of that number
  EXPECT_FALSE(end_left_behind({-1, ""}));
  EXPECT_TRUE(is_alive(mark.pid));
  EXPECT_TRUE(end_left_behind(mark));
  EXPECT_FALSE(is_alive(mark.pid));
  EXPECT_NE(end_of(child).reason.find("signal 9"), std::string::npos);
  EXPECT_FALSE(end_left_behind(mark));
}

}  // namespace
}  // namespace raincell::app
