// raincell watch as a program: its clock is the wall's, frames come every two seconds, and it is killed.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>
#include <set>
#include <thread>

#include "io/odim_out.hpp"
#include "io/publish.hpp"
#include "io/simulate.hpp"
#include "tests/app/program.hpp"

namespace {

using namespace raincell;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Folder;
using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr seconds kStep{2};

/// Frames of now, as long as it lives.
class Radar {
 public:
  explicit Radar(fs::path folder)
      : folder_(std::move(folder)), simulator_(spec()), thread_([this] { work(); }) {}
  ~Radar() {
    ending_ = true;
    thread_.join();
  }
  Radar(const Radar&) = delete;
  Radar& operator=(const Radar&) = delete;

 private:
  static io::SimulationSpec spec() {
    io::SimulationSpec spec;
    spec.columns = 40;
    spec.rows = 32;
    spec.missing_region = false;
    return spec;
  }
  void work() {
    for (std::int64_t number = 0; !ending_; ++number) {
      const auto now = std::chrono::floor<seconds>(std::chrono::system_clock::now());
      const io::TimePoint slot = now - now.time_since_epoch() % kStep;
      if (slot != last_) {
        io::Frame frame = simulator_.frame(number % 500);
        frame.valid_time = last_ = slot;
        const std::string name = std::to_string(slot.time_since_epoch().count());
        io::publish(folder_ / (name + ".h5"), io::odim_bytes(frame));
        std::error_code none;
        fs::remove(folder_ / (std::to_string(slot.time_since_epoch().count() - 60) + ".h5"), none);
      }
      std::this_thread::sleep_for(milliseconds(20));
    }
  }
  fs::path folder_;
  io::Simulator simulator_;
  io::TimePoint last_;
  std::atomic<bool> ending_{false};
  std::thread thread_;  // last: it uses the others
};

/// The program, in the background.
class Program {
 public:
  Program(const fs::path& folder, const std::vector<std::string>& words) {
    std::vector<std::string> all = {RAINCELL_PROGRAM};
    all.insert(all.end(), words.begin(), words.end());
    std::vector<char*> argv;
    for (std::string& word : all) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    if (std::freopen((folder / "err").c_str(), "a", stderr) == nullptr) ::_exit(127);
    if (::chdir(folder.c_str()) != 0) ::_exit(127);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ~Program() {
    if (pid_ > 0) end(SIGKILL);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  void signal(int signal) const { ::kill(pid_, signal); }
  /// The exit code, 128 + signal when it was killed.
  int end(int signal) {
    ::kill(pid_, signal);
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
};

class Watching : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "radar");
    test::write_text(folder_ / "watch.yaml",
                     "input: radar\noutput: out\nforecaster: advection\nhorizon: 8s\n"
                     "intake: {settle: 0s}\ncycle: {step: 2s, max_wait: 1s, max_age: 5s, budget: 1s}\n"
                     "publish: {pictures: false, accumulations: []}\n");
  }
  std::string latest() const { return test::read_text(folder_ / "out/latest.json"); }
  /// Waits, half a minute at most.
  template <class Condition>
  bool until(const Condition& condition) const {
    for (int i = 0; i < 1500; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(20));
    }
    return false;
  }
  bool issued() const {
    const Json json = Json::parse(latest(), nullptr, false);
    return json.is_object() && json["status"] == "OK";
  }
  Folder folder_;
};

TEST_F(Watching, EndsWellWhenItIsAskedTo) {
  Radar radar(folder_ / "radar");
  for (const int signal : {SIGTERM, SIGINT}) {
    Program program(folder_.path(), {"watch", "watch.yaml", "--threads", "1"});
    EXPECT_TRUE(until([&] { return issued(); })) << latest();
    EXPECT_EQ(program.end(signal), 128 + signal);
    fs::remove(folder_ / "out/latest.json");
  }
}

TEST_F(Watching, ATerminalThatClosesDoesNotEndIt) {
  Radar radar(folder_ / "radar");
  Program program(folder_.path(), {"watch", "watch.yaml", "--threads", "1"});
  EXPECT_TRUE(until([&] { return issued(); })) << latest();
  program.signal(SIGHUP);
  const std::string before = latest();
  EXPECT_TRUE(until([&] { return latest() != before && issued(); })) << latest();
  EXPECT_EQ(program.end(SIGTERM), 143);
}

TEST_F(Watching, ADiskThatIsFullLosesWhatDoesNotFitAndNothingElse) {
  io::SimulationSpec spec;
  spec.columns = spec.rows = 64;
  spec.frames = 30;
  io::simulate(spec, folder_ / "archive");
  fs::create_directories(folder_ / "disk");
  const auto outcome =
      test::run_raincell(folder_.path(),
                         {"watch", "watch.yaml", "--set", "output=disk", "--set", "cycle.step=0s", "--set",
                          "cycle.max_wait=150s", "--set", "cycle.max_age=10min", "--set", "horizon=30min",
                          "--replay", "archive", "--speed", "20000x", "--threads", "1"},
                         {.disk = folder_ / "disk", .disk_bytes = 400000});
  if (!outcome.no_disk.empty()) GTEST_SKIP() << "no disk of its own: " << outcome.no_disk;
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("No space left on device"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.out.find(" 0 failed"), std::string::npos) << outcome.out;
  bool latest = false, products = false;
  for (const std::string& name : outcome.disk_files) {
    latest = latest || name == "latest.json";
    products = products || name.find("products/nowcast_") == 0;
    EXPECT_TRUE(name.find(".tmp") == std::string::npos && name.find(".unchecked") == std::string::npos)
        << name;
  }
  EXPECT_TRUE(latest && products);
}

TEST_F(Watching, HostileFilesAreRefusedAndTheNowcastGoesOn) {
  const char* const data = std::getenv("RAINCELL_TEST_DATA");
  if (data == nullptr)
    GTEST_SKIP() << "needs hostile files: set RAINCELL_TEST_DATA to the folder of real files";
  Radar radar(folder_ / "radar");
  Program program(folder_.path(), {"watch", "watch.yaml", "--threads", "1", "--set", "intake.tries=1"});
  EXPECT_TRUE(until([&] { return issued(); })) << latest();
  std::size_t hostile = 0;
  for (const char* kind : {"hostile/hdf5-cve", "hostile/bombs"})
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(data) / kind)) {
      if (!entry.is_regular_file() || entry.file_size() > 1000000) continue;
      fs::copy_file(entry.path(), folder_ / ("radar/x" + std::to_string(hostile++) + ".h5"));
      std::this_thread::sleep_for(milliseconds(40));  // a folder that fills at once is a backfill
    }
  const auto rejected = [&] {
    const std::string text = test::read_text(folder_ / "out/rejected.jsonl");
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  };
  EXPECT_TRUE(until([&] { return fs::exists(folder_ / "out/rejected.jsonl") && rejected() >= hostile; }))
      << rejected() << " of " << hostile;
  EXPECT_TRUE(until([&] { return issued(); })) << latest();
  EXPECT_EQ(program.end(SIGTERM), 143);
}

TEST_F(Watching, ASecondOneOnTheSameOutputIsRefused) {
  Radar radar(folder_ / "radar");
  Program program(folder_.path(), {"watch", "watch.yaml", "--threads", "1"});
  EXPECT_TRUE(until([&] { return issued(); })) << latest();
  const auto second = test::run_raincell(folder_.path(), {"watch", "watch.yaml"});
  EXPECT_EQ(second.code, 2);
  EXPECT_NE(second.err.find("another raincell (process"), std::string::npos) << second.err;
}

/// What a reader of latest.json sees at any moment: a whole product, and never another one of the same name.
TEST_F(Watching, KilledAtRandomMomentsEveryCycleIsPublishedOnceOrCountedAsMissed) {
  Radar radar(folder_ / "radar");
  std::atomic<bool> ending{false};
  std::map<std::string, std::string> seen;  // product and hash
  std::set<std::int64_t> nominals, withheld;
  std::string trouble;
  std::thread reader([&] {
    while (!ending) {
      std::this_thread::sleep_for(milliseconds(1));
      if (!fs::exists(folder_ / "out/latest.json")) continue;
      const Json json = Json::parse(latest(), nullptr, false);
      if (!json.is_object()) {
        trouble = "half a latest.json";
        continue;
      }
      if (!json["nominal"].is_string()) continue;
      const std::int64_t nominal =
          io::parse_time(json["nominal"].get<std::string>())->time_since_epoch().count();
      if (!json["product"].is_string()) {
        withheld.insert(nominal);
        continue;
      }
      const std::string product = json["product"], hash = json["sha256"];
      if (seen.count(product) > 0) {
        if (seen[product] != hash) trouble = product + " was issued twice";
        continue;
      }
      const std::string bytes = test::read_text(folder_ / ("out/" + product));
      if (io::sha256(std::as_bytes(std::span(bytes))) != hash)
        trouble = product + " is not what was announced";
      seen[product] = hash;
      nominals.insert(nominal);
    }
  });
  std::mt19937 random(11);
  for (int kill = 0; kill < WATCH_KILLS; ++kill) {
    Program program(folder_.path(), {"watch", "watch.yaml", "--threads", "1"});
    std::this_thread::sleep_for(milliseconds(400 + random() % 3500));
    EXPECT_EQ(program.end(SIGKILL), 137);
  }
  {
    Program program(folder_.path(), {"watch", "watch.yaml", "--threads", "1"});
    const std::string before = latest();
    EXPECT_TRUE(until([&] { return issued() && latest() != before; }));
    std::this_thread::sleep_for(kStep);
    EXPECT_EQ(program.end(SIGTERM), 143);
  }
  ending = true;
  reader.join();
  EXPECT_EQ(trouble, "");
  ASSERT_GT(nominals.size(), 3U);
  // From the first to the last: published, withheld, or counted.
  const std::string log = test::read_text(folder_ / "err");
  std::int64_t missed = 0;
  const std::regex line("(\\d+) cycles? before \\S+ w");
  for (auto at = std::sregex_iterator(log.begin(), log.end(), line); at != std::sregex_iterator(); ++at)
    missed += std::stoll((*at)[1]);
  for (const std::int64_t one : nominals) withheld.erase(one);
  withheld.erase(withheld.begin(), withheld.lower_bound(*nominals.begin()));
  const std::int64_t slots = (*nominals.rbegin() - *nominals.begin()) / kStep.count() + 1;
  EXPECT_EQ(static_cast<std::int64_t>(nominals.size() + withheld.size()) + missed, slots) << log;
  for (const std::string& name : test::files_below(folder_ / "out/products"))
    EXPECT_EQ(seen.count("products/" + name), 1U) << name;  // and no leftovers
  std::cout << nominals.size() << " published, " << withheld.size() << " withheld, " << missed
            << " missed of " << slots << " cycles, " << WATCH_KILLS << " kills\n";
}

int connect_to(int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
  ::close(socket);
  return -1;
}

/// The status of the answer; 0: there was none.
int get(int port, const std::string& target) {
  const int socket = connect_to(port);
  if (socket < 0) return 0;
  const std::string request = "GET " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  std::string answer;
  if (::send(socket, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
    char part[4096];
    for (ssize_t got = 0; (got = ::recv(socket, part, sizeof part, 0)) > 0;)
      answer.append(part, static_cast<std::size_t>(got));
  }
  ::close(socket);
  return answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
}

/// Two hundred requests a second, and clients that never finish theirs.
TEST_F(Watching, CrowdsOfClientsDelayNoCycle) {
  Radar radar(folder_ / "radar");
  const int port = 20000 + ::getpid() % 20000;
  Program program(folder_.path(),
                  {"watch", "watch.yaml", "--threads", "1", "--set", "http.port=" + std::to_string(port)});
  EXPECT_TRUE(until([&] { return issued() && get(port, "/api/map") == 200; })) << latest();
  std::vector<int> slow;
  for (int i = 0; i < 40; ++i) {
    slow.push_back(connect_to(port));
    EXPECT_EQ(::send(slow.back(), "GET /", 5, MSG_NOSIGNAL), 5);
  }
  const std::vector<std::string> targets = {"/api/latest", "/api/map", "/api/point?lat=52&lon=10.1",
                                            "/metrics", "/"};
  std::map<int, int> answers;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 1600; ++i) {
    ++answers[get(port, targets[static_cast<std::size_t>(i) % targets.size()])];
    std::this_thread::sleep_until(begin + (i + 1) * milliseconds(5));
  }
  for (const char* odd :
       {"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/page.css/../../x",
        "/api/image/../../latest.json", "/latest.json", "/metrics.prom", "/api/point?lat=x"}) {
    const int status = get(port, odd);
    EXPECT_TRUE(status >= 400 && status < 500) << odd << ": " << status;
  }
  for (const int socket : slow) ::close(socket);
  EXPECT_EQ(answers[200], 1600);
  const std::string metrics = test::read_text(folder_ / "out/metrics.prom");
  EXPECT_NE(metrics.find("cycles_total{status=\"missed\"} 0"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("cycles_total{status=\"withheld\"} 0"), std::string::npos) << metrics;
  EXPECT_TRUE(issued());
  EXPECT_EQ(program.end(SIGTERM), 143);
}

struct Wrong {
  const char* name;
  const char* yaml;
  std::vector<std::string> words;
  std::vector<std::string> says;
};

TEST_F(Watching, WhatIsWrongWithTheConfigurationIsSaidAtOnce) {
  const std::vector<Wrong> all = {
      {"nothing", "", {}, {"input: is missing", "output: is missing"}},
      {"typo", "inptu: radar\noutput: out\n", {}, {"w.yaml:1: inptu", "did you mean 'input'?"}},
      {"section",
       "input: radar\noutput: out\ncycle:\n  max_wiat: 3min\n",
       {},
       {"w.yaml:4: cycle.max_wiat", "'cycle.max_wait'"}},
      {"duration", "input: radar\noutput: out\ncycle: {max_wait: soon}\n", {}, {"'soon'", "90s or 5min"}},
      {"forecaster", "input: radar\noutput: out\nforecaster: convlstmm\n", {}, {"did you mean 'convlstm'?"}},
      {"inside", "input: radar\noutput: radar/out\n", {}, {"would be taken for radar files"}},
      {"same", "input: radar\noutput: ./radar/\n", {}, {"would be taken for radar files"}},
      {"thresholds",
       "input: radar\noutput: out\nledger: {thresholds: [5, 1]}\n",
       {},
       {"ledger.thresholds", "ascending"}},
      {"alias", "input: &a radar\noutput: *a\n", {}, {"w.yaml:"}},
      {"set", "input: radar\noutput: out\n", {"--set", "cycle.budgets=3s"}, {"--set", "'cycle.budget'"}},
      {"speed", "input: radar\noutput: out\n", {"--speed", "60x"}, {"--replay"}},
      {"fast",
       "input: radar\noutput: out\n",
       {"--replay", "radar", "--speed", "fast"},
       {"--speed fast", "60x"}},
      {"port",
       "input: radar\noutput: out\nforecaster: advection\nhttp: {port: 99999}\n",
       {},
       {"http.port", "65535"}},
      {"address",
       "input: radar\noutput: out\nforecaster: advection\nhttp: {port: 8123, address: nowhere}\n",
       {},
       {"nowhere"}},
      {"model", "input: radar\noutput: out\nmodel: none.safetensors\n", {}, {"none.safetensors"}},
  };
  for (const Wrong& wrong : all) {
    SCOPED_TRACE(wrong.name);
    test::write_text(folder_ / "w.yaml", wrong.yaml);
    std::vector<std::string> words = {"watch", "w.yaml"};
    words.insert(words.end(), wrong.words.begin(), wrong.words.end());
    const auto outcome = test::run_raincell(folder_.path(), words);
    EXPECT_TRUE(outcome.code == 2 || outcome.code == 7) << outcome.code << outcome.err;
    for (const std::string& word : wrong.says)
      EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in: " << outcome.err;
  }
  EXPECT_FALSE(fs::exists(folder_ / "radar/out"));
}

/// Names that a shell would trip over.
TEST_F(Watching, OddNamesAreNames) {
  io::SimulationSpec spec;
  spec.columns = spec.rows = 32;
  spec.frames = 6;
  io::simulate(spec, folder_ / "archive with spaces");
  test::write_text(folder_ / "w.yaml",
                   "input: 'Süd west; $(touch x)/in/'\noutput: './a/../out'\nforecaster: advection\n");
  const auto outcome = test::run_raincell(
      folder_.path(),
      {"watch", "w.yaml", "--replay", "archive with spaces", "--speed", "5000x", "--threads", "1"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("5 cycles: 3 OK, 2 DEGRADED"), std::string::npos) << outcome.out << outcome.err;
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

}  // namespace
