// Answers of raincell-reader: frames with their values or codes, tables of packed files, requests. The first
// byte says which.
#include <algorithm>
#include <cmath>

#include "io/archive_table.hpp"
#include "io/wire.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace raincell::io;
using raincell::fuzz::require;

constexpr std::int64_t kMostPixels = 1 << 16;  // beyond it the fuzzer fills memory, not code
constexpr std::uint64_t kFileBytes = 10000;

Frame good_frame(Wanted wanted) {
  Frame frame;
  frame.grid = {"+proj=longlat +datum=WGS84", 2, 2, 4., 53., 0.01, 0.02};
  frame.valid_time = TimePoint{std::chrono::seconds{1282795200}};
  frame.window_s = 300;
  frame.source = {"odim",     "ACRR",           "mm",         "gain 1", 4, 1, 1, 2, 2., 3.5,
                  {"a rule"}, {{"model", "m"}}, {"a warning"}};
  frame.zr = "a=200 b=1.6 (file)";
  if (wanted == Wanted::codes) {
    frame.codes = {-32768, 0, 150, 200};
  } else {
    frame.values = {kMissing, 0.F, 1.5F, 2.F};
    frame.states = {PixelState::missing, PixelState::dry, PixelState::valued, PixelState::valued};
  }
  return frame;
}

/// The description, its length before it, and the shared memory.
std::string good_frames(Wanted wanted) {
  const std::vector<Frame> frames = {good_frame(wanted), good_frame(wanted)};
  WireWriter out;
  out.put(std::string_view(pack_frames(frames)));
  std::vector<std::byte> shared(shared_bytes(frames, wanted));
  store_values(frames, wanted, shared);
  return out.bytes() + std::string(reinterpret_cast<const char*>(shared.data()), shared.size());
}

std::string good_table() {
  ArchiveTable table;
  table.grid = good_frame(Wanted::values).grid;
  table.scale = 0.01;
  for (int i = 0; i < 3; ++i) {
    PackedFrame frame;
    frame.time = TimePoint{std::chrono::seconds{1282795200 + 300 * i}};
    frame.covered = 1.F;
    frame.offset = static_cast<std::uint64_t>(100 + 8 * i);
    frame.bytes = 8;
    table.add_source(frame, "a.h5");
    table.frames.push_back(frame);
  }
  return pack_table(table);
}

void take_frames(std::string_view bytes, Wanted wanted) {
  WireReader in(bytes);
  const std::string description = in.take_string(kMaxWireBytes);
  std::vector<Frame> frames = unpack_frames(description, wanted);
  std::int64_t pixels = 0;
  for (const Frame& frame : frames) pixels += frame.grid.pixels();
  if (pixels > kMostPixels) return;
  std::vector<std::byte> shared(shared_bytes(frames, wanted));
  const std::string_view rest = bytes.substr(sizeof(std::uint64_t) + description.size());
  std::transform(rest.begin(),
                 rest.begin() + static_cast<std::ptrdiff_t>(std::min(rest.size(), shared.size())),
                 shared.begin(), [](char c) { return static_cast<std::byte>(c); });
  load_values(shared, wanted, frames);
  for (const Frame& frame : frames) {
    require(frame.source.format.find('\n') == std::string::npos, "a text holds a line break");
    for (std::size_t i = 0; i < frame.values.size(); ++i)
      require(std::isnan(frame.values[i]) == (frame.states[i] == PixelState::missing),
              "a missing pixel has a value");
  }
}

void take_table(std::string_view bytes) {
  const ArchiveTable table = unpack_table(bytes, kFileBytes);
  for (const PackedFrame& frame : table.frames)
    require(frame.offset + frame.bytes <= kFileBytes, "a frame lies outside the file");
}

void take_request(std::string_view bytes) {
  std::string name;
  SourceOptions options;
  unpack_request(bytes, name, options);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text = raincell::fuzz::text_of(data + 1, size - 1);
  try {
    switch (data[0] % 4) {
      case 0:
        take_frames(text, Wanted::values);
        break;
      case 1:
        take_frames(text, Wanted::codes);
        break;
      case 2:
        take_table(text);
        break;
      default:
        take_request(text);
    }
  } catch (const DataError&) {
  }
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t room, unsigned seed) {
  const char kind = static_cast<char>(seed / 32 % 4);
  const std::string good = kind == 0   ? good_frames(Wanted::values)
                           : kind == 1 ? good_frames(Wanted::codes)
                           : kind == 2 ? good_table()
                                       : pack_request("a.h5", SourceOptions{});
  return raincell::fuzz::mutate_from(kind + good, data, size, room, seed);
}
