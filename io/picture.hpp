// Maps of rain and an animation, drawn with Cairo.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

struct MapText {
  std::string title;     // "raincell nowcast · convlstm"
  std::string subtitle;  // "valid 2010-08-26T06:35Z · +5 min"
};

/// PNG bytes of one map with colour bar (mm/h), graticule where the projection is known, title and UTC time.
std::vector<std::uint8_t> draw_map(const Grid&, std::span<const float> values, const MapText&);
/// Animated WebP bytes of maps that share one colour bar.
std::vector<std::uint8_t> draw_animation(const Grid&, const std::vector<std::span<const float>>& frames,
                                         const std::vector<MapText>&, int milliseconds_a_frame);

}  // namespace raincell::io
