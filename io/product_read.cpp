#include <fmt/format.h>

#include <cmath>
#include <mutex>
#include <sstream>

#include "io/decode.hpp"
#include "io/format_lock.hpp"
#include "io/formats.hpp"
#include "io/netcdf_in.hpp"
#include "io/product.hpp"
#include "io/product_layout.hpp"

namespace raincell::io {
namespace {

constexpr std::int64_t kLargestGrid = std::int64_t{1} << 28;  // pixels
constexpr std::size_t kMostLeads = 10000;

Grid read_grid(const NetcdfIn& file, int field) {
  Grid grid;
  grid.rows = static_cast<std::int64_t>(file.length("y"));
  grid.columns = static_cast<std::int64_t>(file.length("x"));
  if (grid.rows < 2 || grid.columns < 2 || grid.rows > kLargestGrid / grid.columns) {
    file.refuse(fmt::format("grid of {}x{} pixels", grid.columns, grid.rows));
  }
  const std::vector<double> y = file.values("y", {"y"});
  const std::vector<double> x = file.values("x", {"x"});
  grid.dx = (x.back() - x.front()) / static_cast<double>(x.size() - 1);
  grid.dy = (y.front() - y.back()) / static_cast<double>(y.size() - 1);
  if (!(grid.dx > 0.) || !(grid.dy > 0.)) file.refuse("x must ascend and y descend");
  grid.x0 = x.front() - grid.dx / 2.;
  grid.y0 = y.front() + grid.dy / 2.;
  const std::string mapping = file.text(field, "grid_mapping");
  if (!mapping.empty()) {
    const int variable = file.variable(mapping.c_str());
    grid.projection = file.text(variable, "proj4");
    if (grid.projection.empty()) grid.projection = file.text(variable, "crs_wkt");
    if (grid.projection.empty()) file.refuse("the grid mapping names no projection");
  }
  return grid;
}

TimePoint read_reference(const NetcdfIn& file) {
  const int variable = file.variable("forecast_reference_time");
  if (file.text(variable, "units") != kSecondsSince1970) {
    file.refuse("forecast_reference_time is not in seconds since 1970-01-01");
  }
  const double seconds = file.values("forecast_reference_time", {})[0];
  if (!(std::abs(seconds) < 1e11) || seconds != std::floor(seconds)) {
    file.refuse(fmt::format("forecast_reference_time is {}", seconds));
  }
  return TimePoint{std::chrono::seconds{static_cast<std::int64_t>(seconds)}};
}

std::vector<std::int64_t> read_leads(const NetcdfIn& file) {
  const std::size_t count = file.length("time");
  if (count == 0 || count > kMostLeads) file.refuse(fmt::format("{} lead times", count));
  std::vector<std::int64_t> leads;
  for (const double lead : file.values("forecast_period", {"time"})) {
    if (!(std::abs(lead) < 1e9) || (!leads.empty() && lead <= static_cast<double>(leads.back()))) {
      file.refuse(fmt::format("forecast_period {} s is out of order", lead));
    }
    leads.push_back(static_cast<std::int64_t>(lead));
  }
  return leads;
}

/// Unpacks a whole variable; the packing must be the writer's.
std::vector<float> read_packed(const NetcdfIn& file, const std::string& name,
                               const NetcdfIn::Dimensions& dimensions, double expected_scale) {
  const int variable = file.variable(name);
  const std::vector<double> scale = file.numbers(variable, "scale_factor");
  const std::vector<double> offset = file.numbers(variable, "add_offset");
  if (scale.size() != 1 || offset.size() != 1 || offset[0] != 0. ||
      !(std::abs(scale[0] - expected_scale) <= 1e-7)) {
    file.refuse(name + " is not packed as 16-bit counts");
  }
  const std::vector<std::int16_t> codes = file.codes(name, dimensions);
  std::vector<float> values(codes.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = unpack_value(codes[i], expected_scale);
  return values;
}

std::string find_field(const NetcdfIn& file, Quantity& quantity) {
  for (const Quantity each :
       {Quantity::rain_rate, Quantity::reflectivity, Quantity::vil, Quantity::intensity}) {
    const CfField field = product_field(each);
    const int variable = file.find(field.name.variable);
    if (variable >= 0 && file.text(variable, "units") == field.unit) {
      quantity = each;
      return field.name.variable;
    }
  }
  file.refuse("no variable precip_intensity in mm h-1 (nor reflectivity in dBZ, nor field)");
}

void read_optional(const NetcdfIn& file, Product& product) {
  const auto pixels = static_cast<std::size_t>(product.grid.pixels());
  if (file.find("observed_mask") >= 0) product.observed_mask = file.flags("observed_mask", {"y", "x"});
  if (file.find("probability_of_exceedance") >= 0) {
    product.probability_thresholds = file.values("threshold", {"threshold"});
    product.probabilities =
        read_packed(file, "probability_of_exceedance", {"threshold", "time", "y", "x"}, 0.0001);
  }
  if (file.find("precip_accum") >= 0) {
    const std::size_t count = file.length("accumulation_time");
    const std::vector<double> bounds = file.values("accumulation_time_bnds", {"accumulation_time", "nv"});
    if (bounds.size() != 2 * count) file.refuse("accumulation_time_bnds does not hold two times each");
    const std::vector<float> values =
        read_packed(file, "precip_accum", {"accumulation_time", "y", "x"}, 0.01);
    for (std::size_t i = 0; i < count; ++i) {
      const auto first = values.begin() + static_cast<std::ptrdiff_t>(i * pixels);
      product.accumulations.push_back({static_cast<std::int64_t>(bounds[2 * i]),
                                       static_cast<std::int64_t>(bounds[2 * i + 1]),
                                       {first, first + static_cast<std::ptrdiff_t>(pixels)}});
    }
  }
}

void read_provenance(const NetcdfIn& file, Product& product) {
  const auto text = [&](const char* name) { return file.text(NetcdfIn::kGlobal, name); };
  product.forecaster = text("forecaster");
  product.model_name = text("model_name");
  product.model_hash = text("model_hash");
  product.status = text("status");
  product.version = text("raincell_version");
  product.zr = text("zr");
  product.transform = text("transform");
  product.frames_filled = file.integer(NetcdfIn::kGlobal, "frames_filled", 0);
  product.input_age_s = file.integer(NetcdfIn::kGlobal, "input_age_s", -1);
  std::istringstream frames(text("frames_used"));
  for (std::string word; frames >> word;) {
    const std::optional<TimePoint> time = parse_time(word);
    if (!time) file.refuse(fmt::format("frames_used holds \"{}\", not a time", word.substr(0, 40)));
    product.frames_used.push_back(*time);
  }
  for (const char* name : {"title", "institution", "source", "history", "references", "comment", "warning"}) {
    if (const std::string value = text(name); !value.empty()) product.attributes[name] = value;
  }
}

}  // namespace

namespace {

/// Everything but fields; the name of the variable that holds the forecast.
std::string read_head(const NetcdfIn& file, Product& product) {
  if (file.text(NetcdfIn::kGlobal, "Conventions").rfind("CF-", 0) != 0)
    file.refuse("no CF Conventions attribute");
  const std::string field = find_field(file, product.quantity);
  product.grid = read_grid(file, file.variable(field));
  product.reference_time = read_reference(file);
  product.lead_s = read_leads(file);
  if (product.lead_s.size() > static_cast<std::size_t>(kLargestGrid * 16 / product.grid.pixels())) {
    file.refuse("more pixels than one forecast holds");
  }
  read_provenance(file, product);
  return field;
}

constexpr const char* kHint = "expected a product file of raincell nowcast";

}  // namespace

Product read_product(std::span<const std::byte> bytes) {
  const std::lock_guard lock(format_lock());
  const NetcdfIn file(bytes, kHint);
  Product product;
  const std::string field = read_head(file, product);
  product.values = read_packed(file, field, {"time", "y", "x"}, 0.01);
  read_optional(file, product);
  return product;
}

std::vector<Frame> read_own_product(const Content& content, const ReadRequest& request) {
  const NetcdfIn file(content.bytes, kHint);
  Product product;
  const std::string field = read_head(file, product);
  const CfField stored = product_field(product.quantity);
  std::vector<Frame> frames;
  for (std::size_t lead = 0; lead < product.lead_s.size(); ++lead) {
    Frame frame;
    frame.quantity = product.quantity;
    frame.grid = product.grid;
    frame.valid_time = product.reference_time + std::chrono::seconds{product.lead_s[lead]};
    frame.source.quantity = field;
    frame.source.unit = stored.unit;
    frame.source.facts = {{"reference_time", format_time(product.reference_time)},
                          {"forecaster", product.forecaster},
                          {"model", product.model_name},
                          {"model_hash", product.model_hash},
                          {"status", product.status}};
    Coding coding;
    coding.missing = {static_cast<double>(Packing::kFill)};
    coding.dry = {0.};
    coding.gain = stored.packing.scale;
    Conversion conversion;
    conversion.quantity = product.quantity;
    // Counts and maximum are told in any case.
    const Wanted wanted = request.wanted == Wanted::description ? Wanted::codes : request.wanted;
    decode("product: " + field, file.plane(field, {lead}, frame.grid.rows, frame.grid.columns), coding,
           conversion, frame, wanted);
    if (request.wanted == Wanted::description) frame.codes = {};
    frames.push_back(std::move(frame));
  }
  return frames;
}

}  // namespace raincell::io
