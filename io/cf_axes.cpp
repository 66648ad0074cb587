#include "io/cf_axes.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <set>

#include "io/formats.hpp"

namespace raincell::io {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool is_degrees_east(const std::string& unit) {
  static const std::set<std::string> names = {"degrees_east", "degree_east", "degree_e",
                                              "degrees_e",    "degreee",     "degreese"};
  return names.count(lower(unit)) != 0;
}

bool is_degrees_north(const std::string& unit) {
  static const std::set<std::string> names = {"degrees_north", "degree_north", "degree_n",
                                              "degrees_n",     "degreen",      "degreesn"};
  return names.count(lower(unit)) != 0;
}

bool is_time_unit(const std::string& unit) {
  return lower(unit).find(" since ") != std::string::npos || unit.rfind("day as", 0) == 0;
}

enum class Axis : std::uint8_t { none, time, y, x };

/// What a dimension is, by its coordinate variable's axis, standard_name, units, then by name.
Axis axis_of(const NetcdfFile& file, const std::string& dimension) {
  if (const NetcdfVariable* variable = file.find(dimension);
      variable != nullptr && variable->sides.size() == 1) {
    const std::string axis = lower(file.text(variable->id, "axis"));
    const std::string standard = file.text(variable->id, "standard_name");
    const std::string unit = file.text(variable->id, "units");
    if (axis == "t" || standard == "time" || is_time_unit(unit)) return Axis::time;
    if (axis == "y" || standard == "projection_y_coordinate" || standard == "latitude" ||
        is_degrees_north(unit))
      return Axis::y;
    if (axis == "x" || standard == "projection_x_coordinate" || standard == "longitude" ||
        is_degrees_east(unit))
      return Axis::x;
  }
  const std::string name = lower(dimension);
  static const std::set<std::string> xs = {"x",  "nx",      "lon",     "longitude",
                                           "xc", "easting", "columns", "projection_x_coordinate"};
  static const std::set<std::string> ys = {"y",  "ny",       "lat",  "latitude",
                                           "yc", "northing", "rows", "projection_y_coordinate"};
  if (name == "time" || name == "t") return Axis::time;
  if (ys.count(name) != 0) return Axis::y;
  if (xs.count(name) != 0) return Axis::x;
  return Axis::none;
}

DataError error_at(const std::string& object, const std::string& what) {
  return DataError(fmt::format("cf: {}: {}", object, what));
}

/// Seconds from midnight of a zone such as "UTC", "Z", "+00:00", "-0530"; empty when unknown.
std::optional<std::int64_t> zone_offset(std::string zone) {
  zone.erase(std::remove(zone.begin(), zone.end(), ' '), zone.end());
  if (zone.empty() || zone == "UTC" || zone == "Z" || zone == "GMT") return 0;
  zone.erase(std::remove(zone.begin(), zone.end(), ':'), zone.end());
  if ((zone[0] != '+' && zone[0] != '-') || zone.size() > 5 || zone.size() < 2) return std::nullopt;
  if (zone.find_first_not_of("0123456789", 1) != std::string::npos) return std::nullopt;
  const int number = std::stoi(zone.substr(1));
  const int hours = zone.size() <= 3 ? number : number / 100, minutes = zone.size() <= 3 ? 0 : number % 100;
  return (zone[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

std::optional<TimePoint> parse_epoch(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, used = 0;
  double second = 0.;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &year, &month, &day, &used) != 3) return std::nullopt;
  std::string rest = text.substr(static_cast<std::size_t>(used));
  if (!rest.empty() && (rest[0] == 'T' || rest[0] == ' ')) rest.erase(0, 1);
  rest.erase(0, std::min(rest.find_first_not_of(' '), rest.size()));
  int more = 0;
  if (std::sscanf(rest.c_str(), "%2d%n", &hour, &more) == 1 &&
      static_cast<std::size_t>(more) == rest.size()) {
    rest.clear();
  } else if (std::sscanf(rest.c_str(), "%2d:%2d%n", &hour, &minute, &more) == 2) {
    rest.erase(0, static_cast<std::size_t>(more));
    if (!rest.empty() && rest[0] == ':' && std::sscanf(rest.c_str(), ":%lf%n", &second, &more) == 1) {
      rest.erase(0, static_cast<std::size_t>(more));
    }
  }
  const auto zone = zone_offset(rest);
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!zone || !date.ok() || year < 1583 || hour < 0 || hour > 24 || minute < 0 || minute > 59 ||
      !(second >= 0. && second <= 60.)) {
    return std::nullopt;
  }
  return std::chrono::sys_days{date} +
         std::chrono::seconds{hour * 3600 + minute * 60 + std::llround(second) - *zone};
}

/// Times of a coordinate variable, decoded.
std::vector<TimePoint> decode_times(const NetcdfFile& file, const NetcdfVariable& variable,
                                    const std::string& unit) {
  const std::string calendar = lower(file.text(variable.id, "calendar"));
  static const std::set<std::string> calendars = {"", "standard", "gregorian", "proleptic_gregorian"};
  if (calendars.count(calendar) == 0) {
    throw error_at(variable.name,
                   fmt::format("calendar \"{}\" is not supported; expected standard or gregorian", calendar));
  }
  const auto parsed = parse_time_unit(unit);
  if (!parsed) {
    throw error_at(variable.name,
                   fmt::format("time unit \"{}\" is not supported; expected seconds, minutes, hours or days "
                               "since a date; of a file of one step, set source.time_from",
                               unit.substr(0, 80)));
  }
  std::vector<TimePoint> times;
  for (const double value : file.read_all(variable)) {
    const double seconds = value * parsed->first;
    if (!std::isfinite(seconds) || std::abs(seconds) > 1e11) {
      throw error_at(variable.name, fmt::format("{} is no time", value));
    }
    times.push_back(parsed->second + std::chrono::seconds{std::llround(seconds)});
  }
  return times;
}

/// A scalar time variable: "time", "valid_time", or any with standard_name time.
const NetcdfVariable* scalar_time(const NetcdfFile& file) {
  for (const char* name : {"time", "valid_time"}) {
    const NetcdfVariable* variable = file.find(name);
    if (variable != nullptr && variable->sides.size() <= 1 && is_time_unit(file.text(variable->id, "units")))
      return variable;
  }
  for (const NetcdfVariable& variable : file.variables()) {
    if (variable.sides.empty() && file.text(variable.id, "standard_name") == "time") return &variable;
  }
  return nullptr;
}

std::optional<TimePoint> time_attribute(const NetcdfFile& file, const std::string& name) {
  std::string text = file.text(NetcdfFile::kGlobal, name);
  if (const auto time = parse_time(text)) return time;
  return parse_epoch(text);
}

/// Windows from CF bounds, BoM's start_time, or an attribute that names the length.
void add_windows(const NetcdfFile& file, const NetcdfVariable& variable, const NetcdfVariable& time,
                 const std::string& unit, std::vector<CfTime>& times, std::vector<std::string>& rules) {
  const NetcdfVariable* bounds = file.find(file.text(time.id, "bounds"));
  if (bounds != nullptr && bounds->sides.size() <= 2 && !bounds->sides.empty() && bounds->sides.back() == 2) {
    std::string bounds_unit = file.text(bounds->id, "units");
    const std::vector<TimePoint> ends = decode_times(file, *bounds, bounds_unit.empty() ? unit : bounds_unit);
    if (ends.size() >= times.size() * 2) {
      for (std::size_t i = 0; i < times.size(); ++i) {
        times[i].valid = std::max(ends[2 * i], ends[2 * i + 1]);
        times[i].window_s = std::abs((ends[2 * i + 1] - ends[2 * i]).count());
      }
      rules.push_back("window and valid time from " + bounds->name);
      return;
    }
  }
  const NetcdfVariable* start = file.find("start_time");
  if (start != nullptr && start->sides.empty() && times.size() == 1) {
    const std::vector<TimePoint> from = decode_times(file, *start, file.text(start->id, "units"));
    times[0].window_s = (times[0].valid - from.front()).count();
    rules.push_back("window from start_time to " + time.name);
    return;
  }
  if (const auto hours = file.number(variable.id, "accum_time_h"); hours && *hours > 0. && *hours < 1000.) {
    for (CfTime& each : times) each.window_s = std::llround(*hours * 3600.);
    rules.push_back("window from accum_time_h, ending at the time");
  }
}

struct CoordinateLine {
  double first = 0., step = 0.;
};

/// First value and step of an evenly spaced coordinate.
CoordinateLine line_of(const NetcdfFile& file, const NetcdfVariable& variable) {
  std::vector<double> values = file.read_all(variable);
  const std::size_t count = values.size();
  if (count == 0) throw error_at(variable.name, "holds no value; still being written?");
  if (is_degrees_east(file.text(variable.id, "units"))) {
    for (std::size_t i = 1; i < count; ++i) {  // across 180 degrees
      if (values[i] < values[i - 1] - 180.) values[i] += 360.;
    }
  }
  const double first = values.front(), last = values.back();
  const double step = count > 1 ? (last - first) / static_cast<double>(count - 1) : 0.;
  if (!std::isfinite(step) || step == 0.) {
    throw error_at(
        variable.name,
        fmt::format("from {} to {} in {} steps; expected at least two distinct values", first, last, count));
  }
  double worst = 0.;
  for (std::size_t i = 0; i < count; ++i) {
    worst = std::max(worst, std::abs(values[i] - (first + step * static_cast<double>(i))));
    if (!std::isfinite(values[i])) worst = INFINITY;
  }
  // Coordinates in float are rounded to a few parts in 1e7 of their size.
  const double rounding = variable.type.bytes == 4 ? 2.4e-7 * std::max(std::abs(first), std::abs(last)) : 0.;
  if (worst > 0.01 * std::abs(step) + rounding) {
    throw error_at(variable.name,
                   fmt::format("is not evenly spaced (off by {:.4g}, step {:.6g}); expected a regular grid",
                               worst, step));
  }
  return {first, step};
}

/// The projection: grid_mapping, then the attributes providers use instead.
std::string projection_of(const NetcdfFile& file, const NetcdfVariable& variable,
                          std::vector<std::string>& rules) {
  std::string name = file.text(variable.id, "grid_mapping");
  name = name.substr(0, name.find_first_of(": "));
  if (const NetcdfVariable* mapping = file.find(name); mapping != nullptr) {
    CfGridMapping cf;
    cf.name = file.text(mapping->id, "grid_mapping_name");
    for (const char* key :
         {"standard_parallel", "longitude_of_central_meridian", "longitude_of_projection_origin",
          "latitude_of_projection_origin", "straight_vertical_longitude_from_pole", "false_easting",
          "false_northing", "scale_factor_at_central_meridian", "scale_factor_at_projection_origin",
          "semi_major_axis", "semi_minor_axis", "inverse_flattening", "earth_radius",
          "perspective_point_height"}) {
      const std::vector<double> values = file.numbers(mapping->id, key);
      if (!values.empty()) cf.parameters[key] = values;
    }
    for (const char* key : {"sweep_angle_axis"}) {
      const std::string value = file.text(mapping->id, key);
      if (!value.empty()) cf.texts[key] = value;
    }
    if (!cf.name.empty()) {
      rules.push_back("projection from grid_mapping " + name);
      return clean_projection(projection_from_cf(cf));
    }
  }
  const std::vector<int> places = {variable.id, NetcdfFile::kGlobal};
  for (const int place : places) {
    for (const char* key :
         {"proj_string", "proj4", "proj4_params", "proj4text", "projection", "gdal_projection"}) {
      const std::string text = file.text(place, key);
      if (text.find("+proj=") == std::string::npos) continue;
      rules.push_back(fmt::format("projection from attribute {}", key));
      return clean_projection(text);
    }
  }
  return {};
}

/// Metres (or degrees) a unit of the coordinate; 0 when the unit says nothing.
double unit_scale(const NetcdfFile& file, const NetcdfVariable& coordinate, bool geographic) {
  const std::string unit = lower(file.text(coordinate.id, "units"));
  if (geographic) return 1.;
  if (unit == "m" || unit == "metre" || unit == "meter" || unit == "metres" || unit == "meters") return 1.;
  if (unit == "km" || unit == "kilometre" || unit == "kilometer" || unit == "kilometres" ||
      unit == "kilometers")
    return 1000.;
  if (unit.empty()) return 0.;
  throw error_at(coordinate.name,
                 fmt::format("unit \"{}\" is not known; expected m, km or degrees", unit.substr(0, 60)));
}

bool is_lonlat(const NetcdfFile& file, const NetcdfVariable& x, const NetcdfVariable& y) {
  const auto one = [&](const NetcdfVariable& variable, const char* standard, const char* short_name,
                       bool (*unit_test)(const std::string&)) {
    const std::string name = lower(variable.name);
    return file.text(variable.id, "standard_name") == standard ||
           unit_test(file.text(variable.id, "units")) || name == standard || name == short_name;
  };
  return one(x, "longitude", "lon", is_degrees_east) && one(y, "latitude", "lat", is_degrees_north);
}

}  // namespace

std::optional<std::pair<double, TimePoint>> parse_time_unit(const std::string& unit) {
  const std::size_t at = lower(unit).find(" since ");
  if (at == std::string::npos) return std::nullopt;
  std::string name = lower(unit.substr(0, at));
  name.erase(name.find_last_not_of(' ') + 1);
  double seconds = 0.;
  if (name == "s" || name == "sec" || name == "secs" || name == "second" || name == "seconds") seconds = 1.;
  if (name == "min" || name == "mins" || name == "minute" || name == "minutes") seconds = 60.;
  if (name == "h" || name == "hr" || name == "hrs" || name == "hour" || name == "hours") seconds = 3600.;
  if (name == "d" || name == "day" || name == "days") seconds = 86400.;
  if (name == "ms" || name == "millisecond" || name == "milliseconds") seconds = 1e-3;
  if (name == "us" || name == "microsecond" || name == "microseconds") seconds = 1e-6;
  if (name == "ns" || name == "nanosecond" || name == "nanoseconds") seconds = 1e-9;
  const std::size_t epoch_at = unit.find_first_not_of(' ', at + 7);
  const auto epoch = parse_epoch(epoch_at == std::string::npos ? "" : unit.substr(epoch_at));
  if (seconds == 0. || !epoch) return std::nullopt;
  return std::make_pair(seconds, *epoch);
}

CfAxes find_axes(const NetcdfFile& file, const NetcdfVariable& variable) {
  CfAxes axes;
  std::string extra;
  for (std::size_t i = 0; i < variable.dimensions.size(); ++i) {
    const Axis axis = axis_of(file, variable.dimensions[i]);
    int* slot = axis == Axis::time ? &axes.time
                : axis == Axis::y  ? &axes.y
                : axis == Axis::x  ? &axes.x
                                   : nullptr;
    if (slot != nullptr && *slot < 0) {
      *slot = static_cast<int>(i);
    } else if (variable.sides[i] != 1) {
      extra += fmt::format("{}{}={}", extra.empty() ? "" : ", ", variable.dimensions[i], variable.sides[i]);
    }
  }
  if (axes.x < 0 || axes.y < 0) {
    throw error_at(variable.name,
                   fmt::format("no {} axis among its dimensions ({}); expected coordinates with axis, "
                               "standard_name or units",
                               axes.y < 0 ? "y" : "x", fmt::join(variable.dimensions, ", ")));
  }
  if (!extra.empty()) {
    throw error_at(variable.name, fmt::format("further dimensions ({}); expected (time, y, x)", extra));
  }
  return axes;
}

std::vector<CfTime> find_times(const NetcdfFile& file, const NetcdfVariable& variable, const CfAxes& axes,
                               const SourceOptions& options, const std::string& file_name,
                               std::vector<std::string>& rules) {
  const std::size_t steps =
      axes.time < 0 ? 1 : static_cast<std::size_t>(variable.sides[static_cast<std::size_t>(axes.time)]);
  std::vector<CfTime> times(steps);
  constexpr const char* kAttribute = "attribute:";
  if (steps == 1 && !options.time_from.empty()) {
    if (const auto named = time_from_name(options, file_name)) {
      times[0].valid = *named;
      rules.push_back("time from the file's name, as configured");
      return times;
    }
    if (options.time_from.rfind(kAttribute, 0) == 0) {
      const std::string name = options.time_from.substr(std::string(kAttribute).size());
      const auto time = time_attribute(file, name);
      if (!time) throw error_at("global attribute " + name, "holds no time; expected 2010-08-26T06:00:00Z");
      times[0].valid = *time;
      return times;
    }
  }
  const NetcdfVariable* coordinate = axes.time >= 0
                                         ? file.find(variable.dimensions[static_cast<std::size_t>(axes.time)])
                                         : scalar_time(file);
  if (coordinate != nullptr) {
    const std::string unit = file.text(coordinate->id, "units");
    const std::vector<TimePoint> points = decode_times(file, *coordinate, unit);
    if (points.size() < steps)
      throw error_at(coordinate->name,
                     fmt::format("{} times for {} steps of {}; expected one each; still being "
                                 "written? try again when it is complete",
                                 points.size(), steps, variable.name));
    if (points.size() > steps)
      rules.push_back(fmt::format("{} of {} times have no step of {} yet", points.size() - steps,
                                  points.size(), variable.name));
    for (std::size_t i = 0; i < steps; ++i) times[i].valid = points[i];
    rules.push_back("time from " + coordinate->name);
    add_windows(file, variable, *coordinate, unit, times, rules);
    return times;
  }
  for (const char* name : {"nominal_product_time", "time_coverage_end"}) {
    if (steps != 1) break;
    if (const auto time = time_attribute(file, name)) {
      times[0].valid = *time;
      rules.push_back(fmt::format("time from global attribute {}", name));
      return times;
    }
  }
  throw error_at(variable.name,
                 "no time coordinate and no time attribute; expected one; set source.time_from");
}

CfPlace find_place(const NetcdfFile& file, const NetcdfVariable& variable, const CfAxes& axes,
                   std::vector<std::string>& rules, std::vector<std::string>& warnings) {
  CfPlace place;
  Grid& grid = place.grid;
  const auto iy = static_cast<std::size_t>(axes.y), ix = static_cast<std::size_t>(axes.x);
  grid.rows = variable.sides[iy];
  grid.columns = variable.sides[ix];
  check_sides("cf: " + variable.name, grid.rows, grid.columns);
  const NetcdfVariable* x = file.find(variable.dimensions[ix]);
  const NetcdfVariable* y = file.find(variable.dimensions[iy]);
  try {
    grid.projection = projection_of(file, variable, rules);
  } catch (const DataError& error) {
    throw error_at(variable.name, error.what());
  }
  if (x == nullptr || y == nullptr || x->sides.size() != 1 || y->sides.size() != 1) {
    warnings.push_back("no x and y coordinates: the place on Earth is unknown, row 0 is taken as north");
    grid.projection.clear();
    grid.y0 = static_cast<double>(grid.rows);
    return place;
  }
  if (grid.projection.empty() && is_lonlat(file, *x, *y)) {
    grid.projection = "+proj=longlat +datum=WGS84";
    rules.push_back("longitude and latitude axes, WGS 84");
  }
  const CoordinateLine along_x = line_of(file, *x), along_y = line_of(file, *y);
  double scale = unit_scale(file, *x, is_geographic(grid.projection));
  if (scale != unit_scale(file, *y, is_geographic(grid.projection)))
    throw error_at(y->name, "x and y have different units");
  if (grid.projection.empty()) {
    warnings.push_back("no projection: the place on Earth is unknown, coordinates are kept as they are");
    if (scale == 0.) scale = 1.;
  } else if (scale == 0.) {
    const double step = std::abs(along_x.step);
    if (step < 100. || step > 20000.) {
      throw error_at(x->name, fmt::format("has no unit and a step of {}; expected m or km", step));
    }
    scale = 1.;
    warnings.push_back(
        fmt::format("{} and {} have no unit; a step of {} is taken as metres", x->name, y->name, step));
  }
  const double last_y = along_y.first + along_y.step * static_cast<double>(grid.rows - 1);
  if (is_geographic(grid.projection) && std::max(std::abs(along_y.first), std::abs(last_y)) > 90.)
    throw error_at(y->name,
                   fmt::format("latitudes from {} to {}; expected -90 to 90", along_y.first, last_y));
  place.y_ascends = along_y.step > 0.;
  place.x_descends = along_x.step < 0.;
  grid.dx = std::abs(along_x.step) * scale;
  grid.dy = std::abs(along_y.step) * scale;
  // Coordinates are pixel centres.
  const double west =
      place.x_descends ? along_x.first + along_x.step * static_cast<double>(grid.columns - 1) : along_x.first;
  const double north =
      place.y_ascends ? along_y.first + along_y.step * static_cast<double>(grid.rows - 1) : along_y.first;
  grid.x0 = west * scale - grid.dx / 2.;
  grid.y0 = north * scale + grid.dy / 2.;
  if (place.y_ascends) rules.push_back("y ascends: rows turned so that row 0 is north");
  return place;
}

}  // namespace raincell::io
