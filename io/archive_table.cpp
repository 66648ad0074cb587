#include "io/archive_table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cmath>

#include "io/wire.hpp"

namespace raincell::io {
namespace {

constexpr std::uint64_t kMostFrames = 400000;  // of a part
constexpr std::size_t kMostSourceBytes = std::size_t{1} << 28;

void check_frame(const PackedFrame& frame, std::size_t i, std::uint64_t pixels, std::uint64_t file_bytes) {
  if (frame.bytes > file_bytes || frame.offset > file_bytes - frame.bytes) {
    throw DataError(fmt::format(
        "frame {} lies beyond the end of the file ({} bytes); the file is cut: copy or pack it again", i,
        file_bytes));
  }
  const std::uint64_t plain = pixels * sizeof(std::int16_t);
  if (!frame.deflated && frame.bytes != plain)
    throw DataError(fmt::format("frame {} has {} bytes, {} expected", i, frame.bytes, plain));
  for (const float share : {frame.covered, frame.wet}) {
    if (!(share >= 0.F && share <= 1.F)) throw wire_error(fmt::format("a share of {} in frame {}", share, i));
  }
}

}  // namespace

FrameHash FrameHash::parse(std::string_view digits) {
  FrameHash hash;
  if (digits.size() != 2 * hash.bytes.size())
    throw DataError(
        fmt::format("a frame's hash has {} digits, 32 expected; pack the archive again", digits.size()));
  for (std::size_t i = 0; i < hash.bytes.size(); ++i) {
    const char* const from = digits.data() + 2 * i;
    const auto [end, error] = std::from_chars(from, from + 2, hash.bytes[i], 16);
    if (error != std::errc{} || end != from + 2)
      throw DataError("a frame's hash is no hexadecimal number; pack the archive again");
  }
  return hash;
}

std::string FrameHash::text() const {
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

void ArchiveTable::add_source(PackedFrame& frame, const std::string& name) {
  if (sources.size() > kMostSourceBytes) throw DataError("the names of its source files fill the memory");
  frame.source = static_cast<std::uint32_t>(sources.size());
  sources += clean_text(name);
  sources += '\0';
}

std::string pack_table(const ArchiveTable& table) {
  WireWriter out;
  out.put(std::string_view(table.grid.projection));
  out.put(table.grid.columns);
  out.put(table.grid.rows);
  for (const double number : {table.grid.x0, table.grid.y0, table.grid.dx, table.grid.dy, table.scale})
    out.put(number);
  out.put(static_cast<std::uint64_t>(table.quantity));
  out.put(static_cast<std::uint64_t>(table.frames.size()));
  for (std::size_t i = 0; i < table.frames.size(); ++i) {
    const PackedFrame& frame = table.frames[i];
    out.put(static_cast<std::int64_t>(frame.time.time_since_epoch().count()));
    out.put(std::string_view(table.source(i)));
    out.put(std::string_view(frame.hash.text()));
    out.put(static_cast<double>(frame.covered));
    out.put(static_cast<double>(frame.wet));
    out.put(frame.offset);
    out.put(frame.bytes);
    out.put(static_cast<std::uint64_t>(frame.deflated ? 1 : 0) | (frame.shuffled ? 2U : 0U));
  }
  return out.bytes();
}

ArchiveTable unpack_table(std::string_view bytes, std::uint64_t file_bytes) {
  WireReader in(bytes);
  ArchiveTable table;
  table.grid = take_grid(in);
  table.scale = in.take_double();
  if (!(table.scale > 0.) || !std::isfinite(table.scale))
    throw wire_error(fmt::format("a scale of {}", table.scale));
  table.quantity = static_cast<Quantity>(in.take_count(static_cast<std::uint64_t>(Quantity::intensity)));
  const auto pixels = static_cast<std::uint64_t>(table.grid.pixels());
  const std::uint64_t count = in.take_count(kMostFrames);
  if (count == 0) throw DataError("holds no frame");
  for (std::uint64_t i = 0; i < count; ++i) {
    PackedFrame frame;
    frame.time = take_time(in);
    table.add_source(frame, in.take_string(4096));
    frame.hash = FrameHash::parse(in.take_string(64));
    frame.covered = static_cast<float>(in.take_double());
    frame.wet = static_cast<float>(in.take_double());
    frame.offset = in.take();
    frame.bytes = in.take();
    const std::uint64_t filters = in.take_count(3);
    frame.deflated = (filters & 1U) != 0;
    frame.shuffled = (filters & 2U) != 0;
    check_frame(frame, i, pixels, file_bytes);
    if (i > 0 && frame.time <= table.frames.back().time)
      throw DataError(fmt::format("times do not ascend at frame {}; pack the archive again", i));
    table.frames.push_back(frame);
  }
  if (!in.empty()) throw wire_error("it is longer than it says");
  return table;
}

}  // namespace raincell::io
