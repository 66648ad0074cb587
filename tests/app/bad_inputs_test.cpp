// What a radar feed gets wrong, each as a file, and what the program says of it. Numbers are those of the
// list that the readers were written against.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <limits>

#include "io/publish.hpp"
#include "tests/app/program.hpp"
#include "tests/io/cf_fixture.hpp"
#include "tests/io/radar_fixtures.hpp"

namespace {

namespace fs = std::filesystem;
using namespace raincell::io;
using raincell::test::Folder;
using raincell::test::Outcome;
using raincell::test::run_raincell;
using raincell::test::write_text;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct BadInput {
  std::string name;
  std::function<void(const fs::path& file)> make;
  std::vector<std::string> said;
  std::vector<std::string> settings = {};  // --set
};

void PrintTo(const BadInput& input, std::ostream* out) {
  *out << input.name;
}

/// An ODIM, KNMI or CF file with one thing changed.
template <class File>
std::function<void(const fs::path&)> with(std::function<void(File&)> change) {
  return [change = std::move(change)](const fs::path& path) {
    File file;
    change(file);
    file.write(path);
  };
}
const auto odim = with<OdimFile>;
const auto knmi = with<KnmiFile>;
const auto cf = with<CfFile>;

std::function<void(const fs::path&)> bytes(const std::string& content) {
  return [content](const fs::path& path) { write_text(path, content); };
}

/// The first half of a good file.
template <class File>
void half(const fs::path& path) {
  File().write(path);
  fs::resize_file(path, fs::file_size(path) / 2);
}

/// 64 x 64 pixels of ODIM, all of them `value`.
void constant(const fs::path& path, double value) {
  OdimFile file;
  file.sides = {64, 64};
  file.values.assign(64 * 64, value);
  file.columns = file.rows = 64;
  file.full_corners = false;
  file.write(path);
}

std::size_t pass_through(unsigned, std::size_t, const unsigned*, std::size_t size, std::size_t*, void**) {
  return size;
}

/// Stored through filter 32015, which the reader does not have.
void foreign_filter(const fs::path& path) {
  const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, 32015, 1, 1, "zstd", nullptr, nullptr, pass_through};
  ASSERT_GE(H5Zregister(&filter), 0);
  OdimFile file;
  file.creation = H5Pcreate(H5P_DATASET_CREATE);
  const hsize_t chunk[2] = {2, 3};
  H5Pset_chunk(file.creation, 2, chunk);
  H5Pset_filter(file.creation, 32015, H5Z_FLAG_MANDATORY, 0, nullptr);
  file.write(path);
  H5Pclose(file.creation);
}

void drop_attribute(Hdf5Fixture& file, const char* object, const char* name) {
  ASSERT_GE(H5Adelete_by_name(file.id(), object, name, H5P_DEFAULT), 0);
}

/// A second variable that could be rain.
void second_variable(const Netcdf& nc, int) {
  const int other = nc.variable("other", NC_FLOAT, {0, 1});
  nc.text(other, "units", "mm/h");
  nc.text(other, "standard_name", "rainfall_rate");
}

/// Latitude and longitude of each pixel, no axes.
void curvilinear(const fs::path& path) {
  const Netcdf nc(path, NC_NETCDF4);
  const int ny = nc.dimension("south_north", 2), nx = nc.dimension("west_east", 3);
  const int rain = nc.variable("rain", NC_FLOAT, {ny, nx}), lat = nc.variable("lat", NC_FLOAT, {ny, nx}),
            lon = nc.variable("lon", NC_FLOAT, {ny, nx}), time = nc.variable("time", NC_DOUBLE, {});
  nc.text(rain, "units", "mm/h");
  nc.text(rain, "coordinates", "lat lon");
  nc.text(lat, "units", "degrees_north");
  nc.text(lon, "units", "degrees_east");
  nc.text(time, "units", "seconds since 1970-01-01");
  nc.end();
  nc.put(rain, {0, 1, 2, 3, 4, 5});
}

/// (a, b, y, x), none of which is time.
void four_dimensions(const fs::path& path) {
  const Netcdf nc(path, NC_NETCDF4);
  const int a = nc.dimension("member", 2), b = nc.dimension("level", 2), ny = nc.dimension("y", 2),
            nx = nc.dimension("x", 3);
  const int rain = nc.variable("rain", NC_FLOAT, {a, b, ny, nx});
  nc.text(rain, "units", "mm/h");
  nc.end();
  nc.put(rain, std::vector<double>(24, 1.));
}

const std::string kGzip("\x1f\x8b\x08\0", 4);

const BadInput kBadInputs[] = {
    {"n01_missing", [](const fs::path&) {}, {"not found"}},
    {"n03_empty", bytes(""), {"is empty"}},
    {"n04_half_hdf5", half<OdimFile>, {"truncated or incomplete"}},
    {"n04_half_netcdf4", half<CfFile>, {"truncated or incomplete"}},
    {"n04_half_classic",
     [](const fs::path& path) {
       CfFile file;
       file.mode = 0;
       file.write(path);
       fs::resize_file(path, fs::file_size(path) / 2);
     },
     {"cannot be opened"}},
    {"n05_html", bytes("<html><body>404 Not Found</body></html>"), {"HTML page", "download the file again"}},
    {"n06_gzip", bytes(kGzip), {"gzip", "gunzip it first"}},
    {"n06_bzip2", bytes("BZh91AY"), {"bunzip2 it first"}},
    {"n06_tar", bytes(std::string(257, '\0') + "ustar"), {"tar archive", "unpack it first"}},
    {"n06_grib", bytes("GRIB....2"), {"GRIB", "convert it to NetCDF"}},
    {"n06_tiff", bytes(std::string("II*\0....", 8)), {"TIFF", "gdal_translate"}},
    {"n08_unknown_layout",
     [](const fs::path& path) {
       Hdf5Fixture(path).array("/noname", {2, 2}, {1, 2, 3, 4}, H5T_NATIVE_FLOAT);
     },
     {"unrecognised layout", "noname", "source.layout"}},
    {"n09_foreign_filter", foreign_filter, {"/dataset1/data1/data", "HDF5 filter 32015", "h5repack"}},
    {"n10_volume",
     odim([](OdimFile& file) { file.object = "PVOL"; }),
     {"/what@object", "PVOL is polar", "COMP"}},
    {"n10_scan", odim([](OdimFile& file) { file.object = "SCAN"; }), {"SCAN is polar"}},
    {"n10_profile", odim([](OdimFile& file) { file.object = "VP"; }), {"VP is polar or profile"}},
    {"n11_quality_alone",
     odim([](OdimFile& file) { file.quantity = "QIND"; }),
     {"none of RATE, ACRR", "found /dataset1/data1 QIND", "source.quantity"}},
    {"n11_other_quantity",
     odim([](OdimFile&) {}),
     {"none of DBZH, DBZ, TH is there", "found /dataset1/data1 RATE"},
     {"source.quantity=reflectivity"}},
    {"n12_gain_zero", odim([](OdimFile& file) { file.gain = 0.; }), {"gain 0"}},
    {"n12_gain_nan", odim([](OdimFile& file) { file.gain = kNan; }), {"gain nan"}},
    {"n12_gain_negative", odim([](OdimFile& file) { file.gain = -1.; }), {"-1 is negative for RATE"}},
    {"n13_turned",
     odim([](OdimFile& file) {
       file.sides = {3, 2};
     }),
     {"shape (3, 2)", "ysize=2, xsize=3"}},
    {"n13_rank_1", odim([](OdimFile& file) { file.sides = {6}; }), {"shape (6)", "xsize=3"}},
    {"n13_rank_3",
     odim([](OdimFile& file) {
       file.sides = {2, 3, 1};
     }),
     {"shape (2, 3, 1)"}},
    {"n13_size_0",
     odim([](OdimFile& file) {
       file.sides = {0, 3};
       file.values.clear();
     }),
     {"shape (0, 3)"}},
    {"n14_no_projection",
     odim([](OdimFile& file) {
       file.more = [](Hdf5Fixture& h5) { drop_attribute(h5, "/where", "projdef"); };
     }),
     {"/where@projdef: is missing", "PROJ string"}},
    {"n14_unknown_projection",
     odim([](OdimFile& file) { file.projdef = "+proj=nowhere"; }),
     {"projdef", "nowhere"}},
    {"n14_no_corners",
     odim(
         [](OdimFile& file) { file.more = [](Hdf5Fixture& h5) { drop_attribute(h5, "/where", "UL_lon"); }; }),
     {"corners are missing", "UL_lon"}},
    {"n14_scale", odim([](OdimFile& file) { file.xscale = 1300.; }), {"xscale", "1300 disagrees", "1000 m"}},
    {"n15_short_date", odim([](OdimFile& file) { file.date = "2024112"; }), {"\"2024112\"", "YYYYMMDD"}},
    {"n15_hour_25", odim([](OdimFile& file) { file.time = "256100"; }), {"\"256100\"", "are no time"}},
    {"n15_year_1", odim([](OdimFile& file) { file.date = "00010101"; }), {"between 1900 and 2200"}},
    {"n15_no_date",
     odim([](OdimFile& file) { file.more = [](Hdf5Fixture& h5) { drop_attribute(h5, "/what", "date"); }; }),
     {"/what@date", "are no time"}},
    {"n16_end_before_start",
     odim([](OdimFile& file) {
       file.quantity = "ACRR";
       file.end = "20240102025900";
     }),
     {"expected the end after the start"}},
    {"n16_empty_interval",
     odim([](OdimFile& file) {
       file.quantity = "ACRR";
       file.end = file.start;
     }),
     {"expected the end after the start"}},
    {"n16_elsewhere",
     odim([](OdimFile& file) {
       file.quantity = "ACRR";
       file.time = "040000";
     }),
     {"the accumulation ends 2024-01-02T03:04:05Z", "2024-01-02T04:00Z"}},
    {"n18_no_unit", cf([](CfFile& file) { file.unit = ""; }), {"no unit is given", "source.units"}},
    {"n18_unknown_unit",
     cf([](CfFile& file) { file.unit = "sum 5min"; }),
     {"\"sum 5min\" is not known", "mm/h"}},
    {"n18_kelvin", cf([](CfFile& file) { file.unit = "K"; }), {"\"K\" is not known"}},
    {"n19_two_variables",
     cf([](CfFile& file) { file.more = second_variable; }),
     {"2 variables could be", "rain [mm/h]", "other [mm/h]", "source.variable"}},
    {"n19_no_variable",
     cf([](CfFile& file) {
       file.unit = "K";
       file.standard_name = "air_temperature";
       file.name = "temperature";
     }),
     {"no variables could be precipitation", "temperature [K]"}},
    {"n19_four_dimensions", four_dimensions, {"further dimensions (member=2, level=2)", "(time, y, x)"}},
    {"n20_calendar",
     cf([](CfFile& file) { file.calendar = "360_day"; }),
     {"calendar \"360_day\"", "gregorian"}},
    {"n20_months",
     cf([](CfFile& file) { file.time_unit = "months since 1970-01-01"; }),
     {"time unit \"months since", "source.time_from"}},
    {"n20_day_as", cf([](CfFile& file) { file.time_unit = "day as %Y%m%d.%f"; }), {"time unit \"day as"}},
    {"n21_uneven",
     cf([](CfFile& file) {
       file.x = {500, 1500, 2600};
     }),
     {"x: is not evenly spaced", "off by 50"}},
    {"n21_turning",
     cf([](CfFile& file) {
       file.x = {500, 1500, 500};
     }),
     {"expected at least two distinct values"}},
    {"n21_latitude",
     [](const fs::path& path) {
       const Netcdf nc(path, NC_NETCDF4);
       const int ny = nc.dimension("lat", 2), nx = nc.dimension("lon", 2);
       const int ys = nc.variable("lat", NC_DOUBLE, {ny}), xs = nc.variable("lon", NC_DOUBLE, {nx}),
                 rain = nc.variable("rain", NC_FLOAT, {ny, nx}), time = nc.variable("time", NC_DOUBLE, {});
       nc.text(ys, "units", "degrees_north");
       nc.text(xs, "units", "degrees_east");
       nc.text(rain, "units", "mm/h");
       nc.text(time, "units", "seconds since 1970-01-01");
       nc.end();
       nc.put(ys, {85, 95});
       nc.put(xs, {0, 10});
       nc.put(rain, {0, 1, 2, 3});
     },
     {"lat: latitudes from 85 to 95; expected -90 to 90"}},
    {"n21_curvilinear", curvilinear, {"rain: no y axis", "south_north, west_east"}},
    {"n22_constant",
     [](const fs::path& path) { constant(path, 12.5); },
     {"more than 98 % of the 4096 observed pixels hold one value (12.5)", "stuck"}},
    {"n23_negative",
     cf([](CfFile& file) { file.values[3] = -30.; }),
     {"1 values below -1 mm/h (lowest -30)", "missing_values"}},
    {"n23_fill", cf([](CfFile& file) { file.values[3] = 1e30; }), {"cannot be rain in mm/h (highest 1e+30)"}},
    {"n23_dbz",
     cf([](CfFile& file) {
       file.unit = "dBZ";
       file.values[3] = 990.;
     }),
     {"cannot be"}},
    {"knmi_formula",
     knmi([](KnmiFile& file) { file.formula = "GEO = 10^(PV/32)"; }),
     {"is not linear", "GEO = a * PV + b"}},
    {"knmi_degrees",
     knmi([](KnmiFile& file) { file.unit = "DEG,DEG"; }),
     {"geo_dim_pixel", "expected KM,KM"}},
    {"knmi_bytes",
     knmi([](KnmiFile& file) { file.bytes_per_pixel = 1; }),
     {"holds 2 bytes a pixel", "image_bytes_per_pixel says 1"}},
    {"knmi_echo_top",
     knmi([](KnmiFile& file) { file.parameter = "HEIGHT_[KM]"; }),
     {"\"HEIGHT_[KM]\" is neither precipitation nor reflectivity"}},
    {"layout_name_is_no_time",
     [](const fs::path& path) {
       Hdf5Fixture(path).array("/201013260600", {2, 2}, {1, 2, 3, 4}, H5T_NATIVE_FLOAT);
     },
     {"time.dataset", "are no time"},
     {"source.layout=by_name.yaml"}},
    {"layout_nothing_named_so",
     [](const fs::path& path) {
       Hdf5Fixture(path).array("/rain", {2, 2}, {1, 2, 3, 4}, H5T_NATIVE_FLOAT);
     },
     {"nothing in / is named like"},
     {"source.layout=by_name.yaml"}},
    {"sevir_without_its_table",
     [](const fs::path& path) {
       Hdf5Fixture file(path);
       file.texts("/id", {"S1"}, 8);
       file.array("/vil", {1, 2, 3, 2}, std::vector<double>(12, 1.), H5T_NATIVE_UINT8);
     },
     {"events of SEVIR", "raincell pack CATALOG.csv"}},
    {"sevir_table",
     bytes("id,file_name,file_index,img_type\n"),
     {"SEVIR's CATALOG.csv", "raincell pack takes it"}},
    {"layout_quantity",
     odim([](OdimFile&) {}),
     {"quantity: \"rain\"; expected one of"},
     {"source.layout=rain.yaml"}},
    {"layout_select",
     odim([](OdimFile&) {}),
     {"select: \"mm\" is none of the axes"},
     {"source.layout=select.yaml"}},
    {"sevir_rank",
     [](const fs::path& path) {
       Hdf5Fixture(path).array("/vil", {2, 3, 4}, std::vector<double>(24, 1.), H5T_NATIVE_UINT8);
     },
     {"axes", "expected 3 names"},
     {"source.layout=sevir.yaml"}},
    {"sevir_event",
     [](const fs::path& path) {
       Hdf5Fixture(path).array("/vil", {1, 3, 4, 2}, std::vector<double>(24, 1.), H5T_NATIVE_UINT8);
     },
     {"event has 1 places", "expected one of 0 to 0"},
     {"source.layout=sevir.yaml"}},
    {"cf_valid_range",
     cf([](CfFile& file) {
       file.more = [](const Netcdf& nc, int rain) { nc.number(rain, "valid_range", NC_FLOAT, {5, 1}); };
     }),
     {"valid_min 5 is above valid_max 1"}},
    {"cf_scale_0",
     cf([](CfFile& file) {
       file.more = [](const Netcdf& nc, int rain) { nc.number(rain, "scale_factor", NC_DOUBLE, {0}); };
     }),
     {"gain 0"}},
    {"cf_no_bounds",
     cf([](CfFile& file) {
       file.unit = "mm";
       file.more = [](const Netcdf& nc, int) { nc.text(2, "bounds", "time_bnds"); };
     }),
     {"an amount in mm without the length of its window", "time bounds", "source.accumulation_s"}},
};

class BadInputs : public testing::TestWithParam<BadInput> {};

TEST_P(BadInputs, IsRefusedAndSaysWhy) {
  const Folder folder;
  write_text(folder / "by_name.yaml", "datasets: '[0-9]{12}'\nunit: mm/h\ntime: {dataset: '(.*)'}\n");
  const std::string array = "dataset: /dataset1/data1/data\nunit: mm/h\ntime: {start: 2020-01-01T00:00Z}\n";
  write_text(folder / "rain.yaml", array + "quantity: rain\n");
  write_text(folder / "select.yaml", array + "axes: [y, x]\nselect: {mm: 1}\n");
  write_text(folder / "sevir.yaml",
             "dataset: /vil\naxes: [event, y, x, time]\nselect: {event: 1}\ndecode: sevir_vil\n"
             "time: {start: 2019-06-09T18:02Z, step_s: 300}\n");
  GetParam().make(folder / "radar.h5");
  std::vector<std::string> arguments = {"inspect", "radar.h5"};
  for (const std::string& setting : GetParam().settings)
    arguments.insert(arguments.end(), {"--set", setting});
  const Outcome outcome = run_raincell(folder.path(), arguments);
  EXPECT_EQ(outcome.code, 3) << outcome.out << outcome.err;
  EXPECT_NE(outcome.err.find("radar.h5: "), std::string::npos) << outcome.err;
  for (const std::string& part : GetParam().said)
    EXPECT_NE(outcome.err.find(part), std::string::npos) << part << "\n" << outcome.err;
}

INSTANTIATE_TEST_SUITE_P(Files, BadInputs, testing::ValuesIn(kBadInputs),
                         [](const auto& row) { return row.param.name; });

/// A folder of frames, what the program answers, and its numbers.
class BadFolders : public testing::Test {
 protected:
  /// ODIM, 16 x 16 pixels of 1 km, rain that differs from pixel to pixel.
  static OdimFile frame(const std::string& time) {
    OdimFile file;
    file.time = time;
    file.columns = file.rows = 16;
    file.sides = {16, 16};
    file.values.resize(256);
    for (std::size_t i = 0; i < 256; ++i) file.values[i] = static_cast<double>(i % 17);
    return file;
  }
  void write(const std::string& name, const OdimFile& file) {
    fs::create_directories((folder_ / name).parent_path());
    file.write(folder_ / name);
  }
  void write_frames(const std::vector<std::string>& times) {
    for (const std::string& time : times) write("radar/" + time + ".h5", frame(time));
  }
  Outcome pack() { return run_raincell(folder_.path(), {"pack", "radar", "--output", "archive.nc"}); }
  Outcome nowcast(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"nowcast",  "--forecaster", "advection", "--input", "radar",
                                          "--output", "out.nc",       "--horizon", "10min"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_raincell(folder_.path(), arguments);
  }
  static void expect(const Outcome& outcome, int code, const std::vector<std::string>& said) {
    EXPECT_EQ(outcome.code, code) << outcome.out << outcome.err;
    for (const std::string& part : said)
      EXPECT_NE((outcome.out + outcome.err).find(part), std::string::npos) << part << "\n"
                                                                           << outcome.out << outcome.err;
  }
  Folder folder_;
};

TEST_F(BadFolders, N02ADirectoryNamedLikeAFile) {
  fs::create_directory(folder_ / "x.h5");
  expect(run_raincell(folder_.path(), {"inspect", "x.h5"}), 3, {"x.h5: holds no file"});
}

TEST_F(BadFolders, N07ADamagedChunkIsMissingWithAReason) {
  OdimFile file = frame("000000");
  file.creation = H5Pcreate(H5P_DATASET_CREATE);
  const hsize_t chunk[2] = {8, 16};
  H5Pset_chunk(file.creation, 2, chunk);
  H5Pset_deflate(file.creation, 4);
  write("radar/a.h5", file);
  H5Pclose(file.creation);
  haddr_t address = 0;
  hsize_t size = 0;
  {
    const hid_t h5 = H5Fopen((folder_ / "radar/a.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT),
                dataset = H5Dopen2(h5, "/dataset1/data1/data", H5P_DEFAULT);
    const hsize_t at[2] = {8, 0};
    unsigned mask = 0;
    ASSERT_GE(H5Dget_chunk_info_by_coord(dataset, at, &mask, &address, &size), 0);
    H5Dclose(dataset);
    H5Fclose(h5);
  }
  std::string bytes = read_file(folder_ / "radar/a.h5");
  bytes[address + size / 2] = static_cast<char>(bytes[address + size / 2] ^ 0x10);
  write_text(folder_ / "radar/a.h5", bytes);
  expect(run_raincell(folder_.path(), {"inspect", "radar/a.h5", "--json"}), 0,
         {"/dataset1/data1/data", "chunk at (8, 0)", "128 pixels are missing", "\"missing\":128"});
}

TEST_F(BadFolders, N17OverlappingAccumulations) {
  for (const std::string time : {"000000", "000500", "001000"}) {
    OdimFile file = frame(time);
    file.quantity = "ACRR";
    file.start = "20240101230000";
    file.end = "20240102" + time;
    write("radar/" + time + ".h5", file);
  }
  expect(nowcast(), 3, {"accumulations over", "overlap", "source.allow_overlapping_accumulation"});
  expect(pack(), 3, {"accumulations over", "overlap", "source.allow_overlapping_accumulation"});
  expect(run_raincell(folder_.path(), {"pack", "radar", "--output", "archive.nc", "--set",
                                       "source.allow_overlapping_accumulation=true"}),
         0, {"amounts that overlap (packed): 2", "an amount over 3900 s, 300 s after 2024-01-02T00:00Z"});
}

TEST_F(BadFolders, N22FramesWithoutAPixelAreCounted) {
  write_frames({"000000", "000500", "001000"});
  OdimFile missing = frame("001500");
  missing.values.assign(256, -1.);
  write("radar/001500.h5", missing);
  expect(run_raincell(folder_.path(), {"inspect", "radar/001500.h5"}), 0, {"every pixel is missing"});
  expect(pack(), 0, {"4 frames", "nothing observed (packed): 1"});
  expect(nowcast(), 4, {"nowcast withheld", "001500.h5", "no observed pixel"});
  expect(nowcast({"--at", "2024-01-02T00:10Z"}), 0, {});
}

TEST_F(BadFolders, N22AConstantFrameIsLeftOut) {
  write_frames({"000000", "000500"});
  OdimFile stuck = frame("001000");
  stuck.values.assign(256, 4.);
  write("radar/001000.h5", stuck);
  expect(pack(), 0, {"2 frames", "rejected", "001000.h5", "hold one value (4)"});
  expect(nowcast(), 3, {"001000.h5", "hold one value (4)"});
}

TEST_F(BadFolders, N24AnotherGrid) {
  write_frames({"000000", "000500"});
  OdimFile other = frame("001000");
  other.rows = 8;
  other.sides = {8, 16};
  other.values.resize(128);
  write("radar/001000.h5", other);
  expect(pack(), 0, {"001000.h5", "16x8", "instead of 16x16"});
  expect(nowcast(), 3, {"001000.h5", "another grid", "16x8", "16x16"});
}

TEST_F(BadFolders, N25DuplicatesGapsAndOldFrames) {
  write_frames({"000000", "000500", "002000"});
  write("radar/copy.h5", frame("000500"));
  expect(pack(), 0,
         {"duplicates left out: 1", "gap: 2 frames missing between 2024-01-02T00:05Z and 2024-01-02T00:20Z"});
  expect(nowcast(), 4, {"nowcast withheld", "none at 2024-01-02T00:15Z"});
  expect(nowcast({"--at", "2024-01-02T03:00Z"}), 4,
         {"the latest frame until 2024-01-02T03:00Z is of 2024-01-02T00:20Z"});
}

TEST_F(BadFolders, APackNeverTakesTheRadarsPlace) {
  write_frames({"000000", "000500"});
  const std::string before = read_file(folder_ / "radar/000500.h5");
  expect(run_raincell(folder_.path(), {"pack", "radar", "--output", "radar/000500.h5.nc"}), 0, {});
  expect(run_raincell(folder_.path(), {"pack", "radar", "--output", "radar/000500.h5.nc"}), 0,
         {});  // an archive
  fs::rename(folder_ / "radar/000500.h5", folder_ / "radar/000500.nc");
  expect(run_raincell(folder_.path(), {"pack", "radar", "--output", "radar/000500.nc"}), 5,
         {"is there already and is no packed archive", "nothing was touched"});
  EXPECT_EQ(read_file(folder_ / "radar/000500.nc"), before);
}

TEST_F(BadFolders, AppendingNothingNewSaysSo) {
  write_frames({"000000", "000500"});
  expect(pack(), 0, {"2 frames"});
  const Outcome again = run_raincell(folder_.path(), {"pack", "radar", "--output", "archive.nc", "--append"});
  expect(again, 0, {"archive.nc: nothing new; 2 frames are there already"});
  EXPECT_EQ(again.out.find("1970"), std::string::npos) << again.out;
}

TEST_F(BadFolders, PathsOfEveryKind) {
  write("radar/höhe 雨.h5", frame("000000"));
  expect(run_raincell(folder_.path(), {"inspect", "radar/höhe 雨.h5"}), 0, {"höhe 雨.h5"});
  fs::create_symlink("loop.h5", folder_ / "loop.h5");
  expect(run_raincell(folder_.path(), {"inspect", "loop.h5"}), 3, {"loop.h5", "symbolic link"});
  fs::create_directory_symlink(folder_ / "radar", folder_ / "radar/again");
  expect(run_raincell(folder_.path(), {"inspect", "radar"}), 0,
         {"1 frame of rain_rate, 2024-01-02T00:00Z\n"});
  const std::string name(300, 'a');
  expect(run_raincell(folder_.path(), {"inspect", name}), 3, {"aaaa", "File name too long"});
}

TEST_F(BadFolders, AFileThatMayNotBeRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  write_frames({"000000"});
  ASSERT_EQ(::chmod((folder_ / "radar/000000.h5").c_str(), 0), 0);
  expect(run_raincell(folder_.path(), {"inspect", "radar/000000.h5"}), 3, {"Permission denied"});
}

}  // namespace
