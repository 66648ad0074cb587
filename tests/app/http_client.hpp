// A client of the HTTP server that may behave as badly as it likes: a socket, and what came back through it.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

namespace raincell::test {

struct Answer {
  int status = 0;  // 0: none came
  std::string version;
  std::map<std::string, std::string> fields;  // names in small letters
  std::string body;
};

class Client {
 public:
  explicit Client(std::uint16_t port, int receive_bytes = 0) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{20, 0};  // a server that says nothing for so long is a failure
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (receive_bytes > 0) ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(port);
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&place), sizeof place) == 0;
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  void stop_sending() { ::shutdown(socket_, SHUT_WR); }

  /// More of what the server sends, into the text; false at its end, or when nothing comes for too long.
  bool receive() {
    char bytes[65536];
    const ssize_t got = ::recv(socket_, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      ADD_FAILURE() << "the server neither answered nor closed the connection";
    if (got <= 0) return false;
    text_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }
  /// Everything until the server closes the connection.
  std::string rest() {
    while (receive()) {
    }
    return std::exchange(text_, {});
  }
  bool closed() { return rest().empty(); }

  /// The next answer; that to a HEAD has no body.
  Answer answer(bool head = false) {
    std::size_t end;
    while ((end = text_.find("\r\n\r\n")) == std::string::npos)
      if (!receive()) return {};
    Answer answer;
    std::size_t at = text_.find("\r\n");
    answer.version = text_.substr(0, text_.find(' '));
    answer.status = std::stoi(text_.substr(answer.version.size() + 1));
    while (at < end) {
      const std::size_t next = text_.find("\r\n", at + 2), colon = text_.find(": ", at);
      std::string name = text_.substr(at + 2, colon - at - 2);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      EXPECT_TRUE(answer.fields.emplace(name, text_.substr(colon + 2, next - colon - 2)).second) << name;
      at = next;
    }
    text_.erase(0, end + 4);
    const std::size_t length = head ? 0 : std::stoul(answer.fields.at("content-length"));
    while (text_.size() < length)
      if (!receive()) return {};
    answer.body = text_.substr(0, length);
    text_.erase(0, length);
    return answer;
  }
  Answer get(const std::string& target, const std::string& fields = "Host: localhost\r\n") {
    return send("GET " + target + " HTTP/1.1\r\n" + fields + "\r\n") ? answer() : Answer{};
  }

 private:
  int socket_ = -1;
  bool connected_ = false;
  std::string text_;  // received and not yet taken
};

/// The answer to one request on a connection of its own.
inline Answer answer_to(std::uint16_t port, const std::string& request) {
  Client client(port);
  return client.send(request) ? client.answer() : Answer{};
}

}  // namespace raincell::test
