// Colours of rain: classes in mm/h (or dBZ, ...), darker with more rain for every kind of sight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

struct Colour {
  std::uint8_t red = 0, green = 0, blue = 0;
  bool operator==(const Colour&) const = default;
  /// "#rrggbb".
  std::string hex() const;
};

/// Classes from bounds[i] to bounds[i+1], the last one open above. Below bounds[0] a pixel is dry.
struct ColourScale {
  std::string unit;             // as on the map: "mm/h"
  std::vector<double> bounds;   // ascending
  std::vector<Colour> colours;  // one a class; lightness falls from class to class
  Colour dry, missing, missing_hatch;

  /// The class of a value; -1 when it is dry. The value must not be missing.
  int class_of(float value) const;
};

/// Rain rate 0.1 ... 100 mm/h, reflectivity 5 ... 60 dBZ, VIL 0.1 ... 50 kg/m2, intensity 0.05 ... 0.95.
ColourScale colour_scale(Quantity);

}  // namespace raincell::io
