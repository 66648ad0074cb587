// Small files in the layouts of ODIM_H5 and of KNMI, each with what a test may turn wrong.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/grid.hpp"
#include "tests/io/hdf5_fixture.hpp"

namespace raincell::io {

/// 3 columns x 2 rows, 1 km, on a Lambert azimuthal grid centred at 10 E, 55 N: the upper left corner is
/// (-1500, 1000).
struct OdimFile {
  std::string object = "COMP", quantity = "RATE", date = "20240102", time = "030405";
  double xscale = 1000., yscale = 1000.;
  bool full_corners = true;
  std::optional<double> gain = 1., offset = 0., nodata = -1., undetect = -2.;
  std::string start = "20240102025905", end = "20240102030405";
  std::vector<double> values = {-1, -2, 0, 1, 2, 3};
  std::vector<hsize_t> sides = {2, 3};
  int columns = 3, rows = 2;  // as where says
  hid_t creation = H5P_DEFAULT;
  hid_t type = H5T_NATIVE_FLOAT;
  bool codes_at_dataset = false;
  std::string projdef = "+proj=laea +lat_0=55 +lon_0=10 +x_0=0 +y_0=0 +ellps=WGS84 +units=m";
  std::function<void(Hdf5Fixture&)> more = [](Hdf5Fixture&) {};

  void write(const std::filesystem::path& path) const {
    Hdf5Fixture file(path);
    for (const char* group :
         {"/what", "/where", "/dataset1", "/dataset1/what", "/dataset1/data1", "/dataset1/data1/what"}) {
      file.group(group);
    }
    file.text("/what", "object", object);
    file.text("/what", "date", date);
    file.text("/what", "time", time);
    file.text("/where", "projdef", projdef);
    file.number("/where", "xsize", columns, H5T_NATIVE_INT64);
    file.number("/where", "ysize", rows, H5T_NATIVE_UINT64);
    file.number("/where", "xscale", xscale);
    file.number("/where", "yscale", yscale);
    const LonLatTransform transform("+proj=laea +lat_0=55 +lon_0=10 +x_0=0 +y_0=0 +ellps=WGS84 +units=m");
    const double right = 500. * columns, top = 500. * rows;
    const auto corner = [&](const std::string& name, double x, double y) {
      const auto [longitude, latitude] = transform.to_lonlat(x, y);
      file.number("/where", (name + "_lon").c_str(), longitude);
      file.number("/where", (name + "_lat").c_str(), latitude);
    };
    if (full_corners) {
      corner("UL", -right, top);
      corner("LR", right, -top);
    } else {
      corner("LL", -right, -top);
      corner("UR", right, top);
    }
    const std::string what = codes_at_dataset ? "/dataset1/what" : "/dataset1/data1/what";
    file.text("/dataset1/data1/what", "quantity", quantity);
    if (gain) file.number(what, "gain", *gain);
    if (offset) file.number(what, "offset", *offset);
    if (nodata) file.number(what, "nodata", *nodata);
    if (undetect) file.number(what, "undetect", *undetect);
    file.text("/dataset1/what", "startdate", start.substr(0, 8));
    file.text("/dataset1/what", "starttime", start.substr(8));
    file.text("/dataset1/what", "enddate", end.substr(0, 8));
    file.text("/dataset1/what", "endtime", end.substr(8));
    file.array("/dataset1/data1/data", sides, values, type, creation);
    more(file);
  }
};

/// 2 x 2 pixels of KNMI's layout.
struct KnmiFile {
  std::string parameter = "ACCUMULATED_PRECIPITATION_[MM]", formula = "GEO=0.01*PV+0.0", unit = "KM,KM";
  double out = 65535, missing_data = 65535, bytes_per_pixel = 0;  // 0: not said
  std::vector<double> values = {65535, 0, 100, 250};
  hid_t type = H5T_NATIVE_UINT16;
  std::string start = "26-AUG-2010;03:55:00.000", end = "26-AUG-2010;04:00:00.000";

  void write(const std::filesystem::path& path) const {
    Hdf5Fixture file(path);
    for (const char* group :
         {"/overview", "/geographic", "/geographic/map_projection", "/image1", "/image1/calibration"}) {
      file.group(group);
    }
    file.text("/overview", "product_datetime_start", start);
    file.text("/overview", "product_datetime_end", end);
    file.text("/geographic", "geo_dim_pixel", unit);
    file.number("/geographic", "geo_number_columns", 2, H5T_NATIVE_INT32, true);
    file.number("/geographic", "geo_number_rows", 2, H5T_NATIVE_INT32, true);
    file.number("/geographic", "geo_pixel_size_x", 1., H5T_NATIVE_FLOAT, true);
    file.number("/geographic", "geo_pixel_size_y", -1., H5T_NATIVE_FLOAT, true);
    file.number("/geographic", "geo_column_offset", 0., H5T_NATIVE_FLOAT);
    file.number("/geographic", "geo_row_offset", 3650., H5T_NATIVE_FLOAT);
    file.text("/geographic/map_projection", "projection_proj4_params",
              "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.137 +b=6356.752 +x_0=0 y_0=0");
    file.text("/image1", "image_geo_parameter", parameter);
    if (bytes_per_pixel > 0)
      file.number("/image1", "image_bytes_per_pixel", bytes_per_pixel, H5T_NATIVE_INT32);
    file.text("/image1/calibration", "calibration_formulas", formula);
    file.number("/image1/calibration", "calibration_out_of_image", out, H5T_NATIVE_INT32);
    file.number("/image1/calibration", "calibration_missing_data", missing_data, H5T_NATIVE_INT32);
    file.array("/image1/image_data", {2, 2}, values, type);
  }
};

}  // namespace raincell::io
