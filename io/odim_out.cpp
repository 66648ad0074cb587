#include "io/odim_out.hpp"

#include <hdf5.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#include "io/format_lock.hpp"

namespace raincell::io {
namespace {

constexpr double kGain = 0.01;  // mm/h
constexpr std::uint16_t kUndetect = 0, kNodata = 65535;

/// Owns one HDF5 identifier.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle(hid_t id, Close closer, const char* what) : id_(id), close_(closer) {
    if (id < 0) throw WriteError(std::string("ODIM file in memory: HDF5 cannot ") + what);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }
  void close(const char* what) {
    if (close_(std::exchange(id_, -1)) < 0)
      throw WriteError(std::string("ODIM file in memory: HDF5 cannot ") + what);
  }

 private:
  hid_t id_;
  Close close_;
};

void check(herr_t status, const char* what) {
  if (status < 0) throw WriteError(std::string("ODIM file in memory: HDF5 cannot ") + what);
}

Handle make_group(hid_t parent, const char* name) {
  return {H5Gcreate2(parent, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, "create a group"};
}

void put_text(hid_t object, const char* name, const std::string& value) {
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose, "make a string type");
  check(H5Tset_size(type, value.size() + 1), "size a string");
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose, "make a scalar");
  const Handle attribute(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                         "create an attribute");
  check(H5Awrite(attribute, type, value.c_str()), "write an attribute");
}

void put_number(hid_t object, const char* name, double value) {
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose, "make a scalar");
  const Handle attribute(H5Acreate2(object, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                         "create an attribute");
  check(H5Awrite(attribute, H5T_NATIVE_DOUBLE, &value), "write an attribute");
}

void put_integer(hid_t object, const char* name, std::int64_t value) {
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose, "make a scalar");
  const Handle attribute(H5Acreate2(object, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                         "create an attribute");
  check(H5Awrite(attribute, H5T_NATIVE_INT64, &value), "write an attribute");
}

/// "20240601", "003500".
std::pair<std::string, std::string> date_and_time(TimePoint when) {
  const auto day = std::chrono::floor<std::chrono::days>(when);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{when - day};
  char first[16], second[16];
  std::snprintf(first, sizeof first, "%04d%02u%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  std::snprintf(second, sizeof second, "%02d%02d%02d", static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()));
  return {first, second};
}

std::vector<std::uint16_t> codes_of(const Frame& frame) {
  std::vector<std::uint16_t> codes(frame.values.size());
  for (std::size_t i = 0; i < codes.size(); ++i) {
    switch (frame.states[i]) {
      case PixelState::missing:
        codes[i] = kNodata;
        break;
      case PixelState::dry:
        codes[i] = kUndetect;
        break;
      case PixelState::valued:
        codes[i] = static_cast<std::uint16_t>(std::clamp(std::lround(frame.values[i] / kGain), 1L, 65534L));
        break;
    }
  }
  return codes;
}

void write_where(hid_t file, const Grid& grid) {
  const Handle where = make_group(file, "where");
  put_text(where, "projdef", grid.projection);
  put_integer(where, "xsize", grid.columns);
  put_integer(where, "ysize", grid.rows);
  put_number(where, "xscale", grid.dx);
  put_number(where, "yscale", grid.dy);
  const double right = grid.x0 + static_cast<double>(grid.columns) * grid.dx;
  const double bottom = grid.y0 - static_cast<double>(grid.rows) * grid.dy;
  const std::array<std::pair<const char*, std::pair<double, double>>, 4> corners{{{"LL", {grid.x0, bottom}},
                                                                                  {"UL", {grid.x0, grid.y0}},
                                                                                  {"UR", {right, grid.y0}},
                                                                                  {"LR", {right, bottom}}}};
  for (const auto& [corner, point] : corners) {
    const auto [longitude, latitude] = to_lonlat(grid, point.first, point.second);
    put_number(where, (std::string(corner) + "_lon").c_str(), longitude);
    put_number(where, (std::string(corner) + "_lat").c_str(), latitude);
  }
}

void write_data(hid_t file, const Frame& frame) {
  const auto [end_date, end_time] = date_and_time(frame.valid_time);
  const auto [start_date, start_time] =
      date_and_time(frame.valid_time - std::chrono::seconds{frame.window_s});
  const Handle dataset = make_group(file, "dataset1");
  {
    const Handle what = make_group(dataset, "what");
    put_text(what, "product", "SURF");
    put_text(what, "startdate", start_date);
    put_text(what, "starttime", start_time);
    put_text(what, "enddate", end_date);
    put_text(what, "endtime", end_time);
  }
  const Handle data = make_group(dataset, "data1");
  {
    const Handle what = make_group(data, "what");
    put_text(what, "quantity", "RATE");
    put_number(what, "gain", kGain);
    put_number(what, "offset", 0.);
    put_number(what, "nodata", kNodata);
    put_number(what, "undetect", kUndetect);
  }
  const std::array<hsize_t, 2> shape{static_cast<hsize_t>(frame.grid.rows),
                                     static_cast<hsize_t>(frame.grid.columns)};
  const Handle space(H5Screate_simple(2, shape.data(), nullptr), H5Sclose, "make a space");
  const Handle layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "make a layout");
  check(H5Pset_chunk(layout, 2, shape.data()), "set the chunk");
  check(H5Pset_shuffle(layout), "shuffle");
  check(H5Pset_deflate(layout, 6), "compress");
  check(H5Pset_obj_track_times(layout, false), "leave the clock out");  // the same frame is the same bytes
  const Handle values(H5Dcreate2(data, "data", H5T_STD_U16LE, space, H5P_DEFAULT, layout, H5P_DEFAULT),
                      H5Dclose, "create the data");
  const std::vector<std::uint16_t> codes = codes_of(frame);
  check(H5Dwrite(values, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, codes.data()), "write the data");
  put_text(values, "CLASS", "IMAGE");
  put_text(values, "IMAGE_VERSION", "1.2");
}

}  // namespace

std::vector<std::byte> odim_bytes(const Frame& frame) {
  if (frame.quantity != Quantity::rain_rate) {
    throw WriteError(std::string("ODIM output: ") + name_of(frame.quantity) +
                     " is not written; use the format cf");
  }
  const std::lock_guard lock(format_lock());
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "make an access list");
  check(H5Pset_fapl_core(access, 1 << 16, false), "write in memory");
  Handle file(H5Fcreate("odim-in-memory", H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose, "create a file");
  put_text(file, "Conventions", "ODIM_H5/V2_3");
  {
    const auto [date, time] = date_and_time(frame.valid_time);
    const Handle what = make_group(file, "what");
    put_text(what, "object", "COMP");
    put_text(what, "version", "H5rad 2.3");
    put_text(what, "date", date);
    put_text(what, "time", time);
    put_text(what, "source", "CMT:raincell simulate");
  }
  write_where(file, frame.grid);
  write_data(file, frame);
  check(H5Fflush(file, H5F_SCOPE_GLOBAL), "flush the file");
  const ssize_t size = H5Fget_file_image(file, nullptr, 0);
  if (size <= 0) throw WriteError("ODIM file in memory: HDF5 gives no image of the file");
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  if (H5Fget_file_image(file, bytes.data(), bytes.size()) != size) {
    throw WriteError("ODIM file in memory: HDF5 gives no image of the file");
  }
  file.close("close the file");
  return bytes;
}

}  // namespace raincell::io
