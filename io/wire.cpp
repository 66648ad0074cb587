#include "io/wire.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "io/cf_out.hpp"

namespace raincell::io {
namespace {

constexpr std::int64_t kMaxFrames = 100000;
constexpr std::int64_t kMaxSide = 32768;
constexpr std::int64_t kMaxValues = std::int64_t{1} << 28;
constexpr std::int64_t kYear1900 = -2208988800, kYear2200 = 7258118400;  // seconds since 1970

void pack_texts(WireWriter& out, const std::vector<std::string>& texts) {
  out.put(static_cast<std::uint64_t>(texts.size()));
  for (const std::string& text : texts) out.put(std::string_view(text));
}

std::vector<std::string> unpack_texts(WireReader& in) {
  std::vector<std::string> texts(in.take_count(1000));
  for (std::string& text : texts) text = clean_text(in.take_string(8192));
  return texts;
}

void pack_frame(WireWriter& out, const Frame& frame) {
  const Grid& grid = frame.grid;
  const SourceSummary& source = frame.source;
  out.put(static_cast<std::uint64_t>(frame.quantity));
  out.put(std::string_view(grid.projection));
  out.put(grid.columns);
  out.put(grid.rows);
  for (const double number : {grid.x0, grid.y0, grid.dx, grid.dy}) out.put(number);
  out.put(static_cast<std::int64_t>(frame.valid_time.time_since_epoch().count()));
  out.put(frame.window_s);
  out.put(static_cast<std::uint64_t>(frame.accumulation));
  out.put(std::string_view(frame.zr));
  out.put(frame.clipped);
  for (const std::string* text : {&source.format, &source.quantity, &source.unit, &source.coding})
    out.put(std::string_view(*text));
  for (const std::int64_t count : {source.pixels, source.missing, source.dry, source.valued}) out.put(count);
  out.put(source.max);
  out.put(source.sum);
  pack_texts(out, source.rules);
  std::vector<std::string> facts;
  for (const auto& [name, value] : source.facts) facts.insert(facts.end(), {name, value});
  pack_texts(out, facts);
  pack_texts(out, source.warnings);
}

void check_frame(const Frame& frame, bool with_values) {
  const Grid& grid = frame.grid;
  const SourceSummary& source = frame.source;
  for (const double number : {source.max, source.sum}) {
    if (!std::isfinite(number)) throw wire_error("a number is not finite");
  }
  if (frame.window_s < 0 || frame.window_s > 366 * 86400)
    throw wire_error(fmt::format("window of {} s", frame.window_s));
  if (with_values) {
    const bool counts = source.missing >= 0 && source.dry >= 0 && source.valued >= 0 &&
                        source.missing <= grid.pixels() && source.dry <= grid.pixels() &&
                        source.valued <= grid.pixels();
    if (!counts || source.pixels != grid.pixels() ||
        source.missing + source.dry + source.valued != source.pixels) {
      throw wire_error("the counts of missing, dry and valued pixels do not add up");
    }
  }
}

Frame unpack_frame(WireReader& in) {
  Frame frame;
  SourceSummary& source = frame.source;
  frame.quantity = static_cast<Quantity>(in.take_count(static_cast<std::uint64_t>(Quantity::intensity)));
  frame.grid = take_grid(in);
  frame.valid_time = take_time(in);
  frame.window_s = in.take_signed();
  frame.accumulation = in.take_count(1) == 1;
  frame.zr = clean_text(in.take_string(200));
  frame.clipped = in.take_signed();
  for (std::string* text : {&source.format, &source.quantity, &source.unit, &source.coding})
    *text = clean_text(in.take_string(4096));
  for (std::int64_t* count : {&source.pixels, &source.missing, &source.dry, &source.valued})
    *count = in.take_signed();
  source.max = in.take_double();
  source.sum = in.take_double();
  source.rules = unpack_texts(in);
  const std::vector<std::string> facts = unpack_texts(in);
  for (std::size_t i = 0; i + 1 < facts.size(); i += 2) source.facts.emplace_back(facts[i], facts[i + 1]);
  source.warnings = unpack_texts(in);
  return frame;
}

void check_values(const Frame& frame) {
  std::int64_t counts[3] = {0, 0, 0};
  for (std::size_t i = 0; i < frame.values.size(); ++i) {
    const auto state = static_cast<std::uint8_t>(frame.states[i]);
    if (state > 2) throw wire_error(fmt::format("pixel {} has state {}", i, state));
    ++counts[state];
    const float value = frame.values[i];
    const bool fits = state == 0 ? std::isnan(value) : state == 1 ? value == 0.F : std::isfinite(value);
    if (!fits) throw wire_error(fmt::format("pixel {} has state {} and value {}", i, state, value));
  }
  const SourceSummary& source = frame.source;
  if (counts[0] != source.missing || counts[1] != source.dry || counts[2] != source.valued) {
    throw wire_error("the counts of missing, dry and valued pixels are not those of the field");
  }
}

void check_codes(const Frame& frame) {
  if (std::count(frame.codes.begin(), frame.codes.end(), Packing::kFill) != frame.source.missing)
    throw wire_error("the count of missing pixels is not that of the field");
}

}  // namespace

DataError wire_error(const std::string& what) {
  return DataError("reader: answer of raincell-reader: " + what + "; the file is refused");
}

std::string clean_text(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

Grid take_grid(WireReader& in) {
  Grid grid;
  grid.projection = in.take_string(1200);
  // Only what cannot make PROJ open files is passed on.
  if (!grid.projection.empty()) grid.projection = clean_projection(grid.projection);
  grid.columns = in.take_signed();
  grid.rows = in.take_signed();
  for (double* number : {&grid.x0, &grid.y0, &grid.dx, &grid.dy}) *number = in.take_double();
  if (grid.columns < 1 || grid.rows < 1 || grid.columns > kMaxSide || grid.rows > kMaxSide ||
      grid.pixels() > kMaxValues) {
    throw wire_error(fmt::format("{}x{} pixels", grid.columns, grid.rows));
  }
  for (const double number : {grid.x0, grid.y0, grid.dx, grid.dy}) {
    if (!std::isfinite(number)) throw wire_error("a number is not finite");
  }
  if (!(grid.dx > 0.) || !(grid.dy > 0.)) throw wire_error("the pixel size is not positive");
  return grid;
}

TimePoint take_time(WireReader& in) {
  const std::int64_t seconds = in.take_signed();
  if (seconds < kYear1900 || seconds > kYear2200)
    throw wire_error(fmt::format("valid time {} s is not between 1900 and 2200", seconds));
  return TimePoint{std::chrono::seconds{seconds}};
}

void WireWriter::put(std::uint64_t value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void WireWriter::put(double value) {
  put(std::bit_cast<std::uint64_t>(value));
}
void WireWriter::put(std::string_view text) {
  put(static_cast<std::uint64_t>(text.size()));
  bytes_ += text;
}

std::uint64_t WireReader::take() {
  std::uint64_t value = 0;
  if (bytes_.size() < sizeof value) throw wire_error("it ends too early");
  std::memcpy(&value, bytes_.data(), sizeof value);
  bytes_.remove_prefix(sizeof value);
  return value;
}

double WireReader::take_double() {
  return std::bit_cast<double>(take());
}

std::uint64_t WireReader::take_count(std::uint64_t limit) {
  const std::uint64_t count = take();
  if (count > limit)
    throw wire_error(fmt::format("a count of {} where at most {} is possible", count, limit));
  return count;
}

std::string WireReader::take_string(std::uint64_t limit) {
  const std::uint64_t size = take_count(limit);
  if (size > bytes_.size()) throw wire_error("it ends too early");
  std::string text(bytes_.substr(0, size));
  bytes_.remove_prefix(size);
  return text;
}

std::string pack_request(const std::string& name, const SourceOptions& options) {
  WireWriter out;
  for (const std::string* text :
       {&name, &options.format, &options.quantity, &options.dataset, &options.variable, &options.units,
        &options.time_from, &options.description}) {
    out.put(std::string_view(*text));
  }
  for (const double number : {options.zr_a, options.zr_b, options.accumulation_s, options.cap_mm_h})
    out.put(number);
  out.put(static_cast<std::uint64_t>(options.missing_values.size()));
  for (const double value : options.missing_values) out.put(value);
  return out.bytes();
}

void unpack_request(std::string_view bytes, std::string& name, SourceOptions& options) {
  WireReader in(bytes);
  for (std::string* text : {&name, &options.format, &options.quantity, &options.dataset, &options.variable,
                            &options.units, &options.time_from, &options.description}) {
    *text = in.take_string();
  }
  for (double* number : {&options.zr_a, &options.zr_b, &options.accumulation_s, &options.cap_mm_h})
    *number = in.take_double();
  options.missing_values.resize(in.take_count(1000));
  for (double& value : options.missing_values) value = in.take_double();
}

std::string pack_frames(const std::vector<Frame>& frames) {
  WireWriter out;
  out.put(static_cast<std::uint64_t>(frames.size()));
  for (const Frame& frame : frames) pack_frame(out, frame);
  return out.bytes();
}

std::vector<Frame> unpack_frames(std::string_view bytes, Wanted wanted) {
  const bool with_values = wanted != Wanted::description;
  WireReader in(bytes);
  const std::uint64_t count = in.take_count(kMaxFrames);
  if (count == 0) throw wire_error("it holds no frame");
  std::vector<Frame> frames;
  std::int64_t values = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    frames.push_back(unpack_frame(in));
    check_frame(frames.back(), with_values);
    values += frames.back().grid.pixels();
    if (with_values && values > kMaxValues) throw wire_error(fmt::format("more than {} values", kMaxValues));
    if (i > 0 && frames[i].valid_time < frames[i - 1].valid_time)
      throw wire_error("the times are not in order");
  }
  if (!in.empty()) throw wire_error("it is longer than it says");
  return frames;
}

// A frame takes 8 bytes a pixel: its values, then its states, padded so that the next values stay aligned; or
// its codes.
std::uint64_t shared_bytes(const std::vector<Frame>& frames, Wanted wanted) {
  std::uint64_t bytes = 0;
  for (const Frame& frame : frames)
    bytes += static_cast<std::uint64_t>(frame.grid.pixels()) *
             (wanted == Wanted::codes ? sizeof(std::int16_t) : 8);
  return bytes;
}

void store_values(const std::vector<Frame>& frames, Wanted wanted, std::span<std::byte> shared) {
  std::byte* to = shared.data();
  for (const Frame& frame : frames) {
    const auto pixels = static_cast<std::size_t>(frame.grid.pixels());
    if (wanted == Wanted::codes) {
      std::memcpy(to, frame.codes.data(), pixels * sizeof(std::int16_t));
      to += pixels * sizeof(std::int16_t);
    } else {
      std::memcpy(to, frame.values.data(), pixels * sizeof(float));
      std::memcpy(to + pixels * sizeof(float), frame.states.data(), pixels);
      to += pixels * 8;
    }
  }
}

void load_values(std::span<const std::byte> shared, Wanted wanted, std::vector<Frame>& frames) {
  const std::byte* from = shared.data();
  for (Frame& frame : frames) {
    const auto pixels = static_cast<std::size_t>(frame.grid.pixels());
    // Copied first, checked afterwards: the child could still write to the shared pages.
    if (wanted == Wanted::codes) {
      const auto* codes = reinterpret_cast<const std::int16_t*>(from);
      frame.codes.assign(codes, codes + pixels);
      from += pixels * sizeof(std::int16_t);
      check_codes(frame);
    } else {
      frame.values.resize(pixels);
      frame.states.resize(pixels);
      std::memcpy(frame.values.data(), from, pixels * sizeof(float));
      std::memcpy(frame.states.data(), from + pixels * sizeof(float), pixels);
      from += pixels * 8;
      check_values(frame);
    }
  }
}

}  // namespace raincell::io
