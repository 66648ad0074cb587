// Nothing that comes back from the child is trusted: every broken answer is a DataError.
#include "io/wire.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace {

using namespace raincell::io;

Frame good_frame() {
  Frame frame;
  frame.grid = {"+proj=longlat +datum=WGS84", 2, 2, 4., 53., 0.01, 0.02};
  frame.valid_time = TimePoint{std::chrono::seconds{1282795200}};
  frame.window_s = 300;
  frame.accumulation = true;
  frame.values = {kMissing, 0.F, 1.5F, 2.F};
  frame.states = {PixelState::missing, PixelState::dry, PixelState::valued, PixelState::valued};
  frame.source = {"odim", "ACRR", "mm", "gain 1", 4, 1, 1, 2, 2., 3.5, {"a rule"}, {{"model", "m"}}, {"a warning"}};
  frame.zr = "a=200 b=1.6 (file)";
  frame.clipped = 3;
  return frame;
}

/// Through the wire and back.
std::vector<Frame> pass(const std::vector<Frame>& frames) {
  std::vector<Frame> back = unpack_frames(pack_frames(frames), Wanted::values);
  std::vector<std::byte> shared(shared_bytes(frames, Wanted::values));
  store_values(frames, Wanted::values, shared);
  load_values(shared, Wanted::values, back);
  return back;
}

TEST(Wire, FramesArriveAsTheyWere) {
  const Frame sent = good_frame();
  const Frame frame = pass({sent, sent}).back();
  EXPECT_EQ(frame.grid, sent.grid);
  EXPECT_EQ(frame.valid_time, sent.valid_time);
  EXPECT_EQ(frame.window_s, 300);
  EXPECT_TRUE(frame.accumulation);
  EXPECT_TRUE(std::isnan(frame.values[0]));
  EXPECT_EQ(frame.values[2], 1.5F);
  EXPECT_EQ(frame.states, sent.states);
  EXPECT_EQ(frame.source.sum, 3.5);
  EXPECT_EQ(frame.source.rules, sent.source.rules);
  EXPECT_EQ(frame.source.facts, sent.source.facts);
  EXPECT_EQ(frame.zr, sent.zr);
  EXPECT_EQ(frame.clipped, 3);
}

TEST(Wire, CodesArriveInsteadOfValues) {
  Frame sent = good_frame();
  sent.codes = {-32768, 0, 150, 200};
  std::vector<Frame> back = unpack_frames(pack_frames({sent}), Wanted::codes);
  std::vector<std::byte> shared(shared_bytes({sent}, Wanted::codes));
  EXPECT_EQ(shared.size(), 8U);
  store_values({sent}, Wanted::codes, shared);
  load_values(shared, Wanted::codes, back);
  EXPECT_EQ(back.front().codes, sent.codes);
  EXPECT_TRUE(back.front().values.empty());
  sent.codes[1] = -32768;  // more missing pixels than were counted
  store_values({sent}, Wanted::codes, shared);
  EXPECT_THROW(load_values(shared, Wanted::codes, back), DataError);
}

TEST(Wire, RequestsArriveAsTheyWere) {
  SourceOptions sent;
  sent.variable = "rain";
  sent.missing_values = {-3, -999};
  sent.zr_a = 316;
  sent.description = "{}";
  std::string name;
  SourceOptions back;
  unpack_request(pack_request("file.nc", sent), name, back);
  EXPECT_EQ(name, "file.nc");
  EXPECT_EQ(back.variable, "rain");
  EXPECT_EQ(back.missing_values, sent.missing_values);
  EXPECT_EQ(back.zr_a, 316);
  EXPECT_EQ(back.description, "{}");
}

TEST(Wire, EveryTruncationIsRefused) {
  const std::string bytes = pack_frames({good_frame()});
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THROW(unpack_frames(std::string_view(bytes).substr(0, length), Wanted::values), DataError)
        << length;
  }
  EXPECT_THROW(unpack_frames(bytes + "x", Wanted::values), DataError);
}

TEST(Wire, EveryOverwrittenWordIsRefusedOrHarmless) {
  const std::string bytes = pack_frames({good_frame()});
  for (std::size_t at = 0; at + 8 <= bytes.size(); ++at) {
    for (const char value : {'\xff', '\x7f', '\0'}) {
      std::string broken = bytes;
      broken.replace(at, 8, 8, value);
      try {
        const std::vector<Frame> frames = unpack_frames(broken, Wanted::values);
        EXPECT_LE(frames.front().grid.pixels(), std::int64_t{1} << 28);
      } catch (const DataError&) {
      }
    }
  }
}

TEST(Wire, LiesAreRefused) {
  const std::function<void(Frame&)> lies[] = {
      [](Frame& f) { f.grid.columns = 0; },
      [](Frame& f) { f.grid.columns = std::int64_t{1} << 40; },
      [](Frame& f) { f.grid.dx = -1; },
      [](Frame& f) { f.grid.x0 = NAN; },
      [](Frame& f) { f.grid.projection = "+proj=pipeline +step +proj=hgridshift +grids=/etc/passwd"; },
      [](Frame& f) { f.valid_time = TimePoint{std::chrono::seconds{std::int64_t{1} << 60}}; },
      [](Frame& f) { f.window_s = -1; },
      [](Frame& f) { f.source.missing = 2; },
      [](Frame& f) { f.source.missing = 2, f.source.dry = 0; },
      [](Frame& f) { f.source.sum = INFINITY; },
      [](Frame& f) { f.values[0] = 1.F; },
      [](Frame& f) { f.values[1] = 0.1F; },
      [](Frame& f) { f.values[2] = INFINITY; },
      [](Frame& f) { f.states[2] = static_cast<PixelState>(3); },
      [](Frame& f) { f.states[2] = PixelState::dry; }};
  for (std::size_t i = 0; i < std::size(lies); ++i) {
    Frame frame = good_frame();
    lies[i](frame);
    if (frame.grid.pixels() != 4) {
      EXPECT_THROW(unpack_frames(pack_frames({frame}), Wanted::values), DataError) << i;
    } else {
      EXPECT_THROW(pass({frame}), DataError) << i;
    }
  }
  Frame late = good_frame();
  late.valid_time += std::chrono::seconds{1};
  EXPECT_THROW(pass({late, good_frame()}), DataError);
}

TEST(Wire, TextsCannotCarryControlCharacters) {
  Frame frame = good_frame();
  frame.source.quantity = "rain\x1b[31m\nfake log line";
  EXPECT_EQ(pass({frame}).front().source.quantity, "rain?[31m?fake log line");
}

}  // namespace
