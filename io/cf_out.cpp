#include "io/cf_out.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace raincell::io {

namespace {

/// The grid mapping variable: CF attributes where CF knows the projection, and the CRS as WKT and PROJ text.
void define_mapping(NetcdfOut& out, const Grid& grid, CfGrid& cf) {
  const CfGridMapping mapping = cf_grid_mapping(grid);
  cf.mapping = mapping.name.empty() ? "crs" : mapping.name;
  const int variable = out.variable(cf.mapping, NetcdfType::int32, {});
  if (!mapping.name.empty()) out.text(variable, "grid_mapping_name", mapping.name);
  out.text(variable, "long_name", "coordinate reference system");
  for (const auto& [name, values] : mapping.parameters) {
    // A false origin counts in the units of the axes.
    const bool length = name == "false_easting" || name == "false_northing";
    std::vector<double> numbers = values;
    for (double& number : numbers) number /= length ? cf.metres_per_unit : 1.;
    out.numbers(variable, name, std::span<const double>(numbers));
  }
  for (const auto& [name, text] : mapping.texts) out.text(variable, name, text);
  if (cf.metres_per_unit == 1.) {
    const std::string wkt = crs_wkt(grid);
    out.text(variable, "crs_wkt", wkt);
    out.text(variable, "spatial_ref", wkt);  // what GDAL and QGIS read
    out.text(variable, "GeoTransform",
             fmt::format("{:.17g} {:.17g} 0 {:.17g} 0 {:.17g}", grid.x0, grid.dx, grid.y0, -grid.dy));
  }
  out.text(variable, "proj4", grid.projection);
}

void describe_axis(NetcdfOut& out, int variable, const char* axis, const std::string& standard_name,
                   const std::string& long_name, const std::string& units) {
  if (!standard_name.empty()) out.text(variable, "standard_name", standard_name);
  out.text(variable, "long_name", long_name);
  out.text(variable, "units", units);
  out.text(variable, "axis", axis);
}

}  // namespace

Packing packing_of(Quantity quantity) {
  Packing packing;
  // 1/25500 holds both hundredths and the 255 grey levels of an image exactly, up to 1.28.
  if (quantity == Quantity::intensity) packing.scale = 1. / 25500.;
  return packing;
}

std::int64_t pack(std::span<const float> values, const Packing& packing, std::span<std::int16_t> codes) {
  constexpr double kRounding =
      0x1.8p52;  // added and taken away it leaves the nearest whole number, without a call
  const double lowest = packing.lowest, highest = packing.highest;
  std::int64_t clipped = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool missing = std::isnan(values[i]);
    const double exact = missing ? 0. : static_cast<double>(values[i]) / packing.scale;
    const double near = std::min(std::max(exact, lowest - 1.), highest + 1.);
    const double code = (near + kRounding) - kRounding;
    const double inside = std::min(std::max(code, lowest), highest);
    clipped += inside != code ? 1 : 0;
    codes[i] = missing ? Packing::kFill : static_cast<std::int16_t>(inside);
  }
  return clipped;
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
  const std::string length = kilometres ? "km" : "m";
  if (degrees) {
    describe_axis(out, cf.y, "Y", "latitude", "latitude of pixel centres", "degrees_north");
    describe_axis(out, cf.x, "X", "longitude", "longitude of pixel centres", "degrees_east");
  } else if (placed) {
    describe_axis(out, cf.y, "Y", "projection_y_coordinate", "y of pixel centres", length);
    describe_axis(out, cf.x, "X", "projection_x_coordinate", "x of pixel centres", length);
  } else {
    describe_axis(out, cf.y, "Y", "", "distance from the upper edge of the grid", length);
    describe_axis(out, cf.x, "X", "", "distance from the left edge of the grid", length);
  }
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
  out.put(cf.x, x);
  out.put(cf.y, y);
}

void define_time(NetcdfOut& out, int variable, const std::string& standard_name, const std::string& long_name,
                 const std::string& units) {
  out.text(variable, "standard_name", standard_name);
  out.text(variable, "long_name", long_name);
  out.text(variable, "units", units);
  out.text(variable, "calendar", "standard");
  out.text(variable, "units_metadata", "leap_seconds: none");
  if (standard_name == "time") out.text(variable, "axis", "T");
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

CfField cf_field_of(Quantity quantity) {
  return {cf_name_of(quantity), unit_of(quantity), "time: point", "", packing_of(quantity)};
}

int define_field(NetcdfOut& out, const CfField& field, const std::vector<int>& leading, const CfGrid& cf,
                 const NetcdfStorage& storage) {
  std::vector<int> dimensions = leading;
  dimensions.insert(dimensions.end(), {cf.y_dimension, cf.x_dimension});
  const int variable = out.variable(field.name.variable, NetcdfType::int16, dimensions, storage);
  const Packing& packing = field.packing;
  const std::int16_t range[2] = {packing.lowest, packing.highest};
  out.fill_value(variable, Packing::kFill);
  if (!field.name.standard_name.empty()) out.text(variable, "standard_name", field.name.standard_name);
  out.text(variable, "long_name", field.name.long_name);
  out.text(variable, "units", field.unit);
  if (packing.single) {
    out.number(variable, "scale_factor", static_cast<float>(packing.scale));
    out.number(variable, "add_offset", 0.F);
  } else {
    out.number(variable, "scale_factor", packing.scale);
    out.number(variable, "add_offset", 0.);
  }
  out.numbers(variable, "valid_range", std::span<const std::int16_t>(range));
  if (!cf.mapping.empty()) out.text(variable, "grid_mapping", cf.mapping);
  if (!field.coordinates.empty()) out.text(variable, "coordinates", field.coordinates);
  if (!field.cell_methods.empty()) out.text(variable, "cell_methods", field.cell_methods);
  return variable;
}

std::vector<std::byte> cf_bytes(std::span<const Frame> frames) {
  if (frames.empty()) throw WriteError("CF file: no frame to write");
  const Grid& grid = frames.front().grid;
  const std::vector<std::size_t> plane{1, static_cast<std::size_t>(grid.rows),
                                       static_cast<std::size_t>(grid.columns)};
  NetcdfOut out = NetcdfOut::in_memory("CF file in memory");
  const int time_dimension = out.dimension("time", frames.size());
  const int time = out.variable("time", NetcdfType::float64, {time_dimension});
  define_time(out, time, "time", "valid time: end of the measuring window");
  const CfGrid cf = define_grid(out, grid, true);
  const CfField field = cf_field_of(frames.front().quantity);
  const int values = define_field(out, field, {time_dimension}, cf, {plane, 1});
  out.text(NetcdfOut::kGlobal, "Conventions", "CF-1.11");
  out.text(NetcdfOut::kGlobal, "title", "Synthetic radar frames");
  out.text(NetcdfOut::kGlobal, "source", "raincell simulate");
  out.text(NetcdfOut::kGlobal, "history", "written by raincell simulate");
  out.end_definitions();
  put_axes(out, cf, grid);
  std::vector<double> times;
  std::vector<std::int16_t> codes(static_cast<std::size_t>(grid.pixels()));
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (frames[i].grid != grid || frames[i].values.size() != codes.size()) {
      throw WriteError("CF file: frames of different grids in one file");
    }
    times.push_back(static_cast<double>(frames[i].valid_time.time_since_epoch().count()));
    pack(frames[i].values, field.packing, codes);
    out.put(values, {i, 0, 0}, plane, std::span<const std::int16_t>(codes));
  }
  out.put(time, times);
  return out.take_bytes();
}

}  // namespace raincell::io
