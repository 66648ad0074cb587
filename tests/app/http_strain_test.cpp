// Clients that are slow, many, silent or mad: whoever asks properly is still answered.
#include <fcntl.h>
#include <sys/resource.h>

#include <chrono>
#include <filesystem>
#include <list>
#include <random>
#include <thread>
#include <vector>

#include "app/http.hpp"
#include "tests/app/http_client.hpp"

namespace raincell {
namespace {

using app::HttpRequest;
using app::HttpResponse;
using app::HttpServer;
using test::Answer;
using test::Client;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

const std::string kGood = "GET /good?lead=30 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
constexpr std::size_t kBigBytes = 64U << 20U;  // more than all buffers between two sockets

app::HttpHandler handler() {
  // Shared: each answer points to it.
  return [big = std::make_shared<const std::string>(kBigBytes, 'x')](const HttpRequest& request) {
    if (request.path == "/big") return HttpResponse{.type = "image/png", .body = big};
    return HttpResponse{.body = "{}"};
  };
}

int status_of_good(const HttpServer& server) {
  Client client(server.port());
  return client.send(kGood) ? client.answer().status : 0;
}

/// Asks for 64 MiB and takes the first bytes of them, so that the server is busy with the rest.
void begin_big(Client& client) {
  client.send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(client.receive());
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

double processor_seconds() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

TEST(HttpStrain, SlowRequestsAreCutAndHoldNobodyUp) {
  constexpr int kSlow = 40;
  const HttpServer server({.request = 700ms}, handler());
  std::list<Client> slow;
  for (int i = 0; i < kSlow; ++i) slow.emplace_back(server.port());
  const auto begin = Clock::now();
  for (Client& client : slow) client.send("GET /");
  while (server.counts().overdue < kSlow) {
    ASSERT_LT(Clock::now() - begin, 30s);
    for (Client& client : slow) client.send("x");  // and never the end
    EXPECT_EQ(status_of_good(server), 200);
    std::this_thread::sleep_for(20ms);
  }
  for (Client& client : slow) EXPECT_TRUE(client.closed());
}

TEST(HttpStrain, SilentConnectionsEndAndAreNoFault) {
  const HttpServer server({.silence = 100ms}, handler());
  Client client(server.port());
  EXPECT_EQ(client.get("/").status, 200);
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(server.counts().overdue, 0U);
}

TEST(HttpStrain, AClientThatNeverReadsIsCut) {
  const HttpServer server({.answer = 500ms}, handler());
  Client client(server.port(), 4096);
  begin_big(client);
  const auto begin = Clock::now();
  while (server.counts().overdue == 0) {
    ASSERT_LT(Clock::now() - begin, 30s);
    EXPECT_EQ(status_of_good(server), 200);
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_LT(client.rest().size(), kBigBytes);
}

TEST(HttpStrain, WhoReadsALongAnswerGetsAllOfIt) {
  const HttpServer server({.answer = 60s}, handler());
  Client client(server.port());
  EXPECT_TRUE(client.get("/big").body == std::string(kBigBytes, 'x'));
}

TEST(HttpStrain, AnAnswerIsNotLostSinceMoreWasSentThanTheServerReads) {
  const HttpServer server({.answer = 60s}, handler());
  Client client(server.port(), 4096);
  client.send("GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" +
              std::string(100'000, 'x'));
  EXPECT_EQ(client.answer().body.size(), kBigBytes);
}

TEST(HttpStrain, TwoHundredRequestsASecondAreAllAnswered) {
  constexpr int kClients = 4, kRequests = 150;
  const HttpServer server({}, handler());
  std::array<int, kClients> answered{};
  std::vector<std::thread> threads;
  for (int& count : answered) {
    threads.emplace_back([&] {
      Client client(server.port());
      auto next = Clock::now();
      for (int i = 0; i < kRequests; ++i, next += 20ms) {
        std::this_thread::sleep_until(next);
        count += client.send(kGood) && client.answer().status == 200;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : answered) EXPECT_EQ(count, kRequests);
  EXPECT_EQ(server.counts().answers[2], static_cast<std::uint64_t>(kClients) * kRequests);
}

TEST(HttpStrain, WhereAllPlacesAreBusyNewcomersAreTold) {
  const HttpServer server({.connections = 3, .answer = 60s}, handler());
  std::list<Client> busy;
  for (int i = 0; i < 3; ++i) begin_big(busy.emplace_back(server.port()));
  for (std::uint64_t i = 1; i <= 5; ++i) {
    Client client(server.port());
    client.send(kGood);
    const Answer answer = client.answer();
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.fields.at("connection"), "close");
    EXPECT_EQ(answer.fields.at("x-content-type-options"), "nosniff");
    EXPECT_TRUE(client.closed());
    EXPECT_EQ(server.counts().refused, i);
  }
  busy.clear();
  const auto begin = Clock::now();
  while (status_of_good(server) != 200) ASSERT_LT(Clock::now() - begin, 30s);
}

TEST(HttpStrain, TheTellingItselfIsLimited) {
  const HttpServer server({.connections = 1, .answer = 60s}, handler());
  Client busy(server.port());
  begin_big(busy);
  std::list<Client> crowd;  // that is told and stays
  for (int i = 0; i < 100; ++i) crowd.emplace_back(server.port());
  int told = 0;
  for (Client& client : crowd) told += client.answer().status == 503;
  EXPECT_GE(told, 16);
  EXPECT_EQ(server.counts().refused, 100U);
}

TEST(HttpStrain, TheConnectionThatWaitsLongestGivesWay) {
  const HttpServer server({.connections = 3, .request = 60s, .silence = 60s}, handler());
  Client first(server.port()), second(server.port()), third(server.port());
  for (Client* client : {&second, &first, &third}) EXPECT_EQ(client->get("/").status, 200);
  std::this_thread::sleep_for(1200ms);
  EXPECT_EQ(status_of_good(server), 200);
  EXPECT_TRUE(second.closed());
  EXPECT_EQ(first.get("/").status, 200);
  EXPECT_EQ(third.get("/").status, 200);
  EXPECT_EQ(server.counts().refused, 0U);
}

TEST(HttpStrain, RequestsThatAreBegunAndNeverEndedTakeNoPlaceForGood) {
  const HttpServer server({.connections = 3, .request = 60s}, handler());
  std::list<Client> slow;
  for (int i = 0; i < 3; ++i) slow.emplace_back(server.port()).send("GET / HT");
  const auto begin = Clock::now();
  while (status_of_good(server) != 200) {
    ASSERT_LT(Clock::now() - begin, 30s);
    std::this_thread::sleep_for(50ms);
  }
}

TEST(HttpStrain, WithoutDescriptorsNewcomersWaitAndNothingSpins) {
  const HttpServer server({}, handler());
  Client before(server.port());
  EXPECT_EQ(before.get("/").status, 200);
  rlimit usual{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
  const rlimit few{100, usual.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<int> hoard;
  for (int taken; (taken = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) hoard.push_back(taken);
  ::close(hoard.back());  // one for the client, none for the server
  hoard.pop_back();
  Client waiting(server.port());
  waiting.send(kGood);
  const double used = processor_seconds();
  std::this_thread::sleep_for(1s);
  EXPECT_LT(processor_seconds() - used, 0.5);
  EXPECT_EQ(before.get("/").status, 200);
  for (const int taken : hoard) ::close(taken);
  EXPECT_EQ(waiting.answer().status, 200);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
}

/// A request that somebody damaged: bytes changed, taken out, doubled, put elsewhere.
std::string mutant(std::mt19937& random) {
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  static constexpr std::string_view kPieces[] = {"\r\n",
                                                 "\n",
                                                 "\r",
                                                 " ",
                                                 ":",
                                                 "%",
                                                 "%00",
                                                 "..",
                                                 "/",
                                                 "?",
                                                 "&",
                                                 "=",
                                                 "\\",
                                                 "HTTP/1.1",
                                                 "HTTP/1.0",
                                                 "GET ",
                                                 "HEAD ",
                                                 "Content-Length: 1\r\n",
                                                 "Transfer-Encoding: chunked\r\n",
                                                 "Connection: close\r\n",
                                                 "Accept-Encoding: gzip;q=\r\n",
                                                 "Host: \xff\r\n",
                                                 "\t",
                                                 ",",
                                                 ";",
                                                 "\x7f",
                                                 "Expect: 100-continue\r\n"};
  std::string text = kGood + (below(4) == 0 ? kGood : "");
  for (std::size_t changes = 1 + below(4); changes > 0 && !text.empty(); --changes) {
    const std::size_t at = below(text.size()),
                      length = 1 + below(std::min<std::size_t>(20, text.size() - at));
    switch (below(6)) {
      case 0:
        text[at] = static_cast<char>(below(256));
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(at, length));
        break;
      case 3:
        text.insert(at, std::string(kPieces[below(std::size(kPieces))]));
        break;
      case 4:
        text.insert(below(text.size()), text.substr(at, length));
        break;
      default:
        text.resize(at);
        break;
    }
  }
  return text;
}

TEST(HttpStrain, ThousandsOfDamagedRequestsLeaveTheServerAnswering) {
  const HttpServer server({}, handler());
  std::mt19937 random(20240607);
  std::map<std::string, int> seen;
  for (int i = 0; i < 5000; ++i) {
    const std::string text = mutant(random);
    Client client(server.port());
    client.send(text);
    client.stop_sending();
    const std::string said = client.rest();
    ASSERT_TRUE(said.empty() || said.starts_with("HTTP/1.1 ") || said.starts_with("HTTP/1.0 ")) << text;
    ++seen[said.empty() ? "nothing" : said.substr(9, 3)];
    if (i % 100 == 0) {
      ASSERT_EQ(status_of_good(server), 200) << "after " << text;
    }
  }
  EXPECT_EQ(status_of_good(server), 200);
  for (const char* status : {"nothing", "200", "400", "405", "413", "421"})
    EXPECT_GT(seen[status], 0) << status;
  for (const auto& [status, times] : seen) EXPECT_FALSE(status.starts_with("5")) << times;
}

TEST(HttpStrain, TheEndDoesNotWaitForClientsAndLeavesNothingOpen) {
  const std::ptrdiff_t before = open_descriptors();
  const auto begin = Clock::now();
  {
    std::list<Client> clients;
    {
      const HttpServer server({.request = 600s, .answer = 600s, .silence = 600s}, handler());
      for (int i = 0; i < 10; ++i) {
        clients.emplace_back(server.port());
        clients.emplace_back(server.port()).send("GET / HT");
        EXPECT_EQ(clients.emplace_back(server.port()).get("/").status, 200);
        begin_big(clients.emplace_back(server.port()));
      }
    }
    for (Client& client : clients) EXPECT_LT(client.rest().size(), kBigBytes);
  }
  EXPECT_LT(Clock::now() - begin, 60s);
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace raincell
