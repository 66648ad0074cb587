// Dialects of CF NetCDF, generated; expected values by hand.
#include <gtest/gtest.h>
#include <netcdf.h>

#include <cmath>

#include "io/cf_axes.hpp"
#include "io/formats.hpp"
#include "io/publish.hpp"
#include "tests/io/cf_fixture.hpp"
#include "tests/io/read_path.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace raincell::io;
using enum PixelState;

class Cf : public testing::Test {
 protected:
  std::vector<Frame> read_all(const SourceOptions& options = {}) {
    const std::string bytes = read_file(path());
    return read_content("rain_201008260405.nc", std::as_bytes(std::span(bytes.data(), bytes.size())),
                        {options, Wanted::values});
  }
  Frame read(const CfFile& file, const SourceOptions& options = {}) {
    file.write(path());
    return read_all(options).front();
  }
  std::string refusal(const CfFile& file, const SourceOptions& options = {}) {
    return refusal_of([&] { read(file, options); });
  }
  std::filesystem::path path() const { return folder_.path() / "file"; }
  TemporaryFolder folder_;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(Cf, ClassicAndNetcdf4AreReadAlike) {
  for (const int mode : {NC_NETCDF4, 0, NC_64BIT_OFFSET, NC_64BIT_DATA}) {
    CfFile file;
    file.mode = mode;
    const Frame frame = read(file);
    EXPECT_EQ(frame.values, (std::vector<float>{0, 1, 2, 3, 4, 5})) << mode;
    EXPECT_EQ(frame.states[0], dry);  // an exact 0
    EXPECT_EQ(frame.grid.x0, 0.);
    EXPECT_EQ(frame.grid.y0, 2000.);
    EXPECT_EQ(frame.grid.dx, 1000.);
    EXPECT_EQ(format_time(frame.valid_time), "2010-08-26T04:00Z");
    EXPECT_EQ(frame.window_s, 0);
  }
}

TEST_F(Cf, AscendingYAndDescendingXAreTurned) {
  CfFile file;
  file.y = {500, 1500};
  Frame frame = read(file);
  EXPECT_EQ(frame.values, (std::vector<float>{3, 4, 5, 0, 1, 2}));
  EXPECT_EQ(frame.grid.y0, 2000.);
  file.x = {2500, 1500, 500};
  frame = read(file);
  EXPECT_EQ(frame.values, (std::vector<float>{5, 4, 3, 2, 1, 0}));
  EXPECT_EQ(frame.grid.x0, 0.);
}

TEST_F(Cf, XBeforeYIsTransposed) {
  CfFile file;
  file.x_first = true;  // stored rain[x][y]
  EXPECT_EQ(read(file).values, (std::vector<float>{0, 2, 4, 1, 3, 5}));
}

TEST_F(Cf, KilometreAxes) {
  CfFile file;
  file.axis_unit = "km";
  file.x = {0.5, 1.5, 2.5};
  file.y = {1.5, 0.5};
  const Grid grid = read(file).grid;
  EXPECT_EQ(grid.dx, 1000.);
  EXPECT_EQ(grid.y0, 2000.);
  file.axis_unit = "furlong";
  EXPECT_HAS(refusal(file), "furlong");
}

TEST_F(Cf, AxesWithoutUnit) {
  CfFile file;
  file.axis_unit = "";
  EXPECT_EQ(read(file).source.warnings.size(), 1u);  // 1000 is plausible as metres, and that is said
  file.x = {0.5, 1.5, 2.5};
  file.y = {1.5, 0.5};
  EXPECT_HAS(refusal(file), "has no unit");
}

TEST_F(Cf, UnevenAxesAreRefused) {
  CfFile file;
  file.x = {500, 1500, 2600};
  EXPECT_HAS(refusal(file), "not evenly spaced");
  file.x = {500, 500, 500};
  EXPECT_HAS(refusal(file), "distinct values");
}

TEST_F(Cf, PackedWithExplicitFill) {
  CfFile file;
  file.type = NC_SHORT;
  file.values = {-1, 0, 1, 2, 3, 300};
  file.more = [](const Netcdf& nc, int rain) {
    nc.number(rain, "_FillValue", NC_SHORT, {-1});
    nc.number(rain, "scale_factor", NC_DOUBLE, {0.05});
    nc.number(rain, "add_offset", NC_DOUBLE, {0});
  };
  const Frame frame = read(file);
  EXPECT_EQ(frame.source.missing, 1);
  EXPECT_EQ(frame.source.dry, 1);
  EXPECT_NEAR(frame.values[5], 15., 1e-6);
}

TEST_F(Cf, DefaultFillIsMissingWithoutAnyAttribute) {
  CfFile file;
  file.values = {9.969209968386869e36, 0, 1, 2, 3, 4};
  EXPECT_EQ(read(file).source.missing, 1);
  file.type = NC_USHORT;
  file.values = {65535, 0, 1, 2, 3, 4};
  EXPECT_EQ(read(file).source.missing, 1);
  file.type = NC_UBYTE;  // bytes have no default fill
  file.values = {255, 0, 1, 2, 3, 4};
  EXPECT_EQ(read(file).source.missing, 0);
}

TEST_F(Cf, MissingValueMayBeAVectorAndOptionsAddMore) {
  CfFile file;
  file.values = {-3, -999, 7, 1, 2, 3};
  file.more = [](const Netcdf& nc, int rain) { nc.number(rain, "missing_value", NC_FLOAT, {-999, 7}); };
  EXPECT_HAS(refusal(file), "set source.missing_values");  // -3 mm/h is no rain
  SourceOptions options;
  options.missing_values = {-3};
  EXPECT_EQ(read(file, options).source.missing, 3);
}

TEST_F(Cf, UnsignedInSignedBytes) {
  CfFile file;
  file.mode = 0;  // NetCDF-3 has no unsigned types
  file.type = NC_BYTE;
  file.values = {-1, 0, 1, -2, 100, -56};  // 255, 0, 1, 254, 100, 200
  file.more = [](const Netcdf& nc, int rain) {
    nc.text(rain, "_Unsigned", "true");
    nc.number(rain, "_FillValue", NC_BYTE, {-1});
    nc.number(rain, "valid_range", NC_SHORT, {0, 253});
  };
  const Frame frame = read(file);
  EXPECT_EQ(frame.states, (std::vector<PixelState>{missing, dry, valued, missing, valued, valued}));
  EXPECT_EQ(frame.values[5], 200.F);
  file.more = [](const Netcdf& nc, int rain) { nc.text(rain, "_Unsigned", "false"); };
  file.values = {5, 0, 1, 2, 100, 3};
  EXPECT_EQ(read(file).source.valued, 5);
}

TEST_F(Cf, ValidRangeOfAnotherType) {
  CfFile file;
  file.values = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6};
  file.more = [](const Netcdf& nc, int rain) {
    nc.number(rain, "valid_min", NC_DOUBLE, {0.1});  // 0.1 in float is a little more than in double
    nc.number(rain, "valid_max", NC_DOUBLE, {0.6});
  };
  EXPECT_EQ(read(file).source.valued, 6);
  file.more = [](const Netcdf& nc, int rain) { nc.number(rain, "valid_range", NC_FLOAT, {5, 1}); };
  EXPECT_HAS(refusal(file), "valid_min 5 is above valid_max 1");
}

TEST_F(Cf, ScaleZeroIsRefused) {
  CfFile file;
  file.more = [](const Netcdf& nc, int rain) { nc.number(rain, "scale_factor", NC_DOUBLE, {0}); };
  EXPECT_HAS(refusal(file), "gain 0");
}

TEST_F(Cf, UnitsMissingUnknownAndGiven) {
  CfFile file;
  file.unit = "";
  EXPECT_HAS(refusal(file), "no unit is given");
  file.unit = "sum 5min";
  EXPECT_HAS(refusal(file), "\"sum 5min\" is not known");
  SourceOptions options;
  options.units = "mm";
  options.accumulation_s = 300;
  EXPECT_EQ(read(file, options).values[5], 60.F);
}

TEST_F(Cf, WindowFromBounds) {
  CfFile file;
  file.unit = "kg m-2";
  file.standard_name = "rainfall_amount";
  EXPECT_HAS(refusal(file), "set source.accumulation_s");
  file.more = [](const Netcdf& nc, int) {
    const int two = nc.dimension("bnds", 2);
    int when = 0;
    check_netcdf(nc_inq_varid(nc.id(), "time", &when));
    nc.text(when, "bounds", "time_bnds");
    nc.variable("time_bnds", NC_DOUBLE, {two});
  };
  file.write(path());
  {
    int id = 0, bounds = 0;
    check_netcdf(nc_open(path().c_str(), NC_WRITE, &id));
    check_netcdf(nc_inq_varid(id, "time_bnds", &bounds));
    const double ends[] = {1282795200 - 100, 1282795200 + 200};
    check_netcdf(nc_put_var_double(id, bounds, ends));
    check_netcdf(nc_close(id));
  }
  const Frame frame = read_all().front();
  EXPECT_EQ(frame.window_s, 300);
  EXPECT_EQ(format_time(frame.valid_time), "2010-08-26T04:03:20Z");  // the end of the window
  EXPECT_EQ(frame.values[5], 60.F);
}

TEST_F(Cf, TimeFromTheNameOrAnAttribute) {
  CfFile file;
  SourceOptions options;
  options.time_from = R"(filename:rain_(\d{12})\.nc)";
  EXPECT_EQ(format_time(read(file, options).valid_time), "2010-08-26T04:05Z");
  options.time_from = "attribute:nominal";
  file.more = [](const Netcdf& nc, int) { nc.text(NC_GLOBAL, "nominal", "2011-01-02T03:04:05Z"); };
  EXPECT_EQ(format_time(read(file, options).valid_time), "2011-01-02T03:04:05Z");
  options.time_from = "filename:[";
  EXPECT_HAS(refusal(file, options), "no regular expression");
}

TEST_F(Cf, CalendarsAndTimeUnits) {
  CfFile file;
  file.calendar = "360_day";
  EXPECT_HAS(refusal(file), "calendar \"360_day\"");
  file.calendar = "";
  for (const char* unit : {"months since 1970-01-01", "day as %Y%m%d.%f", "seconds since whenever",
                           "seconds since 1500-01-01"}) {
    file.time_unit = unit;
    EXPECT_HAS(refusal(file), "time unit");
  }
}

TEST(CfTime, EveryFormSeen) {
  const struct {
    const char* unit;
    double seconds;
    const char* epoch;
  } table[] = {{"seconds since 1970-01-01", 1, "1970-01-01T00:00Z"},
               {"seconds since 1970-01-01 00:00:00 UTC", 1, "1970-01-01T00:00Z"},
               {"minutes since 2021-08-23T08:50:00", 60, "2021-08-23T08:50Z"},
               {"hours since 2021-08-23 00:00:00 +00:00", 3600, "2021-08-23T00:00Z"},
               {"d since 2021-08-23 02:00:00 +02:00", 86400, "2021-08-23T00:00Z"},
               {"h since 2021-08-23 02:00:00.0 -0530", 3600, "2021-08-23T07:30Z"},
               {"s since 2021-8-3 1:02:03Z", 1, "2021-08-03T01:02:03Z"},
               {"Minutes  Since  2021-08-23 05", 60, "2021-08-23T05:00Z"},
               {"microseconds since 2021-08-23", 1e-6, "2021-08-23T00:00Z"}};
  for (const auto& row : table) {
    const auto parsed = parse_time_unit(row.unit);
    ASSERT_TRUE(parsed) << row.unit;
    EXPECT_EQ(parsed->first, row.seconds) << row.unit;
    EXPECT_EQ(format_time(parsed->second), row.epoch) << row.unit;
  }
}

TEST_F(Cf, TwoEquallyGoodVariablesAreListed) {
  CfFile file;
  file.more = [](const Netcdf& nc, int) {
    const int other = nc.variable("other", NC_FLOAT, {0, 1});
    nc.text(other, "units", "mm/h");
    nc.text(other, "standard_name", "rainfall_rate");
  };
  const std::string message = refusal(file);
  EXPECT_HAS(message, "2 variables could be precipitation");
  EXPECT_HAS(message, "other [mm/h]");
  SourceOptions options;
  options.variable = "rain";
  EXPECT_EQ(read(file, options).values[5], 5.F);
  options.variable = "none";
  EXPECT_HAS(refusal(file, options), "none: does not exist");
}

TEST_F(Cf, ReflectivityZeroIsAnEcho) {
  CfFile file;
  file.unit = "dBZ";
  file.standard_name = "equivalent_reflectivity_factor";
  file.values = {0, 40, -10, 0, 0, 0};
  const Frame frame = read(file);
  EXPECT_EQ(frame.source.valued, 6);
  EXPECT_NEAR(frame.values[1], 11.531, 1e-3);
}

TEST_F(Cf, SeveralTimesBecomeSeveralFrames) {
  {
    const Netcdf nc(path(), NC_NETCDF4);
    const int t = nc.dimension("time", NC_UNLIMITED), z = nc.dimension("z", 1), ny = nc.dimension("lat", 2),
              nx = nc.dimension("lon", 2);
    const int times = nc.variable("time", NC_INT, {t}), ys = nc.variable("lat", NC_FLOAT, {ny}),
              xs = nc.variable("lon", NC_FLOAT, {nx});
    const int rain = nc.variable("RR", NC_FLOAT, {t, z, ny, nx});  // a singleton axis is dropped
    nc.text(times, "units", "minutes since 2020-01-01 00:00");
    nc.text(ys, "units", "degrees_north");
    nc.text(xs, "units", "degrees_east");
    nc.text(rain, "units", "mm h-1");
    nc.end();
    nc.put(ys, {50, 51});
    nc.put(xs, {4, 5});
    const std::size_t start[] = {0, 0, 0, 0}, count[] = {2, 1, 2, 2}, start1[] = {0}, count1[] = {2};
    const double minutes[] = {5, 0}, values[] = {1, 2, 3, 4, 5, 6, 7, 8};
    check_netcdf(nc_put_vara_double(nc.id(), times, start1, count1, minutes));
    check_netcdf(nc_put_vara_double(nc.id(), rain, start, count, values));
  }
  const std::vector<Frame> frames = read_all();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(format_time(frames[0].valid_time), "2020-01-01T00:00Z");  // in time order, whatever the file's
  EXPECT_EQ(frames[0].values, (std::vector<float>{7, 8, 5, 6}));
  EXPECT_EQ(frames[1].values, (std::vector<float>{3, 4, 1, 2}));
  EXPECT_EQ(frames[0].grid.y0, 51.5);
  EXPECT_TRUE(is_geographic(frames[0].grid.projection));
}

/// rain(time, y, x), 2 x 2 pixels a step.
class CfSteps : public Cf {
 protected:
  /// Of `steps` times the first `written` have rain: 1 ... 4, 5 ... 8, ...
  void write(std::size_t steps, std::size_t written, bool unlimited, bool chunked) {
    const Netcdf nc(path(), NC_NETCDF4);
    const int t = nc.dimension("time", unlimited ? NC_UNLIMITED : steps), ny = nc.dimension("lat", 2),
              nx = nc.dimension("lon", 2);
    const int times = nc.variable("time", NC_SHORT, {t}), ys = nc.variable("lat", NC_SHORT, {ny}),
              xs = nc.variable("lon", NC_FLOAT, {nx});
    const int rain = nc.variable("RR", NC_FLOAT, {t, ny, nx});
    if (chunked) {
      const std::size_t chunk[] = {1, 2, 2};
      check_netcdf(nc_def_var_chunking(nc.id(), rain, NC_CHUNKED, chunk));
    }
    nc.text(times, "units", "minutes since 2020-01-01 00:00");
    nc.number(times, "scale_factor", NC_FLOAT, {5});
    nc.text(ys, "units", "degrees_north");
    nc.number(ys, "scale_factor", NC_DOUBLE, {-0.5});
    nc.number(ys, "add_offset", NC_DOUBLE, {60});
    nc.text(xs, "units", "degrees_east");
    nc.text(rain, "units", "mm h-1");
    nc.end();
    nc.put(ys, {0, 1});
    nc.put(xs, {179.5, -179.5});
    const std::size_t start[] = {0, 0, 0}, count[] = {written, 2, 2};
    std::vector<double> values(written * 4), numbers(steps);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i + 1);
    for (std::size_t i = 0; i < steps; ++i) numbers[i] = static_cast<double>(i);
    check_netcdf(nc_put_vara_double(nc.id(), times, start, &steps, numbers.data()));
    if (written > 0) check_netcdf(nc_put_vara_double(nc.id(), rain, start, count, values.data()));
  }
};

TEST_F(CfSteps, CoordinatesAndTimesAreUnpacked) {
  write(2, 2, true, false);
  const std::vector<Frame> frames = read_all();
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(format_time(frames[1].valid_time), "2020-01-01T00:05Z");
  EXPECT_EQ(frames[0].values, (std::vector<float>{1, 2, 3, 4}));  // y descends once it is unpacked
  EXPECT_EQ(frames[0].grid.y0, 60.25);
  EXPECT_EQ(frames[0].grid.x0, 179.);  // and x goes on across 180 degrees
  EXPECT_EQ(frames[0].grid.dx, 1.);
}

TEST_F(CfSteps, ThoseThatWereNeverWrittenAreMissing) {
  write(4, 2, false, true);
  const std::vector<Frame> frames = read_all();
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_EQ(frames[1].values, (std::vector<float>{5, 6, 7, 8}));
  EXPECT_EQ(frames[2].source.missing, 4);
  EXPECT_HAS(frames[2].source.warnings.front(), "was never written");
  write(4, 0, false, true);
  const std::string said = refusal_of([&] { read_all(); });
  EXPECT_HAS(said, "was never written");
  EXPECT_HAS(said, "no other step can be had either");
}

TEST_F(CfSteps, TimesAheadOfTheRainAreLeft) {
  write(4, 2, true, false);
  EXPECT_EQ(read_all().size(), 2U);
  write(4, 0, true, false);
  EXPECT_HAS(refusal_of([&] { read_all(); }), "RR: holds no step yet");
}

TEST_F(Cf, FillValuesOfEightByteIntegers) {
  CfFile file;
  for (const nc_type type : {NC_UINT64, NC_INT64}) {
    file.type = type;
    file.values = {0, 1, 2, 3, 4, 5};
    file.more = [type](const Netcdf& nc, int rain) {
      const unsigned long long most = ~0ULL;
      const long long top = 9223372036854775807LL;
      if (type == NC_UINT64) check_netcdf(nc_put_att_ulonglong(nc.id(), rain, "_FillValue", type, 1, &most));
      if (type == NC_INT64) check_netcdf(nc_put_att_longlong(nc.id(), rain, "_FillValue", type, 1, &top));
    };
    const Frame frame = read(file);
    EXPECT_EQ(frame.source.missing, 0);
    EXPECT_EQ(frame.source.dry, 1);
    EXPECT_EQ(frame.source.max, 5.);
  }
}

TEST_F(Cf, NumbersGivenAsTextAreRefused) {
  CfFile file;
  file.more = [](const Netcdf& nc, int rain) { nc.text(rain, "scale_factor", "0.01"); };
  EXPECT_HAS(refusal(file), "rain@scale_factor: is not one number");
  file.more = [](const Netcdf& nc, int rain) { nc.number(rain, "add_offset", NC_DOUBLE, {1, 2}); };
  EXPECT_HAS(refusal(file), "rain@add_offset: is not one number");
}

TEST_F(Cf, ForeignBytesAreNamed) {
  const std::pair<std::string, const char*> table[] = {
      {"", "empty"},
      {std::string("\x1f\x8b\x08\0", 4), "gunzip"},
      {"BZh91AY", "bunzip2"},
      {"GRIB\x02", "cdo"},
      {std::string("II*\0", 4), "TIFF"},
      {"<!DOCTYPE html><html>404</html>", "HTML"},
      {"RW160055100000817BY1620130VS 3SW   2.18.3PR E-01INT  60GP 900x 900", "RADOLAN"},
      {"hello\n", "plain text"},
      {std::string("\x01\x02\x03\x04", 4), "neither HDF5 nor NetCDF"},
      {std::string(257, '\0') + "ustar", "tar"},
      {std::string("CDF\x01\x80\0\0\0", 8), "cannot be opened"}};
  for (const auto& [bytes, word] : table) {
    try {
      read_content("x.nc", std::as_bytes(std::span(bytes.data(), bytes.size())), {});
      ADD_FAILURE() << word;
    } catch (const DataError& error) {
      EXPECT_HAS(std::string(error.what()), word);
    }
  }
}

TEST_F(Cf, TruncatedFilesAreRefusedAtEveryLength) {
  CfFile().write(path());
  const std::string whole = read_file(path());
  for (std::size_t length = 1; length < whole.size(); length += 97) {
    const std::string bytes = whole.substr(0, length);
    EXPECT_THROW(read_content("x", std::as_bytes(std::span(bytes.data(), bytes.size())), {}), DataError)
        << length;
  }
}

}  // namespace
