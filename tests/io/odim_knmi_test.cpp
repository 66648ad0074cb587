// Dialects of ODIM_H5 and KNMI HDF5, generated; expected values by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "io/publish.hpp"
#include "tests/io/hdf5_fixture.hpp"
#include "tests/io/radar_fixtures.hpp"
#include "tests/io/read_path.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace raincell::io;
using enum PixelState;

class Odim : public testing::Test {
 protected:
  Frame read(const OdimFile& file, const SourceOptions& options = {}) {
    file.write(path());
    return read_path(path(), options).front();
  }
  std::string refusal(const OdimFile& file, const SourceOptions& options = {}) {
    return refusal_of([&] { read(file, options); });
  }
  std::filesystem::path path() const { return folder_.path() / "any.name"; }
  TemporaryFolder folder_;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(Odim, StatesGridAndTime) {
  const Frame frame = read({});
  EXPECT_EQ(frame.states,
            (std::vector<PixelState>{missing, dry, valued, valued, valued, valued}));  // 0 has a value
  EXPECT_EQ(frame.values[5], 3.F);
  EXPECT_EQ(format_time(frame.valid_time), "2024-01-02T03:04:05Z");
  EXPECT_EQ(frame.window_s, 0);  // the bounds of a rate are informational
  EXPECT_NEAR(frame.grid.x0, -1500., 0.02);
  EXPECT_NEAR(frame.grid.y0, 1000., 0.02);
  EXPECT_EQ(frame.grid.dx, 1000.);
}

TEST_F(Odim, LowerLeftAndUpperRightSuffice) {
  OdimFile file;
  file.full_corners = false;
  const Grid grid = read(file).grid;
  EXPECT_NEAR(grid.x0, -1500., 0.02);
  EXPECT_NEAR(grid.y0, 1000., 0.02);
}

TEST_F(Odim, ScaleInKilometresIsSeenFromTheCorners) {
  OdimFile file;
  file.xscale = file.yscale = 1.;
  const Frame frame = read(file);
  EXPECT_EQ(frame.grid.dx, 1000.);
  EXPECT_EQ(frame.source.warnings.size(), 2u);
}

TEST_F(Odim, ScaleThatContradictsTheCornersIsRefused) {
  OdimFile file;
  file.xscale = 1500.;
  EXPECT_HAS(refusal(file), "disagrees with the corners");
}

TEST_F(Odim, CodesMayLieAtTheDataset) {
  OdimFile file;
  file.codes_at_dataset = true;
  EXPECT_EQ(read(file).source.missing, 1);
}

TEST_F(Odim, NoCodesMeansOnlyNanIsMissing) {
  OdimFile file;
  file.gain = file.offset = file.nodata = file.undetect = std::nullopt;
  file.values = {NAN, 0, 1, 2, 3, 4};
  const Frame frame = read(file);
  EXPECT_EQ(frame.source.missing, 1);
  EXPECT_EQ(frame.source.dry, 0);
  EXPECT_EQ(frame.source.valued, 5);
}

TEST_F(Odim, NanAndInfinityAsCodes) {
  OdimFile file;
  file.nodata = NAN;
  file.undetect = INFINITY;
  file.values = {NAN, INFINITY, 0, 1, 2, 3};
  const Frame frame = read(file);
  EXPECT_EQ(frame.source.missing, 1);
  EXPECT_EQ(frame.source.dry, 1);
}

TEST_F(Odim, EqualCodesAreMissingAndSaidOnce) {
  OdimFile file;
  file.nodata = file.undetect = 0.;
  file.values = {0, 0, 1, 2, 3, 4};
  const Frame frame = read(file);
  EXPECT_EQ(frame.source.missing, 2);
  ASSERT_EQ(frame.source.warnings.size(), 1u);
  EXPECT_HAS(frame.source.warnings[0], "cannot tell missing from dry");
}

TEST_F(Odim, BigEndianSixteenBit) {
  OdimFile file;
  file.type = H5T_STD_I16BE;
  file.gain = 0.1;
  file.nodata = -32768;
  file.undetect = -32767;
  file.values = {-32768, -32767, 10, 20, 30, 40};
  const Frame frame = read(file);
  EXPECT_EQ(frame.states[0], missing);
  EXPECT_EQ(frame.states[1], dry);
  EXPECT_NEAR(frame.values[5], 4., 1e-6);
}

TEST_F(Odim, AttributesOfEveryKind) {
  OdimFile file;
  file.gain = std::nullopt;
  file.more = [](Hdf5Fixture& fixture) {
    fixture.number("/dataset1/data1/what", "gain", 2., H5T_IEEE_F64BE, true);  // big-endian, shape (1,)
    fixture.group("/how");
    fixture.variable_text("/how", "system", "anything");
    H5Adelete_by_name(fixture.id(), "/what", "date", H5P_DEFAULT);
    fixture.variable_text("/what", "date", "20240102");
    H5Adelete_by_name(fixture.id(), "/what", "time", H5P_DEFAULT);
    fixture.text("/what", "time", "030405", H5T_STR_NULLPAD);  // no terminating zero
    H5Adelete_by_name(fixture.id(), "/where", "projdef", H5P_DEFAULT);
    fixture.variable_text("/where", "projdef",
                          "+proj=laea +lat_0=55 +lon_0=10 x_0=0 +ellps=WGS84 ");  // trailing blank
  };
  const Frame frame = read(file);
  EXPECT_EQ(frame.values[5], 6.F);
  EXPECT_EQ(format_time(frame.valid_time), "2024-01-02T03:04:05Z");
}

TEST_F(Odim, AccumulationsAreScaledByTheirWindow) {
  OdimFile file;
  file.quantity = "ACRR";
  const Frame frame = read(file);
  EXPECT_EQ(frame.window_s, 300);
  EXPECT_TRUE(frame.accumulation);
  EXPECT_EQ(frame.values[5], 36.F);  // 3 mm in 5 minutes
  EXPECT_EQ(frame.source.max, 3.);
  file.start = file.end;
  EXPECT_HAS(refusal(file), "expected the end after the start");
}

TEST_F(Odim, ZrOfTheFile) {
  OdimFile file;
  file.quantity = "DBZH";
  file.values = {-1, -2, 40, 30, 20, 10};
  file.more = [](Hdf5Fixture& fixture) {
    fixture.group("/dataset1/data1/how");
    fixture.number("/dataset1/data1/how", "zr_a", 316);
    fixture.number("/dataset1/data1/how", "zr_b", 1.5);
  };
  const Frame frame = read(file);
  EXPECT_NEAR(frame.values[2], 10.005, 1e-3);
  EXPECT_EQ(frame.values[1], 0.F);
  SourceOptions keep;
  keep.quantity = "reflectivity";
  EXPECT_EQ(read(file, keep).values[2], 40.F);
}

TEST_F(Odim, DatasetTenFollowsNineAndTheFirstMatchIsTaken) {
  OdimFile file;
  file.quantity = "QIND";
  file.more = [](Hdf5Fixture& fixture) {
    for (const int n : {10, 2}) {
      const std::string base = "/dataset" + std::to_string(n);
      for (const std::string& group : {base, base + "/what", base + "/data1", base + "/data1/what"})
        fixture.group(group);
      fixture.text(base + "/data1/what", "quantity", "RATE");
      fixture.array(base + "/data1/data", {2, 3}, std::vector<double>(6, n), H5T_NATIVE_DOUBLE);
    }
  };
  const Frame frame = read(file);
  EXPECT_EQ(frame.values[0], 2.F);
  EXPECT_EQ(frame.source.warnings.size(), 1u);
  SourceOptions tenth;
  tenth.dataset = "dataset10";
  EXPECT_EQ(read(file, tenth).values[0], 10.F);
}

TEST_F(Odim, RefusalsSayWhatWhereAndWhatWasExpected) {
  OdimFile file;
  file.object = "PVOL";
  EXPECT_HAS(refusal(file), "odim: /what@object: PVOL is polar");
  file = {};
  file.gain = 0.;
  EXPECT_HAS(refusal(file), "gain 0");
  file = {};
  file.gain = -1.;
  EXPECT_HAS(refusal(file), "negative for RATE");
  file = {};
  file.quantity = "QIND";
  EXPECT_HAS(refusal(file), "found /dataset1/data1 QIND");
  file = {};
  file.date = "2024112";
  EXPECT_HAS(refusal(file), "expected YYYYMMDD");
  file = {};
  file.time = "256100";
  EXPECT_HAS(refusal(file), "are no time");
  file = {};
  file.sides = {3, 2};
  EXPECT_HAS(refusal(file), "shape (3, 2) does not match");
  file = {};
  file.sides = {2, 3, 1};
  EXPECT_HAS(refusal(file), "shape (2, 3, 1)");
  file = {};
  file.projdef = "+proj=pipeline +step +proj=hgridshift +grids=/etc/passwd";
  EXPECT_HAS(refusal(file), "projdef");
}

class Knmi : public Odim {
 protected:
  Frame read_knmi_file(const KnmiFile& file) {
    file.write(path());
    return read_path(path()).front();
  }
  std::string knmi_refusal(const KnmiFile& file) {
    return refusal_of([&] { read_knmi_file(file); });
  }
};

TEST_F(Knmi, Accumulation) {
  const Frame frame = read_knmi_file({});
  EXPECT_EQ(frame.states, (std::vector<PixelState>{missing, dry, valued, valued}));
  EXPECT_NEAR(frame.values[3], 30., 1e-5);  // 2.5 mm in 5 minutes
  EXPECT_EQ(frame.window_s, 300);
  EXPECT_EQ(format_time(frame.valid_time), "2010-08-26T04:00Z");
  EXPECT_EQ(frame.grid.y0, -3650000.);
  const auto [longitude, latitude] = to_lonlat(frame.grid, 0., -4415007.);
  EXPECT_NEAR(longitude, 0., 1e-9);
  EXPECT_NEAR(latitude, 49.362, 1e-3);
}

TEST_F(Knmi, MissingDataOfItsOwnIsNoEcho) {
  KnmiFile file;
  file.parameter = "REFLECTIVITY_[DBZ]";
  file.formula = "GEO = 0.500000 * PV + -32.000000";
  file.out = 255;
  file.missing_data = 0;
  file.type = H5T_NATIVE_UINT8;
  file.values = {255, 0, 64, 144};  // missing, no echo, 0 dBZ, 40 dBZ
  const Frame frame = read_knmi_file(file);
  EXPECT_EQ(frame.states, (std::vector<PixelState>{missing, dry, valued, valued}));
  EXPECT_NEAR(frame.values[3], 11.531, 1e-3);
  EXPECT_EQ(frame.source.sum, 40.);
}

TEST_F(Knmi, FormulaWithAMinusSign) {
  KnmiFile file;
  file.parameter = "REFLECTIVITY_[DBZ]";
  file.formula = "GEO=0.5*PV-31.5";
  file.values = {65535, 65535, 143, 65535};
  EXPECT_EQ(read_knmi_file(file).source.max, 40.);
}

TEST_F(Knmi, Refusals) {
  KnmiFile file;
  file.parameter = "HEIGHT_[KM]";
  EXPECT_HAS(knmi_refusal(file), "neither precipitation nor reflectivity");
  file = {};
  file.formula = "GEO = 10^(PV/32)";
  EXPECT_HAS(knmi_refusal(file), "is not linear");
  file = {};
  file.unit = "DEG,DEG";
  EXPECT_HAS(knmi_refusal(file), "expected KM,KM");
  file = {};
  file.end = "26-AUT-2010;04:00:00.000";
  EXPECT_HAS(knmi_refusal(file), "is no time");
  file = {};
  file.end = file.start;
  EXPECT_HAS(knmi_refusal(file), "expected the end after the start");
}

}  // namespace
