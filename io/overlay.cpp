#include "io/overlay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/block_means.hpp"

namespace raincell::io {
namespace {

constexpr double kDegree = 3.14159265358979323846 / 180.;
constexpr double kNorthernmost = 85.05;        // where Web Mercator ends
constexpr std::int64_t kLargestSide = 1600;    // of an image: 2.5 million pixels, 10 MB in a browser
constexpr std::int64_t kProbes = 24;           // pixels looked at in each direction
constexpr std::uint8_t kDry = 0, kUnseen = 1;  // places in the palette; the classes of rain follow
constexpr std::uint8_t kRain = 2;
constexpr std::uint8_t kUnseenAlpha = 120;  // the map below stays legible

/// Web Mercator's y and its inverse, in degrees as its x.
double mercator(double latitude) {
  return std::asinh(std::tan(latitude * kDegree)) / kDegree;
}
double latitude_of(double y) {
  return std::atan(std::sinh(y * kDegree)) / kDegree;
}

DataError refusal(const Grid& grid, const std::string& why) {
  return DataError(fmt::format("map overlay of {}: {}; crop the grid or look at its products instead",
                               describe(grid), why));
}

/// Where x and y lie on the map, in Mercator's degrees.
std::pair<double, double> on_map(const LonLatTransform& transform, double x, double y) {
  const auto [longitude, latitude] = transform.to_lonlat(x, y);
  return {std::remainder(longitude, 360.), mercator(latitude)};
}

}  // namespace

Overlay::Overlay(const Grid& grid, Quantity quantity)
    : grid_(grid),
      transform_(grid.projection),
      is_degrees_(is_geographic(grid.projection)),
      scale_(colour_scale(quantity)) {
  if (grid.columns < 1 || grid.rows < 1) throw refusal(grid, "it has no pixels");
  palette_ = {{scale_.dry, 0}, {scale_.missing_hatch, kUnseenAlpha}};
  for (const Colour& colour : scale_.colours) palette_.push_back({colour, 255});
  choose_frame();
  choose_pixels();
}

/// The footprint, from a walk along the corners of the outermost pixels: without a pole inside, no place
/// within lies farther out.
void Overlay::choose_frame() {
  double west = 1e9, east = -1e9, south = 1e9, north = -1e9;
  std::optional<double> before;
  const auto visit = [&](std::int64_t column, std::int64_t row) {
    const auto [x, y] = transform_.to_lonlat(grid_.x0 + static_cast<double>(column) * grid_.dx,
                                             grid_.y0 - static_cast<double>(row) * grid_.dy);
    if (!std::isfinite(x) || !std::isfinite(y)) {
      throw refusal(grid_, fmt::format("the corner at row {}, column {} lies nowhere on Earth", row, column));
    }
    if (std::abs(y) > kNorthernmost) {
      throw refusal(grid_, fmt::format("it reaches {:.2f} degrees of latitude, and a web map ends at {}", y,
                                       kNorthernmost));
    }
    const double longitude = std::remainder(x, 360.);
    if (before && std::abs(longitude - *before) > 180.) {
      throw refusal(grid_, "it crosses the antimeridian or holds a pole, which a web map would tear apart");
    }
    before = longitude;
    west = std::min(west, longitude);
    east = std::max(east, longitude);
    south = std::min(south, y);
    north = std::max(north, y);
  };
  for (std::int64_t column = 0; column <= grid_.columns; ++column) visit(column, 0);
  for (std::int64_t row = 0; row <= grid_.rows; ++row) visit(grid_.columns, row);
  for (std::int64_t column = grid_.columns; column >= 0; --column) visit(column, grid_.rows);
  for (std::int64_t row = grid_.rows; row >= 0; --row) visit(0, row);

  const double width = east - west, height = mercator(north) - mercator(south), step = finest_step();
  const double pixels = std::ceil(std::max(width, height) / step);
  if (!(step > 0.) || !(pixels < 1e7)) throw refusal(grid_, "its pixels have no size on a web map");
  reduced_ = static_cast<int>((static_cast<std::int64_t>(pixels) + kLargestSide - 1) / kLargestSide);
  const auto sides = [&](double length) {  // a whole number of steps is not one more by rounding
    return std::max<std::int64_t>(1, std::llround(std::ceil(length / (step * reduced_) - 1e-6)));
  };
  frame_ = {south, west, north, east, sides(width), sides(height)};
}

/// The widest distance of image pixels, in Mercator's degrees, at which none of the grid's pixels falls
/// between them: the smallest of the squares along the axes that fit into the pixels as the map shows them,
/// turned and stretched.
double Overlay::finest_step() const {
  double finest = 1e9;
  for (std::int64_t i = 0; i < kProbes; ++i) {
    for (std::int64_t j = 0; j < kProbes; ++j) {
      const std::int64_t row = i * (grid_.rows - 1) / (kProbes - 1);
      const std::int64_t column = j * (grid_.columns - 1) / (kProbes - 1);
      const double x = grid_.x0 + static_cast<double>(column) * grid_.dx;
      const double y = grid_.y0 - static_cast<double>(row) * grid_.dy;
      const auto corner = on_map(transform_, x, y);
      const auto right = on_map(transform_, x + grid_.dx, y), down = on_map(transform_, x, y - grid_.dy);
      const double ux = right.first - corner.first, uy = right.second - corner.second;
      const double vx = down.first - corner.first, vy = down.second - corner.second;
      const double longer = std::max(std::abs(ux) + std::abs(uy), std::abs(vx) + std::abs(vy));
      finest = std::min(finest, std::abs(ux * vy - uy * vx) / longer);
    }
  }
  return finest;
}

void Overlay::choose_pixels() {
  shown_columns_ = (grid_.columns + reduced_ - 1) / reduced_;
  shown_rows_ = (grid_.rows + reduced_ - 1) / reduced_;
  shown_.reserve(static_cast<std::size_t>(frame_.columns * frame_.rows));
  const double top = mercator(frame_.north), bottom = mercator(frame_.south);
  for (std::int64_t row = 0; row < frame_.rows; ++row) {
    const double down = (static_cast<double>(row) + 0.5) / static_cast<double>(frame_.rows);
    const double latitude = latitude_of(top + down * (bottom - top));
    for (std::int64_t column = 0; column < frame_.columns; ++column) {
      const double across = (static_cast<double>(column) + 0.5) / static_cast<double>(frame_.columns);
      const auto pixel = pixel_at(latitude, frame_.west + across * (frame_.east - frame_.west));
      shown_.push_back(pixel ? static_cast<std::int32_t>(pixel->first / reduced_ * shown_columns_ +
                                                         pixel->second / reduced_)
                             : -1);
    }
  }
}

std::optional<std::pair<std::int64_t, std::int64_t>> Overlay::pixel_at(double latitude,
                                                                       double longitude) const {
  auto [x, y] = transform_.from_lonlat(longitude, latitude);
  if (is_degrees_) {  // grids of degrees may count them from 0 to 360
    const double middle = grid_.x0 + 0.5 * static_cast<double>(grid_.columns) * grid_.dx;
    x += 360. * std::round((middle - x) / 360.);
  }
  const double column = std::floor((x - grid_.x0) / grid_.dx), row = std::floor((grid_.y0 - y) / grid_.dy);
  // Also false where they are not finite.
  const bool inside = column >= 0. && column < static_cast<double>(grid_.columns) && row >= 0. &&
                      row < static_cast<double>(grid_.rows);
  if (!inside) return std::nullopt;
  return std::pair{static_cast<std::int64_t>(row), static_cast<std::int64_t>(column)};
}

std::vector<std::uint8_t> Overlay::png(std::span<const float> values) const {
  if (static_cast<std::int64_t>(values.size()) != grid_.pixels()) {
    throw DataError(fmt::format("map overlay: {} values; expected {}, those of {}", values.size(),
                                grid_.pixels(), describe(grid_)));
  }
  std::vector<float> means;
  if (reduced_ > 1) {
    means = block_means(values, grid_.columns, grid_.rows, reduced_);
    values = means;
  }
  std::vector<std::uint8_t> places(values.size());
  std::transform(values.begin(), values.end(), places.begin(), [&](float value) {
    if (std::isnan(value)) return kUnseen;
    const int level = scale_.class_of(value);
    return level < 0 ? kDry : static_cast<std::uint8_t>(kRain + level);
  });
  std::vector<std::uint8_t> indices(shown_.size());
  std::transform(shown_.begin(), shown_.end(), indices.begin(), [&](std::int32_t pixel) {
    return pixel < 0 ? kUnseen : places[static_cast<std::size_t>(pixel)];
  });
  return palette_png(frame_.columns, frame_.rows, indices, palette_);
}

}  // namespace raincell::io
