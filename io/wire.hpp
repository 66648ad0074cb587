// What travels between the process that computes and raincell-reader: requests, answers, and their checks.
// Fixed sizes first, then bounded fields; nothing that arrives is trusted.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/frame.hpp"
#include "io/reader.hpp"

namespace raincell::io {

inline constexpr std::uint32_t kWireMagic = 0x5243'0001;  // "RC", version 1
inline constexpr std::uint64_t kMaxWireBytes = std::uint64_t{1} << 26;
inline constexpr std::uint64_t kMaxInputBytes = std::uint64_t{1} << 40;

/// What the message is; every message is a header and `bytes` of payload.
enum class MessageKind : std::uint32_t {
  read = 1,
  describe = 2,
  frames = 3,
  refused = 4,
  memory = 5,
  done = 6,
  read_codes = 7,
  table = 8
};

struct MessageHeader {
  std::uint32_t magic = kWireMagic;
  MessageKind kind = MessageKind::read;
  std::uint64_t bytes = 0;
};

class WireWriter {
 public:
  void put(std::uint64_t);
  void put(std::int64_t value) { put(static_cast<std::uint64_t>(value)); }
  void put(double);
  void put(std::string_view);
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// Every take throws DataError past the end or over the limit.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}
  std::uint64_t take();
  std::int64_t take_signed() { return static_cast<std::int64_t>(take()); }
  double take_double();
  std::string take_string(std::uint64_t limit = 1 << 20);
  std::uint64_t take_count(std::uint64_t limit);
  bool empty() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

/// For answers that cannot be: "reader: answer of raincell-reader: what; the file is refused".
DataError wire_error(const std::string& what);
/// Texts end up in logs and on terminals: no control characters.
std::string clean_text(std::string);
/// A grid whose sides, pixel sizes and projection can be, and a time from 1900 to 2200. Throw DataError.
Grid take_grid(WireReader&);
TimePoint take_time(WireReader&);

std::string pack_request(const std::string& name, const SourceOptions&);
void unpack_request(std::string_view, std::string& name, SourceOptions&);

/// The frames without values and states.
std::string pack_frames(const std::vector<Frame>&);
/// Checks sizes, grids, times, counts and texts. Throws DataError.
std::vector<Frame> unpack_frames(std::string_view, Wanted);

/// Bytes of shared memory for values and states, or codes, of all frames.
std::uint64_t shared_bytes(const std::vector<Frame>&, Wanted);
void store_values(const std::vector<Frame>&, Wanted, std::span<std::byte> shared);
/// Copies values and states, or codes, out and checks them against each other and the counts. Throws
/// DataError.
void load_values(std::span<const std::byte> shared, Wanted, std::vector<Frame>&);

}  // namespace raincell::io
