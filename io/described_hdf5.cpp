// HDF5 of any layout, described by the user. The description is JSON text (the application turns YAML into
// it):
//   dataset      path of the array (or SourceOptions.dataset)
//   unit         mm/h, mm, dBZ, ...
//   gain, offset, missing: [..], dry: [..], zero_is_dry
//   rows         "north" (default) or "south": what row 0 is
//   time         {attribute: "/what@time"} or {date: "/what@date", time: "/what@time"} or {filename: "REGEX"}
//   window_s     length of the accumulation
//   grid         {projection, x0, y0, dx, dy}: outer upper left corner and pixel size, in metres or degrees
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "io/formats.hpp"

namespace raincell::io {
namespace {

using Json = nlohmann::json;

DataError error_at(const std::string& key, const std::string& what) {
  return DataError(fmt::format("described: {}: {}", key, what));
}

Json parse(const std::string& text) {
  if (text.empty()) throw error_at("description", "is missing; expected the layout of the file");
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw error_at("description", "is no JSON object");
  static const std::set<std::string> known = {"dataset", "unit",     "gain",        "offset",
                                              "missing", "dry",      "zero_is_dry", "rows",
                                              "time",    "window_s", "grid",        "quantity"};
  for (const auto& [key, value] : json.items()) {
    if (known.count(key) == 0)
      throw error_at(key, fmt::format("is no known key; expected one of {}", fmt::join(known, ", ")));
  }
  return json;
}

double number(const Json& json, const char* key, double otherwise) {
  if (!json.contains(key)) return otherwise;
  if (!json[key].is_number()) throw error_at(key, "is no number");
  return json[key].get<double>();
}

std::string text(const Json& json, const char* key, const std::string& otherwise = "") {
  if (!json.contains(key)) return otherwise;
  if (!json[key].is_string()) throw error_at(key, "is no text");
  return json[key].get<std::string>();
}

std::vector<double> list(const Json& json, const char* key) {
  std::vector<double> values;
  if (!json.contains(key)) return values;
  const Json& all = json[key];
  for (const Json& value : all.is_array() ? all : Json::array({all})) {
    if (!value.is_number()) throw error_at(key, "holds something that is no number");
    values.push_back(value.get<double>());
  }
  return values;
}

/// "/group@attribute"
std::string attribute_text(const Hdf5File& file, const std::string& path) {
  const std::size_t at = path.find('@');
  if (at == std::string::npos)
    throw error_at("time", fmt::format("\"{}\" names no attribute; expected /group@name", path));
  const std::string object = at == 0 ? "/" : path.substr(0, at);
  if (object == "/" || file.exists(object)) {
    if (const auto value = file.text(object, path.substr(at + 1))) return *value;
  }
  throw error_at(path, "does not exist; expected a text attribute");
}

TimePoint time_of_file(const Hdf5File& file, const Json& json, const ReadRequest& request,
                       const std::string& name) {
  if (const auto named = time_from_name(request.options, name)) return *named;
  if (!json.contains("time") || !json["time"].is_object()) {
    throw error_at("time",
                   "is missing; expected {attribute: ...}, {date: ..., time: ...} or {filename: ...}");
  }
  const Json& time = json["time"];
  if (time.contains("filename")) {
    SourceOptions options = request.options;
    options.time_from = "filename:" + text(time, "filename");
    return *time_from_name(options, name);
  }
  if (time.contains("date")) {
    return time_of("described: time", attribute_text(file, text(time, "date")),
                   attribute_text(file, text(time, "time")));
  }
  const std::string value = attribute_text(file, text(time, "attribute"));
  if (const auto parsed = parse_time(value)) return *parsed;
  std::string digits;
  for (const char c : value) {
    if (c >= '0' && c <= '9') digits += c;
  }
  if (digits.size() < 12)
    throw error_at("time", fmt::format("\"{}\" is no time; expected 2010-08-26T06:00Z", value.substr(0, 60)));
  return time_of("described: time", digits.substr(0, 8), digits.substr(8, digits.size() >= 14 ? 6 : 4));
}

Grid grid_of(const Json& json, const std::vector<std::int64_t>& sides) {
  Grid grid;
  grid.rows = sides[0];
  grid.columns = sides[1];
  grid.y0 = static_cast<double>(grid.rows);
  if (!json.contains("grid")) return grid;
  const Json& given = json["grid"];
  if (!given.is_object()) throw error_at("grid", "is no object; expected {projection, x0, y0, dx, dy}");
  const std::string projection = text(given, "projection");
  if (!projection.empty()) grid.projection = clean_projection(projection);
  grid.dx = number(given, "dx", 1.);
  grid.dy = number(given, "dy", grid.dx);
  grid.x0 = number(given, "x0", 0.);
  grid.y0 = number(given, "y0", 0.);
  if (!(grid.dx > 0.) || !(grid.dy > 0.)) throw error_at("grid", "dx and dy must be positive");
  return grid;
}

}  // namespace

std::vector<Frame> read_described(const Content& content, const ReadRequest& request) {
  const Hdf5File& file = *content.hdf5;
  const Json json = parse(request.options.description);
  std::string dataset = request.options.dataset.empty() ? text(json, "dataset") : request.options.dataset;
  if (dataset.empty()) throw error_at("dataset", "is missing; expected the path of the array");
  if (dataset.front() != '/') dataset.insert(dataset.begin(), '/');
  const std::string where = "described: " + dataset;
  std::vector<std::int64_t> sides = file.checked_dimensions(dataset);
  std::erase(sides, 1);
  if (sides.size() != 2)
    throw DataError(where + fmt::format(": has {} dimensions longer than 1; expected 2", sides.size()));
  check_sides(where, sides[0], sides[1]);
  Frame frame;
  frame.grid = grid_of(json, sides);
  frame.valid_time = time_of_file(file, json, request, content.name);
  frame.window_s = std::llround(request.options.accumulation_s > 0. ? request.options.accumulation_s
                                                                    : number(json, "window_s", 0.));
  frame.source.quantity = dataset;
  frame.source.unit = request.options.units.empty() ? text(json, "unit") : request.options.units;
  Coding coding;
  coding.gain = number(json, "gain", 1.);
  coding.offset = number(json, "offset", 0.);
  coding.missing = list(json, "missing");
  coding.missing.insert(coding.missing.end(), request.options.missing_values.begin(),
                        request.options.missing_values.end());
  coding.dry = list(json, "dry");
  SourceOptions options = request.options;
  if (options.quantity == "auto" && json.contains("quantity")) options.quantity = text(json, "quantity");
  const Conversion conversion = conversion_for(where, frame.source.unit, options, {}, frame);
  coding.zero_is_dry = conversion.quantity == Quantity::rain_rate && !conversion.from_dbz;
  if (json.contains("zero_is_dry") && json["zero_is_dry"].is_boolean())
    coding.zero_is_dry = json["zero_is_dry"].get<bool>();
  const std::string rows = text(json, "rows", "north");
  if (rows != "north" && rows != "south")
    throw error_at("rows", fmt::format("\"{}\"; expected north or south", rows));
  if (request.wanted != Wanted::description) {
    decode(where, file.read(dataset), coding, conversion, frame, request.wanted);
    if (rows == "south") flip_rows(frame);
  }
  std::vector<Frame> frames;
  frames.push_back(std::move(frame));
  return frames;
}

}  // namespace raincell::io
