// What every CF NetCDF file of this program shares: packing in int16, axes, grid mapping, time.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "io/frame.hpp"
#include "io/netcdf_out.hpp"

namespace raincell::io {

/// How values are stored: value = scale x code.
struct Packing {
  static constexpr std::int16_t kFill = -32768;   // missing
  double scale = 0.01;                            // double, so that 10 x 0.01 is exactly the threshold 0.1
  std::int16_t lowest = -32767, highest = 32767;  // codes
  bool single = false;  // scale_factor stored as float, so that readers unpack to float
};
/// Hundredths; 1/25500 for intensity.
Packing packing_of(Quantity);
/// The codes of values, clipped to lowest and highest; kFill for kMissing. Returns how many were clipped.
/// `codes` is as long as `values`.
std::int64_t pack(std::span<const float> values, const Packing&, std::span<std::int16_t> codes);
/// The value of a code; kMissing for kFill.
inline float unpack_value(std::int16_t code, double scale) {
  const auto value = static_cast<float>(scale * static_cast<double>(code));  // in any case, which lets loops be vectorised
  return code == Packing::kFill ? kMissing : value;
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
/// Defines x, y (cell centres) and the grid mapping with its CRS. With `kilometres`, axes in km unless they
/// are degrees, and no CRS text, which would count in metres.
CfGrid define_grid(NetcdfOut&, const Grid&, bool kilometres);
/// Writes x and y, after the definitions.
void put_axes(NetcdfOut&, const CfGrid&, const Grid&);

inline constexpr const char* kSecondsSince1970 = "seconds since 1970-01-01 00:00:00";
/// Attributes of a variable of times. `units`: "seconds since ...".
void define_time(NetcdfOut&, int variable, const std::string& standard_name, const std::string& long_name,
                 const std::string& units = kSecondsSince1970);

/// A field stored in int16.
struct CfField {
  CfName name;
  std::string unit;
  std::string cell_methods, coordinates;  // left out where empty
  Packing packing;
};
/// The field of a quantity with packing_of(quantity).
CfField cf_field_of(Quantity);
/// Defines the variable of a field over `leading` dimensions, y and x.
int define_field(NetcdfOut&, const CfField&, const std::vector<int>& leading, const CfGrid&,
                 const NetcdfStorage&);

/// The bytes of a CF file that holds `frames` of one grid along time, axes in km. Throws WriteError, or
/// DataError for a projection that PROJ does not know.
std::vector<std::byte> cf_bytes(std::span<const Frame> frames);

}  // namespace raincell::io
