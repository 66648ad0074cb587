#include <fmt/format.h>
#include <netcdf.h>

#include <cmath>
#include <mutex>
#include <sstream>

#include "io/format_lock.hpp"
#include "io/product.hpp"
#include "io/product_layout.hpp"

namespace raincell::io {
namespace {

constexpr std::size_t kLargestText = 1 << 20;
constexpr std::int64_t kLargestGrid = std::int64_t{1} << 28;  // pixels
constexpr std::size_t kMostLeads = 10000;

class ProductFile {
 public:
  explicit ProductFile(const std::filesystem::path& path) : path_(path.string()) {
    check(nc_open(path_.c_str(), NC_NOWRITE, &id_), "open");
  }
  ~ProductFile() { nc_close(id_); }
  ProductFile(const ProductFile&) = delete;
  ProductFile& operator=(const ProductFile&) = delete;

  int id() const { return id_; }

  [[noreturn]] void refuse(const std::string& what) const {
    throw DataError(path_ + ": " + what + "; expected a product file of raincell nowcast");
  }
  void check(int code, const std::string& what) const {
    if (code != NC_NOERR) refuse(what + ": " + nc_strerror(code));
  }
  /// -1 when there is none.
  int find(const char* name) const {
    int variable = -1;
    return nc_inq_varid(id_, name, &variable) == NC_NOERR ? variable : -1;
  }
  int variable(const char* name) const {
    const int found = find(name);
    if (found < 0) refuse(fmt::format("no variable \"{}\"", name));
    return found;
  }
  std::size_t length(const char* dimension) const {
    int dimension_id = -1;
    std::size_t size = 0;
    check(nc_inq_dimid(id_, dimension, &dimension_id), fmt::format("dimension \"{}\"", dimension));
    check(nc_inq_dimlen(id_, dimension_id, &size), dimension);
    return size;
  }
  bool has_dimensions(int variable, const std::vector<std::string>& names) const {
    int count = 0, ids[NC_MAX_VAR_DIMS] = {};
    check(nc_inq_var(id_, variable, nullptr, nullptr, &count, ids, nullptr), "variable");
    if (static_cast<std::size_t>(count) != names.size()) return false;
    for (std::size_t i = 0; i < names.size(); ++i) {
      char name[NC_MAX_NAME + 1] = {};
      check(nc_inq_dimname(id_, ids[i], name), "dimension name");
      if (names[i] != name) return false;
    }
    return true;
  }
  std::string text(int variable, const std::string& name) const {
    nc_type type = NC_NAT;
    std::size_t size = 0;
    if (nc_inq_att(id_, variable, name.c_str(), &type, &size) != NC_NOERR) return {};
    if (type != NC_CHAR || size > kLargestText) return {};
    std::string value(size, '\0');
    check(nc_get_att_text(id_, variable, name.c_str(), value.data()), "attribute " + name);
    return value;
  }
  std::int64_t integer(int variable, const char* name, std::int64_t otherwise) const {
    nc_type type = NC_NAT;
    std::size_t size = 0;
    long long value = otherwise;
    if (nc_inq_att(id_, variable, name, &type, &size) != NC_NOERR || size != 1) return otherwise;
    check(nc_get_att_longlong(id_, variable, name, &value), name);
    return value;
  }
  std::vector<double> numbers(const char* name, std::size_t expected) const {
    std::vector<double> values(expected);
    const int id = variable(name);
    check(nc_get_var_double(id_, id, values.data()), name);
    return values;
  }

 private:
  std::string path_;
  int id_ = -1;
};

Grid read_grid(const ProductFile& file, int field) {
  Grid grid;
  grid.rows = static_cast<std::int64_t>(file.length("y"));
  grid.columns = static_cast<std::int64_t>(file.length("x"));
  if (grid.rows < 2 || grid.columns < 2 || grid.rows > kLargestGrid / grid.columns) {
    file.refuse(fmt::format("grid of {}x{} pixels", grid.columns, grid.rows));
  }
  if (!file.has_dimensions(file.variable("y"), {"y"}) || !file.has_dimensions(file.variable("x"), {"x"})) {
    file.refuse("x and y are not coordinates");
  }
  const std::vector<double> y = file.numbers("y", static_cast<std::size_t>(grid.rows));
  const std::vector<double> x = file.numbers("x", static_cast<std::size_t>(grid.columns));
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

TimePoint read_reference(const ProductFile& file) {
  const int variable = file.variable("forecast_reference_time");
  if (file.text(variable, "units") != kSecondsSince1970 || !file.has_dimensions(variable, {})) {
    file.refuse("forecast_reference_time is not in seconds since 1970-01-01");
  }
  const double seconds = file.numbers("forecast_reference_time", 1)[0];
  if (!(std::abs(seconds) < 1e11) || seconds != std::floor(seconds)) {
    file.refuse(fmt::format("forecast_reference_time is {}", seconds));
  }
  return TimePoint{std::chrono::seconds{static_cast<std::int64_t>(seconds)}};
}

std::vector<std::int64_t> read_leads(const ProductFile& file) {
  const std::size_t count = file.length("time");
  if (count == 0 || count > kMostLeads) file.refuse(fmt::format("{} lead times", count));
  std::vector<std::int64_t> leads;
  for (const double lead : file.numbers("forecast_period", count)) {
    if (!(std::abs(lead) < 1e9) || (!leads.empty() && lead <= static_cast<double>(leads.back()))) {
      file.refuse(fmt::format("forecast_period {} s is out of order", lead));
    }
    leads.push_back(static_cast<std::int64_t>(lead));
  }
  return leads;
}

/// Unpacks a whole int16 variable; the packing must be the writer's.
std::vector<float> read_packed(const ProductFile& file, int variable, std::size_t count,
                               double expected_scale) {
  nc_type type = NC_NAT;
  file.check(nc_inq_vartype(file.id(), variable, &type), "type");
  double scale = 0., offset = 1.;
  if (type != NC_SHORT || nc_get_att_double(file.id(), variable, "scale_factor", &scale) != NC_NOERR ||
      nc_get_att_double(file.id(), variable, "add_offset", &offset) != NC_NOERR || offset != 0. ||
      std::abs(scale - expected_scale) > 1e-7) {
    file.refuse("the field is not packed as 16-bit counts");
  }
  std::vector<std::int16_t> packed(count);
  file.check(nc_get_var_short(file.id(), variable, packed.data()), "values");
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = unpack_value(packed[i], expected_scale);
  }
  return values;
}

int find_field(const ProductFile& file, Quantity& quantity) {
  for (const Quantity each :
       {Quantity::rain_rate, Quantity::reflectivity, Quantity::vil, Quantity::intensity}) {
    const CfField field = product_field(each);
    const int variable = file.find(field.name.variable.c_str());
    if (variable >= 0 && file.text(variable, "units") == field.unit) {
      quantity = each;
      return variable;
    }
  }
  file.refuse("no variable precip_intensity in mm h-1 (nor reflectivity in dBZ, nor field)");
}

void read_optional(const ProductFile& file, Product& product) {
  const auto pixels = static_cast<std::size_t>(product.grid.pixels());
  if (const int mask = file.find("observed_mask"); mask >= 0) {
    if (!file.has_dimensions(mask, {"y", "x"})) file.refuse("observed_mask is not on the grid");
    product.observed_mask.resize(pixels);
    file.check(nc_get_var_uchar(file.id(), mask, product.observed_mask.data()), "observed_mask");
  }
  if (const int variable = file.find("probability_of_exceedance"); variable >= 0) {
    if (!file.has_dimensions(variable, {"threshold", "time", "y", "x"}))
      file.refuse("probabilities are not on the grid");
    product.probability_thresholds = file.numbers("threshold", file.length("threshold"));
    const std::size_t count = product.probability_thresholds.size() * product.lead_s.size() * pixels;
    product.probabilities = read_packed(file, variable, count, 0.0001);
  }
  if (const int variable = file.find("precip_accum"); variable >= 0) {
    if (!file.has_dimensions(variable, {"accumulation_time", "y", "x"}))
      file.refuse("precip_accum is not on the grid");
    const std::size_t count = file.length("accumulation_time");
    const std::vector<double> bounds = file.numbers("accumulation_time_bnds", 2 * count);
    const std::vector<float> values = read_packed(file, variable, count * pixels, 0.01);
    for (std::size_t i = 0; i < count; ++i) {
      const auto first = values.begin() + static_cast<std::ptrdiff_t>(i * pixels);
      product.accumulations.push_back({static_cast<std::int64_t>(bounds[2 * i]),
                                       static_cast<std::int64_t>(bounds[2 * i + 1]),
                                       {first, first + static_cast<std::ptrdiff_t>(pixels)}});
    }
  }
}

void read_provenance(const ProductFile& file, Product& product) {
  const auto text = [&](const char* name) { return file.text(NC_GLOBAL, name); };
  product.forecaster = text("forecaster");
  product.model_name = text("model_name");
  product.model_hash = text("model_hash");
  product.status = text("status");
  product.version = text("raincell_version");
  product.zr = text("zr");
  product.transform = text("transform");
  product.frames_filled = file.integer(NC_GLOBAL, "frames_filled", 0);
  product.input_age_s = file.integer(NC_GLOBAL, "input_age_s", -1);
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

Product read_product(const std::filesystem::path& path) {
  const std::lock_guard lock(format_lock());
  const ProductFile file(path);
  if (file.text(NC_GLOBAL, "Conventions").rfind("CF-", 0) != 0) file.refuse("no CF Conventions attribute");
  Product product;
  const int field = find_field(file, product.quantity);
  if (!file.has_dimensions(field, {"time", "y", "x"})) file.refuse("the field is not (time, y, x)");
  product.grid = read_grid(file, field);
  product.reference_time = read_reference(file);
  product.lead_s = read_leads(file);
  if (product.lead_s.size() > static_cast<std::size_t>(kLargestGrid * 16 / product.grid.pixels())) {
    file.refuse("more pixels than one forecast holds");
  }
  product.values =
      read_packed(file, field, product.lead_s.size() * static_cast<std::size_t>(product.grid.pixels()), 0.01);
  read_optional(file, product);
  read_provenance(file, product);
  return product;
}

}  // namespace raincell::io
