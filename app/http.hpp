// The service as a browser sees it: an HTTP/1.1 server for looking, not for changing. It answers GET and
// HEAD, knows no files, and no client can hold up another.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "app/http_request.hpp"

namespace raincell::app {

struct HttpSpec {
  /// Of this machine, in numbers. Where it is a loopback address, requests must name this machine in their
  /// field Host: a page of another site could otherwise have its own name resolved to 127.0.0.1 and read the
  /// answers.
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;                     // 0: any free one
  std::size_t connections = 64;               // at once
  std::size_t header_bytes = 8192;            // of a request: it has no body
  std::size_t target_characters = 2048;       // of it
  std::chrono::milliseconds request{5'000};   // a client has for sending one, once it has begun or connected,
  std::chrono::milliseconds answer{5'000};    // for taking the answer,
  std::chrono::milliseconds silence{15'000};  // and may keep a connection between two requests
};

struct HttpResponse {
  int status = 200;
  std::string type = "application/json";
  /// Shared where the same bytes go to many clients at once, such as a map.
  std::variant<std::string, std::shared_ptr<const std::string>> body = {};
  bool lasting = false;  // a client may keep it: this target will never give other bytes
};

/// Called by the server's thread, one request after the other, HEAD like GET: it should have its answers at
/// hand. What it throws becomes a 500 that says no more.
using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

struct HttpCounts {
  std::array<std::uint64_t, 6> answers = {};  // by the first digit of their status
  std::uint64_t refused = 0;  // connections that were told 503, or nothing: all places were taken
  std::uint64_t overdue = 0;  // connections cut since they took too long over a request or answer
};

/// Listens from construction to destruction, in a thread of its own.
class HttpServer {
 public:
  /// Throws UsageError when nobody may listen there.
  HttpServer(HttpSpec, HttpHandler);
  /// Cuts whatever is under way.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const;
  HttpCounts counts() const;

 private:
  class Listener;
  std::unique_ptr<Listener> listener_;
};

}  // namespace raincell::app
