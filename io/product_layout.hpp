// Names and attributes of the product file, shared by its writer and its reader.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/product.hpp"

namespace raincell::io {

inline constexpr std::int16_t kPackedMissing = -32768;

struct FieldNames {
  std::string variable, standard_name, long_name, unit;
};
FieldNames field_names(Quantity);

struct AxisText {
  std::string x_standard_name, x_long_name, x_unit, y_standard_name, y_long_name, y_unit;
};
AxisText axis_text(const Grid&);

/// The grid-mapping variable; `variable` is empty when the grid has no projection.
struct MappingText {
  std::string variable, warning;
  std::map<std::string, std::string> texts;
  std::map<std::string, std::vector<double>> numbers;
};
MappingText mapping_text(const Grid&);

/// Text attributes of the file: defaults, provenance, then Product::attributes over the defaults.
std::map<std::string, std::string> global_attributes(const Product&);

}  // namespace raincell::io
