#include "io/decode.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <map>
#include <type_traits>

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
      : missing_(codes_of<T>(coding.missing)),
        dry_(codes_of<T>(coding.dry)),
        low_(coding.valid_min),
        high_(coding.valid_max) {
    if constexpr (std::is_same_v<T, float>) {
      // A limit may be given in double for a float field.
      low_ = static_cast<double>(static_cast<float>(low_));
      high_ = static_cast<double>(static_cast<float>(high_));
    }
  }

  PixelState operator()(T raw) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(raw)) return PixelState::missing;
    }
    if (is_one_of(raw, missing_)) return PixelState::missing;
    if (is_one_of(raw, dry_)) return PixelState::dry;
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isinf(raw)) {
        ++infinite_;
        return PixelState::missing;
      }
    }
    const double value = static_cast<double>(raw);
    if (value < low_ || value > high_) return PixelState::missing;
    return PixelState::valued;
  }
  std::int64_t infinite() const { return infinite_; }

 private:
  static bool is_one_of(T raw, const std::vector<T>& codes) {
    for (const T code : codes) {
      if (raw == code) return true;
    }
    return false;
  }
  std::vector<T> missing_, dry_;
  double low_, high_;
  std::int64_t infinite_ = 0;
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
                    "probably not declared: set missing_values",
                    where, low, kSmallestNegative, worst_low));
  }
  if (high > 0) {
    throw DataError(
        fmt::format("{}: {} values that cannot be {} (highest {:.6g}); a fill value, scale or unit is "
                    "probably wrong: set "
                    "missing_values or units",
                    where, high, is_rain(conversion) ? "rain in mm/h" : "reflectivity in dBZ", worst_high));
  }
}

template <typename T>
void decode_as(const std::string& where, const std::vector<T>& raw, const Coding& coding,
               const Conversion& conversion, Frame& frame) {
  SourceSummary& source = frame.source;
  Classifier<T> classify(coding);
  const bool rain = is_rain(conversion);
  const double limit = rain                                            ? kImpossibleRate
                       : conversion.quantity == Quantity::reflectivity ? kImpossibleDbz
                                                                       : 1e30;
  double worst_low = 0., worst_high = 0.;
  std::int64_t low = 0, high = 0;
  bool first = true;
  T last_raw{};
  float last_value = 0.F;
  bool cached = false;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    PixelState state = classify(raw[i]);
    float value = 0.F;
    if (state == PixelState::missing) {
      value = kMissing;
      ++source.missing;
    } else if (state == PixelState::valued) {
      const double physical = coding.offset + coding.gain * static_cast<double>(raw[i]);
      if (coding.zero_is_dry && physical == 0.) {
        state = PixelState::dry;
      } else {
        ++source.valued;
        source.sum += physical;
        if (first || physical > source.max) source.max = physical;
        first = false;
        if (cached && raw[i] == last_raw) {
          value = last_value;
        } else {
          value = static_cast<float>(convert(physical, conversion));
          last_raw = raw[i];
          last_value = value;
          cached = true;
        }
        if (rain && value < 0.F) {
          if (value <= kSmallestNegative) ++low, worst_low = std::min(worst_low, static_cast<double>(value));
          value = 0.F;
          ++frame.clipped;
        } else if (!(static_cast<double>(value) <= limit)) {
          ++high;
          worst_high = std::max(worst_high, static_cast<double>(value));
        } else if (conversion.cap > 0. && static_cast<double>(value) > conversion.cap) {
          value = static_cast<float>(conversion.cap);
          ++frame.clipped;
        }
      }
    }
    if (state == PixelState::dry) ++source.dry;
    frame.values[i] = value;
    frame.states[i] = state;
  }
  refuse_implausible(where, conversion, worst_low, worst_high, low, high);
  if (classify.infinite() > 0) {
    source.warnings.push_back(
        fmt::format("{}: {} infinite values that are no declared code were taken as missing", where,
                    classify.infinite()));
  }
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

void decode(const std::string& where, const Stored& stored, const Coding& coding,
            const Conversion& conversion, Frame& frame) {
  if (!std::isfinite(coding.gain) || coding.gain == 0. || !std::isfinite(coding.offset)) {
    throw DataError(fmt::format(
        "{}: gain {} and offset {} turn every value into one; expected a finite gain other than 0", where,
        coding.gain, coding.offset));
  }
  const std::size_t size = std::visit([](const auto& values) { return values.size(); }, stored);
  if (size != static_cast<std::size_t>(frame.grid.pixels())) {
    throw DataError(
        fmt::format("{}: {} values for {}x{} pixels", where, size, frame.grid.columns, frame.grid.rows));
  }
  frame.values.assign(size, 0.F);
  frame.states.assign(size, PixelState::missing);
  frame.source.pixels = frame.grid.pixels();
  frame.source.missing = frame.source.dry = frame.source.valued = 0;
  frame.source.max = frame.source.sum = 0.;
  std::visit([&](const auto& raw) { decode_as(where, raw, coding, conversion, frame); }, stored);
  if (frame.source.missing == frame.source.pixels) {
    frame.source.warnings.push_back(where + ": every pixel is missing");
  }
}

void flip_rows(Frame& frame) {
  const std::ptrdiff_t columns = frame.grid.columns;
  for (std::int64_t top = 0, bottom = frame.grid.rows - 1; top < bottom; ++top, --bottom) {
    std::swap_ranges(frame.values.begin() + top * columns, frame.values.begin() + (top + 1) * columns,
                     frame.values.begin() + bottom * columns);
    std::swap_ranges(frame.states.begin() + top * columns, frame.states.begin() + (top + 1) * columns,
                     frame.states.begin() + bottom * columns);
  }
}

}  // namespace raincell::io
