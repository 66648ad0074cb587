#include "io/product_layout.hpp"

namespace raincell::io {
namespace {

constexpr const char* kNoPlace =
    "the projection of the input is unknown: x and y count from the upper left corner of its grid and "
    "have no place on Earth";

std::string frames_text(const std::vector<TimePoint>& frames) {
  std::string text;
  for (const TimePoint frame : frames) text += (text.empty() ? "" : " ") + format_time(frame);
  return text;
}

std::string source_text(const Product& product) {
  std::string text = "raincell " + product.version + ", forecaster " + product.forecaster;
  if (!product.model_name.empty()) text += ", model " + product.model_name;
  if (!product.model_hash.empty()) text += " (sha256 " + product.model_hash + ")";
  return text;
}

std::string comment_text(const Product& product) {
  std::string text =
      "Missing pixels hold _FillValue, pixels without rain hold 0. observed_mask is 1 where the latest radar "
      "frame "
      "was observed.";
  if (!product.zr.empty())
    text += " Reflectivity was converted to rain rate with Z = a R^b, " + product.zr + ".";
  if (!product.transform.empty()) text += " The network saw the transform " + product.transform + ".";
  return text;
}

}  // namespace

CfField product_field(Quantity quantity) {
  CfField field = cf_field_of(quantity);
  field.packing = {0.01, 0, 32767, true};
  if (quantity == Quantity::reflectivity) {
    field.name.variable = "reflectivity";  // what pysteps looks for
    field.packing.lowest = -32767;
  }
  return field;
}

std::map<std::string, std::string> global_attributes(const Product& product) {
  std::map<std::string, std::string> all = {
      {"title", "Precipitation nowcast"},
      {"institution", "not given"},
      {"source", source_text(product)},
      {"history", format_time(product.reference_time) + " raincell: nowcast from the frame of this time"},
      {"references", "Shi et al. (2015), Convolutional LSTM Network, arXiv:1506.04214"},
      {"comment", comment_text(product)},
  };
  for (const auto& [name, value] : product.attributes) all[name] = value;
  all["forecaster"] = product.forecaster;
  all["model_name"] = product.model_name;
  all["model_hash"] = product.model_hash;
  all["status"] = product.status;
  all["raincell_version"] = product.version;
  all["frames_used"] = frames_text(product.frames_used);
  all["zr"] = product.zr;
  all["transform"] = product.transform;
  if (product.grid.projection.empty()) {
    all["warning"] = kNoPlace;
  } else if (cf_grid_mapping(product.grid).name.empty()) {
    all["warning"] = "CF has no grid mapping for this projection: use crs_wkt of the variable crs";
  }
  std::erase_if(all, [](const auto& entry) { return entry.second.empty(); });
  return all;
}

}  // namespace raincell::io
