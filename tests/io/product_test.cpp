// The product file, looked at through netCDF-C itself.
#include "io/product.hpp"

#include <gtest/gtest.h>
#include <netcdf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "io/publish.hpp"

namespace raincell::io {
namespace {

namespace fs = std::filesystem;

Product read_path(const fs::path& path) {
  const std::string bytes = read_file(path);
  return read_product(std::as_bytes(std::span(bytes)));
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "raincell_product_XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::permissions(path_, fs::perms::owner_all, ignored);
    fs::remove_all(path_, ignored);
  }
  fs::path operator/(const char* name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// 3x2 pixels (columns x rows), two leads, one missing, one dry, one beyond the range.
Product sample() {
  Product product;
  product.grid = {"+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378137 +b=6356752 +x_0=0 +y_0=0 +units=m",
                  3,
                  2,
                  1000.,
                  -3650000.,
                  1000.,
                  2000.};
  product.reference_time = *parse_time("2010-08-26T06:30Z");
  product.lead_s = {300, 600};
  product.values = {0.F, 0.1F, kMissing, 12.34F, 0.004F, 500.F,  //
                    1.F, 2.F,  kMissing, 4.F,    5.F,    327.67F};
  product.observed_mask = {1, 1, 0, 1, 1, 1};
  product.forecaster = "convlstm";
  product.model_name = "knmi";
  product.model_hash = "0123abcd";
  product.status = "ok";
  product.version = "0.1.0";
  product.frames_used = {*parse_time("2010-08-26T06:25Z"), product.reference_time};
  product.frames_filled = 1;
  product.input_age_s = 42;
  product.zr = "a=200 b=1.6 (default)";
  product.attributes["institution"] = "Test";
  return product;
}

class NetCdf {
 public:
  explicit NetCdf(const fs::path& path) { EXPECT_EQ(nc_open(path.c_str(), NC_NOWRITE, &id), NC_NOERR); }
  ~NetCdf() { nc_close(id); }
  int variable(const char* name) const {
    int found = -1;
    EXPECT_EQ(nc_inq_varid(id, name, &found), NC_NOERR) << name;
    return found;
  }
  std::string text(int variable, const char* name) const {
    std::size_t size = 0;
    if (nc_inq_attlen(id, variable, name, &size) != NC_NOERR) return "<none>";
    std::string value(size, ' ');
    EXPECT_EQ(nc_get_att_text(id, variable, name, value.data()), NC_NOERR);
    return value;
  }
  std::string text(const char* variable_name, const char* name) const {
    return text(variable(variable_name), name);
  }
  double number(int variable, const char* name) const {
    double value = std::nan("");
    EXPECT_EQ(nc_get_att_double(id, variable, name, &value), NC_NOERR) << name;
    return value;
  }
  std::vector<double> values(const char* name, std::size_t count) const {
    std::vector<double> read(count);
    EXPECT_EQ(nc_get_var_double(id, variable(name), read.data()), NC_NOERR);
    return read;
  }
  int id = -1;
};

/// Large products go to disk as they come; neither what is broken off nor what is finished leaves a
/// temporary.
TEST(ProductWriter, WritesLargeProductsLeadByLead) {
  const TemporaryFolder folder;
  Product product = sample();
  product.grid.rows = 3000;
  product.grid.columns = 6000;
  const auto pixels = static_cast<std::size_t>(product.grid.pixels());
  product.observed_mask.assign(pixels, 1);
  product.values.clear();
  product.lead_s = {300, 600, 900, 1200};
  std::vector<float> plane(pixels);
  for (std::size_t i = 0; i < pixels; ++i) plane[i] = static_cast<float>(i % 997) / 10.F;
  const auto files = [&] { return std::distance(fs::directory_iterator(folder.path()), {}); };
  {
    ProductWriter writer(product, folder / "broken.nc");
    writer.put(plane, {});
    EXPECT_EQ(files(), 1);
    EXPECT_THROW(writer.finish(), DataError);
    EXPECT_THROW(writer.put({}, {}), DataError);
  }
  EXPECT_EQ(files(), 0);
  {
    ProductWriter writer(product, folder / "large.nc");
    for (int lead = 0; lead < 4; ++lead) writer.put(plane, {});
    EXPECT_THROW(writer.put(plane, {}), DataError);
    writer.finish();
  }
  EXPECT_EQ(files(), 1);
  const Product back = read_path(folder / "large.nc");
  ASSERT_EQ(back.values.size(), 4 * pixels);
  for (std::size_t i = 0; i < back.values.size(); i += 1009)
    ASSERT_FLOAT_EQ(back.values[i], plane[i % pixels]);
  EXPECT_LT(ProductWriter::bytes(18'000'000, 4), 100'000'000);
}

TEST(Product, StoresCountsOfAHundredthAndKeepsMissingApartFromDry) {
  const TemporaryFolder folder;
  write_product(sample(), folder / "a.nc");
  const NetCdf file(folder / "a.nc");
  const int field = file.variable("precip_intensity");
  std::vector<std::int16_t> packed(12);
  ASSERT_EQ(nc_get_var_short(file.id, field, packed.data()), NC_NOERR);
  EXPECT_EQ(packed,
            (std::vector<std::int16_t>{0, 10, -32768, 1234, 0, 32767, 100, 200, -32768, 400, 500, 32767}));
  EXPECT_EQ(file.number(NC_GLOBAL, "values_clipped"), 1.);
  EXPECT_EQ(file.number(field, "_FillValue"), -32768.);
  EXPECT_EQ(file.number(field, "scale_factor"), static_cast<double>(0.01F));
  nc_type type = NC_NAT;
  ASSERT_EQ(nc_inq_atttype(file.id, field, "scale_factor", &type), NC_NOERR);
  EXPECT_EQ(type, NC_FLOAT);
  int shuffle = 0, deflate = 0, level = 0;
  ASSERT_EQ(nc_inq_var_deflate(file.id, field, &shuffle, &deflate, &level), NC_NOERR);
  EXPECT_EQ(shuffle, 1);
  EXPECT_EQ(deflate, 1);
  EXPECT_EQ(level, 1);
}

TEST(Product, NamesAndUnitsAreTheConventions) {
  const TemporaryFolder folder;
  write_product(sample(), folder / "a.nc");
  const NetCdf file(folder / "a.nc");
  EXPECT_EQ(file.text(NC_GLOBAL, "Conventions"), "CF-1.11");
  EXPECT_EQ(file.text("precip_intensity", "standard_name"), "lwe_precipitation_rate");
  EXPECT_EQ(file.text("precip_intensity", "units"), "mm h-1");
  EXPECT_EQ(file.text("precip_intensity", "grid_mapping"), "polar_stereographic");
  EXPECT_EQ(file.text("precip_intensity", "cell_methods"), "time: point");
  EXPECT_EQ(file.text("time", "units"), "seconds since 2010-08-26 06:30:00");
  EXPECT_EQ(file.text("x", "standard_name"), "projection_x_coordinate");
  EXPECT_EQ(file.text("y", "units"), "m");
  EXPECT_EQ(file.text("polar_stereographic", "grid_mapping_name"), "polar_stereographic");
  EXPECT_EQ(file.number(file.variable("polar_stereographic"), "standard_parallel"), 60.);
  EXPECT_NE(file.text("polar_stereographic", "crs_wkt").find("Polar Stereographic"), std::string::npos);
  EXPECT_EQ(file.values("time", 2), (std::vector<double>{300., 600.}));
  EXPECT_EQ(file.values("forecast_period", 2), (std::vector<double>{300., 600.}));
  EXPECT_EQ(file.values("forecast_reference_time", 1)[0], 1282804200.);  // date -u -d 2010-08-26T06:30 +%s
  EXPECT_EQ(file.values("x", 3), (std::vector<double>{1500., 2500., 3500.}));
  EXPECT_EQ(file.values("y", 2), (std::vector<double>{-3651000., -3653000.}));
  EXPECT_EQ(file.values("observed_mask", 6), (std::vector<double>{1, 1, 0, 1, 1, 1}));
}

TEST(Product, CarriesItsProvenance) {
  const TemporaryFolder folder;
  write_product(sample(), folder / "a.nc");
  const NetCdf file(folder / "a.nc");
  EXPECT_EQ(file.text(NC_GLOBAL, "forecaster"), "convlstm");
  EXPECT_EQ(file.text(NC_GLOBAL, "model_hash"), "0123abcd");
  EXPECT_EQ(file.text(NC_GLOBAL, "frames_used"), "2010-08-26T06:25Z 2010-08-26T06:30Z");
  EXPECT_EQ(file.number(NC_GLOBAL, "frames_filled"), 1.);
  EXPECT_EQ(file.number(NC_GLOBAL, "input_age_s"), 42.);
  EXPECT_EQ(file.text(NC_GLOBAL, "institution"), "Test");
  EXPECT_NE(file.text(NC_GLOBAL, "comment").find("a=200 b=1.6"), std::string::npos);
}

TEST(Product, ReadsBackWhatItWrote) {
  const TemporaryFolder folder;
  Product product = sample();
  product.probability_thresholds = {1., 10.};
  product.probabilities.assign(24, 0.25F);
  product.probabilities[3] = kMissing;
  product.accumulations.push_back(accumulate(product, 0, 600));
  write_product(product, folder / "a.nc");
  const Product read = read_path(folder / "a.nc");
  EXPECT_EQ(read.grid.projection, product.grid.projection);
  EXPECT_DOUBLE_EQ(read.grid.x0, product.grid.x0);
  EXPECT_DOUBLE_EQ(read.grid.y0, product.grid.y0);
  EXPECT_EQ(read.reference_time, product.reference_time);
  EXPECT_EQ(read.lead_s, product.lead_s);
  EXPECT_EQ(read.observed_mask, product.observed_mask);
  EXPECT_EQ(read.frames_used, product.frames_used);
  EXPECT_EQ(read.status, "ok");
  EXPECT_FLOAT_EQ(read.values[3], 12.34F);
  EXPECT_TRUE(std::isnan(read.values[2]));
  EXPECT_FLOAT_EQ(read.values[5], 327.67F);
  EXPECT_EQ(read.probability_thresholds, product.probability_thresholds);
  EXPECT_FLOAT_EQ(read.probabilities[4], 0.25F);
  EXPECT_TRUE(std::isnan(read.probabilities[3]));
  ASSERT_EQ(read.accumulations.size(), 1U);
  // 12.34 mm/h for 5 min, then 4 mm/h for 5 min: 1.3617 mm, stored as 1.36
  EXPECT_FLOAT_EQ(read.accumulations[0].values[3], 1.36F);
  EXPECT_TRUE(std::isnan(read.accumulations[0].values[2]));
}

TEST(Product, SameInputGivesTheSameBytes) {
  EXPECT_EQ(product_bytes(sample()), product_bytes(sample()));
}

TEST(Product, AGridWithoutPlaceIsWrittenWithAWarning) {
  const TemporaryFolder folder;
  Product product = sample();
  product.grid.projection.clear();
  write_product(product, folder / "a.nc");
  const NetCdf file(folder / "a.nc");
  EXPECT_NE(file.text(NC_GLOBAL, "warning").find("projection of the input is unknown"), std::string::npos);
  EXPECT_EQ(file.text("precip_intensity", "grid_mapping"), "<none>");
  EXPECT_TRUE(read_path(folder / "a.nc").grid.projection.empty());
}

TEST(Product, AProjectionThatCfDoesNotKnowKeepsItsWkt) {
  const TemporaryFolder folder;
  Product product = sample();
  product.grid.projection =
      "+proj=somerc +lat_0=46.9524055555556 +lon_0=7.43958333333333 +k_0=1 +x_0=2600000 +y_0=1200000 "
      "+ellps=bessel "
      "+towgs84=674.374,15.056,405.346,0,0,0,0 +units=m";
  write_product(product, folder / "a.nc");
  const NetCdf file(folder / "a.nc");
  EXPECT_NE(file.text(NC_GLOBAL, "warning").find("crs_wkt"), std::string::npos);
  EXPECT_NE(file.text("crs", "crs_wkt").find("Hotine"), std::string::npos);
}

TEST(Product, LongitudeLatitudeGridsHaveDegrees) {
  const TemporaryFolder folder;
  Product product = sample();
  product.grid = {"+proj=longlat +ellps=WGS84", 3, 2, 5., 50., 0.01, 0.01};
  write_product(product, folder / "a.nc");
  const NetCdf file(folder / "a.nc");
  EXPECT_EQ(file.text("x", "standard_name"), "longitude");
  EXPECT_EQ(file.text("x", "units"), "degrees_east");
  EXPECT_EQ(file.text("precip_intensity", "grid_mapping"), "latitude_longitude");
}

TEST(Product, LargeGridsAreStoredInTiles) {
  const TemporaryFolder folder;
  Product product = sample();
  product.grid.columns = 800;
  product.grid.rows = 700;
  product.lead_s = {300};
  product.values.assign(560000, 0.F);
  product.values[123456] = 7.5F;
  product.observed_mask.clear();
  write_product(product, folder / "a.nc");
  const NetCdf file(folder / "a.nc");
  int storage = 0;
  std::size_t chunk[3] = {};
  ASSERT_EQ(nc_inq_var_chunking(file.id, file.variable("precip_intensity"), &storage, chunk), NC_NOERR);
  EXPECT_EQ(chunk[0], 1U);
  EXPECT_EQ(chunk[1], 512U);
  EXPECT_EQ(chunk[2], 512U);
  EXPECT_FLOAT_EQ(static_cast<float>(file.values("precip_intensity", 560000)[123456]), 750.F);
}

TEST(Product, AFailedWriteLeavesTheOldFileAndNothingElse) {
  const TemporaryFolder folder;
  const fs::path target = folder / "out.nc";
  std::ofstream(target) << "old";
  fs::create_directory(folder / "file.nc");  // a folder in the way
  EXPECT_THROW(write_product(sample(), folder / "file.nc"), WriteError);
  EXPECT_THROW(write_product(sample(), folder / "none" / "out.nc"), WriteError);
  Product wrong = sample();
  wrong.values.pop_back();
  EXPECT_THROW(write_product(wrong, target), DataError);
  std::string text;
  std::ifstream(target) >> text;
  EXPECT_EQ(text, "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}), 2);
}

TEST(Product, RefusesWhatIsNoProduct) {
  const TemporaryFolder folder;
  std::ofstream(folder / "a.nc") << "not a product";
  EXPECT_THROW(read_path(folder / "a.nc"), DataError);
  EXPECT_THROW(read_path(folder / "none.nc"), DataError);
  write_product(sample(), folder / "b.nc");
  int id = -1;
  ASSERT_EQ(nc_open((folder / "b.nc").c_str(), NC_WRITE, &id), NC_NOERR);
  int field = -1;
  ASSERT_EQ(nc_inq_varid(id, "precip_intensity", &field), NC_NOERR);
  ASSERT_EQ(nc_put_att_text(id, field, "units", 4, "m/s "), NC_NOERR);
  ASSERT_EQ(nc_close(id), NC_NOERR);
  EXPECT_THROW(read_path(folder / "b.nc"), DataError);
}

TEST(Product, AccumulationsNeedLeads) {
  EXPECT_THROW(accumulate(sample(), 0, 450), DataError);
  EXPECT_THROW(accumulate(sample(), 600, 300), DataError);
  EXPECT_FLOAT_EQ(accumulate(sample(), 300, 600).values[3], 4.F / 12.F);
}

/// A file of another program with the same names: a variable longer than the coordinate that it stands for.
TEST(Product, RefusesVariablesOnOtherDimensions) {
  const TemporaryFolder folder;
  int id = -1, time = -1, y = -1, x = -1, long_dimension = -1, variable = -1;
  const auto make = [&](const char* name, nc_type type, const std::vector<int>& dimensions) {
    EXPECT_EQ(nc_def_var(id, name, type, static_cast<int>(dimensions.size()), dimensions.data(), &variable),
              NC_NOERR);
  };
  const fs::path path = folder / "other.nc";
  ASSERT_EQ(nc_create(path.c_str(), NC_NETCDF4, &id), NC_NOERR);
  nc_def_dim(id, "time", 2, &time);
  nc_def_dim(id, "y", 2, &y);
  nc_def_dim(id, "x", 3, &x);
  nc_def_dim(id, "long", 100000, &long_dimension);
  make("precip_intensity", NC_SHORT, {time, y, x});
  nc_put_att_text(id, variable, "units", 6, "mm h-1");
  const float scale = 0.01F, offset = 0.F;
  nc_put_att_float(id, variable, "scale_factor", NC_FLOAT, 1, &scale);
  nc_put_att_float(id, variable, "add_offset", NC_FLOAT, 1, &offset);
  make("y", NC_DOUBLE, {y});
  const double rows[2] = {1., 0.}, columns[3] = {0., 1., 2.};
  nc_put_var_double(id, variable, rows);
  make("x", NC_DOUBLE, {x});
  nc_put_var_double(id, variable, columns);
  make("forecast_reference_time", NC_DOUBLE, {});
  const double reference = 0.;
  nc_put_var_double(id, variable, &reference);
  nc_put_att_text(id, variable, "units", 33, "seconds since 1970-01-01 00:00:00");
  make("forecast_period", NC_INT, {long_dimension});
  nc_put_att_text(id, NC_GLOBAL, "Conventions", 7, "CF-1.11");
  ASSERT_EQ(nc_close(id), NC_NOERR);
  try {
    read_path(path);
    FAIL() << "nothing was refused";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("forecast_period is not (time)"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace raincell::io
