#include "io/cf_out.hpp"

#include <algorithm>
#include <cmath>

namespace raincell::io {

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
  const bool degrees = !grid.projection.empty() && is_geographic(grid);
  cf.metres_per_unit = kilometres && !degrees ? 1000. : 1.;
  out.attribute(cf.x, "standard_name", std::string(degrees ? "longitude" : "projection_x_coordinate"));
  out.attribute(cf.y, "standard_name", std::string(degrees ? "latitude" : "projection_y_coordinate"));
  const std::string length = kilometres ? "km" : "m";
  out.attribute(cf.x, "units", degrees ? "degrees_east" : length);
  out.attribute(cf.y, "units", degrees ? "degrees_north" : length);
  out.attribute(cf.x, "axis", std::string("X"));
  out.attribute(cf.y, "axis", std::string("Y"));
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

}  // namespace raincell::io
