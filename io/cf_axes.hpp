// Axes, times and georeference of a CF variable.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/frame.hpp"
#include "io/netcdf_file.hpp"
#include "io/reader.hpp"

namespace raincell::io {

/// Which dimension of the variable is what; -1: there is none.
struct CfAxes {
  int time = -1, y = -1, x = -1;  // positions in variable.dimensions
};

/// One time step: the end of its window, and the window's length.
struct CfTime {
  TimePoint valid;
  std::int64_t window_s = 0;
};

struct CfPlace {
  Grid grid;
  bool y_ascends = false, x_descends = false;
};

/// Throws DataError when the dimensions cannot be reduced to (time, y, x).
CfAxes find_axes(const NetcdfFile&, const NetcdfVariable&);
/// All times, one a step of the time axis (one when there is none). Appends what was decided to `rules`.
std::vector<CfTime> find_times(const NetcdfFile&, const NetcdfVariable&, const CfAxes&, const SourceOptions&,
                               const std::string& file_name, std::vector<std::string>& rules);
/// Grid from coordinates and grid mapping. Appends to `rules` and `warnings`.
CfPlace find_place(const NetcdfFile&, const NetcdfVariable&, const CfAxes&, std::vector<std::string>& rules,
                   std::vector<std::string>& warnings);
/// "seconds since 1970-01-01 00:00:00 UTC" -> seconds a unit and epoch. Empty when not understood.
std::optional<std::pair<double, TimePoint>> parse_time_unit(const std::string& unit);

}  // namespace raincell::io
