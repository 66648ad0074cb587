// OPERA ODIM_H5 2.0-2.4 composites. Detected by structure, versions are hints only.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "io/formats.hpp"

namespace raincell::io {
namespace {

constexpr int kMaxGroups = 64;  // datasets a file, data a dataset

struct Candidate {
  std::string dataset;  // "/dataset1"
  std::string data;     // "/dataset1/data1"
  std::string quantity;
};

std::string where_of(const std::string& object) {
  return "odim: " + object;
}

/// An attribute of dataM/GROUP, else datasetN/GROUP, else the root's GROUP where `root` allows it.
class Resolver {
 public:
  Resolver(const Hdf5File& file, const Candidate& candidate) : file_(file), candidate_(candidate) {}

  std::optional<double> number(const char* group, const char* name, bool root) const {
    for (const std::string& object : objects(group, root)) {
      if (const auto value = file_.number(object, name)) return value;
    }
    return std::nullopt;
  }
  std::optional<std::string> text(const char* group, const char* name, bool root) const {
    for (const std::string& object : objects(group, root)) {
      if (const auto value = file_.text(object, name)) return value;
    }
    return std::nullopt;
  }

 private:
  std::vector<std::string> objects(const char* group, bool root) const {
    std::vector<std::string> all;
    for (const std::string& base : {candidate_.data, candidate_.dataset, std::string()}) {
      if (base.empty() && !root) continue;
      const std::string object = base + "/" + group;
      if (file_.exists(object)) all.push_back(object);
    }
    return all;
  }
  const Hdf5File& file_;
  const Candidate& candidate_;
};

/// Every datasetN/dataM in the order of their numbers, so that dataset10 follows dataset9.
std::vector<Candidate> list_data(const Hdf5File& file) {
  std::vector<Candidate> all;
  for (int n = 1; n <= kMaxGroups; ++n) {
    const std::string dataset = fmt::format("/dataset{}", n);
    if (!file.exists(dataset)) continue;
    for (int m = 1; m <= kMaxGroups; ++m) {
      Candidate candidate{dataset, fmt::format("{}/data{}", dataset, m), ""};
      if (!file.exists(candidate.data)) break;
      if (!file.is_dataset(candidate.data + "/data")) continue;
      candidate.quantity = Resolver(file, candidate).text("what", "quantity", false).value_or("");
      all.push_back(candidate);
    }
  }
  return all;
}

std::vector<std::string> preferred_quantities(const SourceOptions& options) {
  if (options.quantity == "reflectivity") return {"DBZH", "DBZ", "TH"};
  if (options.quantity == "auto" || options.quantity == "rain_rate" || options.quantity.empty()) {
    return {"RATE", "ACRR", "DBZH", "DBZ", "TH"};
  }
  if (options.quantity == "vil") return {"VIL"};
  return {options.quantity};
}

void refuse_polar(const std::string& object) {
  if (object == "COMP" || object == "IMAGE" || object == "CVOL") return;
  static const std::set<std::string> polar = {"PVOL", "SCAN", "RAY", "AZIM", "ELEV", "XSEC", "VP", "PIC"};
  throw DataError(fmt::format("odim: /what@object: {} is {}; expected a gridded composite (COMP or IMAGE)",
                              object.substr(0, 40),
                              polar.count(object) != 0 ? "polar or profile data" : "not known"));
}

Candidate choose(const Hdf5File& file, const SourceOptions& options, const std::string& object,
                 Frame& frame) {
  std::vector<Candidate> all = list_data(file);
  std::string found;
  for (const Candidate& candidate : all) {
    found += fmt::format("{}{} {}", found.empty() ? "" : ", ", candidate.data,
                         candidate.quantity.empty() ? "(no quantity)" : candidate.quantity.substr(0, 20));
  }
  if (all.empty())
    throw DataError("odim: /dataset1/data1/data: does not exist; expected a composite's array");
  std::set<std::string> datasets;
  for (const Candidate& candidate : all) datasets.insert(candidate.dataset);
  if (object == "CVOL" && datasets.size() != 1 && options.dataset.empty()) {
    throw DataError(fmt::format(
        "odim: /what@object: CVOL with {} datasets is a volume; expected one level; choose one with "
        "dataset (found {})",
        datasets.size(), found));
  }
  if (!options.dataset.empty()) {
    std::erase_if(all, [&](const Candidate& candidate) {
      return candidate.dataset != "/" + options.dataset && candidate.data != "/" + options.dataset;
    });
  }
  for (const std::string& quantity : preferred_quantities(options)) {
    std::vector<Candidate> matches;
    std::copy_if(all.begin(), all.end(), std::back_inserter(matches),
                 [&](const Candidate& candidate) { return candidate.quantity == quantity; });
    if (matches.empty()) continue;
    frame.source.rules.push_back(fmt::format("{} from {}", quantity, matches.front().data));
    if (matches.size() > 1) {
      frame.source.warnings.push_back(
          fmt::format("{} fields of {} ({}, {}, ...): the first is taken; choose with dataset",
                      matches.size(), quantity, matches[0].data, matches[1].data));
    }
    return matches.front();
  }
  std::string wanted;
  for (const std::string& quantity : preferred_quantities(options))
    wanted += (wanted.empty() ? "" : ", ") + quantity;
  throw DataError(fmt::format(
      "odim: {}: none of {} is there (found {}); expected one; set source.quantity or source.dataset",
      options.dataset.empty() ? "/" : "/" + options.dataset, wanted, found));
}

/// The true pixel size: the attribute's, unless the corners say it was given in kilometres.
double pixel_size(const char* name, double from_corners, std::optional<double> scale, Frame& frame) {
  if (!scale) return from_corners;
  const double ratio = from_corners / *scale;
  if (std::abs(ratio - 1.) < 0.01) return *scale;
  if (std::abs(ratio / 1000. - 1.) < 0.01) {
    frame.source.warnings.push_back(
        fmt::format("where@{}={} is in km: the corners say {:.6g} m", name, *scale, from_corners));
    return *scale * 1000.;
  }
  throw DataError(
      fmt::format("odim: /where@{}: {} disagrees with the corners, which give {:.6g} m; expected the same "
                  "within 1 %",
                  name, *scale, from_corners));
}

double positive(std::optional<double> value, const char* name) {
  if (!value || !std::isfinite(*value) || *value <= 0.) {
    throw DataError(fmt::format("odim: /where@{}: {}; expected a positive number", name,
                                value ? fmt::format("is {}", *value) : "is missing"));
  }
  return *value;
}

/// Corners are the outer corners of the corner pixels; two opposite ones suffice.
Grid grid_of(const Resolver& at, Frame& frame) {
  const auto number = [&](const char* name) { return at.number("where", name, true); };
  Grid grid;
  const double columns = positive(number("xsize"), "xsize"), rows = positive(number("ysize"), "ysize");
  if (columns > static_cast<double>(kMaxSide) || rows > static_cast<double>(kMaxSide)) {
    throw DataError(
        fmt::format("odim: /where: {}x{} pixels; expected at most {} a side", columns, rows, kMaxSide));
  }
  grid.columns = static_cast<std::int64_t>(columns);
  grid.rows = static_cast<std::int64_t>(rows);
  check_sides("odim: /where", grid.rows, grid.columns);
  const auto projdef = at.text("where", "projdef", true);
  if (!projdef) throw DataError("odim: /where@projdef: is missing; expected a PROJ string");
  try {
    grid.projection = clean_projection(*projdef);
  } catch (const DataError& error) {
    throw DataError(fmt::format("odim: /where@projdef: {}", error.what()));
  }
  const LonLatTransform transform(grid.projection);
  const auto corner = [&](const std::string& name) -> std::optional<std::pair<double, double>> {
    const auto longitude = number((name + "_lon").c_str()), latitude = number((name + "_lat").c_str());
    if (!longitude || !latitude) return std::nullopt;
    const auto place = transform.from_lonlat(*longitude, *latitude);
    if (!std::isfinite(place.first) || !std::isfinite(place.second)) {
      throw DataError(fmt::format("odim: /where@{}_lon, {}_lat: ({}, {}) cannot be projected", name, name,
                                  *longitude, *latitude));
    }
    return place;
  };
  const auto ul = corner("UL"), lr = corner("LR"), ll = corner("LL"), ur = corner("UR");
  double left = 0., right = 0., top = 0., bottom = 0.;
  const auto xscale = number("xscale"), yscale = number("yscale");
  if (ul && lr) {
    std::tie(left, top) = *ul;
    std::tie(right, bottom) = *lr;
  } else if (ll && ur) {
    std::tie(left, bottom) = *ll;
    std::tie(right, top) = *ur;
  } else if (number("UL_x") && number("UL_y")) {
    left = *number("UL_x");
    top = *number("UL_y");
    right = left + columns * positive(xscale, "xscale");
    bottom = top - rows * positive(yscale, "yscale");
  } else {
    throw DataError(
        "odim: /where: corners are missing; expected UL_lon, UL_lat, LR_lon, LR_lat (or LL and UR)");
  }
  if (!(right > left) || !(top > bottom)) {
    throw DataError(fmt::format("odim: /where: corners ({:.6g}, {:.6g}) and ({:.6g}, {:.6g}) enclose nothing",
                                left, top, right, bottom));
  }
  grid.dx = pixel_size("xscale", (right - left) / columns, xscale, frame);
  grid.dy = pixel_size("yscale", (top - bottom) / rows, yscale, frame);
  // Corners are rounded in many files: keep the middle, and centimetres.
  const auto tidy = [&](double value) {
    return is_geographic(grid.projection) ? value : std::round(value * 1e2) / 1e2 + 0.;
  };
  grid.x0 = tidy((left + right - columns * grid.dx) / 2.);
  grid.y0 = tidy((top + bottom + rows * grid.dy) / 2.);
  return grid;
}

void set_times(const Resolver& at, const Hdf5File& file, const std::string& quantity,
               const SourceOptions& options, Frame& frame) {
  const auto part = [&](const char* name) { return file.text("/what", name).value_or(""); };
  frame.valid_time = time_of("odim: /what@date, time", part("date"), part("time"));
  if (quantity != "ACRR") return;  // bounds of rates and reflectivities are informational
  frame.accumulation = true;
  if (options.accumulation_s > 0.) {
    frame.window_s = static_cast<std::int64_t>(options.accumulation_s);
    return;
  }
  const auto bound = [&](const char* date, const char* time) {
    return time_of(fmt::format("odim: what@{}, {}", date, time), at.text("what", date, false).value_or(""),
                   at.text("what", time, false).value_or(""));
  };
  const TimePoint start = bound("startdate", "starttime"), end = bound("enddate", "endtime");
  frame.window_s = (end - start).count();
  if (frame.window_s <= 0) {
    throw DataError(fmt::format("odim: what: an accumulation from {} to {}; expected the end after the start",
                                format_time(start), format_time(end)));
  }
  if (std::abs((frame.valid_time - end).count()) > frame.window_s) {
    throw DataError(fmt::format(
        "odim: what: the accumulation ends {} but the file is of {}; expected both within a window",
        format_time(end), format_time(frame.valid_time)));
  }
}

Coding coding_of(const Resolver& at, const std::string& quantity, const SourceOptions& options,
                 Frame& frame) {
  Coding coding;
  coding.gain = at.number("what", "gain", false).value_or(1.);
  coding.offset = at.number("what", "offset", false).value_or(0.);
  if (coding.gain < 0. && (quantity == "RATE" || quantity == "ACRR")) {
    throw DataError(fmt::format("odim: what@gain: {} is negative for {}; expected a positive gain",
                                coding.gain, quantity));
  }
  const auto nodata = at.number("what", "nodata", false), undetect = at.number("what", "undetect", false);
  coding.missing = options.missing_values;
  if (nodata) coding.missing.push_back(*nodata);
  if (undetect) coding.dry.push_back(*undetect);
  if (nodata && undetect && *nodata == *undetect) {
    frame.source.warnings.push_back(fmt::format(
        "nodata and undetect are both {}: the file cannot tell missing from dry; taken as missing", *nodata));
  }
  if (!nodata && !undetect) frame.source.rules.push_back("no nodata and no undetect: only NaN is missing");
  return coding;
}

const char* unit_of_quantity(const std::string& quantity) {
  if (quantity == "RATE") return "mm/h";
  if (quantity == "ACRR") return "mm";
  if (quantity == "DBZH" || quantity == "DBZ" || quantity == "TH") return "dBZ";
  return "";
}

}  // namespace

bool is_odim(const Content& content) {
  if (!content.hdf5) return false;
  const Hdf5File& file = *content.hdf5;
  return file.exists("/what") && (file.exists("/dataset1") || file.exists("/image1")) &&
         file.text("/what", "object").has_value();
}

std::vector<Frame> read_odim(const Content& content, const ReadRequest& request) {
  const Hdf5File& file = *content.hdf5;
  Frame frame;
  const std::string object = file.exists("/what") ? file.text("/what", "object").value_or("") : "";
  refuse_polar(object);
  if (!file.exists("/dataset1")) {
    throw DataError(
        "odim: /dataset1: does not exist; the layout is older than ODIM_H5 2.0; convert it first");
  }
  const Candidate chosen = choose(file, request.options, object, frame);
  const Resolver at(file, chosen);
  const std::string array = chosen.data + "/data", where = where_of(array);
  frame.source.quantity = chosen.quantity;
  frame.source.unit =
      request.options.units.empty() ? unit_of_quantity(chosen.quantity) : request.options.units;
  frame.grid = grid_of(at, frame);
  set_times(at, file, chosen.quantity, request.options, frame);
  const std::vector<std::int64_t> sides = file.checked_dimensions(array);
  if (sides != std::vector<std::int64_t>{frame.grid.rows, frame.grid.columns}) {
    throw DataError(fmt::format("{}: shape ({}) does not match where@ysize={}, xsize={}", where,
                                fmt::join(sides, ", "), frame.grid.rows, frame.grid.columns));
  }
  const Coding coding = coding_of(at, chosen.quantity, request.options, frame);
  const ZRelation zr{at.number("how", "zr_a", true).value_or(0.),
                     at.number("how", "zr_b", true).value_or(0.)};
  const Conversion conversion = conversion_for(where, frame.source.unit, request.options, zr, frame);
  if (request.wanted != Wanted::description) {
    Decoder decoder(where, coding, conversion, frame, request.wanted);
    decoder.finish(file.read_rows(array, [&](const Field& band) { decoder.add(band); }));
  }
  std::vector<Frame> frames;
  frames.push_back(std::move(frame));
  return frames;
}

}  // namespace raincell::io
