#include "io/cf_out.hpp"

#include <algorithm>
#include <cmath>

namespace raincell::io {

namespace {

/// The grid mapping variable: CF attributes where CF knows the projection, and the CRS as WKT and PROJ text.
void define_mapping(NetcdfOut& out, const Grid& grid, CfGrid& cf) {
  const CfGridMapping mapping = cf_grid_mapping(grid);
  cf.mapping = mapping.name.empty() ? "crs" : mapping.name;
  const int variable = out.variable(cf.mapping, NetcdfType::int32, {});
  if (!mapping.name.empty()) out.attribute(variable, "grid_mapping_name", mapping.name);
  for (const auto& [name, values] : mapping.parameters) {
    // A false origin counts in the units of the axes.
    const double unit = name == "false_easting" || name == "false_northing" ? cf.metres_per_unit : 1.;
    if (values.size() == 1) out.attribute(variable, name, values.front() / unit);
    if (values.size() > 1) out.attribute(variable, name, std::span<const double>(values));
  }
  for (const auto& [name, text] : mapping.texts) out.attribute(variable, name, text);
  if (cf.metres_per_unit == 1.) out.attribute(variable, "crs_wkt", crs_wkt(grid));
  out.attribute(variable, "proj4_params", grid.projection);
}

}  // namespace

Packing packing_of(Quantity quantity) {
  // 1/25500 holds both hundredths and the 255 grey levels of an image exactly, up to 1.28.
  return {quantity == Quantity::intensity ? 1. / 25500. : 0.01};
}

std::int16_t pack_value(float value, Packing packing) {
  if (std::isnan(value)) return Packing::kFill;
  const double code = std::nearbyint(static_cast<double>(value) / packing.scale);
  return static_cast<std::int16_t>(std::clamp(code, -32767., static_cast<double>(Packing::kLargest)));
}

CfGrid define_grid(NetcdfOut& out, const Grid& grid, bool kilometres) {
  CfGrid cf;
  cf.y_dimension = out.dimension("y", static_cast<std::size_t>(grid.rows));
  cf.x_dimension = out.dimension("x", static_cast<std::size_t>(grid.columns));
  cf.y = out.variable("y", NetcdfType::float64, {cf.y_dimension});
  cf.x = out.variable("x", NetcdfType::float64, {cf.x_dimension});
  const bool placed = !grid.projection.empty();
  const bool degrees = placed && is_geographic(grid.projection);
  cf.metres_per_unit = kilometres && !degrees ? 1000. : 1.;
  if (placed) {
    out.attribute(cf.x, "standard_name", std::string(degrees ? "longitude" : "projection_x_coordinate"));
    out.attribute(cf.y, "standard_name", std::string(degrees ? "latitude" : "projection_y_coordinate"));
  }
  const std::string length = kilometres ? "km" : "m";
  out.attribute(cf.x, "units", degrees ? "degrees_east" : length);
  out.attribute(cf.y, "units", degrees ? "degrees_north" : length);
  out.attribute(cf.x, "axis", std::string("X"));
  out.attribute(cf.y, "axis", std::string("Y"));
  if (placed) define_mapping(out, grid, cf);
  return cf;
}

void put_axes(NetcdfOut& out, const CfGrid& cf, const Grid& grid) {
  std::vector<double> x(static_cast<std::size_t>(grid.columns)), y(static_cast<std::size_t>(grid.rows));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = (grid.x0 + (static_cast<double>(i) + 0.5) * grid.dx) / cf.metres_per_unit;
  }
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = (grid.y0 - (static_cast<double>(i) + 0.5) * grid.dy) / cf.metres_per_unit;
  }
  out.put(cf.x, {0}, {x.size()}, std::span<const double>(x));
  out.put(cf.y, {0}, {y.size()}, std::span<const double>(y));
}

void define_time(NetcdfOut& out, int variable) {
  out.attribute(variable, "standard_name", std::string("time"));
  out.attribute(variable, "long_name", std::string("valid time: end of the measuring window"));
  out.attribute(variable, "units", std::string("seconds since 1970-01-01 00:00:00"));
  out.attribute(variable, "calendar", std::string("standard"));
  out.attribute(variable, "units_metadata", std::string("leap_seconds: none"));
  out.attribute(variable, "axis", std::string("T"));
}

CfName cf_name_of(Quantity quantity) {
  switch (quantity) {
    case Quantity::rain_rate:
      return {"precip_intensity", "lwe_precipitation_rate", "rain rate"};
    case Quantity::reflectivity:
      return {"field", "equivalent_reflectivity_factor", "radar reflectivity"};
    case Quantity::vil:
      return {"field", "", "vertically integrated liquid water"};
    case Quantity::intensity:
      return {"field", "", "intensity"};
  }
  return {};
}

int define_packed(NetcdfOut& out, Quantity quantity, const Packing& packing, int time, const CfGrid& cf,
                  const NetcdfStorage& storage) {
  const CfName name = cf_name_of(quantity);
  const int variable =
      out.variable(name.variable, NetcdfType::int16, {time, cf.y_dimension, cf.x_dimension}, storage);
  out.fill_value(variable, Packing::kFill);
  if (!name.standard_name.empty()) out.attribute(variable, "standard_name", name.standard_name);
  out.attribute(variable, "long_name", name.long_name);
  out.attribute(variable, "units", std::string(unit_of(quantity)));
  out.attribute(variable, "scale_factor", packing.scale);
  out.attribute(variable, "add_offset", 0.);
  if (!cf.mapping.empty()) out.attribute(variable, "grid_mapping", cf.mapping);
  return variable;
}

std::vector<std::byte> cf_bytes(std::span<const Frame> frames) {
  if (frames.empty()) throw WriteError("CF file: no frame to write");
  const Frame& first = frames.front();
  NetcdfOut out = NetcdfOut::in_memory("CF file in memory");
  const int time_dimension = out.dimension("time", frames.size());
  const int time = out.variable("time", NetcdfType::float64, {time_dimension});
  define_time(out, time);
  const CfGrid cf = define_grid(out, first.grid, true);
  const Packing packing = packing_of(first.quantity);
  const int values = define_packed(
      out, first.quantity, packing, time_dimension, cf,
      {{1, static_cast<std::size_t>(first.grid.rows), static_cast<std::size_t>(first.grid.columns)}, 1});
  out.attribute(values, "cell_methods", std::string("time: point"));
  out.attribute(NetcdfOut::kGlobal, "Conventions", std::string("CF-1.11"));
  out.attribute(NetcdfOut::kGlobal, "title", std::string("Synthetic radar frames"));
  out.attribute(NetcdfOut::kGlobal, "source", std::string("raincell simulate"));
  out.attribute(NetcdfOut::kGlobal, "history", std::string("written by raincell simulate"));
  out.end_definitions();
  put_axes(out, cf, first.grid);
  std::vector<std::int16_t> codes(first.values.size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (frames[i].grid != first.grid) throw WriteError("CF file: frames of different grids in one file");
    const double seconds = static_cast<double>(frames[i].valid_time.time_since_epoch().count());
    out.put(time, {i}, {1}, std::span<const double>(&seconds, 1));
    for (std::size_t k = 0; k < codes.size(); ++k) codes[k] = pack_value(frames[i].values[k], packing);
    out.put(values, {i, 0, 0},
            {1, static_cast<std::size_t>(first.grid.rows), static_cast<std::size_t>(first.grid.columns)},
            std::span<const std::int16_t>(codes));
  }
  return out.take_bytes();
}

}  // namespace raincell::io
