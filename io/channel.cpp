#include "io/channel.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace raincell::io {
namespace {

using Deadline = std::optional<std::chrono::steady_clock::time_point>;

/// True when there is something to read before the deadline.
bool wait_readable(int socket, const Deadline& deadline) {
  for (;;) {
    int wait_ms = -1;
    if (deadline) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
      wait_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1 << 30));
    }
    pollfd entry{socket, POLLIN, 0};
    const int ready = ::poll(&entry, 1, wait_ms);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return true;  // the read that follows reports it
  }
}

/// Reads exactly `size` bytes; a descriptor that came along is kept in `taken`.
Arrival receive_bytes(int socket, char* to, std::size_t size, Descriptor* taken, const Deadline& deadline) {
  while (size > 0) {
    if (!wait_readable(socket, deadline)) return Arrival::late;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{to, size};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Arrival::closed;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
      Descriptor received(fd);
      if (taken != nullptr) *taken = std::move(received);
    }
    to += got;
    size -= static_cast<std::size_t>(got);
  }
  return Arrival::message;
}

bool send_bytes(int socket, const char* from, std::size_t size, int descriptor) {
  while (size > 0) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{const_cast<char*>(from), size};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (descriptor >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    descriptor = -1;  // it went with the first bytes
    from += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

}  // namespace

Descriptor::Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Descriptor::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool send_message(int socket, MessageKind kind, std::string_view payload, int descriptor) {
  const MessageHeader header{kWireMagic, kind, payload.size()};
  return send_bytes(socket, reinterpret_cast<const char*>(&header), sizeof header, descriptor) &&
         send_bytes(socket, payload.data(), payload.size(), -1);
}

Arrival receive_message(int socket, Message& message, Deadline deadline) {
  const Arrival arrival = receive_bytes(socket, reinterpret_cast<char*>(&message.header),
                                        sizeof message.header, &message.descriptor, deadline);
  if (arrival != Arrival::message) return arrival;
  if (message.header.magic != kWireMagic || message.header.bytes > kMaxWireBytes) return Arrival::garbled;
  message.payload.resize(message.header.bytes);
  return receive_bytes(socket, message.payload.data(), message.payload.size(), nullptr, deadline);
}

}  // namespace raincell::io
