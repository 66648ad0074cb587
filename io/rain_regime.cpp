#include "io/rain_regime.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "io/frame.hpp"
#include "io/rain_field.hpp"

namespace raincell::io {

namespace {

struct Named {
  const char* name;
  RainRegime regime;
};

const Named kNamed[] = {
    {"temperate", {}},
    {"stratiform", {.outer_scale_km = 128., .life_s = 18000., .threshold = 0.2, .steepness = 1.4}},
    {"showers",
     {.outer_scale_km = 16., .spectrum = 0.95, .life_s = 10000., .threshold = 1.1, .steepness = 2.}},
    {"storms",
     {.outer_scale_km = 32.,
      .spectrum = 0.9,
      .life_s = 9000.,
      .threshold = 1.,
      .growth = 0.4,
      .steepness = 2.9}}};

RainRegime drawn_regime(std::uint64_t seed) {
  RainRegime regime;
  const auto between = [&](std::uint64_t which, double low, double high) {
    return low + (high - low) * random_unit(seed, 30, which);
  };
  regime.outer_scale_km = std::exp(between(0, std::log(12.), std::log(150.)));
  regime.spectrum = between(1, 0.75, 1.);
  regime.life_s = std::exp(between(2, std::log(5400.), std::log(28800.)));
  regime.speed_m_s = between(3, 1., 22.);
  regime.more_speed_m_s = 0.;
  regime.threshold = between(4, 0., 1.3);
  regime.growth = between(5, 0.1, 0.5);
  regime.steepness = between(6, 1.2, 2.9);
  if (random_unit(seed, 31) < 1. / 3.) regime.clutter = between(7, 0.0005, 0.005);
  return regime;
}

}  // namespace

const std::vector<std::string>& rain_regimes() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Named& one : kNamed) all.emplace_back(one.name);
    all.emplace_back("any");
    return all;
  }();
  return names;
}

RainRegime rain_regime(const std::string& name, std::uint64_t seed) {
  if (name == "any") return drawn_regime(seed);
  for (const Named& one : kNamed)
    if (name == one.name) return one.regime;
  throw DataError(
      fmt::format("simulate: regime \"{}\" is unknown; {}", name, fmt::join(rain_regimes(), ", ")));
}

}  // namespace raincell::io
