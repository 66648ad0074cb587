// What a client asks and what it is told, over real sockets.
#include "app/http.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/wait.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "app/errors.hpp"
#include "app/utf8.hpp"
#include "tests/app/http_client.hpp"

namespace raincell {
namespace {

using app::HttpCounts;
using app::HttpRequest;
using app::HttpResponse;
using app::HttpServer;
using app::HttpSpec;
using test::Answer;
using test::answer_to;
using test::Client;

const std::string kPage = "<!doctype html><title>rain</title>" + std::string(5000, '.');

HttpResponse respond(const HttpRequest& request) {
  if (request.path == "/") return {.type = "text/html; charset=utf-8", .body = kPage};
  if (request.path == "/image.png")
    return {.type = "image/png", .body = std::make_shared<const std::string>("\x89PNG"), .lasting = true};
  if (request.path == "/throw") throw std::runtime_error("secret: /var/lib");
  if (request.path.starts_with("/echo")) {
    std::string said = request.path;
    for (const auto& [key, value] : request.query) said += "|" + key + "=" + value;
    return {.type = "text/plain", .body = said};
  }
  return {.status = 404, .body = R"({"error":"no such page"})"};
}

Answer asked(const std::string& request) {
  const HttpServer server({}, respond);
  return answer_to(server.port(), request);
}

int status_of(const std::string& request) {
  return asked(request).status;
}

TEST(Http, AGetIsAnsweredWithTheBytesOfTheHandler) {
  const HttpServer server({}, respond);
  Client client(server.port());
  const Answer answer = client.get("/echo/a%20b?lead=30&zoom=%C3%A9+x&empty=&bare");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.version, "HTTP/1.1");
  EXPECT_EQ(answer.body, "/echo/a b|bare=|empty=|lead=30|zoom=\xc3\xa9 x");
  EXPECT_EQ(answer.fields.at("content-length"), std::to_string(answer.body.size()));
  EXPECT_EQ(answer.fields.at("content-type"), "text/plain");
  EXPECT_EQ(server.counts().answers[2], 1U);
}

TEST(Http, AHeadHasTheFieldsOfTheGetAndNoBody) {
  const HttpServer server({}, respond);
  Client client(server.port());
  client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const Answer head = client.answer(true), get = client.answer();
  EXPECT_EQ(head.fields, get.fields);
  EXPECT_EQ(get.body, kPage);
}

TEST(Http, EveryAnswerForbidsGuessingTellingAndFraming) {
  const HttpServer server({}, respond);
  Client client(server.port());
  for (const char* target : {"/", "/image.png", "/nothing", "/throw", "/echo"}) {
    const Answer answer = client.get(target);
    EXPECT_EQ(answer.fields.at("x-content-type-options"), "nosniff");
    EXPECT_EQ(answer.fields.at("referrer-policy"), "no-referrer");
    EXPECT_EQ(answer.fields.at("server"), "raincell");
    EXPECT_FALSE(answer.fields.contains("access-control-allow-origin"));
    EXPECT_EQ(answer.fields.at("cache-control"),
              target == std::string("/image.png") ? "public, max-age=31536000, immutable" : "no-store");
    EXPECT_EQ(answer.fields.contains("x-frame-options"), target == std::string("/")) << target;
  }
  EXPECT_EQ(client.get("/").fields.at("content-security-policy"),
            "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
            "frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
}

TEST(Http, ConnectionsLastAndRequestsMayBeSentAhead) {
  const HttpServer server({}, respond);
  Client client(server.port());
  std::string requests;
  for (int i = 0; i < 500; ++i)
    requests += "GET /echo/" + std::to_string(i) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  client.send(requests);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(client.answer().body, "/echo/" + std::to_string(i));
  client.send("GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.answer().fields.at("connection"), "close");
  EXPECT_TRUE(client.closed());
}

TEST(Http, ClientsOfHttp10AreAnsweredAndLetGo) {
  const HttpServer server({}, respond);
  Client client(server.port());
  client.send("GET /echo HTTP/1.0\r\n\r\n");
  const Answer answer = client.answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.version, "HTTP/1.0");
  EXPECT_TRUE(client.closed());
}

TEST(Http, AHalfClosedClientGetsItsAnswer) {
  const HttpServer server({}, respond);
  Client client(server.port());
  client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.stop_sending();
  EXPECT_EQ(client.answer().body, kPage);
  EXPECT_TRUE(client.closed());
  Client half(server.port());
  half.send("GET / HTTP/1.1\r\nHo");
  half.stop_sending();
  EXPECT_TRUE(half.closed());
}

TEST(Http, WhatIsNoRequestOfThisServerIsRefused) {
  const std::string host = "Host: localhost\r\n";
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"}) {
    const Answer answer = asked(std::string(method) + " / HTTP/1.1\r\n" + host + "\r\n");
    EXPECT_EQ(answer.status, 405) << method;
    EXPECT_EQ(answer.fields.at("allow"), "GET, HEAD");
    EXPECT_EQ(answer.fields.at("connection"), "close");
  }
  EXPECT_EQ(status_of("CONNECT localhost:1 HTTP/1.1\r\n" + host + "\r\n"), 405);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello"), 413);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n" + host + "Content-Length: 99999999999\r\n\r\n"), 413);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 413);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n"), 413);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n"), 200);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(
      status_of("GET / HTTP/1.1\r\n" + host + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
      400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\n" + host + "\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\n" + host + "\n\n"), 400);
  EXPECT_EQ(status_of("GET  / HTTP/1.1\r\n" + host + "\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nbad field\r\n\r\n"), 400);
  EXPECT_EQ(status_of(std::string("\x16\x03\x01\x02\x00\x01", 6) + std::string(200, '\0')), 400);  // TLS
}

TEST(Http, LimitsAreKeptToTheByte) {
  const std::string host = " HTTP/1.1\r\nHost: localhost\r\n";
  EXPECT_EQ(status_of("GET /" + std::string(2047, 'a') + host + "\r\n"), 404);
  EXPECT_EQ(status_of("GET /" + std::string(2048, 'a') + host + "\r\n"), 414);
  const std::string start = "GET /echo" + host + "X: ";
  EXPECT_EQ(status_of(start + std::string(8192 - start.size() - 4, 'x') + "\r\n\r\n"), 200);
  EXPECT_EQ(status_of(start + std::string(8193 - start.size() - 4, 'x') + "\r\n\r\n"), 431);
  EXPECT_EQ(status_of(start + std::string(100'000, 'x') + "\r\n\r\n"), 431);
}

TEST(Http, ARequestThatArrivesInPiecesMeetsTheSameLimit) {
  const HttpServer server({}, respond);
  const std::string start =
      "GET /echo HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(4000, 'x') + "\r\nY: y\r\n";
  for (const std::size_t bytes : {8192, 8193}) {
    Client client(server.port());
    client.send(start);
    ::usleep(20'000);  // so that it is read before the rest
    client.send("Z: " + std::string(bytes - start.size() - 7, 'z') + "\r\n\r\n");
    EXPECT_EQ(client.answer().status, bytes == 8192 ? 200 : 431);
  }
  Client endless(server.port());
  endless.send(start);
  ::usleep(20'000);
  endless.send("Z: " + std::string(8189 - start.size(), 'z'));
  EXPECT_EQ(endless.answer().status, 431);
}

TEST(Http, TargetsThatHideSomethingAreRefused) {
  const HttpServer server({}, respond);
  for (const char* target : {"/../etc",     "/a/..",
                             "/%2e%2e/etc", "/a%2f..%2fb",
                             "/?file=../x", "/a\\b",
                             "/%5c",        "/%00",
                             "/%0a",        "/%7f",
                             "/%",          "/%4",
                             "/%zz",        "/%+1",
                             "/%ff",        "/%c0%af",
                             "/%ed%a0%80",  "/%f5%80%80%80",
                             "/%c3",        "/?a=%",
                             "/?%ff=1",     "/?a=1&a=2",
                             "/a#b",        "*",
                             "localhost/",  "http://localhost/"}) {
    Client client(server.port());
    const Answer answer = client.get(target);
    EXPECT_EQ(answer.status, 400) << target;
    EXPECT_EQ(answer.body.find("etc"), std::string::npos);
  }
  Client client(server.port());
  EXPECT_EQ(client.get("/echo..a/...?x=a..b").body, "/echo..a/...|x=a..b");
}

TEST(Http, AHandlerThatThrowsSaysNothingAboutIt) {
  const HttpServer server({}, respond);
  Client client(server.port());
  const Answer answer = client.get("/throw");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body, "internal error\n");
  EXPECT_EQ(client.get("/nothing").status, 404);  // on the same connection
  const HttpCounts counts = server.counts();
  EXPECT_EQ(counts.answers, (std::array<std::uint64_t, 6>{0, 0, 0, 0, 1, 1}));
}

TEST(Http, ANameThatIsResolvedToThisMachineIsNotThisMachine) {
  const HttpServer server({}, respond);
  for (const char* host : {"localhost", "LocalHost:1", "127.0.0.1:8080", "[::1]:80", "[::1]", "localhost:"})
    EXPECT_EQ(Client(server.port()).get("/", "Host: " + std::string(host) + "\r\n").status, 200) << host;
  for (const char* host : {"evil.example", "localhost.evil.example", "evil.example:80", "127.0.0.2", "",
                           ":80", "localhost:x", "[::1", "[::1]x", "localhost@evil", "localhost, evil"})
    EXPECT_EQ(Client(server.port()).get("/", "Host: " + std::string(host) + "\r\n").status, 421) << host;
  EXPECT_EQ(Client(server.port()).get("/", "").status, 400);
  EXPECT_EQ(Client(server.port()).get("/", "Host: localhost\r\nHost: evil.example\r\n").status, 400);
}

TEST(Http, WhoListensToEverybodyHasManyNames) {
  const HttpServer server({.address = "0.0.0.0"}, respond);
  EXPECT_EQ(Client(server.port()).get("/", "Host: radar.example\r\n").status, 200);
  EXPECT_EQ(Client(server.port()).get("/", "").status, 400);
}

std::string gunzipped(std::string bytes) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
  std::string out(1'000'000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST(Http, LongTextsAreCompressedForThoseWhoAskForIt) {
  const HttpServer server({}, respond);
  Client client(server.port());
  const auto asking = [](const std::string& codings) {
    return "Host: localhost\r\nAccept-Encoding: " + codings + "\r\n";
  };
  for (const char* codings : {"gzip", "deflate, GZIP;q=0.5, br"}) {
    const Answer answer = client.get("/", asking(codings));
    EXPECT_EQ(answer.fields.at("content-encoding"), "gzip");
    EXPECT_EQ(answer.fields.at("vary"), "Accept-Encoding");
    EXPECT_LT(answer.body.size(), 500U);
    EXPECT_EQ(gunzipped(answer.body), kPage);
  }
  for (const char* codings :
       {"", "br", "gzip;q=0", "gzip;q=0.000", "identity, x-gzip", "\"gzip", ";;gzip;;="})
    EXPECT_EQ(client.get("/", asking(codings)).body, kPage) << codings;
  EXPECT_EQ(client.get("/echo", asking("gzip")).body, "/echo");
  EXPECT_FALSE(client.get("/image.png", asking("gzip")).fields.contains("vary"));
}

/// The message of the UsageError that a server there ends with; empty where it listens.
std::string refusal_at(HttpSpec spec) {
  try {
    const HttpServer server(std::move(spec), respond);
  } catch (const app::UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(Http, WhereNobodyMayListenTheErrorSaysWhatToDo) {
  const HttpServer server({}, respond);
  EXPECT_EQ(refusal_at({.port = server.port()}),
            "cannot serve HTTP at 127.0.0.1 port " + std::to_string(server.port()) +
                ": Address already in use; another program listens there: end it, or choose another port");
  EXPECT_EQ(refusal_at({.address = "192.0.2.1", .port = 8080}),
            "cannot serve HTTP at 192.0.2.1 port 8080: Cannot assign requested address; this machine has no "
            "such address: choose one that it has");
  EXPECT_EQ(refusal_at({.address = "localhost"}),
            "cannot serve HTTP at 'localhost': this is no address in numbers; use 127.0.0.1 for this machine "
            "alone, or 0.0.0.0 for whoever reaches it");
}

TEST(Http, PortsOfTheSystemNeedAPrivilege) {
  int first_free = 1024;
  std::ifstream("/proc/sys/net/ipv4/ip_unprivileged_port_start") >> first_free;
  if (first_free <= 1) GTEST_SKIP() << "here every port is free for all";
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0))
      ::_exit(3);
    const std::string said = refusal_at({.port = 1});
    ::_exit(said == "cannot serve HTTP at 127.0.0.1 port 1: Permission denied; this port needs a privilege: "
                    "choose one from 1024"
                ? 0
                : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 3) GTEST_SKIP() << "root may not become somebody else here";
  EXPECT_EQ(status, 0);
}

TEST(Http, APlaceIsFreeAgainAsSoonAsItsServerEnds) {
  std::uint16_t port = 0;
  for (int i = 0; i < 3; ++i) {
    const HttpServer server({.port = port}, respond);
    port = server.port();
    Client client(port);
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(client.answer().status, 200);
    EXPECT_TRUE(client.closed());  // the server closed first: its port rests in TIME_WAIT
  }
}

TEST(Http, ChildProcessesInheritNoSocket) {
  const HttpServer server({}, respond);
  Client client(server.port());
  EXPECT_EQ(client.get("/").status, 200);
  int sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (!std::filesystem::read_symlink(entry, gone).string().starts_with("socket:")) continue;
    const int descriptor = std::stoi(entry.path().filename());
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) continue;
    sockaddr_in place{};
    size = sizeof place;
    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&place), &size);
    if (ntohs(place.sin_port) != server.port()) continue;  // somebody else's
    ++sockets;
    EXPECT_TRUE(::fcntl(descriptor, F_GETFD) & FD_CLOEXEC);
  }
  EXPECT_EQ(sockets, 2);  // the listening one and that of the client
}

int threads_that_block_sigterm() {
  int blocking = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("SigBlk:"))
        blocking += (std::stoull(line.substr(7), nullptr, 16) >> (SIGTERM - 1)) & 1U;
  }
  return blocking;
}

TEST(Http, SignalsAreLeftToTheOtherThreads) {
  const int before = threads_that_block_sigterm();
  const HttpServer server({}, respond);
  EXPECT_EQ(Client(server.port()).get("/").status, 200);  // it runs
  EXPECT_EQ(threads_that_block_sigterm(), before + 1);
}

TEST(Utf8, EndsWhereABrokenLetterBegins) {
  EXPECT_EQ(app::end_of_utf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\xa7"), 10U);
  EXPECT_EQ(app::end_of_utf8("ab\xe0\x80\x80"), 2U);  // longer than needed
  EXPECT_EQ(app::end_of_utf8("\xed\xa0\x80"), 0U);    // half a surrogate pair
  EXPECT_EQ(app::end_of_utf8("abc\xe2\x82"), 3U);     // cut
}

}  // namespace
}  // namespace raincell
