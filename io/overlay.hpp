// A radar field as an image that a web map lays over its own: rows and columns of Web Mercator (EPSG:3857).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "io/frame.hpp"
#include "io/palette_png.hpp"

namespace raincell::io {

/// The image's outer edges in degrees (WGS 84), and its size in pixels. Between the edges pixels are equally
/// wide in longitude and equally high in Web Mercator's y, not in latitude.
struct OverlayFrame {
  double south = 0., west = 0., north = 0., east = 0.;
  std::int64_t columns = 0, rows = 0;
};

/// Made once for a grid; afterwards an image costs milliseconds. Safe to use from one thread at a time.
class Overlay {
 public:
  /// Throws DataError for a grid without projection, with corners that the projection has no place for, or
  /// across the antimeridian, a pole or 85 degrees of latitude, where Web Mercator would draw it wrongly.
  explicit Overlay(const Grid&, Quantity);

  const OverlayFrame& frame() const { return frame_; }
  /// Grid pixels a side of which an image pixel shows the mean: 1 unless the image would become too large.
  int reduced() const { return reduced_; }
  /// How what was not observed looks.
  const PaletteEntry& missing() const { return palette_[1]; }
  /// PNG bytes of values [rows, columns], kMissing where missing: rain opaque in the classes of colour_scale,
  /// dry transparent, missing and what lies outside the grid a translucent grey. Throws DataError when the
  /// number of values is not that of the grid's pixels.
  std::vector<std::uint8_t> png(std::span<const float> values) const;
  /// Row and column of the grid pixel that contains a point; nothing outside the grid.
  std::optional<std::pair<std::int64_t, std::int64_t>> pixel_at(double latitude, double longitude) const;

 private:
  void choose_frame();
  void choose_pixels();
  double finest_step() const;

  Grid grid_;
  LonLatTransform transform_;
  bool is_degrees_;
  ColourScale scale_;
  std::vector<PaletteEntry> palette_;
  OverlayFrame frame_;
  int reduced_ = 1;
  std::int64_t shown_columns_ = 0, shown_rows_ = 0;  // of the grid, or of its blocks
  std::vector<std::int32_t> shown_;                  // [frame rows, columns]: which of them; -1 outside
};

}  // namespace raincell::io
