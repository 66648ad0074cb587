// CF NetCDF of any layout: the variable is found by configuration, standard_name, unit or name; codes are
// read from _FillValue, missing_value, the library's default fill and valid_range, all in the packed domain.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <set>
#include <sstream>
#include <type_traits>

#include "io/cf_axes.hpp"
#include "io/formats.hpp"
#include "io/netcdf_file.hpp"
#include "io/orientation.hpp"

namespace raincell::io {
namespace {

const std::set<std::string>& standard_names() {
  static const std::set<std::string> names = {"lwe_precipitation_rate",
                                              "rainfall_rate",
                                              "precipitation_flux",
                                              "rainfall_flux",
                                              "convective_precipitation_rate",
                                              "precipitation_amount",
                                              "rainfall_amount",
                                              "lwe_thickness_of_precipitation_amount",
                                              "thickness_of_rainfall_amount",
                                              "equivalent_reflectivity_factor"};
  return names;
}

const std::set<std::string>& usual_names() {
  static const std::set<std::string> names = {"rr",
                                              "ry",
                                              "rw",
                                              "yw",
                                              "rainfall",
                                              "precipitation",
                                              "precip",
                                              "rate",
                                              "dbzh",
                                              "rainrate",
                                              "rain_rate",
                                              "dbz",
                                              "rainfall_amount",
                                              "precip_intensity",
                                              "reflectivity",
                                              "rainfall_rate"};
  return names;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) {
    if (word.back() == ':') continue;  // "grid_mapping: crs" and cell measures
    words.push_back(word);
  }
  return words;
}

/// Names of variables that serve others: bounds, grid mappings, ancillary variables, coordinates.
std::set<std::string> servants(const NetcdfFile& file) {
  std::set<std::string> names;
  for (const NetcdfVariable& variable : file.variables()) {
    for (const char* key :
         {"bounds", "climatology", "grid_mapping", "ancillary_variables", "coordinates", "cell_measures"}) {
      for (const std::string& name : words_of(file.text(variable.id, key))) names.insert(name);
    }
  }
  return names;
}

bool is_candidate(const NetcdfFile& file, const NetcdfVariable& variable,
                  const std::set<std::string>& served) {
  if (variable.type.kind == NumberKind::other || served.count(variable.name) != 0) return false;
  if (std::count_if(variable.sides.begin(), variable.sides.end(),
                    [](std::int64_t side) { return side > 1; }) < 2)
    return false;
  const std::string standard = file.text(variable.id, "standard_name");
  const std::string unit = file.text(variable.id, "units");
  if (standard == "latitude" || standard == "longitude" || unit.rfind("degree", 0) == 0) return false;
  if (file.has(variable.id, "flag_values") || file.has(variable.id, "flag_masks") ||
      file.has(variable.id, "flag_mask"))
    return false;
  const bool is_coordinate = variable.dimensions.size() == 1 && variable.dimensions[0] == variable.name;
  return !is_coordinate;
}

/// Grey levels of moving digits, as simulate writes them.
bool is_intensity(const NetcdfFile& file, const NetcdfVariable& variable) {
  return file.text(variable.id, "long_name") == "intensity" && file.text(variable.id, "units") == "1";
}

/// 0 is best; 9: nothing speaks for it.
int rank_of(const NetcdfFile& file, const NetcdfVariable& variable) {
  if (standard_names().count(file.text(variable.id, "standard_name")) != 0) return 1;
  if (known_unit(file.text(variable.id, "units"))) return 2;
  std::string name = variable.name;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (usual_names().count(name) != 0) return 3;
  return is_intensity(file, variable) ? 4 : 9;
}

/// A nowcast in a folder of radar files must not become the observation that the next one starts from.
void refuse_own_product(const NetcdfFile& file) {
  const std::string forecaster = file.text(NetcdfFile::kGlobal, "forecaster");
  if (forecaster.empty() || file.text(NetcdfFile::kGlobal, "raincell_version").empty()) return;
  throw DataError(
      fmt::format("cf: forecaster: a nowcast by {}, not an observation; expected radar; keep "
                  "products in another folder",
                  forecaster.substr(0, 40)));
}

const NetcdfVariable& choose(const NetcdfFile& file, const SourceOptions& options,
                             std::vector<std::string>& rules) {
  const std::set<std::string> served = servants(file);
  std::vector<const NetcdfVariable*> best;
  std::string all;
  int best_rank = 8;
  for (const NetcdfVariable& variable : file.variables()) {
    if (!is_candidate(file, variable, served)) continue;
    all += fmt::format("{}{} [{}]", all.empty() ? "" : ", ", variable.name,
                       file.text(variable.id, "units").substr(0, 40));
    const int rank = rank_of(file, variable);
    if (rank > best_rank) continue;
    if (rank < best_rank) best.clear();
    best_rank = rank;
    best.push_back(&variable);
  }
  if (!options.variable.empty()) {
    const NetcdfVariable* named = file.find(options.variable);
    if (named == nullptr) {
      throw DataError(fmt::format("cf: {}: does not exist (found {}); set source.variable", options.variable,
                                  all.empty() ? "none" : all));
    }
    rules.push_back("variable " + named->name + ", as configured");
    return *named;
  }
  if (best.size() != 1) {
    throw DataError(
        fmt::format("cf: /: {} variables could be precipitation (found {}); expected one in the root group; "
                    "set source.variable",
                    best.empty() ? "no" : std::to_string(best.size()), all.empty() ? "none" : all));
  }
  static constexpr const char* why[] = {"", "standard_name", "unit", "name", "long_name"};
  rules.push_back(fmt::format("variable {} by its {}", best.front()->name, why[best_rank]));
  return *best.front();
}

/// _Unsigned = "true" on a signed type: data and codes are meant modulo 2^bits.
bool is_reinterpreted(const NetcdfFile& file, const NetcdfVariable& variable) {
  const std::string flag = file.text(variable.id, "_Unsigned");
  return variable.type.kind == NumberKind::integer && variable.type.is_signed &&
         (flag == "true" || flag == "True");
}

Stored reinterpret_unsigned(Stored stored) {
  return std::visit(
      [](auto& values) -> Stored {
        using T = typename std::decay_t<decltype(values)>::value_type;
        if constexpr (std::is_integral_v<T>) {
          using U = std::make_unsigned_t<T>;
          std::vector<U> out(values.size());
          std::memcpy(out.data(), values.data(), values.size() * sizeof(T));
          return out;
        } else {
          return std::move(values);
        }
      },
      stored);
}

double as_unsigned(double code, int bytes) {
  return code < 0. ? code + std::ldexp(1., bytes * 8) : code;
}

Coding coding_of(const NetcdfFile& file, const NetcdfVariable& variable, const SourceOptions& options,
                 Frame& frame) {
  Coding coding;
  coding.missing = options.missing_values;
  const int id = variable.id;
  for (const char* key : {"scale_factor", "add_offset", "_FillValue", "valid_min", "valid_max"}) {
    if (file.has(id, key) && !file.number(id, key))
      throw DataError(fmt::format("cf: {}@{}: is not one number; expected one", variable.name, key));
  }
  if (const auto fill = file.number(id, "_FillValue")) {
    coding.missing.push_back(*fill);
  } else if (const auto standard = file.default_fill(variable)) {
    coding.missing.push_back(*standard);
    frame.source.rules.push_back(
        fmt::format("no _FillValue: the library's default fill {} is missing", *standard));
  }
  for (const double value : file.numbers(id, "missing_value")) coding.missing.push_back(value);
  if (const std::vector<double> range = file.numbers(id, "valid_range"); range.size() == 2) {
    coding.valid_min = range[0];
    coding.valid_max = range[1];
  }
  if (const auto low = file.number(id, "valid_min")) coding.valid_min = *low;
  if (const auto high = file.number(id, "valid_max")) coding.valid_max = *high;
  if (is_reinterpreted(file, variable)) {
    for (double& code : coding.missing) code = as_unsigned(code, variable.type.bytes);
    coding.valid_min = as_unsigned(coding.valid_min, variable.type.bytes);
    coding.valid_max = as_unsigned(coding.valid_max, variable.type.bytes);
    if (std::isinf(coding.valid_min)) coding.valid_min = -INFINITY;
    frame.source.rules.push_back("_Unsigned: stored numbers and codes are read as unsigned");
  }
  if (coding.valid_min > coding.valid_max) {
    throw DataError(fmt::format("cf: {}: valid_min {} is above valid_max {}; expected the reverse",
                                variable.name, coding.valid_min, coding.valid_max));
  }
  coding.gain = file.number(id, "scale_factor").value_or(1.);
  coding.offset = file.number(id, "add_offset").value_or(0.);
  return coding;
}

/// Checks the storage of what will be read, before the first read.
void check_storage(const NetcdfFile& file, const NetcdfVariable& chosen) {
  file.check_storage(chosen);
  for (const NetcdfVariable& variable : file.variables()) {
    if (variable.sides.size() <= 1) file.check_storage(variable);
  }
}

/// Where a step of a variable is read, and how its numbers are turned into a frame.
struct StepPlan {
  const NetcdfFile& file;
  const NetcdfVariable& variable;
  const CfAxes& axes;
  const CfPlace& place;
  Wanted wanted;
};

/// False when nothing of the step can be had; all of it is missing then.
bool read_step(const StepPlan& plan, std::size_t step, const Coding& coding, const Conversion& conversion,
               Frame& frame) {
  const NetcdfVariable& variable = plan.variable;
  const CfAxes& axes = plan.axes;
  std::vector<std::int64_t> start(variable.sides.size(), 0), count(variable.sides.size(), 1);
  if (axes.time >= 0) start[static_cast<std::size_t>(axes.time)] = static_cast<std::int64_t>(step);
  count[static_cast<std::size_t>(axes.y)] = frame.grid.rows;
  count[static_cast<std::size_t>(axes.x)] = frame.grid.columns;
  // Of a file that was laid out before it was filled, the steps that were not written yet are missing.
  const bool alone = axes.time < 0 || variable.sides[static_cast<std::size_t>(axes.time)] == 1;
  Field field = plan.file.read(variable, start, count, alone ? AllLost::refused : AllLost::allowed);
  const bool had =
      field.lost.empty() || std::find(field.lost.begin(), field.lost.end(), false) != field.lost.end();
  if (is_reinterpreted(plan.file, variable)) field.values = reinterpret_unsigned(std::move(field.values));
  decode("cf: " + variable.name, field, coding, conversion, frame, plan.wanted);
  if (axes.x < axes.y) transpose(frame);
  if (plan.place.y_ascends) flip_rows(frame);
  if (plan.place.x_descends) mirror_columns(frame);
  return had;
}

}  // namespace

bool is_cf(const Content& content) {
  if (!content.hdf5) return content.bytes.size() > 3 && std::memcmp(content.bytes.data(), "CDF", 3) == 0;
  const Hdf5File& file = *content.hdf5;
  // Enough evidence that netCDF wrote it; nc_open itself succeeds on every HDF5 file.
  if (const auto conventions = file.text("/", "Conventions")) {
    if (conventions->find("CF-") != std::string::npos || conventions->find("COARDS") != std::string::npos)
      return true;
  }
  if (file.text("/", "_NCProperties")) return true;
  for (const std::string& name : file.members("/", 64)) {
    const std::string path = "/" + name;
    if (file.is_dataset(path) && file.text(path, "CLASS").value_or("") == "DIMENSION_SCALE") return true;
  }
  return false;
}

std::vector<Frame> read_cf(const Content& content, const ReadRequest& request) {
  const std::unique_ptr<NetcdfFile> opened =
      NetcdfFile::open(content.bytes, content.hdf5 ? &*content.hdf5 : nullptr);
  const NetcdfFile& file = *opened;
  SourceOptions options = request.options;
  Frame model;
  refuse_own_product(file);
  const NetcdfVariable& variable = choose(file, options, model.source.rules);
  if (options.quantity == "auto" && is_intensity(file, variable)) options.quantity = "intensity";
  check_storage(file, variable);
  const CfAxes axes = find_axes(file, variable);
  if (axes.time >= 0 && variable.sides[static_cast<std::size_t>(axes.time)] == 0)
    throw DataError(fmt::format(
        "cf: {}: holds no step yet; still being written? try again when it is complete", variable.name));
  const CfPlace place = find_place(file, variable, axes, model.source.rules, model.source.warnings);
  const std::vector<CfTime> times =
      find_times(file, variable, axes, options, content.name, model.source.rules);
  if (static_cast<std::int64_t>(times.size()) > kMaxFileValues / place.grid.pixels()) {
    throw DataError(fmt::format("cf: {}: {} steps of {} pixels; expected at most {} values in a file",
                                variable.name, times.size(), place.grid.pixels(), kMaxFileValues));
  }
  model.grid = place.grid;
  model.source.quantity = variable.name;
  model.source.unit = options.units.empty() ? file.text(variable.id, "units") : options.units;
  if (!options.units.empty()) model.source.rules.push_back("unit " + options.units + ", as configured");
  Coding coding = coding_of(file, variable, options, model);
  std::vector<Frame> frames;
  bool any = false;
  for (std::size_t step = 0; step < times.size(); ++step) {
    Frame frame = model;
    frame.valid_time = times[step].valid;
    frame.window_s =
        options.accumulation_s > 0. ? std::llround(options.accumulation_s) : times[step].window_s;
    const Conversion conversion =
        conversion_for("cf: " + variable.name, model.source.unit, options, {}, frame);
    // 0 dBZ is a faint echo; 0 mm is nothing.
    coding.zero_is_dry = conversion.quantity != Quantity::reflectivity && !conversion.from_dbz;
    if (!conversion.accumulation && options.accumulation_s <= 0.) frame.window_s = times[step].window_s;
    if (request.wanted != Wanted::description &&
        read_step({file, variable, axes, place, request.wanted}, step, coding, conversion, frame))
      any = true;
    frames.push_back(std::move(frame));
  }
  if (!any && request.wanted != Wanted::description)
    throw DataError(
        fmt::format("{}; no other step can be had either", frames.back().source.warnings.front()));
  return frames;
}

}  // namespace raincell::io
