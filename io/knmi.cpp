// KNMI's own HDF5 (specification 3.5 and 3.6): accumulations and reflectivity images.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cctype>
#include <cmath>
#include <cstdlib>

#include "io/formats.hpp"
#include "io/knmi.hpp"
#include "io/pattern.hpp"

namespace raincell::io {
namespace {

std::string need_text(const Hdf5File& file, const std::string& object, const std::string& name) {
  if (file.exists(object)) {
    if (const auto value = file.text(object, name)) return *value;
  }
  throw DataError(fmt::format("knmi: {}@{}: is missing; expected a string", object, name));
}

double need_number(const Hdf5File& file, const std::string& object, const std::string& name) {
  const auto value = file.number(object, name);
  if (!value || !std::isfinite(*value)) {
    throw DataError(fmt::format("knmi: {}@{}: is missing or not finite; expected a number", object, name));
  }
  return *value;
}

Grid grid_of(const Hdf5File& file) {
  const std::string at = "/geographic";
  const std::string unit = need_text(file, at, "geo_dim_pixel");
  if (unit != "KM,KM") {
    throw DataError(fmt::format("knmi: {}@geo_dim_pixel: \"{}\"; expected KM,KM", at, unit.substr(0, 40)));
  }
  Grid grid;
  const double columns = need_number(file, at, "geo_number_columns"),
               rows = need_number(file, at, "geo_number_rows");
  if (columns > static_cast<double>(kMaxSide) || rows > static_cast<double>(kMaxSide) || columns < 1. ||
      rows < 1.) {
    throw DataError(
        fmt::format("knmi: {}: {}x{} pixels; expected 1 to {} a side", at, columns, rows, kMaxSide));
  }
  grid.columns = static_cast<std::int64_t>(columns);
  grid.rows = static_cast<std::int64_t>(rows);
  check_sides("knmi: " + at, grid.rows, grid.columns);
  const double size_x = need_number(file, at, "geo_pixel_size_x"),
               size_y = need_number(file, at, "geo_pixel_size_y");
  if (size_x <= 0. || size_y >= 0.) {
    throw DataError(
        fmt::format("knmi: {}@geo_pixel_size: ({}, {}); expected x > 0 and y < 0 (row 0 in the north)", at,
                    size_x, size_y));
  }
  grid.dx = size_x * 1000.;
  grid.dy = -size_y * 1000.;
  // Offsets are in pixels, the result in kilometres.
  grid.x0 = need_number(file, at, "geo_column_offset") * size_x * 1000.;
  grid.y0 = need_number(file, at, "geo_row_offset") * size_y * 1000.;
  const std::string projection = need_text(file, at + "/map_projection", "projection_proj4_params");
  try {
    grid.projection = clean_projection(projection);
  } catch (const DataError& error) {
    throw DataError(fmt::format("knmi: {}/map_projection@projection_proj4_params: {}", at, error.what()));
  }
  return grid;
}

/// The states: out_of_image is missing; a missing_data of its own is KNMI's "no echo".
Coding coding_of(const Hdf5File& file, const std::string& image, const SourceOptions& options, Frame& frame) {
  const std::string calibration = image + "/calibration";
  Coding coding;
  parse_knmi_formula(calibration, need_text(file, calibration, "calibration_formulas"), coding);
  coding.missing = options.missing_values;
  const auto out = file.number(calibration, "calibration_out_of_image");
  const auto missing = file.number(calibration, "calibration_missing_data");
  if (out) coding.missing.push_back(*out);
  if (missing && out && *missing != *out) {
    coding.dry.push_back(*missing);
    frame.source.rules.push_back(fmt::format(
        "calibration_missing_data {} differs from out_of_image {}: it is \"no echo\", dry", *missing, *out));
  } else if (missing) {
    coding.missing.push_back(*missing);
  }
  return coding;
}

Frame read_image(const Hdf5File& file, const std::string& image, const ReadRequest& request) {
  Frame frame;
  const std::string array = image + "/image_data", where = "knmi: " + array;
  const std::string parameter = need_text(file, image, "image_geo_parameter");
  const bool accumulation = parameter.rfind("ACCUMULATED_PRECIPITATION_[MM]", 0) == 0;
  if (!accumulation && parameter.rfind("REFLECTIVITY_[DBZ]", 0) != 0) {
    throw DataError(fmt::format(
        "knmi: {}@image_geo_parameter: \"{}\" is neither precipitation nor reflectivity; expected "
        "ACCUMULATED_PRECIPITATION_[MM] or REFLECTIVITY_[DBZ]",
        image, parameter.substr(0, 60)));
  }
  frame.source.quantity = parameter;
  frame.source.unit = !request.options.units.empty() ? request.options.units : accumulation ? "mm" : "dBZ";
  frame.grid = grid_of(file);
  const TimePoint start = knmi_time("knmi: /overview@product_datetime_start",
                                    need_text(file, "/overview", "product_datetime_start"));
  const TimePoint end =
      knmi_time("knmi: /overview@product_datetime_end", need_text(file, "/overview", "product_datetime_end"));
  frame.valid_time = end;
  if (const auto own = file.text(image, "image_datetime_valid")) {
    frame.valid_time = knmi_time("knmi: " + image + "@image_datetime_valid", *own);
  }
  if (accumulation) {
    frame.window_s = request.options.accumulation_s > 0.
                         ? static_cast<std::int64_t>(request.options.accumulation_s)
                         : (end - start).count();
    if (frame.window_s <= 0) {
      throw DataError(
          fmt::format("knmi: /overview: an accumulation from {} to {}; expected the end after the start",
                      format_time(start), format_time(end)));
    }
  }
  Coding coding = coding_of(file, image, request.options, frame);
  coding.zero_is_dry = accumulation;
  const Conversion conversion = conversion_for(where, frame.source.unit, request.options, {}, frame);
  const std::vector<std::int64_t> sides = file.checked_dimensions(array);
  if (sides != std::vector<std::int64_t>{frame.grid.rows, frame.grid.columns}) {
    throw DataError(fmt::format("{}: shape ({}) does not match geo_number_rows={}, geo_number_columns={}",
                                where, fmt::join(sides, ", "), frame.grid.rows, frame.grid.columns));
  }
  if (const auto bytes = file.number(image, "image_bytes_per_pixel");
      bytes && *bytes != file.type_of(array).bytes) {
    throw DataError(
        fmt::format("{}: holds {} bytes a pixel, but image_bytes_per_pixel says {}; expected the same", where,
                    file.type_of(array).bytes, *bytes));
  }
  if (request.wanted != Wanted::description)
    decode(where, file.read(array), coding, conversion, frame, request.wanted);
  return frame;
}

}  // namespace

TimePoint knmi_time(const std::string& where, const std::string& text) {
  static const Pattern form("knmi", R"((\d{1,2})-([A-Za-z]{3})-(\d{4});(\d{2}):(\d{2}):(\d{2})(\.\d+)?)");
  static const std::string months = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC";
  if (const auto parts = form.groups(text)) {
    std::string month = (*parts)[1];
    for (char& c : month) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const std::size_t at = months.find(month);
    if (at != std::string::npos && at % 3 == 0) {
      const int day = std::stoi((*parts)[0]);
      return time_of(where, fmt::format("{}{:02}{:02}", (*parts)[2], at / 3 + 1, day),
                     (*parts)[3] + (*parts)[4] + (*parts)[5]);
    }
  }
  throw DataError(
      fmt::format("{}: \"{}\" is no time; expected 26-AUG-2010;04:00:00.000", where, text.substr(0, 60)));
}

void parse_knmi_formula(const std::string& object, const std::string& text, Coding& coding) {
  static const Pattern form(
      "knmi",
      R"(\s*GEO\s*=\s*([-+]?[0-9.]+(?:[eE][-+]?\d+)?)\s*\*\s*PV\s*([+-])\s*([-+]?[0-9.]+(?:[eE][-+]?\d+)?)\s*)");
  const auto parts = form.groups(text);
  if (!parts) {
    throw DataError(
        fmt::format("knmi: {}@calibration_formulas: \"{}\" is not linear; expected GEO = a * PV + b", object,
                    text.substr(0, 80)));
  }
  coding.gain = std::strtod((*parts)[0].c_str(), nullptr);
  coding.offset = std::strtod((*parts)[2].c_str(), nullptr) * ((*parts)[1] == "-" ? -1. : 1.);
  if (!std::isfinite(coding.gain) || !std::isfinite(coding.offset))
    throw DataError(fmt::format("knmi: {}@calibration_formulas: \"{}\" holds numbers beyond all measure",
                                object, text.substr(0, 80)));
}

bool is_knmi(const Content& content) {
  if (!content.hdf5) return false;
  const Hdf5File& file = *content.hdf5;
  return file.exists("/overview") && file.exists("/geographic") && file.exists("/image1/image_data");
}

std::vector<Frame> read_knmi(const Content& content, const ReadRequest& request) {
  const Hdf5File& file = *content.hdf5;
  if (!file.exists("/image1")) throw DataError("knmi: /image1: does not exist; expected an image group");
  std::vector<Frame> frames;
  frames.push_back(read_image(file, "/image1", request));
  // Further images are lead times only where each carries its own valid time.
  for (int i = 2; i <= 512 && file.exists(fmt::format("/image{}", i)); ++i) {
    const std::string image = fmt::format("/image{}", i);
    if (file.text(image, "image_datetime_valid")) {
      frames.push_back(read_image(file, image, request));
    } else {
      frames.front().source.warnings.push_back(image + " has no image_datetime_valid and is left out");
    }
  }
  return frames;
}

}  // namespace raincell::io
