#include "io/grid.hpp"

#include <fmt/format.h>
#include <proj.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <sstream>
#include <tuple>

#include "io/frame.hpp"

namespace raincell::io {
namespace {

struct ContextDeleter {
  void operator()(PJ_CONTEXT* context) const { proj_context_destroy(context); }
};
struct PjDeleter {
  void operator()(PJ* pj) const { proj_destroy(pj); }
};
using Context = std::unique_ptr<PJ_CONTEXT, ContextDeleter>;
using Pj = std::unique_ptr<PJ, PjDeleter>;

Context make_context() {
  Context context(proj_context_create());
  if (!context) throw DataError("PROJ: no context; is the library installed whole?");
  proj_log_level(context.get(), PJ_LOG_NONE);
  proj_context_set_enable_network(context.get(), 0);
  return context;
}

bool is_proj_string(const std::string& text) {
  return text.find("+proj=") != std::string::npos;
}

Pj make_crs(PJ_CONTEXT* context, const std::string& projection) {
  const std::string text = is_proj_string(projection) ? projection + " +type=crs" : projection;
  Pj crs(proj_create(context, text.c_str()));
  if (!crs || !proj_is_crs(crs.get())) {
    throw DataError(fmt::format("projection \"{}\" is not understood by PROJ; expected a PROJ string or WKT",
                                projection));
  }
  return crs;
}

std::optional<double> number_of(const std::string& text) {
  double value = 0.;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

using Tokens = std::map<std::string, std::string>;

Tokens tokens_of(const std::string& projection) {
  Tokens tokens;
  std::istringstream words(projection);
  for (std::string word; words >> word;) {
    if (word.front() == '+') word.erase(0, 1);
    const std::size_t equal = word.find('=');
    const std::string key = word.substr(0, equal);
    if (!key.empty()) tokens[key] = equal == std::string::npos ? "" : word.substr(equal + 1);
  }
  return tokens;
}

double token(const Tokens& tokens, const char* key, double otherwise) {
  const auto found = tokens.find(key);
  return found == tokens.end() ? otherwise : number_of(found->second).value_or(otherwise);
}

/// The projection as a PROJ string, whatever it was written as.
std::string as_proj_string(PJ_CONTEXT* context, const std::string& projection) {
  if (is_proj_string(projection)) return projection;
  const Pj crs = make_crs(context, projection);
  const char* text = proj_as_proj_string(context, crs.get(), PJ_PROJ_4, nullptr);
  return text == nullptr ? std::string() : text;
}

/// CF name of a PROJ projection; polar stereographic is a name of its own.
std::string cf_name(const std::string& proj, double lat_0) {
  static const std::map<std::string, std::string> names = {{"laea", "lambert_azimuthal_equal_area"},
                                                           {"lcc", "lambert_conformal_conic"},
                                                           {"aea", "albers_conical_equal_area"},
                                                           {"tmerc", "transverse_mercator"},
                                                           {"etmerc", "transverse_mercator"},
                                                           {"utm", "transverse_mercator"},
                                                           {"merc", "mercator"},
                                                           {"longlat", "latitude_longitude"},
                                                           {"latlong", "latitude_longitude"},
                                                           {"lonlat", "latitude_longitude"},
                                                           {"latlon", "latitude_longitude"},
                                                           {"geos", "geostationary"},
                                                           {"aeqd", "azimuthal_equidistant"},
                                                           {"cea", "lambert_cylindrical_equal_area"},
                                                           {"ortho", "orthographic"},
                                                           {"sinu", "sinusoidal"}};
  if (proj == "stere")
    return std::abs(std::abs(lat_0) - 90.) < 1e-9 ? "polar_stereographic" : "stereographic";
  if (proj == "ups") return "polar_stereographic";
  const auto found = names.find(proj);
  return found == names.end() ? std::string() : found->second;
}

void add_ellipsoid(PJ_CONTEXT* context, const std::string& projection, CfGridMapping& mapping) {
  const Pj crs = make_crs(context, projection);
  const Pj ellipsoid(proj_get_ellipsoid(context, crs.get()));
  double major = 0., minor = 0., inverse_flattening = 0.;
  int computed = 0;
  if (!ellipsoid || !proj_ellipsoid_get_parameters(context, ellipsoid.get(), &major, &minor, &computed,
                                                   &inverse_flattening)) {
    return;
  }
  if (inverse_flattening == 0.) {
    mapping.parameters["earth_radius"] = {major};
  } else {
    mapping.parameters["semi_major_axis"] = {major};
    mapping.parameters["inverse_flattening"] = {inverse_flattening};
  }
}

}  // namespace

struct LonLatTransform::State {
  Context context;
  Pj pj;
  bool degrees = false;   // the projection's own coordinates are degrees
  bool pipeline = false;  // made by proj_create_crs_to_crs: lon/lat in degrees on the source side
};

LonLatTransform::LonLatTransform(const std::string& projection) : state_(std::make_unique<State>()) {
  if (projection.empty()) throw DataError("the grid has no projection; give one to place it on Earth");
  State& state = *state_;
  state.context = make_context();
  state.degrees = is_geographic(projection);
  if (is_proj_string(projection)) {
    // A bare conversion needs no database; PROJ applies +towgs84 itself.
    state.pj.reset(proj_create(state.context.get(), projection.c_str()));
  } else {
    state.pipeline = true;
    Pj raw(proj_create_crs_to_crs(state.context.get(), "+proj=longlat +datum=WGS84 +type=crs",
                                  projection.c_str(), nullptr));
    if (raw) state.pj.reset(proj_normalize_for_visualization(state.context.get(), raw.get()));
  }
  if (!state.pj) {
    throw DataError(fmt::format("projection \"{}\" is not understood by PROJ; expected a PROJ string or WKT",
                                projection));
  }
}

LonLatTransform::LonLatTransform(LonLatTransform&&) noexcept = default;
LonLatTransform& LonLatTransform::operator=(LonLatTransform&&) noexcept = default;
LonLatTransform::~LonLatTransform() = default;

std::pair<double, double> LonLatTransform::to_lonlat(double x, double y) const {
  if (state_->degrees) return {x, y};
  const PJ_COORD out = proj_trans(state_->pj.get(), PJ_INV, proj_coord(x, y, 0., 0.));
  if (state_->pipeline) return {out.xy.x, out.xy.y};
  return {proj_todeg(out.lp.lam), proj_todeg(out.lp.phi)};
}

std::pair<double, double> LonLatTransform::from_lonlat(double longitude, double latitude) const {
  if (state_->degrees) return {longitude, latitude};
  const PJ_COORD in = state_->pipeline ? proj_coord(longitude, latitude, 0., 0.)
                                       : proj_coord(proj_torad(longitude), proj_torad(latitude), 0., 0.);
  const PJ_COORD out = proj_trans(state_->pj.get(), PJ_FWD, in);
  return {out.xy.x, out.xy.y};
}

bool is_geographic(const std::string& projection) {
  if (projection.empty()) return false;
  if (is_proj_string(projection)) {
    const std::string name = tokens_of(projection)["proj"];
    return name == "longlat" || name == "latlong" || name == "lonlat" || name == "latlon";
  }
  const Context context = make_context();
  const PJ_TYPE type = proj_get_type(make_crs(context.get(), projection).get());
  return type == PJ_TYPE_GEOGRAPHIC_2D_CRS || type == PJ_TYPE_GEOGRAPHIC_3D_CRS;
}

std::pair<double, double> to_lonlat(const Grid& grid, double x, double y) {
  return LonLatTransform(grid.projection).to_lonlat(x, y);
}

std::pair<double, double> from_lonlat(const Grid& grid, double longitude, double latitude) {
  return LonLatTransform(grid.projection).from_lonlat(longitude, latitude);
}

bool same_grid(const Grid& a, const Grid& b, double tolerance_pixels) {
  if (a == b) return true;
  if (a.columns != b.columns || a.rows != b.rows || a.projection.empty() != b.projection.empty())
    return false;
  const auto near = [&](double xa, double ya, double xb, double yb) {
    return std::abs(xa - xb) <= tolerance_pixels * b.dx && std::abs(ya - yb) <= tolerance_pixels * b.dy;
  };
  const double width_a = static_cast<double>(a.columns) * a.dx, height_a = static_cast<double>(a.rows) * a.dy;
  const double width_b = static_cast<double>(b.columns) * b.dx, height_b = static_cast<double>(b.rows) * b.dy;
  const bool same_text = a.projection == b.projection;
  std::optional<LonLatTransform> from, into;
  if (!same_text) {
    from.emplace(a.projection);
    into.emplace(b.projection);
  }
  // Equal at the corners and the middle, through longitude and latitude: spelling does not matter, place
  // does.
  static constexpr std::array<std::array<double, 2>, 5> kPoints = {
      {{0, 0}, {1, 0}, {0, 1}, {1, 1}, {.5, .5}}};
  for (const auto& [u, v] : kPoints) {
    double xa = a.x0 + u * width_a, ya = a.y0 - v * height_a;
    const double xb = b.x0 + u * width_b, yb = b.y0 - v * height_b;
    if (!same_text) {
      const auto [longitude, latitude] = from->to_lonlat(xa, ya);
      std::tie(xa, ya) = into->from_lonlat(longitude, latitude);
      // Corners of a wide map may lie off the projection's domain; then the numbers themselves must agree.
      if (!std::isfinite(xa) || !std::isfinite(ya)) xa = a.x0 + u * width_a, ya = a.y0 - v * height_a;
    }
    if (!near(xa, ya, xb, yb)) return false;
  }
  return true;
}

std::string describe(const Grid& grid) {
  const char* unit = is_geographic(grid.projection) ? "degrees" : "m";
  return fmt::format("{}x{} pixels of {:.7g} {} x {:.7g} {}, {}, upper left ({:.9g}, {:.9g})", grid.columns,
                     grid.rows, grid.dx, unit, grid.dy, unit,
                     grid.projection.empty() ? "no projection" : grid.projection, grid.x0, grid.y0);
}

double pixel_km(const Grid& grid) {
  if (!is_geographic(grid.projection)) return std::sqrt(grid.dx * grid.dy) / 1000.;
  constexpr double kKmADegree = 111.195, kRadian = 3.14159265358979323846 / 180.;
  const double latitude = grid.y0 - 0.5 * static_cast<double>(grid.rows) * grid.dy;
  return kKmADegree * std::sqrt(grid.dx * std::cos(latitude * kRadian) * grid.dy);
}

std::string crs_wkt(const Grid& grid) {
  if (grid.projection.empty()) return {};
  const Context context = make_context();
  const Pj crs = make_crs(context.get(), grid.projection);
  const char* options[] = {"MULTILINE=NO", nullptr};
  const char* text = proj_as_wkt(context.get(), crs.get(), PJ_WKT2_2019, options);
  if (text == nullptr) throw DataError(fmt::format("projection \"{}\" has no WKT form", grid.projection));
  return text;
}

CfGridMapping cf_grid_mapping(const Grid& grid) {
  CfGridMapping mapping;
  if (grid.projection.empty()) return mapping;
  const Context context = make_context();
  Tokens tokens = tokens_of(as_proj_string(context.get(), grid.projection));
  const std::string proj = tokens["proj"];
  const double lat_0 = token(tokens, "lat_0", 0.);
  mapping.name = cf_name(proj, lat_0);
  if (mapping.name.empty()) return mapping;
  auto& out = mapping.parameters;
  add_ellipsoid(context.get(), grid.projection, mapping);
  if (mapping.name == "latitude_longitude") return mapping;
  const double scale = token(tokens, "k", token(tokens, "k_0", 1.));
  const double lon_0 = token(tokens, "lon_0", 0.);
  out["false_easting"] = {token(tokens, "x_0", 0.)};
  out["false_northing"] = {token(tokens, "y_0", 0.)};
  if (proj == "utm") {
    out["longitude_of_central_meridian"] = {token(tokens, "zone", 31.) * 6. - 183.};
    out["latitude_of_projection_origin"] = {0.};
    out["scale_factor_at_central_meridian"] = {0.9996};
    out["false_easting"] = {500000.};
    out["false_northing"] = {tokens.count("south") != 0 ? 1e7 : 0.};
  } else if (mapping.name == "polar_stereographic") {
    out["latitude_of_projection_origin"] = {lat_0};
    out["straight_vertical_longitude_from_pole"] = {lon_0};
    if (tokens.count("lat_ts") != 0) {
      out["standard_parallel"] = {token(tokens, "lat_ts", lat_0)};
    } else {
      out["scale_factor_at_projection_origin"] = {scale};
    }
  } else if (proj == "lcc" || proj == "aea") {
    const double lat_1 = token(tokens, "lat_1", lat_0);
    out["standard_parallel"] = {lat_1};
    if (tokens.count("lat_2") != 0) out["standard_parallel"].push_back(token(tokens, "lat_2", lat_1));
    out["longitude_of_central_meridian"] = {lon_0};
    out["latitude_of_projection_origin"] = {lat_0};
  } else if (mapping.name == "transverse_mercator") {
    out["longitude_of_central_meridian"] = {lon_0};
    out["latitude_of_projection_origin"] = {lat_0};
    out["scale_factor_at_central_meridian"] = {scale};
  } else if (proj == "merc") {
    out["longitude_of_projection_origin"] = {lon_0};
    if (tokens.count("lat_ts") != 0) {
      out["standard_parallel"] = {token(tokens, "lat_ts", 0.)};
    } else {
      out["scale_factor_at_projection_origin"] = {scale};
    }
  } else if (proj == "geos") {
    out["longitude_of_projection_origin"] = {lon_0};
    out["latitude_of_projection_origin"] = {0.};
    out["perspective_point_height"] = {token(tokens, "h", 35785831.)};
    mapping.texts["sweep_angle_axis"] = tokens.count("sweep") != 0 ? tokens["sweep"] : "y";
  } else if (proj == "cea") {
    out["longitude_of_central_meridian"] = {lon_0};
    out["standard_parallel"] = {token(tokens, "lat_ts", 0.)};
  } else {  // laea, stereographic, aeqd, ortho, sinu
    out["longitude_of_projection_origin"] = {lon_0};
    if (proj != "sinu") out["latitude_of_projection_origin"] = {lat_0};
    if (proj == "stere") out["scale_factor_at_projection_origin"] = {scale};
  }
  return mapping;
}

std::string projection_from_cf(const CfGridMapping& mapping) {
  static const std::map<std::string, std::string> names = {{"lambert_azimuthal_equal_area", "laea"},
                                                           {"lambert_conformal_conic", "lcc"},
                                                           {"albers_conical_equal_area", "aea"},
                                                           {"transverse_mercator", "tmerc"},
                                                           {"mercator", "merc"},
                                                           {"latitude_longitude", "longlat"},
                                                           {"polar_stereographic", "stere"},
                                                           {"stereographic", "stere"},
                                                           {"azimuthal_equidistant", "aeqd"},
                                                           {"lambert_cylindrical_equal_area", "cea"},
                                                           {"orthographic", "ortho"},
                                                           {"sinusoidal", "sinu"},
                                                           {"geostationary", "geos"}};
  const auto found = names.find(mapping.name);
  if (found == names.end()) {
    throw DataError(fmt::format("grid_mapping_name \"{}\" is not known; expected one of CF's map projections",
                                mapping.name));
  }
  const auto value = [&](const char* key, std::size_t index = 0) -> std::optional<double> {
    const auto entry = mapping.parameters.find(key);
    if (entry == mapping.parameters.end() || entry->second.size() <= index) return std::nullopt;
    return entry->second[index];
  };
  std::string text = "+proj=" + found->second;
  const auto add = [&](const char* key, std::optional<double> number) {
    if (number) text += fmt::format(" +{}={}", key, *number);
  };
  const auto first_of = [&](std::initializer_list<const char*> keys) -> std::optional<double> {
    for (const char* key : keys) {
      if (const auto number = value(key)) return number;
    }
    return std::nullopt;
  };
  if (found->second != "longlat") {
    add("lat_0", value("latitude_of_projection_origin"));
    add("lon_0", first_of({"longitude_of_central_meridian", "longitude_of_projection_origin",
                           "straight_vertical_longitude_from_pole"}));
    const bool conic = found->second == "lcc" || found->second == "aea";
    add(conic ? "lat_1" : "lat_ts", value("standard_parallel"));
    if (conic) add("lat_2", value("standard_parallel", 1));
    add("k_0", first_of({"scale_factor_at_central_meridian", "scale_factor_at_projection_origin"}));
    if (found->second == "geos") {
      add("h", value("perspective_point_height"));
      const auto sweep = mapping.texts.find("sweep_angle_axis");
      if (sweep != mapping.texts.end() && (sweep->second == "x" || sweep->second == "y")) {
        text += " +sweep=" + sweep->second;
      }
    }
    add("x_0", value("false_easting"));
    add("y_0", value("false_northing"));
  }
  if (const auto radius = value("earth_radius")) {
    add("R", radius);
  } else if (const auto major = value("semi_major_axis")) {
    const auto inverse = value("inverse_flattening");
    add("a", major);
    if (inverse && *inverse > 0.) {
      add("rf", inverse);
    } else {
      add("b", value("semi_minor_axis") ? value("semi_minor_axis") : major);
    }
  } else {
    text += " +ellps=WGS84";
  }
  return found->second == "longlat" ? text : text + " +units=m";
}

std::string clean_projection(const std::string& text) {
  static const std::set<std::string> projections = {
      "laea",    "stere",   "sterea", "ups",    "lcc",   "aea",   "tmerc", "etmerc",
      "utm",     "somerc",  "merc",   "gnom",   "geos",  "eqc",   "cea",   "aeqd",
      "longlat", "latlong", "lonlat", "latlon", "ortho", "omerc", "sinu",  "eqdc"};
  static const std::set<std::string> numbers = {
      "lat_0", "lon_0", "lat_ts", "lat_1", "lat_2", "x_0",  "y_0",   "k",     "k_0",  "a",
      "b",     "rf",    "f",      "R",     "h",     "zone", "alpha", "gamma", "lonc", "to_meter"};
  static const std::set<std::string> words = {"ellps", "datum", "units", "sweep", "towgs84", "south", "proj"};
  static const std::set<std::string> ignored = {"no_defs", "type", "wktext", "over"};
  const auto refuse = [&](const std::string& why) {
    return DataError(
        fmt::format("projection \"{}\": {}; expected a plain PROJ string such as +proj=laea +lat_0=55 ...",
                    text.substr(0, 300), why));
  };
  if (text.size() > 1000) throw refuse("longer than 1000 characters");
  Tokens tokens = tokens_of(text);
  if (projections.count(tokens["proj"]) == 0) throw refuse(fmt::format("unknown +proj={}", tokens["proj"]));
  const double a = token(tokens, "a", token(tokens, "R", 0.));
  // An Earth 6378 wide is one in kilometres (KNMI).
  const bool km_axes = a > 6000. && a < 7000.;
  if (tokens.count("units") != 0 && tokens["units"] != "m" && tokens["units"] != "km") {
    throw refuse(fmt::format("unit +units={} (expected m or km)", tokens["units"]));
  }
  std::string out = "+proj=" + tokens["proj"];
  const bool geographic = is_geographic(out);
  for (const auto& [key, value] : tokens) {
    if (key == "proj" || key == "units" || ignored.count(key) != 0) continue;
    if (words.count(key) != 0) {
      if (value.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,+-") !=
          std::string::npos) {
        throw refuse(fmt::format("+{}={} has characters that do not belong there", key, value));
      }
      out += " +" + key + (value.empty() ? "" : "=" + value);
      continue;
    }
    if (numbers.count(key) == 0) throw refuse(fmt::format("parameter +{} is not allowed", key));
    const auto number = number_of(value);
    if (!number) throw refuse(fmt::format("+{}={} is not a number", key, value));
    if ((key == "a" || key == "b" || key == "R") && km_axes) {
      out += fmt::format(" +{}={}", key, *number * 1000.);
    } else if (key == "x_0" || key == "y_0") {
      // PROJ takes the false origin in metres, except where the ellipsoid itself is in kilometres.
      out += fmt::format(" +{}={}", key, km_axes ? *number * 1000. : *number);
    } else {
      out += " +" + key + "=" + value;
    }
  }
  return geographic ? out : out + " +units=m";
}

Grid crop(const Grid& grid, std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns) {
  if (row < 0 || column < 0 || rows < 1 || columns < 1 || row + rows > grid.rows ||
      column + columns > grid.columns) {
    throw DataError(fmt::format("crop {}x{} at row {}, column {} does not fit into {}x{} pixels", columns,
                                rows, row, column, grid.columns, grid.rows));
  }
  Grid out = grid;
  out.rows = rows;
  out.columns = columns;
  out.x0 += static_cast<double>(column) * grid.dx;
  out.y0 -= static_cast<double>(row) * grid.dy;
  return out;
}

}  // namespace raincell::io
