// The kinds of weather that simulated rain may be.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace raincell::io {

/// What tells one kind of rain from another.
struct RainRegime {
  double outer_scale_km = 48.;                 // largest rain area
  double spectrum = 0.85;                      // half the exponent of the spectral density: 1-D slope 2.4
  double life_s = 10800.;                      // of rain as wide as 48 km; smaller areas are sooner gone
  double speed_m_s = 7., more_speed_m_s = 7.;  // least, and what a seed may add
  double threshold = 0.85;                     // of the field of unit variance, above which it rains
  double growth = 0.25;                        // amplitude of the threshold's swing: rain comes and goes
  double steepness = 2.2;                      // logarithm of the rain rate per unit of the field: how peaked
  double clutter = 0.;                         // share of pixels with standing echoes
};

/// Known names, the usual one first: temperate, stratiform, showers, storms, any.
const std::vector<std::string>& rain_regimes();
/// any: every property is drawn by the seed, between the extremes of the others and beyond, with clutter in
/// every third. Throws DataError for an unknown name.
RainRegime rain_regime(const std::string& name, std::uint64_t seed);

}  // namespace raincell::io
