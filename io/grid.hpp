// Where the pixels lie on Earth.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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
/// Longitude and latitude (degrees, WGS 84) of a point of the projection. Throws DataError without a
/// projection.
std::pair<double, double> to_lonlat(const Grid&, double x, double y);
std::pair<double, double> from_lonlat(const Grid&, double longitude, double latitude);
/// The same for many points: the projection is set up once. Not thread-safe: one a thread.
class LonLatTransform {
 public:
  /// Throws DataError when the projection is empty or unknown to PROJ.
  explicit LonLatTransform(const std::string& projection);
  LonLatTransform(LonLatTransform&&) noexcept;
  LonLatTransform& operator=(LonLatTransform&&) noexcept;
  ~LonLatTransform();
  /// (longitude, latitude) in degrees of (x, y), and back. Not finite outside the projection's domain.
  std::pair<double, double> to_lonlat(double x, double y) const;
  std::pair<double, double> from_lonlat(double longitude, double latitude) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};
/// True when x and y are degrees.
bool is_geographic(const std::string& projection);
/// Kilometres a pixel: of degrees those at the middle of the grid.
double pixel_km(const Grid&);
/// CRS as WKT2 (ISO 19162) for crs_wkt (empty without a projection).
std::string crs_wkt(const Grid&);
/// A CF grid mapping: attributes of the grid_mapping variable, grid_mapping_name left out.
struct CfGridMapping {
  std::string name;                                       // "polar_stereographic", ...; empty if CF has none
  std::map<std::string, std::vector<double>> parameters;  // "standard_parallel": {60}, "semi_major_axis", ...
  std::map<std::string, std::string> texts;               // "sweep_angle_axis": "y"
};
CfGridMapping cf_grid_mapping(const Grid&);
/// The PROJ string of a CF grid mapping (metres, or degrees for latitude_longitude). Throws DataError for an
/// unknown one.
std::string projection_from_cf(const CfGridMapping&);
/// Allows plain conversions only ("+proj=laea ..."): no pipelines, grids, init files or unknown projections,
/// which could open files; adds a missing "+", turns kilometre axes and units into metres, drops +no_defs and
/// +type. Throws DataError naming the offending part.
std::string clean_projection(const std::string& text);
/// A sub-rectangle of the grid.
Grid crop(const Grid&, std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns);

}  // namespace raincell::io
