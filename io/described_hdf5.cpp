// HDF5 of any layout, described by the user. The description is JSON text (the application turns YAML into
// it); its keys are listed in configs/README.md, "A layout of one's own".
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "io/cf_axes.hpp"
#include "io/formats.hpp"
#include "io/orientation.hpp"
#include "io/pattern.hpp"

namespace raincell::io {
namespace {

using Json = nlohmann::json;

constexpr double kLongestSpan = 366. * 86400.;  // seconds, of a step or a window
constexpr std::size_t kMaxNames = 100000;       // of a group that is searched for datasets

DataError error_at(const std::string& key, const std::string& what) {
  return DataError(fmt::format("described: {}: {}", key, what));
}

void check_keys(const std::string& at, const Json& json, const std::set<std::string>& known) {
  for (const auto& [key, value] : json.items()) {
    if (known.count(key) == 0)
      throw error_at(at.empty() ? key : at + "." + key,
                     fmt::format("is no known key; expected one of {}", fmt::join(known, ", ")));
  }
}

Json parse(const std::string& text) {
  if (text.empty())
    throw error_at("description", "is missing; expected the layout of the file; set source.layout");
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw error_at("description", "is no JSON object");
  check_keys("", json,
             {"dataset", "datasets", "group", "axes", "select", "unit", "gain", "offset", "missing", "dry",
              "zero_is_dry", "rows", "time", "window_s", "grid", "quantity", "decode", "named"});
  return json;
}

std::string text(const Json& json, const char* key, const std::string& otherwise = "") {
  if (!json.contains(key)) return otherwise;
  if (!json[key].is_string()) throw error_at(key, "is no text");
  return json[key].get<std::string>();
}

/// An object and an attribute of it, from "/group@attribute"; empty when the text is none.
std::optional<std::pair<std::string, std::string>> attribute_path(const std::string& path) {
  const std::size_t at = path.find('@');
  if (at == std::string::npos) return std::nullopt;
  return std::pair{at == 0 ? std::string("/") : path.substr(0, at), path.substr(at + 1)};
}

/// A number, or the attribute that holds it.
double number(const Hdf5File& file, const Json& json, const char* key, double otherwise) {
  if (!json.contains(key)) return otherwise;
  if (json[key].is_number()) return json[key].get<double>();
  const auto place = json[key].is_string() ? attribute_path(json[key].get<std::string>()) : std::nullopt;
  if (!place) throw error_at(key, "is neither a number nor the path of an attribute (/group@name)");
  const auto value = place->first == "/" || file.exists(place->first)
                         ? file.number(place->first, place->second)
                         : std::nullopt;
  if (!value)
    throw error_at(key, fmt::format("{} does not exist; expected a number", json[key].get<std::string>()));
  return *value;
}

std::vector<double> list(const Hdf5File& file, const Json& json, const char* key) {
  std::vector<double> values;
  if (!json.contains(key)) return values;
  const Json& all = json[key];
  for (const Json& value : all.is_array() ? all : Json::array({all}))
    values.push_back(number(file, {{key, value}}, key, 0.));
  return values;
}

std::string attribute_text(const Hdf5File& file, const std::string& path) {
  const auto place = attribute_path(path);
  if (!place) throw error_at("time", fmt::format("\"{}\" names no attribute; expected /group@name", path));
  if (place->first == "/" || file.exists(place->first)) {
    if (const auto value = file.text(place->first, place->second)) return *value;
  }
  throw error_at(path, "does not exist; expected a text attribute");
}

/// ISO 8601, or the digits of a date and a time in a row.
TimePoint time_of_text(const std::string& key, const std::string& value) {
  if (const auto parsed = parse_time(value)) return *parsed;
  std::string digits;
  std::copy_if(value.begin(), value.end(), std::back_inserter(digits),
               [](char c) { return c >= '0' && c <= '9'; });
  if (digits.size() < 12)
    throw error_at(key, fmt::format("\"{}\" is no time; expected 2010-08-26T06:00Z", value.substr(0, 60)));
  return time_of("described: " + key, digits.substr(0, 8), digits.substr(8, digits.size() >= 14 ? 6 : 4));
}

/// The digits that an expression catches in a name.
TimePoint time_of_name(const std::string& key, const std::string& name, const std::string& expression) {
  SourceOptions options;
  options.time_from = "filename:" + expression;
  try {
    return *time_from_name(options, name);
  } catch (const DataError& error) {
    throw error_at(key, error.what());
  }
}

/// Which dimension is what.
struct Axes {
  int time = -1, y = -1, x = -1;
  std::vector<std::int64_t> start;  // where the others are cut
};

Axes axes_of(const Json& json, const std::string& where, const std::vector<std::int64_t>& sides) {
  Axes axes;
  axes.start.assign(sides.size(), 0);
  if (!json.contains("axes")) {
    for (std::size_t i = 0; i < sides.size(); ++i) {
      if (sides[i] == 1) continue;
      (axes.y < 0 ? axes.y : axes.x < 0 ? axes.x : axes.time) = static_cast<int>(i);
    }
    if (axes.x < 0 || axes.time >= 0)
      throw DataError(where +
                      fmt::format(": its shape is ({}); expected two dimensions longer than 1; say axes",
                                  fmt::join(sides, ", ")));
    return axes;
  }
  const Json& names = json["axes"];
  if (!names.is_array() || names.size() != sides.size())
    throw error_at("axes", fmt::format("expected {} names, one a dimension of {}", sides.size(), where));
  const Json select = json.value("select", Json::object());
  if (!select.is_object()) throw error_at("select", "is no object; expected {NAME: INDEX}");
  for (const auto& [name, place] : select.items()) {
    if (std::find(names.begin(), names.end(), Json(name)) == names.end())
      throw error_at("select", fmt::format("\"{}\" is none of the axes", name));
  }
  for (std::size_t i = 0; i < sides.size(); ++i) {
    if (!names[i].is_string()) throw error_at("axes", "holds something that is no text");
    const auto name = names[i].get<std::string>();
    int* const slot = name == "time" ? &axes.time : name == "y" ? &axes.y : name == "x" ? &axes.x : nullptr;
    if (slot != nullptr) {
      if (*slot >= 0) throw error_at("axes", fmt::format("\"{}\" twice", name));
      *slot = static_cast<int>(i);
      continue;
    }
    const std::int64_t index = select.contains(name) && select[name].is_number_integer()
                                   ? select[name].get<std::int64_t>()
                               : sides[i] == 1 ? 0
                                               : -1;
    if (index < 0 || index >= sides[i])
      throw error_at("select", fmt::format("{} has {} places; expected one of 0 to {} for it", name, sides[i],
                                           sides[i] - 1));
    axes.start[i] = index;
  }
  if (axes.y < 0 || axes.x < 0) throw error_at("axes", "expected y and x among them");
  return axes;
}

Grid grid_of(const Hdf5File& file, const Json& json, std::int64_t rows, std::int64_t columns) {
  Grid grid;
  grid.rows = rows;
  grid.columns = columns;
  grid.y0 = static_cast<double>(grid.rows);
  if (!json.contains("grid")) return grid;
  const Json& given = json["grid"];
  if (!given.is_object()) throw error_at("grid", "is no object; expected {projection, x0, y0, dx, dy}");
  check_keys("grid", given, {"projection", "x0", "y0", "dx", "dy", "rows", "columns"});
  const double given_rows = number(file, given, "rows", static_cast<double>(rows)),
               given_columns = number(file, given, "columns", static_cast<double>(columns));
  if (given_rows != static_cast<double>(rows) || given_columns != static_cast<double>(columns))
    throw error_at("grid", fmt::format("the array has {}x{} pixels; expected {}x{}", columns, rows,
                                       given_columns, given_rows));
  const std::string projection = text(given, "projection");
  if (const auto place = attribute_path(projection)) {
    grid.projection = clean_projection(attribute_text(file, projection));
  } else if (!projection.empty()) {
    grid.projection = clean_projection(projection);
  }
  grid.dx = number(file, given, "dx", 1.);
  grid.dy = number(file, given, "dy", grid.dx);
  grid.x0 = number(file, given, "x0", 0.);
  grid.y0 = number(file, given, "y0", 0.);
  if (!(grid.dx > 0.) || !(grid.dy > 0.)) throw error_at("grid", "dx and dy must be positive");
  return grid;
}

/// The times of the frames of a dataset, `steps` of them.
class Clock {
 public:
  Clock(const Content& content, const Json& json, const ReadRequest& request)
      : content_(content), file_(*content.hdf5), request_(request) {
    if (json.contains("time") && json["time"].is_object()) {
      time_ = json["time"];
      check_keys(
          "time", time_,
          {"attribute", "date", "time", "filename", "dataset", "start", "step_s", "steps", "values", "unit"});
    } else if (request.options.time_from.empty()) {
      throw error_at("time",
                     "is missing; expected {attribute: ...}, {date: ..., time: ...}, {filename: ...}, "
                     "{dataset: ...}, {start: ..., step_s: ...} or {values: ..., unit: ...}");
    }
  }

  std::vector<TimePoint> times(const std::string& dataset, std::size_t steps) const {
    const double expected = number(file_, time_, "steps", static_cast<double>(steps));
    if (expected != static_cast<double>(steps))
      throw error_at("time.steps", fmt::format("{} holds {} times; expected {}", dataset, steps, expected));
    if (time_.contains("values")) return listed(steps);
    std::vector<TimePoint> all = {first(dataset)};
    if (steps == 1) return all;
    const double step_s = number(file_, time_, "step_s", 0.);
    if (!(step_s > 0.) || step_s > kLongestSpan)
      throw error_at("time.step_s", fmt::format("{}; expected the seconds between the {} times of {}", step_s,
                                                steps, dataset));
    for (std::size_t i = 1; i < steps; ++i)
      all.push_back(all.front() + std::chrono::seconds{std::llround(step_s * static_cast<double>(i))});
    return all;
  }

 private:
  TimePoint first(const std::string& dataset) const {
    if (const auto named = time_from_name(request_.options, content_.name)) return *named;
    if (time_.contains("filename"))
      return time_of_name("time.filename", content_.name, text(time_, "filename"));
    if (time_.contains("dataset"))
      return time_of_name("time.dataset", dataset.substr(dataset.rfind('/') + 1), text(time_, "dataset"));
    if (time_.contains("date")) {
      return time_of("described: time", attribute_text(file_, text(time_, "date")),
                     attribute_text(file_, text(time_, "time")));
    }
    if (time_.contains("start")) {
      const std::string start = text(time_, "start");
      return time_of_text("time.start", attribute_path(start) ? attribute_text(file_, start) : start);
    }
    return time_of_text("time.attribute", attribute_text(file_, text(time_, "attribute")));
  }

  std::vector<TimePoint> listed(std::size_t steps) const {
    const std::string path = text(time_, "values"), unit = text(time_, "unit");
    const auto parsed = parse_time_unit(unit);
    if (!parsed)
      throw error_at("time.unit",
                     fmt::format("\"{}\" is not understood; expected seconds since 1970-01-01", unit));
    const Field field = file_.read(path);
    std::vector<TimePoint> all;
    std::visit(
        [&](const auto& values) {
          for (const auto value : values) {
            const double seconds = static_cast<double>(value) * parsed->first;
            if (!std::isfinite(seconds) || std::abs(seconds) > 1e11)
              throw error_at(path, fmt::format("{} is no time", value));
            all.push_back(parsed->second + std::chrono::seconds{std::llround(seconds)});
          }
        },
        field.values);
    if (!field.lost.empty() || all.size() != steps)
      throw error_at(path, fmt::format("holds {} times for {} frames", all.size(), steps));
    return all;
  }

  const Content& content_;
  const Hdf5File& file_;
  const ReadRequest& request_;
  Json time_ = Json::object();
};

std::string absolute(std::string path) {
  return path.empty() || path.front() == '/' ? path : "/" + path;
}

/// The one that is named, or all of a group whose names match.
std::vector<std::string> datasets_of(const Hdf5File& file, const Json& json, const SourceOptions& options) {
  const std::string named = absolute(options.dataset.empty() ? text(json, "dataset") : options.dataset);
  if (!named.empty()) return {named};
  const std::string expression = text(json, "datasets"), group = absolute(text(json, "group", "/"));
  if (expression.empty())
    throw error_at("dataset", "is missing; expected the path of the array, or datasets: REGEX");
  std::vector<std::string> found;
  const Pattern form("described: datasets", expression);
  for (const std::string& name : file.members(group, kMaxNames)) {
    const std::string path = (group == "/" ? "" : group) + "/" + name;
    if (form.matches(name) && file.is_dataset(path)) found.push_back(path);
  }
  if (found.empty())
    throw error_at("datasets", fmt::format("nothing in {} is named like \"{}\"", group, expression));
  return found;
}

/// SEVIR's bytes of vertically integrated liquid in kg m-2 (its tutorial, "VIL"): linear, then exponential;
/// 255 is missing.
Field sevir_vil(Field field) {
  const auto* bytes = std::get_if<std::vector<std::uint8_t>>(&field.values);
  if (bytes == nullptr) throw error_at("decode", "sevir_vil is for bytes; the array holds other numbers");
  std::vector<double> vil;
  vil.reserve(bytes->size());
  for (const std::uint8_t byte : *bytes) {
    const double x = byte;
    vil.push_back(byte == 255 ? std::nan("")
                  : x <= 5.   ? 0.
                  : x <= 18.  ? (x - 2.) / 90.66
                              : std::exp((x - 83.9) / 38.9));
  }
  field.values = std::move(vil);
  return field;
}

/// One place along an axis of an array whose sides are `count`.
Field place_of(const Field& all, const std::vector<std::int64_t>& count, int axis, std::size_t place) {
  std::size_t outer = 1, inner = 1;
  for (std::size_t d = 0; d < count.size(); ++d) {
    if (static_cast<int>(d) < axis) outer *= static_cast<std::size_t>(count[d]);
    if (static_cast<int>(d) > axis) inner *= static_cast<std::size_t>(count[d]);
  }
  const auto places = static_cast<std::size_t>(count[static_cast<std::size_t>(axis)]);
  const auto take = [&](const auto& from) {
    std::decay_t<decltype(from)> to(outer * inner);
    for (std::size_t o = 0; o < outer; ++o) {
      for (std::size_t i = 0; i < inner; ++i) to[o * inner + i] = from[(o * places + place) * inner + i];
    }
    return to;
  };
  Field field;
  std::visit([&](const auto& values) { field.values = take(values); }, all.values);
  if (all.lost.empty()) return field;
  field.lost = take(all.lost);
  if (std::find(field.lost.begin(), field.lost.end(), true) != field.lost.end()) field.why = all.why;
  return field;
}

/// The steps of an array: all at once where they fit, since a chunk often holds several.
class Steps {
 public:
  Steps(const Hdf5File& file, const std::string& dataset, const Axes& axes,
        const std::vector<std::int64_t>& sides)
      : file_(file), dataset_(dataset), axes_(axes), count_(sides.size(), 1) {
    count_[static_cast<std::size_t>(axes.y)] = sides[static_cast<std::size_t>(axes.y)];
    count_[static_cast<std::size_t>(axes.x)] = sides[static_cast<std::size_t>(axes.x)];
    if (axes.time < 0) return;
    std::vector<std::int64_t> all = count_;
    all[static_cast<std::size_t>(axes.time)] = sides[static_cast<std::size_t>(axes.time)];
    std::int64_t values = 1;
    for (const std::int64_t side : all) values *= side;
    if (values > kMaxPixels) return;
    together_ = file.read(dataset, axes.start, all);
    count_ = all;
  }
  Field step(std::size_t step) const {
    if (together_) return place_of(*together_, count_, axes_.time, step);
    std::vector<std::int64_t> start = axes_.start;
    if (axes_.time >= 0) start[static_cast<std::size_t>(axes_.time)] = static_cast<std::int64_t>(step);
    return file_.read(dataset_, start, count_, axes_.time < 0 ? AllLost::refused : AllLost::allowed);
  }

 private:
  const Hdf5File& file_;
  const std::string& dataset_;
  const Axes& axes_;
  std::vector<std::int64_t> count_;
  std::optional<Field> together_;
};

/// The text that must lie at a place, so that another version of a file is not taken for the one described.
void check_name(const Hdf5File& file, const Json& json) {
  if (!json.contains("named")) return;
  const Json& named = json["named"];
  if (!named.is_object()) throw error_at("named", "is no object; expected {dataset, index, name}");
  check_keys("named", named, {"dataset", "index", "name"});
  const std::string dataset = absolute(text(named, "dataset")), name = text(named, "name");
  const double index = number(file, named, "index", 0.);
  if (!(index >= 0.) || index > 1e9) throw error_at("named.index", fmt::format("{} is no index", index));
  const std::string found = file.text_of(dataset, static_cast<std::int64_t>(index));
  if (found != name)
    throw error_at("named", fmt::format("{} holds \"{}\" at place {}; expected \"{}\"", dataset,
                                        found.substr(0, 60), index, name));
}

/// All steps of one dataset.
void read_dataset(const std::string& dataset, const Json& json, const Content& content,
                  const ReadRequest& request, const Clock& clock, std::vector<Frame>& frames) {
  const Hdf5File& file = *content.hdf5;
  const std::string where = "described: " + dataset;
  const std::vector<std::int64_t> sides = file.checked_dimensions(dataset);
  const Axes axes = axes_of(json, where, sides);
  const auto side = [&](int axis) {
    return axis < 0 ? std::int64_t{1} : sides[static_cast<std::size_t>(axis)];
  };
  check_sides(where, side(axes.y), side(axes.x));
  const std::vector<TimePoint> times = clock.times(dataset, static_cast<std::size_t>(side(axes.time)));
  Frame model;
  model.grid = grid_of(file, json, side(axes.y), side(axes.x));
  const double window_s = request.options.accumulation_s > 0. ? request.options.accumulation_s
                                                              : number(file, json, "window_s", 0.);
  if (!(window_s >= 0.) || window_s > kLongestSpan)
    throw error_at("window_s", fmt::format("{}; expected the seconds that a frame covers", window_s));
  model.window_s = std::llround(window_s);
  model.source.quantity = dataset;
  model.source.unit = request.options.units.empty() ? text(json, "unit") : request.options.units;
  model.source.rules.push_back("layout as described in the configuration");
  Coding coding;
  coding.gain = number(file, json, "gain", 1.);
  coding.offset = number(file, json, "offset", 0.);
  coding.missing = list(file, json, "missing");
  coding.missing.insert(coding.missing.end(), request.options.missing_values.begin(),
                        request.options.missing_values.end());
  coding.dry = list(file, json, "dry");
  if (json.contains("zero_is_dry") && !json["zero_is_dry"].is_boolean())
    throw error_at("zero_is_dry", "is neither true nor false");
  SourceOptions options = request.options;
  if (json.contains("quantity")) {
    const std::string quantity = text(json, "quantity");
    static const std::set<std::string> known = {"rain_rate", "reflectivity", "vil", "intensity"};
    if (!known.contains(quantity))
      throw error_at("quantity", fmt::format("\"{}\"; expected one of {}", quantity, fmt::join(known, ", ")));
    if (options.quantity == "auto") options.quantity = quantity;
  }
  const bool by_table = !text(json, "decode").empty();
  if (by_table && text(json, "decode") != "sevir_vil")
    throw error_at("decode", fmt::format("\"{}\" is not known; expected sevir_vil", text(json, "decode")));
  const std::string rows = text(json, "rows", "north");
  if (rows != "north" && rows != "south")
    throw error_at("rows", fmt::format("\"{}\"; expected north or south", rows));
  std::optional<Steps> steps;
  if (request.wanted != Wanted::description) steps.emplace(file, dataset, axes, sides);
  for (std::size_t step = 0; step < times.size(); ++step) {
    Frame frame = model;
    frame.valid_time = times[step];
    const Conversion conversion = conversion_for(where, frame.source.unit, options, {}, frame);
    coding.zero_is_dry = conversion.quantity == Quantity::rain_rate && !conversion.from_dbz;
    if (json.contains("zero_is_dry")) coding.zero_is_dry = json["zero_is_dry"].get<bool>();
    if (request.wanted != Wanted::description) {
      Field field = steps->step(step);
      if (by_table) field = sevir_vil(std::move(field));
      decode(where, field, coding, conversion, frame, request.wanted);
      if (axes.x < axes.y) transpose(frame);
      if (rows == "south") flip_rows(frame);
    }
    frames.push_back(std::move(frame));
  }
}

}  // namespace

std::vector<Frame> read_described(const Content& content, const ReadRequest& request) {
  const Json json = parse(request.options.description);
  check_name(*content.hdf5, json);
  const Clock clock(content, json, request);
  std::vector<Frame> frames;
  std::int64_t values = 0;
  for (const std::string& dataset : datasets_of(*content.hdf5, json, request.options)) {
    const std::size_t before = frames.size();
    read_dataset(dataset, json, content, request, clock, frames);
    for (std::size_t i = before; i < frames.size(); ++i) values += frames[i].grid.pixels();
    if (values > kMaxFileValues)
      throw DataError(
          fmt::format("described: {}: more than {} values in a file; split it", dataset, kMaxFileValues));
  }
  return frames;
}

}  // namespace raincell::io
