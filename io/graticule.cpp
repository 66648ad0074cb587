#include "io/graticule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/frame.hpp"

namespace raincell::io {
namespace {

constexpr int kProbes = 24;        // points along each side of the lattice that finds the range
constexpr int kLinePoints = 96;    // points of a line
constexpr double kMostLines = 8.;  // lines a direction, about
constexpr double kEarthRadius = 6371000.;
constexpr double kDegree = 3.14159265358979323846 / 180.;

struct Range {
  double low = 1e9, high = -1e9;
  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

double wrapped(double longitude, double middle) {
  return longitude - 360. * std::round((longitude - middle) / 360.);
}

double nice_step(const Range& range) {
  for (const double step : {0.05, 0.1, 0.2, 0.5, 1., 2., 5., 10., 15., 20., 30.}) {
    if ((range.high - range.low) / step <= kMostLines) return step;
  }
  return 30.;
}

double distance_m(std::pair<double, double> a, std::pair<double, double> b) {
  const double dlon = (b.first - a.first) * kDegree, dlat = (b.second - a.second) * kDegree;
  const double h = std::pow(std::sin(dlat / 2.), 2.) + std::cos(a.second * kDegree) *
                                                           std::cos(b.second * kDegree) *
                                                           std::pow(std::sin(dlon / 2.), 2.);
  return 2. * kEarthRadius * std::asin(std::sqrt(std::min(1., h)));
}

std::string degrees_text(double value, double step, const char* positive, const char* negative) {
  const double size = std::abs(value);
  const int decimals = step < 0.099 ? 2 : step < 0.99 ? 1 : 0;
  if (size < 1e-9) return "0°";
  return fmt::format("{:.{}f}°{}", size, decimals, value > 0. ? positive : negative);
}

class Builder {
 public:
  Builder(const Grid& grid, int columns, int rows)
      : grid_(grid), transform_(grid.projection), columns_(columns), rows_(rows) {
    width_ = static_cast<double>(grid.columns) * grid.dx;
    height_ = static_cast<double>(grid.rows) * grid.dy;
  }

  Graticule build() {
    Graticule out;
    const auto middle = lonlat(0.5, 0.5);
    if (!std::isfinite(middle.first) || !std::isfinite(middle.second)) return out;
    middle_ = middle.first;
    const double across = 1. / columns_;
    out.metres_a_pixel = distance_m(lonlat(0.5 - across / 2., 0.5), lonlat(0.5 + across / 2., 0.5));
    find_ranges();
    const double lon_step = nice_step(longitudes_), lat_step = nice_step(latitudes_);
    for (double lon = first(longitudes_, lon_step); lon <= longitudes_.high; lon += lon_step) {
      std::vector<MapPoint> line = trace(lon, lon, latitudes_.low, latitudes_.high, out);
      label_bottom(line, degrees_text(wrapped(lon, 0.), lon_step, "E", "W"), out);
    }
    for (double lat = first(latitudes_, lat_step); lat <= latitudes_.high; lat += lat_step) {
      std::vector<MapPoint> line = trace(longitudes_.low, longitudes_.high, lat, lat, out);
      label_left(line, degrees_text(lat, lat_step, "N", "S"), out);
    }
    return out;
  }

 private:
  static double first(const Range& range, double step) { return std::ceil(range.low / step - 1e-9) * step; }

  std::pair<double, double> lonlat(double u, double v) const {
    return transform_.to_lonlat(grid_.x0 + u * width_, grid_.y0 - v * height_);
  }

  void find_ranges() {
    for (int i = 0; i <= kProbes; ++i) {
      for (int j = 0; j <= kProbes; ++j) {
        const auto [lon, lat] = lonlat(static_cast<double>(i) / kProbes, static_cast<double>(j) / kProbes);
        if (!std::isfinite(lon) || !std::isfinite(lat)) continue;
        longitudes_.include(wrapped(lon, middle_));
        latitudes_.include(lat);
      }
    }
  }

  /// Points of a line in pixels; pieces that can be drawn go to `out`. NaN where the projection has no
  /// answer.
  std::vector<MapPoint> trace(double lon0, double lon1, double lat0, double lat1, Graticule& out) const {
    std::vector<MapPoint> all, piece;
    const auto flush = [&] {
      if (piece.size() > 1) out.lines.push_back(piece);
      piece.clear();
    };
    for (int i = 0; i <= kLinePoints; ++i) {
      const double t = static_cast<double>(i) / kLinePoints;
      const auto [x, y] = transform_.from_lonlat(lon0 + t * (lon1 - lon0), lat0 + t * (lat1 - lat0));
      const MapPoint point{(x - grid_.x0) / width_ * columns_, (grid_.y0 - y) / height_ * rows_};
      const bool good = std::isfinite(point.x) && std::isfinite(point.y) && std::abs(point.x) < 1e5 &&
                        std::abs(point.y) < 1e5;
      const bool jump =
          !piece.empty() && std::hypot(point.x - piece.back().x, point.y - piece.back().y) > columns_ / 2.;
      if (!good || jump) flush();
      if (good) piece.push_back(point);
      all.push_back(good ? point : MapPoint{NAN, NAN});
    }
    flush();
    return all;
  }

  void label_bottom(const std::vector<MapPoint>& line, const std::string& text, Graticule& out) const {
    for (std::size_t i = 1; i < line.size(); ++i) {
      const MapPoint a = line[i - 1], b = line[i];
      if ((a.y - rows_) * (b.y - rows_) > 0. || a.y == b.y || !std::isfinite(a.y + b.y)) continue;
      const double x = a.x + (rows_ - a.y) / (b.y - a.y) * (b.x - a.x);
      if (x >= 0. && x <= columns_) return add(out.bottom, {text, x}, 54.);
    }
  }
  void label_left(const std::vector<MapPoint>& line, const std::string& text, Graticule& out) const {
    for (std::size_t i = 1; i < line.size(); ++i) {
      const MapPoint a = line[i - 1], b = line[i];
      if (a.x * b.x > 0. || a.x == b.x || !std::isfinite(a.x + b.x)) continue;
      const double y = a.y + (0. - a.x) / (b.x - a.x) * (b.y - a.y);
      if (y >= 0. && y <= rows_) return add(out.left, {text, y}, 18.);
    }
  }
  static void add(std::vector<MapLabel>& labels, MapLabel label, double room) {
    const bool free = std::all_of(labels.begin(), labels.end(), [&](const MapLabel& other) {
      return std::abs(other.at - label.at) >= room;
    });
    if (free) labels.push_back(std::move(label));
  }

  const Grid& grid_;
  LonLatTransform transform_;
  int columns_, rows_;
  double width_ = 0., height_ = 0., middle_ = 0.;
  Range longitudes_, latitudes_;
};

}  // namespace

Graticule make_graticule(const Grid& grid, int columns, int rows) {
  if (grid.projection.empty()) return {};
  return Builder(grid, columns, rows).build();
}

}  // namespace raincell::io
