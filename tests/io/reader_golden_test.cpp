// Real files against the golden numbers measured with h5py, netCDF4 and pyproj, through raincell-reader.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "io/publish.hpp"
#include "io/reader.hpp"

namespace {

namespace fs = std::filesystem;
using namespace raincell::io;

fs::path data_folder() {
  const char* folder = std::getenv("RAINCELL_TEST_DATA");
  return folder == nullptr ? fs::path() : fs::path(folder);
}

#define NEEDS_DATA() \
  if (data_folder().empty()) GTEST_SKIP() << "needs real files: set RAINCELL_TEST_DATA to their folder"

struct Golden {
  const char* file;
  const char* sha256;  // its beginning
  const char* format;
  const char* quantity;
  const char* unit;
  const char* time;  // of the first frame
  std::size_t frames;
  std::int64_t columns, rows, window_s;
  std::int64_t missing, dry, valued;  // of all frames
  double max, sum;                    // in the file's unit
  double max_mm_h;                    // by hand from max
  const char* units_option = "";      // what the file itself does not say
  double accumulation_option = 0.;
};

double marshall_palmer(double dbz) {
  return std::pow(std::pow(10., dbz / 10.) / 200., 1. / 1.6);
}

const Golden kGolden[] = {
    {"odim/opera_cirrus_20241126/T_PABV21_C_EUOC_20241126010000.hdf", "439a134630ac", "odim", "DBZH", "dBZ",
     "2024-11-26T01:00Z", 1, 3800, 4400, 0, 8208633, 6472855, 2038512, 78, 2.65724e+07, marshall_palmer(78)},
    {"odim/opera_nimbus_rate_20241126/T_PAAH22_C_EUOC_20241126010000.hdf", "2237965497c4", "odim", "RATE",
     "mm/h", "2024-11-26T01:00Z", 1, 1900, 2200, 0, 2030438, 1875812, 273750, 205.1, 172598, 205.05},
    {"odim/opera_nimbus_acrr_20241126/T_PASH22_C_EUOC_20241126010000.hdf", "6c9f3e89aa90", "odim", "ACRR",
     "mm", "2024-11-26T01:00Z", 1, 1900, 2200, 3600, 2032997, 1733502, 413501, 51.26, 181961, 51.26},
    {"odim/opera_odyssey_20180824/T_PAAH21_C_EUOC_20180824180000.hdf", "20cadceb908a", "odim", "RATE", "mm/h",
     "2018-08-24T18:00Z", 1, 1900, 2200, 0, 2085857, 1605989, 488154, 1205, 304024, 1205.22},
    {"odim/single/rmi_radclim_acrr5min_20200303.hdf", "70a70890f9df", "odim", "ACRR", "mm",
     "2020-03-03T23:55Z", 1, 700, 700, 300, 162790, 0, 327210, 1.151, 775.127, 1.1513 * 12},
    {"odim/single/rmi_qpe_acrr1h_20190606.hdf", "7aa68423bff9", "odim", "ACRR", "mm", "2019-06-06T00:00Z", 1,
     700, 700, 3600, 134374, 0, 355626, 23.02, 689465, 23.0155},
    {"odim/single/dwd_rw_20250922.hdf5", "d6aa32118a8b", "odim", "ACRR", "mm", "2025-09-22T05:40Z", 1, 1100,
     1200, 3600, 574637, 546171, 199192, 15.8, 303884, 15.8},
    {"odim/single/mch_cpc_20231221.h5", "8536a31c0fa5", "odim", "ACRR", "mm", "2023-12-21T13:30Z", 1, 710,
     640, 3600, 105052, 0, 349348, 2.4, 9198.19, 2.4},
    {"odim/single/knmi_curacao_dbzh_20220830.h5", "9b6383fdc53d", "odim", "DBZH", "dBZ", "2022-08-30T22:35Z",
     1, 720, 720, 0, 110963, 394736, 12701, 44.8, 115788, marshall_palmer(44.80039)},
    {"odim/quirks/composite_swe_gmap.h5", "a02331d64c4d", "odim", "DBZH", "dBZ", "2009-05-01T12:00Z", 1, 800,
     1090, 0, 745282, 123028, 3690, 47.2, -1574.4, marshall_palmer(47.2)},
    {"odim/quirks/composite_with_radarindex.h5", "fce43fbb3508", "odim", "DBZH", "dBZ", "2009-05-01T12:00Z",
     1, 848, 1104, 0, 671769, 261003, 3420, 48, 41342, marshall_palmer(48)},
    {"knmi/rap_20100826/RAD_NL25_RAP_5min_201008260400.h5", "9b77f2c163df", "knmi",
     "ACCUMULATED_PRECIPITATION_[MM]", "mm", "2010-08-26T04:00Z", 1, 700, 765, 300, 398271, 70485, 66744,
     1.71, 4930.71, 20.52},
    {"knmi/single/RAD_NL25_PCP_CM_202106222000.h5", "50f962e1cc67", "knmi", "REFLECTIVITY_[DBZ]", "dBZ",
     "2021-06-22T20:00Z", 1, 700, 765, 0, 104443, 373019, 58038, 38.5, 81239.5, marshall_palmer(38.5)},
    {"cf/bom_c10_20201031/66_20201031_060000.prcp-c10.nc", "621ee6afce7e", "cf", "precipitation", "kg m-2",
     "2020-10-31T06:00Z", 1, 512, 512, 600, 0, 156157, 105987, 15.1, 203338, 90.6},
    {"cf/bom_cscn_20180616/2_20180616_130000.prcp-cscn.nc", "a23f24ce325d", "cf", "precipitation", "kg m-2",
     "2018-06-16T13:00Z", 1, 512, 512, 360, 0, 176211, 85933, 2.05, 24013.3, 20.5},
    {"cf/nwcsaf_crr_20180601/S_NWC_CRR_MSG4_Europe-VISIR_20180601T120000Z.nc", "e63eada1648b", "cf",
     "crr_intensity", "mm/h", "2018-06-01T12:00Z", 1, 2200, 1019, 0, 378486, 1822171, 41143, 36.5, 108584,
     36.5},
    {"cf/ukmo_improver/nowcast-optical-flow__basic__201811031600_radar_rainrate_composite_UK_regridded.nc",
     "e8413664daa7", "cf", "lwe_precipitation_rate", "m s-1", "2018-11-03T16:00Z", 1, 200, 200, 0, 2, 24011,
     15987, 3.62e-06, 0.00285086, 13.03},
    {"cf/ukmo_improver/"
     "nowcast-optical-flow-from-winds__20190101T0700Z-u1096_ng_radar_precip_ratecomposite_2km.nc",
     "f77e98791454", "cf", "lwe_precipitation_rate", "m s-1", "2019-01-01T07:00Z", 1, 100, 100, 0, 3057, 6290,
     653, 1.432e-06, 7.83247e-05, 5.156},
    {"cf/single/radolan_ry_20210823.nc", "1c2e0575659f", "cf", "RY", "mm", "2021-08-23T08:50Z", 12, 900, 900,
     300, 2173105, 6659695, 887200, 8.47, 143142, 101.64, "mm", 300.},
    {"cf/single/openmrg_20150827_packed.nc", "0f495cc4f0e8", "cf", "rainfall", "mm/h", "2015-08-27T01:00Z",
     19, 37, 48, 0, 0, 11545, 22199, 68.68, 49635.9, 68.68},
    {"cf/single/openrainer_20220917.nc", "ac5d52a6ba0b", "cf", "rainfall_amount", "mm", "2022-09-17T08:00Z",
     11, 373, 290, 900, 1202, 647107, 541561, 11.54, 573063, 11.5355 * 4},
};

class GoldenFiles : public testing::TestWithParam<Golden> {};

// The table gives four to six digits.
double tolerance(double value) {
  return std::abs(value) * 5e-4;
}

TEST_P(GoldenFiles, CountsMaximaAndSums) {
  NEEDS_DATA();
  const Golden& golden = GetParam();
  const fs::path path = data_folder() / "radar" / golden.file;
  ASSERT_TRUE(fs::exists(path)) << path;
  const std::string bytes = read_file(path);
  ASSERT_EQ(sha256(std::as_bytes(std::span(bytes.data(), bytes.size()))).substr(0, 12), golden.sha256)
      << "another file than the numbers were measured on";
  SourceOptions options;
  options.units = golden.units_option;
  options.accumulation_s = golden.accumulation_option;
  FrameReader reader(options);
  const std::vector<Frame> frames = reader.read(path);
  ASSERT_EQ(frames.size(), golden.frames);
  SourceSummary all;
  all.max = -1e30;
  float max_mm_h = 0.F;
  for (const Frame& frame : frames) {
    EXPECT_EQ(frame.grid.columns, golden.columns);
    EXPECT_EQ(frame.grid.rows, golden.rows);
    EXPECT_EQ(frame.window_s, golden.window_s);
    EXPECT_EQ(frame.source.pixels, golden.columns * golden.rows);
    EXPECT_EQ(frame.quantity, Quantity::rain_rate);
    all.missing += frame.source.missing;
    all.dry += frame.source.dry;
    all.valued += frame.source.valued;
    all.sum += frame.source.sum;
    all.max = std::max(all.max, frame.source.max);
    for (const float value : frame.values)
      max_mm_h = std::isnan(value) ? max_mm_h : std::max(max_mm_h, value);
  }
  EXPECT_EQ(frames.front().source.format, golden.format);
  EXPECT_EQ(frames.front().source.quantity, golden.quantity);
  EXPECT_EQ(frames.front().source.unit, golden.unit);
  EXPECT_EQ(format_time(frames.front().valid_time), golden.time);
  EXPECT_EQ(all.missing, golden.missing);
  EXPECT_EQ(all.dry, golden.dry);
  EXPECT_EQ(all.valued, golden.valued);
  EXPECT_NEAR(all.max, golden.max, tolerance(golden.max));
  EXPECT_NEAR(all.sum, golden.sum, tolerance(golden.sum) / 100.);
  EXPECT_NEAR(max_mm_h, golden.max_mm_h, tolerance(golden.max_mm_h));
}

INSTANTIATE_TEST_SUITE_P(Table, GoldenFiles, testing::ValuesIn(kGolden), [](const auto& row) {
  std::string name = fs::path(row.param.file).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

/// Every file of data/radar whose reading is refused, and a word of the reason.
const std::pair<const char*, const char*> kRefused[] = {
    {"odim/quirks/CORRUPT_sekkr_scan_0.5_pn282_20180405T102500Z_0x9.h5", "SCAN is polar"},
    {"odim/quirks/KNMI-PVOL-Den_Helder.h5", "PVOL is polar"},
    {"odim/quirks/polar_nodata_eq_undetect.h5", "SCAN is polar"},
    {"odim/quirks/cartesian_volume.h5", "CVOL with 2 datasets"},
    {"odim/quirks/fixture_cartesian_pcappi.h5", "gain 0"},
    {"odim/quirks/fixture_old_pcappi-dbz-500.ang-gnom-2000.h5", "older than ODIM_H5 2.0"},
    {"knmi/single/RAD_NL25_ETH_NA_202004301315.h5", "neither precipitation nor reflectivity"},
    {"cf/single/mrms_preciprate_20190610_cdo.nc", "set source.variable"},
    {"cf/single/openmrg_20150725_sum5min.nc", "sum 5min"},
    {"cf/single/openmrg_20150827_nounits.nc", "no unit is given"},
    {"cf/single/radolan_ry_20210823.nc", "no unit is given"},
};

TEST(AllFiles, AreReadOrRefusedForTheExpectedReason) {
  NEEDS_DATA();
  const fs::path root = data_folder() / "radar";
  FrameReader reader;
  int read = 0, refused = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = fs::relative(entry.path(), root).string();
    // Of the long sequences every tenth file: all are alike.
    const bool sequence = name.find("rap_2010") != std::string::npos ||
                          name.find("bom_c") != std::string::npos || name.find("cirrus") != std::string::npos;
    if (sequence && std::hash<std::string>{}(name) % 10 != 0) continue;
    std::string expected;
    if (name == "MANIFEST.tsv") expected = "plain text";
    if (name.rfind("radolan_binary/", 0) == 0) expected = "gzip";
    for (const auto& [file, reason] : kRefused) {
      if (name == file) expected = reason;
    }
    try {
      const std::vector<Frame> frames = reader.read(entry.path());
      EXPECT_TRUE(expected.empty()) << name << " was read; expected: " << expected;
      ++read;
    } catch (const DataError& error) {
      const std::string message = error.what();
      EXPECT_FALSE(expected.empty()) << message;
      EXPECT_NE(message.find(expected), std::string::npos) << message;
      EXPECT_EQ(message.rfind(entry.path().string() + ": ", 0), 0u) << message;
      ++refused;
    }
  }
  EXPECT_GT(read, 30);
  EXPECT_GT(refused, 20);
}

// BoM's -0.1 mm (fill is -1, the encoder underflowed to -2) is counted as stored and clipped to no rain.
TEST(AllFiles, TinyNegativesAreClipped) {
  NEEDS_DATA();
  FrameReader reader;
  const Frame frame =
      reader.read(data_folder() / "radar/cf/bom_c10_20201031/66_20201031_164000.prcp-c10.nc").front();
  EXPECT_EQ(frame.clipped, 5);
  EXPECT_EQ(frame.source.valued, 749);
  for (const float value : frame.values) EXPECT_FALSE(value < 0.F);
}

TEST(Places, RealGridsLieWhereTheReferenceSays) {
  NEEDS_DATA();
  FrameReader reader;
  const Grid opera =
      reader.describe(data_folder() / "radar/odim/opera_cirrus_20241126/T_PABV21_C_EUOC_20241126010000.hdf")
          .front()
          .grid;
  EXPECT_NEAR(opera.x0, 0., 0.01);
  EXPECT_NEAR(opera.y0, 0., 0.01);
  EXPECT_EQ(opera.dx, 1000.);
  const auto [longitude, latitude] = to_lonlat(opera, opera.x0, opera.y0);
  EXPECT_NEAR(longitude, -39.5357864125034, 1e-6);
  EXPECT_NEAR(latitude, 67.0228327624372, 1e-6);

  const Grid bom = reader.describe(data_folder() / "radar/cf/bom_c10_20201031/66_20201031_060000.prcp-c10.nc")
                       .front()
                       .grid;
  EXPECT_NEAR(bom.x0, -128000., 1e-6);
  EXPECT_NEAR(bom.y0, 128000., 1e-6);
  EXPECT_NEAR(bom.dx, 500., 1e-6);
  const auto [east, south] = to_lonlat(bom, bom.x0, bom.y0);
  EXPECT_NEAR(east, 151. + 57. / 60. + 18.63 / 3600., 1e-5);
  EXPECT_NEAR(south, -(26. + 33. / 60. + 24.95 / 3600.), 1e-5);

  const Grid dwd = reader.describe(data_folder() / "radar/odim/single/dwd_rw_20250922.hdf5").front().grid;
  EXPECT_NEAR(dwd.x0, -500., 0.01);
  EXPECT_NEAR(dwd.y0, 500., 0.01);

  const Grid swiss = reader.describe(data_folder() / "radar/odim/single/mch_cpc_20231221.h5").front().grid;
  EXPECT_EQ(swiss.dx, 1000.);  // xscale is written in km
  EXPECT_NEAR(swiss.x0, 2255028.8, 300.);
  EXPECT_NEAR(swiss.y0, 1480257.7, 300.);

  const Grid knmi =
      reader.describe(data_folder() / "radar/knmi/rap_20100826/RAD_NL25_RAP_5min_201008260400.h5")
          .front()
          .grid;
  EXPECT_EQ(knmi.x0, 0.);
  EXPECT_EQ(knmi.y0, -3650000.);
  EXPECT_EQ(knmi.dy, 1000.);
  const auto [ll_longitude, ll_latitude] = to_lonlat(knmi, 0., knmi.y0 - 765 * knmi.dy);
  EXPECT_NEAR(ll_longitude, 0., 1e-6);
  EXPECT_NEAR(ll_latitude, 49.362, 1e-3);
}

TEST(Places, NimbusAndOdysseyAreOneGridInSpiteOfRoundedCorners) {
  NEEDS_DATA();
  FrameReader reader;
  const Grid nimbus =
      reader
          .describe(data_folder() /
                    "radar/odim/opera_nimbus_rate_20241126/T_PAAH22_C_EUOC_20241126010000.hdf")
          .front()
          .grid;
  const Grid odyssey =
      reader.describe(data_folder() / "radar/odim/opera_odyssey_20180824/T_PAAH21_C_EUOC_20180824180000.hdf")
          .front()
          .grid;
  EXPECT_FALSE(nimbus == odyssey);
  EXPECT_TRUE(same_grid(nimbus, odyssey));
}

// Rain over the Netherlands falls in the Netherlands: the wettest KNMI pixel, by rows counted from the north.
TEST(Places, RowZeroIsNorthForAscendingY) {
  NEEDS_DATA();
  FrameReader reader;
  const Frame frame = reader.read(data_folder() / "radar/cf/single/openrainer_20220917.nc").front();
  const auto [longitude, latitude] = to_lonlat(frame.grid, frame.grid.x0, frame.grid.y0);
  EXPECT_NEAR(longitude, 8.493675, 1e-5);
  EXPECT_NEAR(latitude, 46.0055, 1e-3);
}

class Hostile : public testing::TestWithParam<const char*> {};

TEST_P(Hostile, EveryFileIsRefusedAndTheReaderLivesOn) {
  NEEDS_DATA();
  FrameReader reader;
  int refused = 0;
  for (const auto& entry : fs::directory_iterator(data_folder() / "hostile" / GetParam())) {
    if (!entry.is_regular_file()) continue;
    try {
      reader.read(entry.path());
      ADD_FAILURE() << entry.path() << " was read";
    } catch (const DataError& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      ++refused;
    }
  }
  EXPECT_GE(refused, 8);
}

INSTANTIATE_TEST_SUITE_P(Corpora, Hostile, testing::Values("bombs", "hdf5-cve"), [](const auto& name) {
  return name.param[0] == 'b' ? std::string("bombs") : std::string("cve");
});

// With a description that leads straight to the array, each bomb must be refused for what it is.
TEST(HostileDescribed, BombsAreRefusedBeforeReading) {
  NEEDS_DATA();
  SourceOptions options;
  options.format = "described";
  options.description = R"({"dataset": "/data", "unit": "mm/h", "time": {"attribute": "@time"}})";
  const std::pair<const char*, const char*> expected[] = {
      {"b_hugedims.h5", "asks for too much"},
      {"b_hugechunk.h5", "asks for too much|one chunk is"},
      {"b_deflate.h5", "asks for too much|one chunk is"},
      {"b_deflate2.h5", "stacked|asks for too much|one chunk is"},
      {"b_extstore.h5", "external storage"},
      {"b_extlink.h5", "link to another file"},
      {"b_vds.h5", "virtual dataset"}};
  FrameReader reader(options);
  for (const auto& [name, reasons] : expected) {
    try {
      reader.read(data_folder() / "hostile/bombs" / name);
      ADD_FAILURE() << name << " was read";
    } catch (const DataError& error) {
      const std::string message = error.what();
      bool found = false;
      std::string rest = reasons;
      while (!rest.empty()) {
        const std::size_t bar = rest.find('|');
        found = found || message.find(rest.substr(0, bar)) != std::string::npos;
        rest = bar == std::string::npos ? "" : rest.substr(bar + 1);
      }
      EXPECT_TRUE(found) << message;
    }
  }
}

}  // namespace
