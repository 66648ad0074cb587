#include "io/product_layout.hpp"

#include <fmt/format.h>

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

FieldNames field_names(Quantity quantity) {
  switch (quantity) {
    case Quantity::rain_rate:
      return {"precip_intensity", "lwe_precipitation_rate", "precipitation rate", "mm h-1"};
    case Quantity::reflectivity:
      return {"reflectivity", "equivalent_reflectivity_factor", "radar reflectivity factor", "dBZ"};
    case Quantity::vil:
      return {"field", "", "vertically integrated liquid", "kg m-2"};
    case Quantity::intensity:
      return {"field", "", "intensity", "1"};
  }
  throw DataError("product: unknown quantity");
}

AxisText axis_text(const Grid& grid) {
  if (grid.projection.empty()) {
    return {"", "distance from the left edge of the grid",  "m",
            "", "distance from the upper edge of the grid", "m"};
  }
  if (is_geographic(grid.projection)) {
    return {"longitude", "longitude of pixel centres", "degrees_east",
            "latitude",  "latitude of pixel centres",  "degrees_north"};
  }
  return {"projection_x_coordinate", "x of pixel centres", "m",
          "projection_y_coordinate", "y of pixel centres", "m"};
}

MappingText mapping_text(const Grid& grid) {
  MappingText text;
  if (grid.projection.empty()) {
    text.warning = kNoPlace;
    return text;
  }
  const CfGridMapping mapping = cf_grid_mapping(grid);
  const std::string wkt = crs_wkt(grid);
  text.variable = mapping.name.empty() ? "crs" : mapping.name;
  text.texts = mapping.texts;
  text.numbers = mapping.parameters;
  if (mapping.name.empty()) {
    text.warning = "CF has no grid mapping for this projection: use crs_wkt of the variable crs";
  } else {
    text.texts["grid_mapping_name"] = mapping.name;
  }
  text.texts["long_name"] = "coordinate reference system";
  text.texts["crs_wkt"] = wkt;
  text.texts["spatial_ref"] = wkt;  // what GDAL and QGIS read
  text.texts["GeoTransform"] =
      fmt::format("{:.17g} {:.17g} 0 {:.17g} 0 {:.17g}", grid.x0, grid.dx, grid.y0, -grid.dy);
  text.texts["proj4"] = grid.projection;
  return text;
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
  std::erase_if(all, [](const auto& entry) { return entry.second.empty(); });
  return all;
}

}  // namespace raincell::io
