// Names and attributes of the product file, shared by its writer and its reader.
#pragma once

#include <map>
#include <string>

#include "io/cf_out.hpp"
#include "io/product.hpp"

namespace raincell::io {

/// Name, unit and packing of the forecast field.
CfField product_field(Quantity);

/// Text attributes of the file: defaults, provenance, Product::attributes over the defaults, and a warning
/// where the grid has no projection that CF knows.
std::map<std::string, std::string> global_attributes(const Product&);

}  // namespace raincell::io
