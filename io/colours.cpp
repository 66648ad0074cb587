#include "io/colours.hpp"

#include <algorithm>
#include <cstdio>

namespace raincell::io {
namespace {

/// Pale blue to ink, through blue, violet and wine: CIE lightness falls by about 7 from class to class, so
/// that the order survives colour blindness and grey print.
const std::vector<Colour> kInk = {{214, 236, 248}, {176, 217, 241}, {133, 194, 232}, {87, 169, 222},
                                  {47, 142, 208},  {38, 112, 188},  {66, 80, 170},   {98, 46, 148},
                                  {108, 20, 112},  {92, 8, 66},     {48, 2, 24}};

std::vector<double> bounds_of(Quantity quantity) {
  switch (quantity) {
    case Quantity::rain_rate:
      return {0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 50, 100};
    case Quantity::reflectivity:
      return {5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55};
    case Quantity::vil:
      return {0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 50};
    case Quantity::intensity:
      return {0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95};
  }
  throw DataError("map: unknown quantity");
}

std::string unit_on_map(Quantity quantity) {
  switch (quantity) {
    case Quantity::rain_rate:
      return "mm/h";
    case Quantity::reflectivity:
      return "dBZ";
    case Quantity::vil:
      return "kg/m²";
    case Quantity::intensity:
      return "";
  }
  return "";
}

}  // namespace

std::string Colour::hex() const {
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", red, green, blue);
  return text;
}

int ColourScale::class_of(float value) const {
  // Values come as float: 0.1F is the class that starts at 0.1.
  const auto above = std::upper_bound(bounds.begin(), bounds.end(), value,
                                      [](float v, double bound) { return v < static_cast<float>(bound); });
  return static_cast<int>(above - bounds.begin()) - 1;
}

ColourScale colour_scale(Quantity quantity) {
  return {unit_on_map(quantity), bounds_of(quantity), kInk,
          {252, 253, 254},       {226, 228, 231},     {198, 202, 207}};
}

}  // namespace raincell::io
