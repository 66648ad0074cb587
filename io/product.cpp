#include "io/product.hpp"

#include <fmt/format.h>
#include <netcdf.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "io/format_lock.hpp"
#include "io/netcdf_memory.hpp"
#include "io/product_layout.hpp"
#include "io/publish.hpp"

namespace raincell::io {
namespace {

constexpr std::int64_t kTile = 512;            // columns and rows of a chunk of a large grid
constexpr std::int64_t kWholeFrame = 1 << 19;  // pixels (1 MB) up to which a frame is one chunk
constexpr float kPackingScale = 0.01F;         // mm/h a count
constexpr float kProbabilityScale = 0.0001F;

void compress(const NetcdfMemory& file, int variable, std::int64_t leading, const Grid& grid) {
  const bool whole = grid.pixels() <= kWholeFrame;
  std::vector<std::size_t> chunk(static_cast<std::size_t>(leading), 1);
  chunk.push_back(static_cast<std::size_t>(whole ? grid.rows : std::min(grid.rows, kTile)));
  chunk.push_back(static_cast<std::size_t>(whole ? grid.columns : std::min(grid.columns, kTile)));
  file.check(nc_def_var_chunking(file.id(), variable, NC_CHUNKED, chunk.data()), "chunking");
  file.check(nc_def_var_deflate(file.id(), variable, 1, 1, 1), "compression");
}

struct Dimensions {
  int time = -1, y = -1, x = -1;
};

void refuse_unless(bool good, const std::string& what) {
  if (!good) throw DataError("product: " + what + "; this is a fault of the program that filled it");
}

void check_sizes(const Product& product) {
  const std::int64_t pixels = product.grid.pixels();
  const auto leads = static_cast<std::int64_t>(product.lead_s.size());
  refuse_unless(
      product.grid.rows > 1 && product.grid.columns > 1,
      fmt::format("grid of {}x{} pixels; at least 2x2 expected", product.grid.columns, product.grid.rows));
  refuse_unless(product.grid.dx > 0. && product.grid.dy > 0., "pixel size is not positive");
  refuse_unless(leads > 0, "no lead time");
  refuse_unless(std::adjacent_find(product.lead_s.begin(), product.lead_s.end(), std::greater_equal<>()) ==
                    product.lead_s.end(),
                "lead times are not strictly increasing");
  const auto expect = [](std::size_t size, std::int64_t wanted, const char* name) {
    refuse_unless(static_cast<std::int64_t>(size) == wanted,
                  fmt::format("{} holds {} numbers, {} expected", name, size, wanted));
  };
  expect(product.values.size(), leads * pixels, "values");
  if (!product.observed_mask.empty()) expect(product.observed_mask.size(), pixels, "observed_mask");
  const auto thresholds = static_cast<std::int64_t>(product.probability_thresholds.size());
  expect(product.probabilities.size(), thresholds * leads * pixels, "probabilities");
  for (const Accumulation& sum : product.accumulations) {
    expect(sum.values.size(), pixels, "accumulation");
    refuse_unless(sum.from_s < sum.to_s, "accumulation ends before it starts");
  }
}

void describe_time(const NetcdfMemory& file, int variable, const std::string& units) {
  file.text(variable, "standard_name", "time");
  file.text(variable, "long_name", "valid time");
  file.text(variable, "units", units);
  file.text(variable, "calendar", "standard");
  file.text(variable, "units_metadata", "leap_seconds: none");
  file.text(variable, "axis", "T");
}

std::string reference_units(TimePoint reference) {
  std::string text = format_time(reference);
  text.back() = ' ';  // the Z
  text[10] = ' ';
  text.pop_back();
  return "seconds since " + text + (text.size() == 16 ? ":00" : "");
}

/// time, forecast_reference_time, forecast_period: pysteps takes time / 60 as the lead in minutes.
Dimensions define_times(const NetcdfMemory& file, const Product& product) {
  Dimensions dimensions;
  dimensions.time = file.dimension("time", product.lead_s.size());
  describe_time(file, file.variable("time", NC_DOUBLE, {dimensions.time}),
                reference_units(product.reference_time));
  const int reference = file.variable("forecast_reference_time", NC_DOUBLE, {});
  file.text(reference, "standard_name", "forecast_reference_time");
  file.text(reference, "long_name", "valid time of the latest radar frame");
  file.text(reference, "units", "seconds since 1970-01-01 00:00:00");
  file.text(reference, "calendar", "standard");
  file.text(reference, "units_metadata", "leap_seconds: none");
  const int period = file.variable("forecast_period", NC_INT, {dimensions.time});
  file.text(period, "standard_name", "forecast_period");
  file.text(period, "long_name", "lead time");
  file.text(period, "units", "s");
  return dimensions;
}

void define_axes(const NetcdfMemory& file, const Product& product, Dimensions& dimensions) {
  dimensions.y = file.dimension("y", static_cast<std::size_t>(product.grid.rows));
  dimensions.x = file.dimension("x", static_cast<std::size_t>(product.grid.columns));
  const int y = file.variable("y", NC_DOUBLE, {dimensions.y});
  const int x = file.variable("x", NC_DOUBLE, {dimensions.x});
  const AxisText axes = axis_text(product.grid);
  const auto describe_axis = [&](int variable, const std::string& standard_name, const std::string& long_name,
                                 const std::string& unit, const char* axis) {
    if (!standard_name.empty()) file.text(variable, "standard_name", standard_name);
    file.text(variable, "long_name", long_name);
    file.text(variable, "units", unit);
    file.text(variable, "axis", axis);
  };
  describe_axis(y, axes.y_standard_name, axes.y_long_name, axes.y_unit, "Y");
  describe_axis(x, axes.x_standard_name, axes.x_long_name, axes.x_unit, "X");
}

/// Empty when the grid has no place on Earth.
std::string define_mapping(const NetcdfMemory& file, const Product& product) {
  const MappingText mapping = mapping_text(product.grid);
  if (!mapping.warning.empty()) file.text(NC_GLOBAL, "warning", mapping.warning);
  if (mapping.variable.empty()) return {};
  const int variable = file.variable(mapping.variable, NC_INT, {});
  for (const auto& [name, value] : mapping.texts) file.text(variable, name, value);
  for (const auto& [name, values] : mapping.numbers) file.number(variable, name, values);
  return mapping.variable;
}

struct FieldText {
  std::string name, standard_name, long_name, unit, cell_methods, coordinates;
  float scale = kPackingScale;
  std::int16_t lowest = 0, highest = 32767;
};

int define_field(const NetcdfMemory& file, const Product& product, const FieldText& field,
                 const std::vector<int>& dimensions, const std::string& mapping) {
  const int variable = file.variable(field.name, NC_SHORT, dimensions);
  const std::int16_t fill = kPackedMissing;
  const float offset = 0.F;
  const std::int16_t range[2] = {field.lowest, field.highest};
  const int id = file.id();
  file.check(nc_def_var_fill(id, variable, NC_FILL, &fill), "_FillValue of " + field.name);
  if (!field.standard_name.empty()) file.text(variable, "standard_name", field.standard_name);
  file.text(variable, "long_name", field.long_name);
  file.text(variable, "units", field.unit);
  file.check(nc_put_att_float(id, variable, "scale_factor", NC_FLOAT, 1, &field.scale), "scale_factor");
  file.check(nc_put_att_float(id, variable, "add_offset", NC_FLOAT, 1, &offset), "add_offset");
  file.check(nc_put_att_short(id, variable, "valid_range", NC_SHORT, 2, range), "valid_range");
  if (!mapping.empty()) file.text(variable, "grid_mapping", mapping);
  if (!field.coordinates.empty()) file.text(variable, "coordinates", field.coordinates);
  if (!field.cell_methods.empty()) file.text(variable, "cell_methods", field.cell_methods);
  compress(file, variable, static_cast<std::int64_t>(dimensions.size()) - 2, product.grid);
  return variable;
}

/// Counts of 0.01 (or `scale`); returns how many values were beyond the range.
std::int64_t pack_plane(std::span<const float> values, const FieldText& field,
                        std::vector<std::int16_t>& packed) {
  std::int64_t clipped = 0;
  const double scale = field.scale == kPackingScale ? 0.01 : 0.0001;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) {
      packed[i] = kPackedMissing;
      continue;
    }
    const double count = std::nearbyint(static_cast<double>(values[i]) / scale);
    const double inside = std::clamp<double>(count, field.lowest, field.highest);
    clipped += inside != count;
    packed[i] = static_cast<std::int16_t>(inside);
  }
  return clipped;
}

/// Writes [planes, rows, columns] with `fixed` leading indices before the plane index.
std::int64_t put_planes(const NetcdfMemory& file, const Product& product, int variable,
                        const FieldText& field, std::span<const float> values,
                        const std::vector<std::size_t>& fixed) {
  const auto pixels = static_cast<std::size_t>(product.grid.pixels());
  std::vector<std::int16_t> packed(pixels);
  std::int64_t clipped = 0;
  std::vector<std::size_t> start = fixed;
  start.insert(start.end(), {0, 0, 0});
  std::vector<std::size_t> count(fixed.size() + 1, 1);
  count.push_back(static_cast<std::size_t>(product.grid.rows));
  count.push_back(static_cast<std::size_t>(product.grid.columns));
  for (std::size_t plane = 0; plane * pixels < values.size(); ++plane) {
    clipped += pack_plane(values.subspan(plane * pixels, pixels), field, packed);
    start[fixed.size()] = plane;
    file.check(nc_put_vara_short(file.id(), variable, start.data(), count.data(), packed.data()), field.name);
  }
  return clipped;
}

FieldText rate_field(const Product& product) {
  const FieldNames names = field_names(product.quantity);
  FieldText field{names.variable, names.standard_name, names.long_name,
                  names.unit,     "time: point",       "forecast_reference_time forecast_period"};
  if (product.quantity == Quantity::reflectivity) field.lowest = -32767;
  return field;
}

FieldText probability_field() {
  FieldText field{"probability_of_exceedance",
                  "",
                  "probability that the rain rate is at or above the threshold",
                  "1",
                  "time: point",
                  "forecast_reference_time forecast_period"};
  field.scale = kProbabilityScale;
  field.highest = 10000;
  return field;
}

FieldText accumulation_field() {
  return {"precip_accum",
          "lwe_thickness_of_precipitation_amount",
          "rain between two lead times",
          "mm",
          "accumulation_time: sum",
          "forecast_reference_time accumulation_period"};
}

struct Variables {
  int field = -1, mask = -1, probability = -1, accumulation = -1;
};

int define_probabilities(const NetcdfMemory& file, const Product& product, const Dimensions& dimensions,
                         const std::string& mapping) {
  const int threshold_dimension = file.dimension("threshold", product.probability_thresholds.size());
  const int threshold = file.variable("threshold", NC_DOUBLE, {threshold_dimension});
  const FieldNames names = field_names(product.quantity);
  if (!names.standard_name.empty()) file.text(threshold, "standard_name", names.standard_name);
  file.text(threshold, "long_name", "threshold, at or above which the event happens");
  file.text(threshold, "units", names.unit);
  return define_field(file, product, probability_field(),
                      {threshold_dimension, dimensions.time, dimensions.y, dimensions.x}, mapping);
}

int define_accumulations(const NetcdfMemory& file, const Product& product, const Dimensions& dimensions,
                         const std::string& mapping) {
  const int time_dimension = file.dimension("accumulation_time", product.accumulations.size());
  const int bounds_dimension = file.dimension("nv", 2);
  const int time = file.variable("accumulation_time", NC_DOUBLE, {time_dimension});
  describe_time(file, time, reference_units(product.reference_time));
  file.text(time, "bounds", "accumulation_time_bnds");
  file.variable("accumulation_time_bnds", NC_DOUBLE, {time_dimension, bounds_dimension});
  const int period = file.variable("accumulation_period", NC_INT, {time_dimension});
  file.text(period, "standard_name", "forecast_period");
  file.text(period, "long_name", "lead time of the end");
  file.text(period, "units", "s");
  return define_field(file, product, accumulation_field(), {time_dimension, dimensions.y, dimensions.x},
                      mapping);
}

Variables define_fields(const NetcdfMemory& file, const Product& product, const Dimensions& dimensions,
                        const std::string& mapping) {
  Variables variables;
  variables.field = define_field(file, product, rate_field(product),
                                 {dimensions.time, dimensions.y, dimensions.x}, mapping);
  if (!product.observed_mask.empty()) {
    variables.mask = file.variable("observed_mask", NC_BYTE, {dimensions.y, dimensions.x});
    const signed char flags[2] = {0, 1};
    file.text(variables.mask, "long_name", "whether the latest frame was observed here");
    file.check(nc_put_att_schar(file.id(), variables.mask, "flag_values", NC_BYTE, 2, flags), "flag_values");
    file.text(variables.mask, "flag_meanings", "missing observed");
    file.text(variables.mask, "coordinates", "forecast_reference_time");
    if (!mapping.empty()) file.text(variables.mask, "grid_mapping", mapping);
    compress(file, variables.mask, 0, product.grid);
  }
  if (!product.probability_thresholds.empty()) {
    variables.probability = define_probabilities(file, product, dimensions, mapping);
  }
  if (!product.accumulations.empty()) {
    variables.accumulation = define_accumulations(file, product, dimensions, mapping);
  }
  return variables;
}

void put_provenance(const NetcdfMemory& file, const Product& product) {
  for (const auto& [name, value] : global_attributes(product)) file.text(NC_GLOBAL, name, value);
  file.integer(NC_GLOBAL, "frames_filled", product.frames_filled);
  if (product.input_age_s >= 0) file.integer(NC_GLOBAL, "input_age_s", product.input_age_s);
  file.integer(NC_GLOBAL, "values_clipped", 0);  // room for the count, known after packing
}

void put_coordinates(const NetcdfMemory& file, const Product& product) {
  const Grid& grid = product.grid;
  const std::vector<double> leads(product.lead_s.begin(), product.lead_s.end());
  file.put("time", leads);
  file.put("forecast_period", leads);
  file.put("forecast_reference_time",
           {static_cast<double>(product.reference_time.time_since_epoch().count())});
  std::vector<double> centres(static_cast<std::size_t>(grid.rows));
  for (std::size_t row = 0; row < centres.size(); ++row) {
    centres[row] = grid.y0 - (static_cast<double>(row) + 0.5) * grid.dy;
  }
  file.put("y", centres);
  centres.resize(static_cast<std::size_t>(grid.columns));
  for (std::size_t column = 0; column < centres.size(); ++column) {
    centres[column] = grid.x0 + (static_cast<double>(column) + 0.5) * grid.dx;
  }
  file.put("x", centres);
}

std::int64_t put_accumulations(const NetcdfMemory& file, const Product& product, int variable) {
  std::vector<double> ends, bounds;
  for (const Accumulation& sum : product.accumulations) {
    ends.push_back(static_cast<double>(sum.to_s));
    bounds.insert(bounds.end(), {static_cast<double>(sum.from_s), static_cast<double>(sum.to_s)});
  }
  file.put("accumulation_time", ends);
  file.put("accumulation_period", ends);
  file.put("accumulation_time_bnds", bounds);
  std::int64_t clipped = 0;
  std::vector<std::int16_t> packed(static_cast<std::size_t>(product.grid.pixels()));
  const std::size_t count[3] = {1, static_cast<std::size_t>(product.grid.rows),
                                static_cast<std::size_t>(product.grid.columns)};
  for (std::size_t i = 0; i < product.accumulations.size(); ++i) {
    clipped += pack_plane(product.accumulations[i].values, accumulation_field(), packed);
    const std::size_t start[3] = {i, 0, 0};
    file.check(nc_put_vara_short(file.id(), variable, start, count, packed.data()), "precip_accum");
  }
  return clipped;
}

std::int64_t put_fields(const NetcdfMemory& file, const Product& product, const Variables& variables) {
  std::int64_t clipped = put_planes(file, product, variables.field, rate_field(product), product.values, {});
  if (variables.mask >= 0) {
    file.check(nc_put_var_uchar(file.id(), variables.mask, product.observed_mask.data()), "observed_mask");
  }
  const std::size_t volume = product.lead_s.size() * static_cast<std::size_t>(product.grid.pixels());
  for (std::size_t i = 0; variables.probability >= 0 && i < product.probability_thresholds.size(); ++i) {
    put_planes(file, product, variables.probability, probability_field(),
               std::span(product.probabilities).subspan(i * volume, volume), {i});
  }
  if (variables.probability >= 0) file.put("threshold", product.probability_thresholds);
  if (variables.accumulation >= 0) clipped += put_accumulations(file, product, variables.accumulation);
  return clipped;
}

}  // namespace

std::vector<std::byte> product_bytes(const Product& product) {
  check_sizes(product);
  const std::lock_guard lock(format_lock());
  NetcdfMemory file("product");
  file.text(NC_GLOBAL, "Conventions", "CF-1.11");
  put_provenance(file, product);
  Dimensions dimensions = define_times(file, product);
  define_axes(file, product, dimensions);
  const std::string mapping = define_mapping(file, product);
  const Variables variables = define_fields(file, product, dimensions, mapping);
  file.check(nc_enddef(file.id()), "end of definitions");
  put_coordinates(file, product);
  const std::int64_t clipped = put_fields(file, product, variables);
  if (clipped > 0) file.integer(NC_GLOBAL, "values_clipped", clipped);
  return file.close();
}

void write_product(const Product& product, const std::filesystem::path& path) {
  publish(path, std::span<const std::byte>(product_bytes(product)));
}

Accumulation accumulate(const Product& product, std::int64_t from_s, std::int64_t to_s) {
  if (product.quantity != Quantity::rain_rate) {
    throw DataError(
        fmt::format("product: accumulation of {}: only rain rates can be summed", name_of(product.quantity)));
  }
  const auto is_lead = [&](std::int64_t lead) {
    return lead == 0 || std::binary_search(product.lead_s.begin(), product.lead_s.end(), lead);
  };
  if (!is_lead(from_s) || !is_lead(to_s) || from_s >= to_s) {
    throw DataError(fmt::format("product: accumulation from {} s to {} s: both must be lead times, in order",
                                from_s, to_s));
  }
  const auto pixels = static_cast<std::size_t>(product.grid.pixels());
  Accumulation sum{from_s, to_s, std::vector<float>(pixels, 0.F)};
  std::int64_t before = 0;
  for (std::size_t lead = 0; lead < product.lead_s.size(); ++lead) {
    const std::int64_t now = product.lead_s[lead];
    if (now > from_s && now <= to_s) {
      const auto hours = static_cast<float>(static_cast<double>(now - before) / 3600.);
      for (std::size_t i = 0; i < pixels; ++i) sum.values[i] += hours * product.values[lead * pixels + i];
    }
    before = now;
  }
  return sum;
}

}  // namespace raincell::io
