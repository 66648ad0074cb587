#include "io/product.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "io/cf_out.hpp"
#include "io/format_lock.hpp"
#include "io/netcdf_in.hpp"
#include "io/product_layout.hpp"
#include "io/publish.hpp"

namespace raincell::io {
namespace {

constexpr std::int64_t kTile = 512;            // columns and rows of a chunk of a large grid
constexpr std::int64_t kWholeFrame = 1 << 19;  // pixels (1 MB) up to which a frame is one chunk

/// Chunks of a variable with `leading` dimensions before y and x.
NetcdfStorage tiles(std::size_t leading, const Grid& grid) {
  const bool whole = grid.pixels() <= kWholeFrame;
  NetcdfStorage storage{std::vector<std::size_t>(leading, 1), 1};
  storage.chunks.push_back(static_cast<std::size_t>(whole ? grid.rows : std::min(grid.rows, kTile)));
  storage.chunks.push_back(static_cast<std::size_t>(whole ? grid.columns : std::min(grid.columns, kTile)));
  return storage;
}

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
  if (!product.observed_mask.empty()) expect(product.observed_mask.size(), pixels, "observed_mask");
  for (const Accumulation& sum : product.accumulations) {
    refuse_unless(sum.from_s < sum.to_s, "accumulation ends before it starts");
  }
}

std::string reference_units(TimePoint reference) {
  std::string text = format_time(reference);
  text.back() = ' ';  // the Z
  text[10] = ' ';
  text.pop_back();
  return "seconds since " + text + (text.size() == 16 ? ":00" : "");
}

/// What the file holds, by netCDF's numbers; -1: not there.
struct Variables {
  int time_dimension = -1;
  int time = -1, reference = -1, period = -1;
  CfGrid grid;
  int field = -1, mask = -1;
  int threshold = -1, probability = -1;
  int accumulation_time = -1, accumulation_period = -1, accumulation_bounds = -1, accumulation = -1;
};

int define_period(NetcdfOut& out, const std::string& name, const std::string& long_name, int dimension) {
  const int period = out.variable(name, NetcdfType::int32, {dimension});
  out.text(period, "standard_name", "forecast_period");
  out.text(period, "long_name", long_name);
  out.text(period, "units", "s");
  return period;
}

/// time, forecast_reference_time, forecast_period: pysteps takes time / 60 as the lead in minutes.
void define_times(NetcdfOut& out, const Product& product, Variables& variables) {
  variables.time_dimension = out.dimension("time", product.lead_s.size());
  variables.time = out.variable("time", NetcdfType::float64, {variables.time_dimension});
  define_time(out, variables.time, "time", "valid time", reference_units(product.reference_time));
  variables.reference = out.variable("forecast_reference_time", NetcdfType::float64, {});
  define_time(out, variables.reference, "forecast_reference_time", "valid time of the latest radar frame");
  variables.period = define_period(out, "forecast_period", "lead time", variables.time_dimension);
}

CfField rate_field(const Product& product) {
  CfField field = product_field(product.quantity);
  field.cell_methods = "time: point";
  field.coordinates = "forecast_reference_time forecast_period";
  return field;
}

CfField probability_field() {
  const CfName name{"probability_of_exceedance", "",
                    "probability that the rain rate is at or above the threshold"};
  return {name, "1", "time: point", "forecast_reference_time forecast_period", {0.0001, 0, 10000, true}};
}

CfField accumulation_field() {
  const CfName name{"precip_accum", "lwe_thickness_of_precipitation_amount", "rain between two lead times"};
  return {name,
          "mm",
          "accumulation_time: sum",
          "forecast_reference_time accumulation_period",
          {0.01, 0, 32767, true}};
}

void define_mask(NetcdfOut& out, const Product& product, Variables& variables) {
  const CfGrid& grid = variables.grid;
  const std::int8_t flags[2] = {0, 1};
  variables.mask = out.variable("observed_mask", NetcdfType::int8, {grid.y_dimension, grid.x_dimension},
                                tiles(0, product.grid));
  out.text(variables.mask, "long_name", "whether the latest frame was observed here");
  out.numbers(variables.mask, "flag_values", std::span<const std::int8_t>(flags));
  out.text(variables.mask, "flag_meanings", "missing observed");
  out.text(variables.mask, "coordinates", "forecast_reference_time");
  if (!grid.mapping.empty()) out.text(variables.mask, "grid_mapping", grid.mapping);
}

void define_probabilities(NetcdfOut& out, const Product& product, Variables& variables) {
  const int dimension = out.dimension("threshold", product.probability_thresholds.size());
  variables.threshold = out.variable("threshold", NetcdfType::float64, {dimension});
  const CfField field = product_field(product.quantity);
  if (!field.name.standard_name.empty())
    out.text(variables.threshold, "standard_name", field.name.standard_name);
  out.text(variables.threshold, "long_name", "threshold, at or above which the event happens");
  out.text(variables.threshold, "units", field.unit);
  variables.probability = define_field(out, probability_field(), {dimension, variables.time_dimension},
                                       variables.grid, tiles(2, product.grid));
}

void define_accumulations(NetcdfOut& out, const Product& product, Variables& variables) {
  const int dimension = out.dimension("accumulation_time", product.accumulations.size());
  const int two = out.dimension("nv", 2);
  variables.accumulation_time = out.variable("accumulation_time", NetcdfType::float64, {dimension});
  define_time(out, variables.accumulation_time, "time", "valid time",
              reference_units(product.reference_time));
  out.text(variables.accumulation_time, "bounds", "accumulation_time_bnds");
  variables.accumulation_bounds =
      out.variable("accumulation_time_bnds", NetcdfType::float64, {dimension, two});
  variables.accumulation_period =
      define_period(out, "accumulation_period", "lead time of the end", dimension);
  variables.accumulation =
      define_field(out, accumulation_field(), {dimension}, variables.grid, tiles(1, product.grid));
}

Variables define_variables(NetcdfOut& out, const Product& product) {
  Variables variables;
  define_times(out, product, variables);
  variables.grid = define_grid(out, product.grid, false);
  variables.field = define_field(out, rate_field(product), {variables.time_dimension}, variables.grid,
                                 tiles(1, product.grid));
  if (!product.observed_mask.empty()) define_mask(out, product, variables);
  if (!product.probability_thresholds.empty()) define_probabilities(out, product, variables);
  if (!product.accumulations.empty()) define_accumulations(out, product, variables);
  return variables;
}

void put_provenance(NetcdfOut& out, const Product& product) {
  for (const auto& [name, value] : global_attributes(product)) out.text(NetcdfOut::kGlobal, name, value);
  out.integer(NetcdfOut::kGlobal, "frames_filled", product.frames_filled);
  if (product.input_age_s >= 0) out.integer(NetcdfOut::kGlobal, "input_age_s", product.input_age_s);
  out.integer(NetcdfOut::kGlobal, "values_clipped", 0);  // room for the count, known after packing
}

void put_coordinates(NetcdfOut& out, const Product& product, const Variables& variables) {
  const std::vector<double> leads(product.lead_s.begin(), product.lead_s.end());
  const auto reference = static_cast<double>(product.reference_time.time_since_epoch().count());
  out.put(variables.time, leads);
  out.put(variables.period, leads);
  out.put(variables.reference, {}, {}, std::span<const double>(&reference, 1));
  put_axes(out, variables.grid, product.grid);
}

/// Writes a plane [rows, columns] behind the leading indices `at`. Returns how many values were clipped.
std::int64_t put_plane(NetcdfOut& out, const Grid& grid, int variable, const CfField& field,
                       std::span<const float> values, std::vector<std::size_t> at,
                       std::vector<std::int16_t>& codes) {
  codes.resize(values.size());
  const std::int64_t clipped = pack(values, field.packing, codes);
  std::vector<std::size_t> count(at.size(), 1);
  at.insert(at.end(), {0, 0});
  count.insert(count.end(), {static_cast<std::size_t>(grid.rows), static_cast<std::size_t>(grid.columns)});
  out.put(variable, at, count, std::span<const std::int16_t>(codes));
  return clipped;
}

std::int64_t put_accumulations(NetcdfOut& out, const Product& product, const Variables& variables) {
  std::vector<double> ends, bounds;
  std::vector<std::int16_t> codes;
  std::int64_t clipped = 0;
  for (std::size_t i = 0; i < product.accumulations.size(); ++i) {
    const Accumulation& sum = product.accumulations[i];
    refuse_unless(
        static_cast<std::int64_t>(sum.values.size()) == product.grid.pixels(),
        fmt::format("accumulation holds {} numbers, {} expected", sum.values.size(), product.grid.pixels()));
    ends.push_back(static_cast<double>(sum.to_s));
    bounds.insert(bounds.end(), {static_cast<double>(sum.from_s), static_cast<double>(sum.to_s)});
    clipped +=
        put_plane(out, product.grid, variables.accumulation, accumulation_field(), sum.values, {i}, codes);
  }
  out.put(variables.accumulation_time, ends);
  out.put(variables.accumulation_period, ends);
  out.put(variables.accumulation_bounds, {0, 0}, {ends.size(), 2}, std::span<const double>(bounds));
  return clipped;
}

/// A product on its way into a file: everything but the leads, then lead by lead.
class Filling {
 public:
  Filling(NetcdfOut out, const Product& product) : out_(std::move(out)), product_(product) {
    check_sizes(product_);
    out_.text(NetcdfOut::kGlobal, "Conventions", "CF-1.11");
    put_provenance(out_, product_);
    variables_ = define_variables(out_, product_);
    out_.end_definitions();
    put_coordinates(out_, product_, variables_);
    const Grid& grid = product_.grid;
    if (variables_.mask >= 0) {
      out_.put(variables_.mask, {0, 0},
               {static_cast<std::size_t>(grid.rows), static_cast<std::size_t>(grid.columns)},
               std::span<const std::uint8_t>(product_.observed_mask));
    }
    if (variables_.probability >= 0) out_.put(variables_.threshold, product_.probability_thresholds);
  }

  /// Told of each plane: variable, leading indices, codes.
  using Written =
      std::function<void(const std::string&, const std::vector<std::size_t>&, std::span<const std::int16_t>)>;
  void put(std::span<const float> values, std::span<const float> probabilities, const Written& written) {
    const auto pixels = static_cast<std::size_t>(product_.grid.pixels());
    const std::size_t thresholds = product_.probability_thresholds.size();
    refuse_unless(lead_ < product_.lead_s.size() && values.size() == pixels &&
                      probabilities.size() == thresholds * pixels,
                  fmt::format("lead {} with {} values and {} probabilities", lead_ + 1, values.size(),
                              probabilities.size()));
    const CfField rates = rate_field(product_);
    clipped_ += put_plane(out_, product_.grid, variables_.field, rates, values, {lead_}, codes_);
    written(rates.name.variable, {lead_}, codes_);
    const CfField chance = probability_field();
    for (std::size_t k = 0; k < thresholds; ++k) {
      put_plane(out_, product_.grid, variables_.probability, chance,
                probabilities.subspan(k * pixels, pixels), {k, lead_}, codes_);
      written(chance.name.variable, {k, lead_}, codes_);
    }
    ++lead_;
  }
  /// The file, complete but for its end.
  NetcdfOut& end() {
    refuse_unless(lead_ == product_.lead_s.size(),
                  fmt::format("{} leads of {}", lead_, product_.lead_s.size()));
    if (variables_.accumulation >= 0) clipped_ += put_accumulations(out_, product_, variables_);
    if (clipped_ > 0) out_.integer(NetcdfOut::kGlobal, "values_clipped", clipped_);
    return out_;
  }

 private:
  NetcdfOut out_;
  const Product& product_;
  Variables variables_;
  std::size_t lead_ = 0;
  std::int64_t clipped_ = 0;
  std::vector<std::int16_t> codes_;
};

/// Leads of a product that holds them all.
template <class Put>
void each_lead(const Product& product, const Put& put) {
  const auto pixels = static_cast<std::size_t>(product.grid.pixels());
  const std::size_t leads = product.lead_s.size(), thresholds = product.probability_thresholds.size();
  refuse_unless(
      product.values.size() == leads * pixels && product.probabilities.size() == thresholds * leads * pixels,
      fmt::format("values hold {} numbers and probabilities {}, for {} leads of {} pixels",
                  product.values.size(), product.probabilities.size(), leads, pixels));
  std::vector<float> probabilities(thresholds * pixels);
  for (std::size_t lead = 0; lead < leads; ++lead) {
    for (std::size_t k = 0; k < thresholds; ++k) {
      const auto from = std::span(product.probabilities).subspan((k * leads + lead) * pixels, pixels);
      std::copy(from.begin(), from.end(), probabilities.begin() + static_cast<std::ptrdiff_t>(k * pixels));
    }
    put(std::span(product.values).subspan(lead * pixels, pixels), probabilities);
  }
}

/// From here on, in bytes of packed planes, a product is written to disk as it comes.
constexpr std::int64_t kLargestInMemory = std::int64_t{128} << 20;

std::int64_t packed_bytes(const Product& product) {
  const std::size_t planes = product.lead_s.size() * (1 + product.probability_thresholds.size());
  return static_cast<std::int64_t>(planes) * product.grid.pixels() *
         static_cast<std::int64_t>(sizeof(std::int16_t));
}

std::string hash_of(std::span<const std::int16_t> codes) {
  return sha256(std::as_bytes(codes));
}

}  // namespace

struct ProductWriter::State {
  struct Plane {
    std::string variable;
    std::vector<std::size_t> at;
    std::string hash;
  };
  const Product& product;
  std::filesystem::path target, temporary;  // the latter empty: built in memory
  std::optional<Filling> filling = std::nullopt;
  std::vector<Plane> planes = {};  // on disk

  /// netCDF-C closes a file on a full disk without an error.
  void verify() const {
    try {
      const std::lock_guard lock(format_lock());
      const NetcdfIn file(temporary, "expected what was just written");
      for (const Plane& plane : planes) {
        if (hash_of(file.plane(plane.variable, plane.at, product.grid.rows, product.grid.columns)) !=
            plane.hash)
          file.refuse(plane.variable + " differs");
      }
    } catch (const DataError& error) {
      throw WriteError(fmt::format(
          "{}: what was written is not what lies on disk ({}); nothing was published: is the disk full?",
          target.string(), error.what()));
    }
  }
};

ProductWriter::ProductWriter(const Product& product, const std::filesystem::path& target)
    : state_(new State{product, target, {}}) {
  State& state = *state_;
  const bool large = packed_bytes(product) > kLargestInMemory;
  if (large) state.temporary = temporary_beside(target);
  state.filling.emplace(large ? NetcdfOut::on_disk(state.temporary) : NetcdfOut::in_memory("product"),
                        state.product);
}

ProductWriter::~ProductWriter() {
  if (state_->temporary.empty()) return;
  state_->filling.reset();
  std::error_code ignored;
  std::filesystem::remove(state_->temporary, ignored);
}

void ProductWriter::put(std::span<const float> values, std::span<const float> probabilities) {
  State& state = *state_;
  state.filling->put(values, probabilities,
                     [&](const std::string& variable, const std::vector<std::size_t>& at,
                         std::span<const std::int16_t> codes) {
                       if (!state.temporary.empty()) state.planes.push_back({variable, at, hash_of(codes)});
                     });
}

void ProductWriter::finish() {
  State& state = *state_;
  NetcdfOut& out = state.filling->end();
  if (state.temporary.empty()) return publish(state.target, std::span<const std::byte>(out.take_bytes()));
  out.close();
  sync_file(state.temporary);
  state.verify();
  publish_file(std::exchange(state.temporary, {}), state.target);
}

std::int64_t ProductWriter::bytes(std::int64_t pixels, std::int64_t planes) {
  const std::int64_t plane = pixels * static_cast<std::int64_t>(sizeof(std::int16_t));
  // A plane of codes and the library's chunks; in memory the file, and its bytes once more.
  return planes * plane > kLargestInMemory ? 2 * plane : plane + 2 * planes * plane;
}

std::vector<std::byte> product_bytes(const Product& product) {
  Filling filling(NetcdfOut::in_memory("product"), product);
  each_lead(product, [&](std::span<const float> values, std::span<const float> probabilities) {
    filling.put(values, probabilities, [](const auto&, const auto&, auto) {});
  });
  return filling.end().take_bytes();
}

void write_product(const Product& product, const std::filesystem::path& path) {
  ProductWriter writer(product, path);
  each_lead(product, [&](std::span<const float> values, std::span<const float> probabilities) {
    writer.put(values, probabilities);
  });
  writer.finish();
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
    add_lead(sum, before, product.lead_s[lead], std::span(product.values).subspan(lead * pixels, pixels));
    before = product.lead_s[lead];
  }
  return sum;
}

void add_lead(Accumulation& sum, std::int64_t before_s, std::int64_t lead_s, std::span<const float> values) {
  if (lead_s <= sum.from_s || lead_s > sum.to_s) return;
  sum.values.resize(values.size());
  const auto hours = static_cast<float>(static_cast<double>(lead_s - before_s) / 3600.);
  for (std::size_t i = 0; i < values.size(); ++i) sum.values[i] += hours * values[i];
}

}  // namespace raincell::io
