// Where the pixels lie on Earth.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>

namespace raincell::io {

/// A regular grid in a map projection (or in degrees when the projection is geographic).
/// Row 0 is the northernmost, column 0 the westernmost; x0, y0 is the outer corner of the upper left pixel.
struct Grid {
  std::string projection;  // PROJ string or WKT; empty: unknown
  std::int64_t columns = 0, rows = 0;
  double x0 = 0., y0 = 0.;  // metres, or degrees when geographic
  double dx = 1., dy = 1.;  // positive; metres or degrees a pixel

  std::int64_t pixels() const { return columns * rows; }
  bool operator==(const Grid&) const = default;
};

/// Same size, equivalent projection, and corners within `tolerance` pixels.
bool same_grid(const Grid&, const Grid&, double tolerance_pixels = 0.3);
/// "700x765 pixels of 1000 m x 1000 m, +proj=stere ..., upper left (0, -3650000)".
std::string describe(const Grid&);
/// Longitude and latitude (degrees, WGS 84) of a point of the projection. Throws DataError without a projection.
std::pair<double, double> to_lonlat(const Grid&, double x, double y);
std::pair<double, double> from_lonlat(const Grid&, double longitude, double latitude);
/// CRS as WKT2 (ISO 19162) for crs_wkt, and the CF grid-mapping name ("polar_stereographic", ...; empty if CF has none).
std::string crs_wkt(const Grid&);
/// A sub-rectangle of the grid.
Grid crop(const Grid&, std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns);

}  // namespace raincell::io
