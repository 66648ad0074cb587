#include "app/http.hpp"

// One thread runs all handlers, so that nothing need be fenced off; ThreadSanitizer knows no fences.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/span_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cerrno>
#include <cstring>
#include <exception>
#include <list>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "app/errors.hpp"
#include "app/gzip.hpp"

namespace raincell::app {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace net = boost::asio;
using beast::error_code;
using net::ip::tcp;
using Clock = std::chrono::steady_clock;
using Parser = http::request_parser<http::empty_body>;
using Message = http::response<http::span_body<const char>>;

constexpr std::size_t kRefusalsAtOnce = 16;           // connections beyond the limit that are still told why
constexpr std::size_t kLeastToCompress = 1024;        // bytes
constexpr std::chrono::milliseconds kFarewell{1000};  // for the client to see that its connection ends
constexpr std::chrono::milliseconds kPatience{
    1000};  // a connection that waits for its client keeps its place
constexpr std::chrono::milliseconds kAcceptAgain{100};  // after the system would give no descriptor

constexpr const char* kPagePolicy =
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

class Connection;

/// What the connections of a server share. Only the counts are seen by other threads.
struct Shared {
  HttpSpec spec;
  HttpHandler handler;
  std::optional<std::string> own_host;  // of a loopback address, as a field Host has it
  std::list<Connection> connections = {};
  std::array<std::atomic<std::uint64_t>, 6> answers = {};
  std::atomic<std::uint64_t> refused = 0, overdue = 0;
};

std::string_view view_of(beast::string_view text) {
  return {text.data(), text.size()};
}

std::string_view view_of(const HttpResponse& response) {
  if (const auto* own = std::get_if<std::string>(&response.body)) return *own;
  const auto& common = std::get<std::shared_ptr<const std::string>>(response.body);
  return common ? std::string_view(*common) : std::string_view();
}

HttpResponse refusal(int status, const std::string& why) {
  return {status, "text/plain; charset=utf-8", why + "\n"};
}

bool is_for_this_machine(const Shared& shared, std::string_view field) {
  const std::optional<std::string> host = parse_host(field);
  return host && (host == "localhost" || host == "127.0.0.1" || host == "[::1]" || host == shared.own_host);
}

/// Why a request gets no answer from the handler; nothing, and what is asked for, where it does.
std::optional<HttpResponse> refusal_of(const Shared& shared, const Parser& parser, HttpRequest& asked) {
  const auto& header = parser.get();
  if (header.method() != http::verb::get && header.method() != http::verb::head)
    return refusal(405, "only GET and HEAD are answered here");
  if (parser.content_length().value_or(0) > 0 || header.count(http::field::transfer_encoding) > 0)
    return refusal(413, "requests have no body here");
  const std::string_view target = view_of(header.target());
  if (target.size() > shared.spec.target_characters)
    return refusal(414, fmt::format("a target has at most {} characters", shared.spec.target_characters));
  // HTTP/1.0 knows no field Host; no browser speaks it.
  const std::size_t hosts = header.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && header.version() > 10)) return refusal(400, "a request names one host");
  if (hosts == 1 && shared.own_host && !is_for_this_machine(shared, view_of(header[http::field::host])))
    return refusal(421, "this server is for its own machine: ask for localhost or 127.0.0.1");
  std::optional<HttpRequest> parsed = parse_target(target);
  if (!parsed) return refusal(400, "the target is no path with a query in UTF-8");
  asked = std::move(*parsed);
  return std::nullopt;
}

HttpResponse handled(const Shared& shared, const HttpRequest& asked) {
  try {
    return shared.handler(asked);
  } catch (const std::exception&) {  // its text may hold what is not for every client
    return refusal(500, "internal error");
  }
}

bool is_compressible(std::string_view type) {
  return type.starts_with("text/") || type.starts_with("application/json") ||
         type.starts_with("application/javascript") || type.starts_with("image/svg+xml");
}

bool accepts_gzip(beast::string_view field) {
  for (const auto& [coding, parameters] : http::ext_list(field)) {
    if (!beast::iequals(coding, "gzip")) continue;
    return std::none_of(parameters.begin(), parameters.end(), [](const auto& parameter) {
      return beast::iequals(parameter.first, "q") &&
             view_of(parameter.second).find_first_not_of("0.") == std::string_view::npos;
    });
  }
  return false;
}

void set_fields(Message& message, const HttpResponse& response) {
  message.result(static_cast<unsigned>(response.status));
  message.set(http::field::server, "raincell");
  message.set(http::field::content_type, response.type);
  message.set(http::field::cache_control,
              response.lasting ? "public, max-age=31536000, immutable" : "no-store");
  message.set("X-Content-Type-Options", "nosniff");
  message.set("Referrer-Policy", "no-referrer");
  if (response.type.starts_with("text/html")) {
    message.set("Content-Security-Policy", kPagePolicy);
    message.set("X-Frame-Options", "DENY");
  }
  if (is_compressible(response.type)) message.set(http::field::vary, "Accept-Encoding");
  if (response.status == 405) message.set(http::field::allow, "GET, HEAD");
}

/// One client. At any time one operation is under way; when it is done, the next begins, or the connection
/// leaves the list of the server and is gone.
class Connection {
 public:
  Connection(Shared& shared, tcp::socket socket)
      : shared_(shared), stream_(std::move(socket)), buffer_(shared.spec.header_bytes) {}

  void serve();
  void refuse();
  /// Ends soon; its place is free at once.
  void give_way() {
    has_place_ = false;
    stream_.close();
  }
  bool has_place() const { return has_place_; }
  /// Since when its client keeps the server waiting for a request; the end of time where it does not.
  Clock::time_point waits_since() const {
    const bool waits = has_place_ && (phase_ == Phase::idle || phase_ == Phase::reading);
    return waits ? since_ : Clock::time_point::max();
  }

 private:
  enum class Phase { idle, reading, writing, leaving };

  /// The handler of an operation: the next step, unless it failed.
  template <class Step>
  auto then(Step step) {
    return [this, step](error_code error, std::size_t bytes) {
      if (error) return end(error);
      try {
        step(bytes);
      } catch (const std::exception&) {  // no memory: this client goes, the others stay
        end({});
      }
    };
  }
  void end(error_code);
  void enter(Phase);

  void expect_request(Phase);
  void read();
  void parse();
  void send(HttpResponse, bool keep);
  void leave();
  void drain();

  Shared& shared_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;  // what the client sent and nobody read yet
  bool has_place_ = true;
  Phase phase_ = Phase::reading;
  Clock::time_point since_ = Clock::now();  // it is in this phase
  std::optional<Parser> parser_{std::in_place};
  std::size_t header_bytes_ = 0;  // that the parser has taken
  HttpResponse response_;         // whose bytes the message only points to
  std::optional<Message> message_;
};

void Connection::enter(Phase phase) {
  phase_ = phase;
  since_ = Clock::now();
  const HttpSpec& spec = shared_.spec;
  stream_.expires_after(phase == Phase::idle      ? spec.silence
                        : phase == Phase::reading ? spec.request
                        : phase == Phase::writing ? spec.answer
                                                  : kFarewell);
}

/// The first request is on its way already: a client connects when it has one.
void Connection::serve() {
  then([this](std::size_t) { expect_request(Phase::reading); })({}, 0);
}

void Connection::refuse() {
  has_place_ = false;
  then([this](std::size_t) { send(refusal(503, "too many connections: try again later"), false); })({}, 0);
}

void Connection::end(error_code error) {
  if (error == beast::error::timeout && (phase_ == Phase::reading || phase_ == Phase::writing))
    ++shared_.overdue;
  shared_.connections.remove_if([this](const Connection& other) { return &other == this; });
}

void Connection::expect_request(Phase phase) {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(shared_.spec.header_bytes));
  header_bytes_ = 0;
  enter(phase);
  buffer_.size() > 0 ? parse() : read();
}

void Connection::read() {
  const std::size_t room = buffer_.max_size() - buffer_.size();
  stream_.async_read_some(buffer_.prepare(room), then([this](std::size_t bytes) {
                            buffer_.commit(bytes);
                            if (phase_ == Phase::idle) enter(Phase::reading);
                            parse();
                          }));
}

void Connection::parse() {
  error_code error;
  const std::size_t taken = parser_->put(buffer_.data(), error), limit = shared_.spec.header_bytes;
  buffer_.consume(taken);
  header_bytes_ += taken;
  const bool unfinished = error == http::error::need_more;
  // The parser's own limit does not count what it has taken before.
  const bool too_long = error == http::error::header_limit || header_bytes_ > limit ||
                        (unfinished && header_bytes_ + buffer_.size() >= limit);
  // What follows a request that was not understood may be anything: the connection ends.
  if (too_long) return send(refusal(431, fmt::format("a request has at most {} bytes", limit)), false);
  if (unfinished) return read();
  if (error == http::error::body_limit) return send(refusal(413, "requests have no body here"), false);
  if (error) return send(refusal(400, "this is no request of HTTP/1.1"), false);
  HttpRequest asked;
  if (std::optional<HttpResponse> refused = refusal_of(shared_, *parser_, asked))
    return send(std::move(*refused), false);
  send(handled(shared_, asked), parser_->keep_alive());
}

void Connection::send(HttpResponse response, bool keep) {
  const auto& request = parser_->get();
  response_ = std::move(response);
  message_.emplace();
  set_fields(*message_, response_);
  if (is_compressible(response_.type) && view_of(response_).size() >= kLeastToCompress &&
      accepts_gzip(request[http::field::accept_encoding])) {
    if (std::string smaller = gzip(view_of(response_)); !smaller.empty()) {
      response_.body = std::move(smaller);
      message_->set(http::field::content_encoding, "gzip");
    }
  }
  const std::string_view body = view_of(response_);
  message_->content_length(body.size());
  if (request.method() != http::verb::head) message_->body() = {body.data(), body.size()};
  message_->version(request.version() == 10 ? 10 : 11);
  message_->keep_alive(keep);
  ++(has_place_ ? shared_.answers.at(static_cast<std::size_t>(response_.status) / 100) : shared_.refused);
  enter(Phase::writing);
  http::async_write(stream_, *message_, then([this, keep](std::size_t) {
                      response_ = {};
                      if (!keep) return leave();
                      expect_request(buffer_.size() > 0 ? Phase::reading : Phase::idle);
                    }));
}

/// A socket that is closed with bytes unread resets the connection, and the client may lose the answer: first
/// comes the end of what is sent, then the rest of what is received.
void Connection::leave() {
  error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  enter(Phase::leaving);
  drain();
}

void Connection::drain() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(buffer_.max_size()), then([this](std::size_t) { drain(); }));
}

[[noreturn]] void refuse_to_listen(const HttpSpec& spec, int error) {
  const char* remedy = error == EADDRINUSE ? "another program listens there: end it, or choose another port"
                       : error == EACCES   ? "this port needs a privilege: choose one from 1024"
                       : error == EADDRNOTAVAIL ? "this machine has no such address: choose one that it has"
                       : error == EAFNOSUPPORT  ? "this machine has no IPv6: choose an address of IPv4"
                                                : "choose another address or port";
  throw UsageError(fmt::format("cannot serve HTTP at {} port {}: {}; {}", spec.address, spec.port,
                               std::strerror(error), remedy));
}

}  // namespace

class HttpServer::Listener {
 public:
  Listener(HttpSpec, HttpHandler);
  ~Listener();
  std::uint16_t port() const { return place_.port(); }
  HttpCounts counts() const;

 private:
  void listen();
  void accept_soon();
  void accept_later();
  void admit(int descriptor);
  bool make_room();

  Shared shared_;
  net::io_context context_{1};
  tcp::acceptor acceptor_{context_};
  net::steady_timer pause_{context_};
  tcp::endpoint place_;
  std::thread thread_;
};

HttpServer::Listener::Listener(HttpSpec spec, HttpHandler handler)
    : shared_{std::move(spec), std::move(handler), {}} {
  const std::string& wanted = shared_.spec.address;
  error_code error;
  net::ip::address address = net::ip::make_address(wanted, error);
  if (error)
    throw UsageError(fmt::format(
        "cannot serve HTTP at '{}': this is no address in numbers; use 127.0.0.1 for this machine "
        "alone, or 0.0.0.0 for whoever reaches it",
        wanted));
  if (address.is_v6() && address.to_v6().is_v4_mapped())  // the same place by another name
    address = net::ip::make_address_v4(net::ip::v4_mapped, address.to_v6());
  if (address.is_loopback())
    shared_.own_host = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
  place_ = {address, shared_.spec.port};
  listen();
  accept_soon();
  thread_ = std::thread([this] {
    sigset_t all;  // signals are for the main thread, whose waiting they end
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (!context_.stopped()) {
      try {
        context_.run();
      } catch (const std::exception&) {  // no memory for a newcomer
      }
    }
  });
}

HttpServer::Listener::~Listener() {
  context_.stop();
  thread_.join();
  shared_.connections.clear();
}

HttpCounts HttpServer::Listener::counts() const {
  HttpCounts counts;
  std::copy(shared_.answers.begin(), shared_.answers.end(), counts.answers.begin());
  counts.refused = shared_.refused;
  counts.overdue = shared_.overdue;
  return counts;
}

/// Asio's own calls make sockets that a child process would inherit.
void HttpServer::Listener::listen() {
  const auto refuse = [&](int error) { refuse_to_listen(shared_.spec, error); };
  const int descriptor =
      ::socket(place_.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (descriptor < 0) refuse(errno);
  error_code error;
  if (acceptor_.assign(place_.protocol(), descriptor, error)) {
    ::close(descriptor);
    refuse(error.value());
  }
  if (acceptor_.set_option(tcp::acceptor::reuse_address(true), error)) refuse(error.value());
  if (acceptor_.bind(place_, error)) refuse(error.value());
  if (acceptor_.listen(tcp::acceptor::max_listen_connections, error)) refuse(error.value());
  place_ = acceptor_.local_endpoint();  // with the port that the system chose
}

void HttpServer::Listener::accept_soon() {
  acceptor_.async_wait(tcp::acceptor::wait_read, [this](error_code error) {
    if (error) return accept_later();
    const int descriptor =
        ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    const bool gone = descriptor < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED);
    if (descriptor < 0 && !gone) return accept_later();
    accept_soon();
    if (!gone) admit(descriptor);
  });
}

/// The client still waits in the queue: asking again at once would only burn the processor.
void HttpServer::Listener::accept_later() {
  pause_.expires_after(kAcceptAgain);
  pause_.async_wait([this](error_code) { accept_soon(); });
}

void HttpServer::Listener::admit(int descriptor) {
  tcp::socket socket(context_);
  error_code error;
  if (socket.assign(place_.protocol(), descriptor, error)) {
    ::close(descriptor);
    return;
  }
  socket.set_option(tcp::no_delay(true), error);  // or not
  const bool welcome = make_room();
  if (!welcome && shared_.connections.size() >= shared_.spec.connections + kRefusalsAtOnce) {
    ++shared_.refused;
    return;
  }
  Connection& connection = shared_.connections.emplace_back(shared_, std::move(socket));
  welcome ? connection.serve() : connection.refuse();
}

/// Whether there is a place for one more connection. Where all are taken, the one whose client has kept the
/// server waiting longest gives way: browsers keep connections that they no longer need, an attack begins
/// requests and does not end them, and a newcomer has its request at hand.
bool HttpServer::Listener::make_room() {
  auto& all = shared_.connections;
  const auto taken = std::count_if(all.begin(), all.end(), [](const Connection& c) { return c.has_place(); });
  if (static_cast<std::size_t>(taken) < shared_.spec.connections) return true;
  const auto longest = std::min_element(all.begin(), all.end(), [](const Connection& a, const Connection& b) {
    return a.waits_since() < b.waits_since();
  });
  if (longest == all.end() || Clock::now() - kPatience < longest->waits_since()) return false;
  longest->give_way();
  return true;
}

HttpServer::HttpServer(HttpSpec spec, HttpHandler handler)
    : listener_(std::make_unique<Listener>(std::move(spec), std::move(handler))) {}

HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const {
  return listener_->port();
}

HttpCounts HttpServer::counts() const {
  return listener_->counts();
}

}  // namespace raincell::app
