// Messages and descriptors over a socket between the computing process and raincell-reader.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "io/wire.hpp"

namespace raincell::io {

/// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { reset(); }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_;
};

struct Message {
  MessageHeader header;
  std::string payload;
  Descriptor descriptor;  // one that came along, or closed
};

/// Header, payload and at most one descriptor. False when the other side is gone.
bool send_message(int socket, MessageKind, std::string_view payload, int descriptor = -1);

enum class Arrival { message, closed, late, garbled };
/// Waits until `deadline` (for ever without one).
Arrival receive_message(int socket, Message&,
                        std::optional<std::chrono::steady_clock::time_point> deadline = {});

}  // namespace raincell::io
