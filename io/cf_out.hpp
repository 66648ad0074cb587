// Frames as CF NetCDF files, packed in int16.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "io/frame.hpp"
#include "io/netcdf_out.hpp"

namespace raincell::io {

/// How a quantity is stored: value = scale x code.
struct Packing {
  double scale = 0.01;  // double, so that 10 x 0.01 is exactly the threshold 0.1
  static constexpr std::int16_t kFill = -32768;
  static constexpr std::int16_t kLargest = 32767;
};
Packing packing_of(Quantity);
/// The code of a value, clipped to what int16 holds; kFill for kMissing.
std::int16_t pack_value(float value, Packing);
/// The value of a code; kMissing for kFill.
inline float unpack_value(std::int16_t code, double scale) {
  return code == Packing::kFill ? kMissing : static_cast<float>(scale * static_cast<double>(code));
}

struct CfName {
  std::string variable, standard_name, long_name;  // standard_name is empty where CF has none
};
CfName cf_name_of(Quantity);

/// The axes and the grid mapping of a file being written.
struct CfGrid {
  int x_dimension = -1, y_dimension = -1, x = -1, y = -1;
  std::string mapping;          // name of the grid mapping variable; empty: the grid has no projection
  double metres_per_unit = 1.;  // 1000: axes in km
};
/// Defines x, y (cell centres) and the grid mapping with its CRS.
CfGrid define_grid(NetcdfOut&, const Grid&, bool kilometres);
/// Writes x and y, after the definitions.
void put_axes(NetcdfOut&, const CfGrid&, const Grid&);

/// Attributes of a time coordinate in seconds since 1970.
void define_time(NetcdfOut&, int variable);
/// Defines the packed variable [time, y, x] of a quantity.
int define_packed(NetcdfOut&, Quantity, const Packing&, int time_dimension, const CfGrid&,
                  const NetcdfStorage&);

/// The bytes of a CF file that holds `frames` of one grid along time. Throws WriteError or DataError.
std::vector<std::byte> cf_bytes(std::span<const Frame> frames);

}  // namespace raincell::io
