// Writes one product a projection into a folder, with a marker in each corner, for check_product.py.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <string>

#include "io/product.hpp"

namespace {

using raincell::io::Grid;
using raincell::io::Product;

/// 10, 20, 30, 40 mm/h in the upper left, upper right, lower left and lower right pixel, growing by 1 a lead;
/// a missing block in the middle; a gradient along the second row.
Product sample(const Grid& grid) {
  Product product;
  product.grid = grid;
  product.reference_time = *raincell::io::parse_time("2010-08-26T06:30Z");
  product.lead_s = {300, 600, 900};
  const auto pixels = static_cast<std::size_t>(grid.pixels());
  const auto at = [&](std::size_t lead, std::int64_t row, std::int64_t column) -> float& {
    return product.values[lead * pixels + static_cast<std::size_t>(row * grid.columns + column)];
  };
  product.values.assign(3 * pixels, 0.F);
  for (std::size_t lead = 0; lead < 3; ++lead) {
    const auto more = static_cast<float>(lead);
    for (std::int64_t column = 0; column < grid.columns; ++column) {
      at(lead, 1, column) = 0.01F * static_cast<float>(column % 1000);
    }
    at(lead, 0, 0) = 10.F + more;
    at(lead, 0, grid.columns - 1) = 20.F + more;
    at(lead, grid.rows - 1, 0) = 30.F + more;
    at(lead, grid.rows - 1, grid.columns - 1) = 40.F + more;
    for (std::int64_t row = grid.rows / 2; row < grid.rows / 2 + 3; ++row) {
      for (std::int64_t column = grid.columns / 2; column < grid.columns / 2 + 3; ++column) {
        at(lead, row, column) = raincell::io::kMissing;
      }
    }
  }
  product.observed_mask.assign(pixels, 1);
  product.observed_mask[static_cast<std::size_t>(grid.rows / 2 * grid.columns + grid.columns / 2)] = 0;
  product.forecaster = "advection";
  product.status = "ok";
  product.version = "0.1.0";
  product.frames_used = {product.reference_time};
  product.input_age_s = 60;
  product.attributes["institution"] = "interoperability test";
  return product;
}

std::map<std::string, Grid> grids() {
  return {
      {"knmi",
       {raincell::io::clean_projection(
            "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.137 +b=6356.752 +x_0=0 y_0=0"),
        700, 765, 0., -3650000., 1000.0035, 1000.0048}},
      {"opera",
       {"+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +units=m +ellps=WGS84", 1900, 2200,
        0., 0., 2000., 2000.}},
      {"bom",
       {"+proj=aea +lat_1=-26.2 +lat_2=-29.3 +lon_0=153.24 +lat_0=-27.7178 +ellps=GRS80 +units=m", 512, 512,
        -128000., 128000., 500., 500.}},
      {"rmi",
       {"+proj=lcc +lat_1=49.83333333333334 +lat_2=51.16666666666666 +lat_0=50.797815 "
        "+lon_0=4.359215833333333 "
        "+x_0=649328 +y_0=665262 +ellps=GRS80 +units=m",
        700, 700, 300000., 1000000., 1000., 1000.}},
      {"utm",
       {"+proj=tmerc +lat_0=0 +lon_0=9 +k=0.9996 +x_0=500000 +y_0=0 +ellps=WGS84 +units=m", 120, 100, 400000.,
        5600000., 1000., 1000.}},
      {"mercator",
       {"+proj=merc +lon_0=0 +k=1 +x_0=0 +y_0=0 +ellps=WGS84 +units=m", 120, 100, 400000., 5600000., 2000.,
        2000.}},
      {"longlat", {"+proj=longlat +ellps=WGS84", 200, 100, 5., 52., 0.01, 0.01}},
  };
}

}  // namespace

int main(int count, char** words) {
  try {
    if (count != 2) {
      std::fprintf(stderr, "usage: %s FOLDER\n", words[0]);
      return 2;
    }
    for (const auto& [name, grid] : grids()) {
      Product product = sample(grid);
      if (name == "bom") {
        product.accumulations.push_back(raincell::io::accumulate(product, 0, 900));
        product.probability_thresholds = {1., 10.};
        product.probabilities.assign(2 * product.values.size(), 0.25F);
      }
      raincell::io::write_product(product, std::filesystem::path(words[1]) / (name + ".nc"));
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
