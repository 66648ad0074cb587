// Lines of longitude and latitude over a map, and its scale, in picture pixels.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/grid.hpp"

namespace raincell::io {

struct MapPoint {
  double x = 0., y = 0.;
};

struct MapLabel {
  std::string text;  // "5°E"
  double at = 0.;    // pixels from the left (longitudes) or from the top (latitudes)
};

struct Graticule {
  std::vector<std::vector<MapPoint>> lines;
  std::vector<MapLabel> bottom, left;  // where lines cross the edges
  double metres_a_pixel = 0.;          // at the middle; 0: unknown
};

/// For a field shown on columns x rows picture pixels. Empty without a projection, or where PROJ cannot
/// invert it.
Graticule make_graticule(const Grid&, int columns, int rows);

}  // namespace raincell::io
