#include "io/decode.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <map>
#include <span>
#include <type_traits>

#include "io/cf_out.hpp"

namespace raincell::io {
namespace {

// Above this no radar reports rain (the highest clutter seen is 8647 mm/h): a fill value or scale was missed.
constexpr double kImpossibleRate = 1e5;  // mm/h
constexpr double kImpossibleDbz = 120.;  // dBZ
constexpr double kSmallestNegative =
    -1.;  // mm/h; encoders underflow by a code or two (BoM: -0.1 mm in 10 min)

enum class UnitKind : std::uint8_t { rate, amount, reflectivity };
struct Unit {
  UnitKind kind;
  double factor;  // to mm/h, or to mm
};

const std::map<std::string, Unit>& units() {
  static const std::map<std::string, Unit> table = {
      {"mm/h", {UnitKind::rate, 1.}},         {"mmh-1", {UnitKind::rate, 1.}},
      {"mm/hr", {UnitKind::rate, 1.}},        {"mmhr-1", {UnitKind::rate, 1.}},
      {"mm/hour", {UnitKind::rate, 1.}},      {"mmhour-1", {UnitKind::rate, 1.}},
      {"mmh^-1", {UnitKind::rate, 1.}},       {"kgm-2h-1", {UnitKind::rate, 1.}},
      {"mms-1", {UnitKind::rate, 3600.}},     {"mm/s", {UnitKind::rate, 3600.}},
      {"kgm-2s-1", {UnitKind::rate, 3600.}},  {"kg/m2/s", {UnitKind::rate, 3600.}},
      {"kg/m^2/s", {UnitKind::rate, 3600.}},  {"ms-1", {UnitKind::rate, 3.6e6}},
      {"mm/day", {UnitKind::rate, 1. / 24.}}, {"mmday-1", {UnitKind::rate, 1. / 24.}},
      {"mm/d", {UnitKind::rate, 1. / 24.}},   {"mmd-1", {UnitKind::rate, 1. / 24.}},
      {"m/s", {UnitKind::rate, 3.6e6}},       {"mm", {UnitKind::amount, 1.}},
      {"kgm-2", {UnitKind::amount, 1.}},      {"kg/m2", {UnitKind::amount, 1.}},
      {"kg/m^2", {UnitKind::amount, 1.}},     {"kgm^-2", {UnitKind::amount, 1.}},
      {"millimeter", {UnitKind::amount, 1.}}, {"millimeters", {UnitKind::amount, 1.}},
      {"millimetre", {UnitKind::amount, 1.}}, {"cm", {UnitKind::amount, 10.}},
      {"m", {UnitKind::amount, 1000.}},       {"dbz", {UnitKind::reflectivity, 1.}}};
  return table;
}

/// "mm h-1" and "mm.h-1" are one unit; so are "dBZ" and "dBz".
const Unit* find_unit(const std::string& text) {
  std::string key;
  for (const char c : text) {
    if (c != ' ' && c != '.' && c != '*') key += c;
  }
  std::string lower = key;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto found = units().find(lower == "dbz" ? lower : key);
  return found == units().end() ? nullptr : &found->second;
}

/// What stored numbers are compared to codes as. Codes arrive as doubles, which hold no integer of 64 bits
/// near the ends of its range, where fill values lie: both are compared as doubles then.
template <typename T>
using CodeOf = std::conditional_t<std::is_integral_v<T> && sizeof(T) == 8, double, T>;

/// The codes that can occur in type T at all, in that type.
template <typename T>
std::vector<T> codes_of(const std::vector<double>& codes) {
  std::vector<T> out;
  for (const double code : codes) {
    if constexpr (std::is_floating_point_v<T>) {
      if (!std::isnan(code)) out.push_back(static_cast<T>(code));
    } else {
      if (std::isfinite(code) && code == std::floor(code) &&
          code >= static_cast<double>(std::numeric_limits<T>::min()) &&
          code <= static_cast<double>(std::numeric_limits<T>::max())) {
        out.push_back(static_cast<T>(code));
      }
    }
  }
  return out;
}

template <typename T>
class Classifier {
 public:
  explicit Classifier(const Coding& coding)
      : missing_(codes_of<CodeOf<T>>(coding.missing)),
        dry_(codes_of<CodeOf<T>>(coding.dry)),
        low_(static_cast<Limit>(coding.valid_min)),
        high_(static_cast<Limit>(coding.valid_max)) {}

  /// Of a number that occurs so many times.
  PixelState operator()(T raw, std::int64_t times) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(raw)) return PixelState::missing;
    }
    const auto code = static_cast<CodeOf<T>>(raw);
    if (is_one_of(code, missing_)) return PixelState::missing;
    if (is_one_of(code, dry_)) return PixelState::dry;
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isinf(raw)) {
        infinite_ += times;
        return PixelState::missing;
      }
    }
    const auto value = static_cast<Limit>(raw);
    if (value < low_ || value > high_) {
      outside_ += times;
      return PixelState::missing;
    }
    return PixelState::valued;
  }
  std::int64_t outside() const { return outside_; }
  std::int64_t infinite() const { return infinite_; }

 private:
  static bool is_one_of(CodeOf<T> raw, const std::vector<CodeOf<T>>& codes) {
    // One code or two, without a loop: nearly all files.
    if (codes.size() == 1) return raw == codes[0];
    if (codes.size() == 2) return (raw == codes[0]) | (raw == codes[1]);
    return std::find(codes.begin(), codes.end(), raw) != codes.end();
  }
  using Limit =
      std::conditional_t<std::is_same_v<T, float>, float, double>;  // often given in double for a float field
  std::vector<CodeOf<T>> missing_, dry_;
  Limit low_, high_;
  std::int64_t infinite_ = 0, outside_ = 0;
};

double convert(double physical, const Conversion& conversion) {
  if (!conversion.from_dbz) return physical * conversion.factor;
  return std::pow(std::pow(10., physical / 10.) / conversion.zr_a, 1. / conversion.zr_b);
}

bool is_rain(const Conversion& conversion) {
  return conversion.quantity == Quantity::rain_rate;
}

void refuse_implausible(const std::string& where, const Conversion& conversion, double worst_low,
                        double worst_high, std::int64_t low, std::int64_t high) {
  if (low > 0) {
    throw DataError(
        fmt::format("{}: {} values below {} mm/h (lowest {:.6g}); expected rain of 0 or more; a "
                    "missing-value code or offset is "
                    "probably not declared: set source.missing_values",
                    where, low, kSmallestNegative, worst_low));
  }
  if (high > 0) {
    throw DataError(
        fmt::format("{}: {} values that cannot be {} (highest {:.6g}); a fill value, scale or unit is "
                    "probably wrong: set "
                    "source.missing_values or source.units",
                    where, high, is_rain(conversion) ? "rain in mm/h" : "reflectivity in dBZ", worst_high));
  }
}

/// Physical values turned into the frame's and into codes, those met lately kept: radar files hold few
/// different numbers, and a power takes as long as a hundred comparisons.
class Converter {
 public:
  struct Converted {
    float value = 0.F;
    std::int16_t code = 0;
    bool is_clipped = false;  // by the code
  };

  Converter(const Conversion& conversion, bool as_codes)
      : conversion_(conversion), packing_(packing_of(conversion.quantity)), as_codes_(as_codes) {}
  Converted operator()(double physical) {
    if (!conversion_.from_dbz && !as_codes_) return {static_cast<float>(convert(physical, conversion_))};
    const auto bits = std::bit_cast<std::uint64_t>(physical);
    Entry& entry = entries_[(bits * 0x9e3779b97f4a7c15ULL) >> 54U];
    if (entry.bits != bits) entry = {bits, convert_anew(physical)};
    return entry.converted;
  }

 private:
  struct Entry {
    std::uint64_t bits = ~std::uint64_t{0};  // a NaN, which is no value
    Converted converted;
  };

  Converted convert_anew(double physical) const {
    Converted made{static_cast<float>(convert(physical, conversion_))};
    if (is_rain(conversion_) && made.value < 0.F) return made;
    if (as_codes_) {
      const float kept =
          conversion_.cap > 0. ? std::min(made.value, static_cast<float>(conversion_.cap)) : made.value;
      made.is_clipped = pack(std::span(&kept, 1), packing_, std::span(&made.code, 1)) > 0;
    }
    return made;
  }

  const Conversion& conversion_;
  Packing packing_;
  bool as_codes_;
  std::array<Entry, 1024> entries_;
};

struct Pixel {
  float value = kMissing;
  std::int16_t code = Packing::kFill;
  PixelState state = PixelState::missing;
};

/// Where pixels go: values and states, or codes.
class Canvas {
 public:
  Canvas(Frame& frame, std::size_t size, Wanted wanted) : as_codes_(wanted == Wanted::codes) {
    if (as_codes_) {
      frame.codes.resize(size);
      codes_ = frame.codes.data();
    } else {
      frame.values.resize(size);
      frame.states.resize(size);
      values_ = frame.values.data();
      states_ = frame.states.data();
    }
  }
  bool as_codes() const { return as_codes_; }
  /// Fills from `begin` to `end` with `pixel(i)`.
  template <class Get>
  void fill(std::size_t begin, std::size_t end, Get pixel) {
    if (as_codes_) {
      for (std::size_t i = begin; i < end; ++i) codes_[i] = pixel(i).code;
    } else {
      for (std::size_t i = begin; i < end; ++i) put(i, pixel(i));
    }
  }
  void put(std::size_t i, const Pixel& pixel) {
    if (as_codes_) {
      codes_[i] = pixel.code;
    } else {
      values_[i] = pixel.value;
      states_[i] = pixel.state;
    }
  }

 private:
  bool as_codes_;
  float* values_ = nullptr;
  PixelState* states_ = nullptr;
  std::int16_t* codes_ = nullptr;
};

/// Stored numbers into pixels, with the counts that go into the frame.
template <typename T>
class PixelDecoder {
 public:
  PixelDecoder(const Coding& coding, const Conversion& conversion, bool as_codes)
      : coding_(coding), conversion_(conversion), classify_(coding), converted_(conversion, as_codes) {}

  /// A number that occurs so many times.
  Pixel operator()(T raw, std::int64_t times) {
    const PixelState state = classify_(raw, times);
    if (state == PixelState::valued)
      return valued(coding_.offset + coding_.gain * static_cast<double>(raw), times);
    if (state == PixelState::dry) return dry(times);
    return lost(times);
  }
  Pixel lost(std::int64_t times) {
    missing_ += times;
    return {};
  }

  /// Throws DataError when values are far outside what they can be, or all the same.
  void finish(const std::string& where, Frame& frame) const {
    refuse_implausible(where, conversion_, worst_low_, worst_high_, low_, high_);
    refuse_constant(where);
    SourceSummary& source = frame.source;
    source.missing = missing_;
    source.dry = dry_;
    source.valued = valued_;
    source.max = max_;
    source.sum = sum_;
    frame.clipped += clipped_;
    if (classify_.outside() > 0) {
      source.rules.push_back(
          fmt::format("{} stored numbers outside the valid range {:.6g} to {:.6g} are missing",
                      classify_.outside(), coding_.valid_min, coding_.valid_max));
    }
    if (classify_.infinite() > 0) {
      source.warnings.push_back(
          fmt::format("{}: {} infinite values that are no declared code were taken as missing", where,
                      classify_.infinite()));
    }
  }

 private:
  Pixel dry(std::int64_t times) {
    dry_ += times;
    return {0.F, 0, PixelState::dry};
  }
  Pixel valued(double physical, std::int64_t times) {
    if (coding_.zero_is_dry && physical == 0.) return dry(times);
    max_ = valued_ == 0 ? physical : std::max(max_, physical);
    valued_ += times;
    sum_ += physical * static_cast<double>(times);
    vote(physical, times);
    const Converter::Converted converted = converted_(physical);
    Pixel pixel{converted.value, converted.code, PixelState::valued};
    if (is_rain(conversion_) && pixel.value < 0.F) {
      if (pixel.value <= kSmallestNegative) {
        low_ += times;
        worst_low_ = std::min(worst_low_, static_cast<double>(pixel.value));
      }
      pixel.value = 0.F;
      clipped_ += times;
    } else if (!(static_cast<double>(pixel.value) <= limit_)) {
      high_ += times;
      worst_high_ = std::max(worst_high_, static_cast<double>(pixel.value));
    } else if (conversion_.cap > 0. && static_cast<double>(pixel.value) > conversion_.cap) {
      pixel.value = static_cast<float>(conversion_.cap);
      clipped_ += times;
    } else if (converted.is_clipped) {
      clipped_ += times;
    }
    return pixel;
  }

  /// Majority vote (Boyer and Moore, 1981): a value of more than half of all pixels ends as the candidate,
  /// with at least as many votes as it is ahead of all others together.
  void vote(double physical, std::int64_t times) {
    if (physical == candidate_) {
      votes_ += times;
    } else if (votes_ >= times) {
      votes_ -= times;
    } else {
      candidate_ = physical;
      votes_ = times - votes_;
    }
  }
  /// A radar that is stuck, or a picture filled with one colour.
  void refuse_constant(const std::string& where) const {
    constexpr std::int64_t kFewest = 256;  // observed pixels
    constexpr double kWetRate = 0.1, kWetDbz = 7.;
    const std::int64_t observed = dry_ + valued_;
    const bool reflectivity = conversion_.quantity == Quantity::reflectivity;
    if (observed < kFewest || !(is_rain(conversion_) || reflectivity)) return;
    const double value = convert(candidate_, conversion_);
    const bool wet = value >= (reflectivity ? kWetDbz : kWetRate);
    if (!wet || 100 * (votes_ - dry_) <= 98 * observed) return;
    throw DataError(fmt::format(
        "{}: more than 98 % of the {} observed pixels hold one value ({:.6g}); expected rain "
        "that varies; the "
        "radar or what wrote the file is stuck, or the value is a fill value: set source.missing_values",
        where, observed, candidate_));
  }

  const Coding& coding_;
  const Conversion& conversion_;
  Classifier<T> classify_;
  Converter converted_;
  double limit_ = is_rain(conversion_)                             ? kImpossibleRate
                  : conversion_.quantity == Quantity::reflectivity ? kImpossibleDbz
                                                                   : 1e30;
  std::int64_t missing_ = 0, dry_ = 0, valued_ = 0, clipped_ = 0, low_ = 0, high_ = 0;
  double max_ = 0., sum_ = 0., worst_low_ = 0., worst_high_ = 0.;
  double candidate_ = 0.;
  std::int64_t votes_ = 0;
};

/// Numbers of one or two bytes are decoded once each and looked up. The first goes to the pixel `first`.
template <typename T>
void decode_by_table(const std::vector<T>& raw, const std::vector<bool>& lost, std::size_t first,
                     PixelDecoder<T>& decoder, Canvas& canvas) {
  using U = std::make_unsigned_t<T>;
  std::vector<std::int64_t> counts(std::size_t{1} << (8 * sizeof(T)), 0);
  for (const T number : raw) ++counts[static_cast<U>(number)];
  for (std::size_t i = 0; i < lost.size(); ++i) counts[static_cast<U>(raw[i])] -= lost[i] ? 1 : 0;
  std::vector<Pixel> table(counts.size());
  for (std::size_t n = 0; n < counts.size(); ++n) {
    if (counts[n] > 0) table[n] = decoder(static_cast<T>(static_cast<U>(n)), counts[n]);
  }
  canvas.fill(first, first + raw.size(),
              [&](std::size_t i) { return table[static_cast<U>(raw[i - first])]; });
  for (std::size_t i = 0; i < lost.size(); ++i) {
    if (lost[i]) canvas.put(first + i, decoder.lost(1));
  }
}

/// Where the run of one number that begins at `begin` ends, at most at `limit`. NaN is equal to itself.
template <typename T>
std::size_t end_of_run(const std::vector<T>& raw, std::size_t begin, std::size_t limit) {
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  using Vector [[gnu::vector_size(32)]] = Bits;
  constexpr std::size_t kLanes = sizeof(Vector) / sizeof(Bits), kAtOnce = 2 * kLanes;
  const auto bits = std::bit_cast<Bits>(raw[begin]);
  const auto differs = [&](std::size_t i) { return std::bit_cast<Bits>(raw[i]) != bits; };
  std::size_t end = begin + 1;
  if (end == limit || differs(end)) return end;  // in rain
  for (; end + kAtOnce <= limit; end += kAtOnce) {
    Vector first, second;
    std::memcpy(&first, &raw[end], sizeof first);
    std::memcpy(&second, &raw[end + kLanes], sizeof second);
    const Vector differing = (first ^ bits) | (second ^ bits);
    Bits any = 0;
    for (std::size_t lane = 0; lane < kLanes; ++lane) any |= differing[lane];
    if (any != 0) break;
  }
  while (end < limit && !differs(end)) ++end;
  return end;
}

/// Radar fields hold long runs of one number, mostly the code of "nothing there": each is decoded once.
template <typename T>
void decode_by_runs(const std::vector<T>& raw, const std::vector<bool>& lost, std::size_t first,
                    PixelDecoder<T>& decoder, Canvas& canvas) {
  for (std::size_t i = 0, end = 0, until = lost.empty() ? raw.size() : 0; i < raw.size(); i = end) {
    if (!lost.empty() && lost[i]) {
      canvas.put(first + i, decoder.lost(1));
      end = i + 1;
      continue;
    }
    while (until <= i || (until < raw.size() && !lost[until])) ++until;  // the next that is lost
    end = end_of_run(raw, i, until);
    const Pixel pixel = decoder(raw[i], static_cast<std::int64_t>(end - i));
    canvas.fill(first + i, first + end, [&](std::size_t) { return pixel; });
  }
}

/// Of numbers of whatever type the field has.
class AnyDecoder {
 public:
  virtual ~AnyDecoder() = default;
  virtual void add(const Field& band, std::size_t first) = 0;
  virtual void finish(const std::string& where, Frame& frame) const = 0;
};

template <typename T>
class DecoderOf : public AnyDecoder {
 public:
  DecoderOf(const Coding& coding, const Conversion& conversion, const Canvas& canvas)
      : canvas_(canvas), decoder_(coding, conversion, canvas.as_codes()) {}
  void add(const Field& band, std::size_t first) override {
    const auto& raw = std::get<std::vector<T>>(band.values);
    if constexpr (std::is_integral_v<T> && sizeof(T) <= 2) {
      decode_by_table(raw, band.lost, first, decoder_, canvas_);
    } else {
      decode_by_runs(raw, band.lost, first, decoder_, canvas_);
    }
  }
  void finish(const std::string& where, Frame& frame) const override { decoder_.finish(where, frame); }

 private:
  Canvas canvas_;
  PixelDecoder<T> decoder_;
};

/// "gain 0.5, offset -32, missing 255, dry 0"
std::string text_of(const Coding& coding) {
  return fmt::format(
      "gain {:.10g}, offset {:.10g}, missing {}, dry {}", coding.gain, coding.offset,
      coding.missing.empty() ? "NaN alone" : fmt::format("{:.10g}", fmt::join(coding.missing, " or ")),
      coding.dry.empty() ? "none" : fmt::format("{:.10g}", fmt::join(coding.dry, " or ")));
}

}  // namespace

bool known_unit(const std::string& unit) {
  return find_unit(unit) != nullptr;
}

Conversion conversion_for(const std::string& where, const std::string& unit, const SourceOptions& options,
                          const ZRelation& file, Frame& frame) {
  Conversion conversion;
  conversion.cap = options.cap_mm_h;
  const std::string& wanted = options.quantity;
  if (wanted == "vil" || wanted == "intensity") {
    conversion.quantity = wanted == "vil" ? Quantity::vil : Quantity::intensity;
    conversion.cap = 0.;
    frame.quantity = conversion.quantity;
    return conversion;
  }
  const Unit* known = find_unit(unit);
  if (known == nullptr) {
    throw DataError(
        fmt::format("{}: {}; expected mm/h, mm, kg m-2, kg m-2 s-1, m s-1, m or dBZ; set source.units", where,
                    unit.empty() ? std::string("no unit is given")
                                 : fmt::format("unit \"{}\" is not known", unit.substr(0, 80))));
  }
  if (wanted == "reflectivity") {
    if (known->kind != UnitKind::reflectivity) {
      throw DataError(fmt::format(
          "{}: unit \"{}\" is no reflectivity; expected dBZ; set source.quantity: auto", where, unit));
    }
    conversion.quantity = Quantity::reflectivity;
    conversion.cap = 0.;
  } else if (known->kind == UnitKind::reflectivity) {
    conversion.from_dbz = true;
    const bool from_file = file.a > 0. && file.b > 0., from_options = options.zr_a > 0. && options.zr_b > 0.;
    conversion.zr_a = from_file ? file.a : from_options ? options.zr_a : 200.;
    conversion.zr_b = from_file ? file.b : from_options ? options.zr_b : 1.6;
    frame.zr = fmt::format("a={} b={} ({})", conversion.zr_a, conversion.zr_b,
                           from_file      ? "file"
                           : from_options ? "configuration"
                                          : "default");
    frame.source.rules.push_back("reflectivity turned into rain rate by Z = a R^b with " + frame.zr);
    if (from_file && from_options && (options.zr_a != file.a || options.zr_b != file.b)) {
      frame.source.warnings.push_back("the configured Z-R relation gives way to the file's own, " + frame.zr);
    }
  } else if (known->kind == UnitKind::amount) {
    if (frame.window_s <= 0) {
      throw DataError(
          fmt::format("{}: an amount in {} without the length of its window; expected time bounds; set "
                      "source.accumulation_s",
                      where, unit));
    }
    conversion.accumulation = true;
    conversion.factor = known->factor * 3600. / static_cast<double>(frame.window_s);
    frame.source.rules.push_back(
        fmt::format("amount in {} over {} s times {:.10g} is mm/h", unit, frame.window_s, conversion.factor));
  } else {
    conversion.factor = known->factor;
  }
  frame.quantity = conversion.quantity;
  frame.accumulation = conversion.accumulation;
  return conversion;
}

struct Decoder::State {
  std::string where;
  Coding coding;
  Conversion conversion;
  Frame& frame;
  Canvas canvas;
  std::unique_ptr<AnyDecoder> decoder;  // once the type of the numbers is known
  std::size_t decoded = 0;
};

Decoder::Decoder(std::string where, const Coding& coding, const Conversion& conversion, Frame& frame,
                 Wanted wanted) {
  if (!std::isfinite(coding.gain) || coding.gain == 0. || !std::isfinite(coding.offset)) {
    throw DataError(fmt::format(
        "{}: gain {} and offset {} turn every value into one; expected a finite gain other than 0", where,
        coding.gain, coding.offset));
  }
  frame.source.coding = text_of(coding);
  frame.source.pixels = frame.grid.pixels();
  const Canvas canvas(frame, static_cast<std::size_t>(frame.grid.pixels()), wanted);
  state_.reset(new State{std::move(where), coding, conversion, frame, canvas, nullptr});
}

Decoder::~Decoder() = default;

void Decoder::add(const Field& band) {
  State& state = *state_;
  const auto pixels = static_cast<std::size_t>(state.frame.grid.pixels());
  const std::size_t size = std::visit([](const auto& values) { return values.size(); }, band.values);
  if (size > pixels - state.decoded) refuse_size(state.decoded + size);
  if (!state.decoder) {
    std::visit(
        [&]<typename T>(const std::vector<T>&) {
          state.decoder = std::make_unique<DecoderOf<T>>(state.coding, state.conversion, state.canvas);
        },
        band.values);
  }
  state.decoder->add(band, state.decoded);
  state.decoded += size;
}

void Decoder::finish(const std::string& why_lost) {
  State& state = *state_;
  SourceSummary& source = state.frame.source;
  if (state.decoded != static_cast<std::size_t>(state.frame.grid.pixels())) refuse_size(state.decoded);
  state.decoder->finish(state.where, state.frame);
  if (!why_lost.empty()) source.warnings.push_back(state.where + ": " + why_lost);
  if (source.missing == source.pixels) source.warnings.push_back(state.where + ": every pixel is missing");
}

void Decoder::refuse_size(std::size_t size) const {
  const Grid& grid = state_->frame.grid;
  throw DataError(
      fmt::format("{}: {} values for {}x{} pixels", state_->where, size, grid.columns, grid.rows));
}

void decode(const std::string& where, const Field& field, const Coding& coding, const Conversion& conversion,
            Frame& frame, Wanted wanted) {
  Decoder decoder(where, coding, conversion, frame, wanted);
  decoder.add(field);
  decoder.finish(field.why);
}

}  // namespace raincell::io
