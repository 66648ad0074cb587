// How NetCDF-4 lies in HDF5: "NetCDF-4 Format Specification", Unidata, and "HDF5 Dimension Scale
// Specification", The HDF Group.
#include "io/netcdf4.hpp"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <set>
#include <string_view>

namespace raincell::io {
namespace {

/// The name of a variable that shares it with a dimension of another shape begins so in HDF5.
constexpr std::string_view kNonCoordinate = "_nc4_non_coord_";
/// A scale that is no variable says so in its attribute NAME.
constexpr std::string_view kNoVariable = "This is a netCDF dimension but not a netCDF variable";

std::string name_of_path(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  if (name.starts_with(kNonCoordinate)) name.erase(0, kNonCoordinate.size());
  return name;
}

class Netcdf4File : public NetcdfFile {
 public:
  explicit Netcdf4File(const Hdf5File& file) : file_(file) {
    const std::vector<std::string> names = file.members("/", kMaxVariables + 1);
    if (names.size() > kMaxVariables)
      throw DataError(fmt::format("cf: /: more than {} members; expected fewer", kMaxVariables));
    for (const std::string& name : names) {
      if (!file.is_dataset("/" + name)) continue;  // groups have variables of their own, which are not read
      const bool scale = value("/" + name, "CLASS").text == "DIMENSION_SCALE";
      if (scale) {
        const std::vector<double>& id = value("/" + name, "_Netcdf4Dimid").numbers;
        if (id.size() == 1 && std::isfinite(id[0])) scales_[id[0]] = name_of_path(name);
        if (value("/" + name, "NAME").text.starts_with(kNoVariable)) continue;
      }
      take("/" + name, scale);
    }
    for (NetcdfVariable& variable : variables_) name_dimensions(variable);
  }

  std::string text(int variable, const std::string& attribute) const override {
    return value(object(variable), attribute).text;
  }
  std::vector<double> numbers(int variable, const std::string& attribute) const override {
    return value(object(variable), attribute).numbers;
  }
  bool has(int variable, const std::string& attribute) const override {
    return value(object(variable), attribute).kind != AttributeKind::absent;
  }
  void check_storage(const NetcdfVariable& variable) const override {
    file_.checked_dimensions(object(variable.id));
  }
  Field read(const NetcdfVariable& variable, const std::vector<std::int64_t>& start,
             const std::vector<std::int64_t>& count, AllLost all_lost) const override {
    return file_.read(object(variable.id), start, count, all_lost);
  }

 private:
  const std::string& object(int variable) const {
    static const std::string root = "/";
    return variable == kGlobal ? root : paths_[static_cast<std::size_t>(variable)];
  }
  struct Value {
    AttributeKind kind = AttributeKind::absent;
    std::string text;
    std::vector<double> numbers;
  };
  /// What a path is known to carry: most questions are for attributes that are not there.
  struct Attributes {
    std::set<std::string> names;
    std::map<std::string, Value> values;  // those that were asked for
  };
  const Value& value(const std::string& path, const std::string& attribute) const {
    static const Value absent;
    auto known = attributes_.find(path);
    if (known == attributes_.end())
      known = attributes_.emplace(path, Attributes{file_.attribute_names(path), {}}).first;
    Attributes& all = known->second;
    if (!all.names.contains(attribute)) return absent;
    const auto [at, is_new] = all.values.try_emplace(attribute);
    if (is_new) {
      at->second.kind = file_.attribute_kind(path, attribute);
      if (at->second.kind == AttributeKind::text) at->second.text = file_.text(path, attribute).value_or("");
      if (at->second.kind == AttributeKind::number) at->second.numbers = file_.numbers(path, attribute);
    }
    return at->second;
  }

  void take(const std::string& path, bool scale) {
    NetcdfVariable variable;
    variable.id = static_cast<int>(variables_.size());
    variable.name = name_of_path(path);
    variable.sides = file_.dimensions(path);
    variable.type = file_.type_of(path);
    // A scale is the coordinate of its own dimension; all others say which scales are theirs.
    variable.dimensions.resize(variable.sides.size());
    if (scale) {
      if (variable.sides.size() == 1) variable.dimensions[0] = variable.name;
    } else {
      const std::vector<std::string> scales = file_.scales(path);
      for (std::size_t d = 0; d < scales.size(); ++d) variable.dimensions[d] = name_of_path(scales[d]);
    }
    paths_.push_back(path);
    variables_.push_back(std::move(variable));
  }

  /// A coordinate of several dimensions lists theirs by number; a dimension without a scale has no name.
  void name_dimensions(NetcdfVariable& variable) const {
    const std::string& path = object(variable.id);
    const std::vector<double>& ids = value(path, "_Netcdf4Coordinates").numbers;
    for (std::size_t d = 0; d < variable.dimensions.size(); ++d) {
      std::string& name = variable.dimensions[d];
      if (!name.empty()) continue;
      const auto scale = d < ids.size() ? scales_.find(ids[d]) : scales_.end();
      name = scale != scales_.end() ? scale->second : fmt::format("dimension_{}", d);
    }
  }

  const Hdf5File& file_;
  std::vector<std::string> paths_;        // of the variables
  std::map<double, std::string> scales_;  // names by netCDF's number
  mutable std::map<std::string, Attributes> attributes_;
};

}  // namespace

std::unique_ptr<NetcdfFile> open_netcdf4(const Hdf5File& file) {
  return std::make_unique<Netcdf4File>(file);
}

}  // namespace raincell::io
