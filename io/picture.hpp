// Maps of rain and an animation, drawn with Cairo.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

enum class MapKind : std::uint8_t { unmarked, observed, forecast };

struct MapText {
  std::string title;                        // "raincell nowcast · convlstm"
  std::string subtitle;                     // "valid 2010-08-26T06:35Z · +5 min"
  MapKind kind = MapKind::unmarked;         // a label beside the title, and the colour in the time line
  Quantity quantity = Quantity::rain_rate;  // which colours and unit
  bool bare = false;  // the field and its graticule alone: for pages with a key of their own
};

/// Where the field lies in the picture, in pixels: it is enlarged or reduced by whole numbers.
struct MapFrame {
  int width = 0, height = 0;                     // of the picture
  int left = 0, top = 0, columns = 0, rows = 0;  // of the field in it
  int enlarged = 1;                              // picture pixels a grid pixel
  int reduced = 1;                               // grid pixels a picture pixel: their mean is shown
};
MapFrame map_frame(const Grid&, bool time_line = false, bool bare = false);

/// PNG bytes of one map with colour bar, title, UTC time, and, where the projection is known, a graticule and
/// a scale. `values` [rows, columns], physical units, kMissing hatched. Throws DataError when sizes differ or
/// a grid is empty, WriteError when Cairo fails.
std::vector<std::uint8_t> draw_map(const Grid&, std::span<const float> values, const MapText&);
/// Animated WebP bytes (lossless, endless) of maps that share one colour bar and a time line; the last frame
/// stays three times as long. As draw_map; one text a frame. Each frame is asked for when its turn comes and
/// not looked at after the next one is.
std::vector<std::uint8_t> draw_animation(const Grid&,
                                         const std::function<std::span<const float>(std::size_t)>& frame,
                                         const std::vector<MapText>&, int milliseconds_a_frame);

}  // namespace raincell::io
