// Small CF NetCDF files, each with what a test may turn wrong.
#pragma once

#include <netcdf.h>

#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace raincell::io {

inline void check_netcdf(int status) {
  if (status != NC_NOERR) throw std::runtime_error(nc_strerror(status));
}

/// Writes one NetCDF file; the callable defines and fills it. Fill mode stays on.
class Netcdf {
 public:
  Netcdf(const std::filesystem::path& path, int mode) {
    check_netcdf(nc_create(path.c_str(), mode | NC_CLOBBER, &id_));
  }
  Netcdf(const Netcdf&) = delete;
  Netcdf& operator=(const Netcdf&) = delete;
  ~Netcdf() { nc_close(id_); }
  int dimension(const char* name, std::size_t size) const {
    int dimension = 0;
    check_netcdf(nc_def_dim(id_, name, size, &dimension));
    return dimension;
  }
  int variable(const char* name, nc_type type, const std::vector<int>& dimensions) const {
    int variable = 0;
    check_netcdf(
        nc_def_var(id_, name, type, static_cast<int>(dimensions.size()), dimensions.data(), &variable));
    return variable;
  }
  void text(int variable, const char* name, const std::string& value) const {
    check_netcdf(nc_put_att_text(id_, variable, name, value.size(), value.c_str()));
  }
  void number(int variable, const char* name, nc_type type, const std::vector<double>& values) const {
    check_netcdf(nc_put_att_double(id_, variable, name, type, values.size(), values.data()));
  }
  void end() const { check_netcdf(nc_enddef(id_)); }
  void put(int variable, const std::vector<double>& values) const {
    check_netcdf(nc_put_var_double(id_, variable, values.data()));
  }
  int id() const { return id_; }

 private:
  int id_ = -1;
};

/// rain(y, x), 2 rows x 3 columns, instantaneous unless told otherwise.
struct CfFile {
  int mode = NC_NETCDF4;
  nc_type type = NC_FLOAT;
  std::string unit = "mm/h", standard_name = "rainfall_rate", name = "rain";
  std::vector<double> values = {0, 1, 2, 3, 4, 5};
  std::vector<double> x = {500, 1500, 2500}, y = {1500, 500};
  std::string axis_unit = "m", time_unit = "seconds since 1970-01-01 00:00:00", calendar;
  double time = 1282795200;  // 2010-08-26T04:00Z
  bool fill = false, x_first = false, scalar_time = true;
  std::function<void(const Netcdf&, int rain)> more = [](const Netcdf&, int) {};

  void write(const std::filesystem::path& path) const {
    const Netcdf file(path, mode);
    const int ny = file.dimension("y", y.size()), nx = file.dimension("x", x.size());
    const int ys = file.variable("y", NC_DOUBLE, {ny}), xs = file.variable("x", NC_DOUBLE, {nx});
    const int when = file.variable("time", NC_DOUBLE, {});
    const int crs = file.variable("crs", NC_INT, {});
    const int rain =
        x_first ? file.variable(name.c_str(), type, {nx, ny}) : file.variable(name.c_str(), type, {ny, nx});
    file.text(ys, "standard_name", "projection_y_coordinate");
    file.text(xs, "standard_name", "projection_x_coordinate");
    if (!axis_unit.empty()) {
      file.text(ys, "units", axis_unit);
      file.text(xs, "units", axis_unit);
    }
    file.text(when, "units", time_unit);
    if (!calendar.empty()) file.text(when, "calendar", calendar);
    file.text(crs, "grid_mapping_name", "polar_stereographic");
    file.number(crs, "latitude_of_projection_origin", NC_DOUBLE, {90});
    file.number(crs, "straight_vertical_longitude_from_pole", NC_DOUBLE, {0});
    file.number(crs, "standard_parallel", NC_DOUBLE, {60});
    if (!unit.empty()) file.text(rain, "units", unit);
    if (!standard_name.empty()) file.text(rain, "standard_name", standard_name);
    file.text(rain, "grid_mapping", "crs");
    file.text(NC_GLOBAL, "Conventions", "CF-1.7");
    more(file, rain);
    file.end();
    file.put(ys, y);
    file.put(xs, x);
    file.put(when, {time});
    if (!values.empty()) file.put(rain, values);
  }
};

}  // namespace raincell::io
