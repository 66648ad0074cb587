#include "io/simulate.hpp"

#include <gtest/gtest.h>
#include <hdf5.h>
#include <netcdf.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "io/publish.hpp"
#include "io/rain_regime.hpp"
#include "io/reader.hpp"
#include "tests/io/temporary_folder.hpp"

namespace raincell::io {
namespace {

SimulationSpec small(const std::string& format = "odim") {
  SimulationSpec spec;
  spec.format = format;
  spec.frames = 3;
  spec.columns = 96;
  spec.rows = 64;
  spec.seed = 7;
  return spec;
}

double wet_fraction(const Frame& frame) {
  double wet = 0., seen = 0.;
  for (const float value : frame.values) {
    seen += std::isnan(value) ? 0. : 1.;
    wet += value >= 0.1F ? 1. : 0.;
  }
  return wet / seen;
}

/// Mean squared difference of log rain between `now` moved by (dx, dy) and `later`, where both are seen.
double mismatch(const Frame& now, const Frame& later, int dx, int dy) {
  double sum = 0.;
  std::int64_t count = 0;
  const std::int64_t rows = now.grid.rows, columns = now.grid.columns;
  for (std::int64_t r = 16; r < rows - 16; ++r) {
    for (std::int64_t c = 16; c < columns - 16; ++c) {
      const float a = now.values[static_cast<std::size_t>((r - dy) * columns + c - dx)];
      const float b = later.values[static_cast<std::size_t>(r * columns + c)];
      if (std::isnan(a) || std::isnan(b)) continue;
      const double difference = std::log(a + 0.1) - std::log(b + 0.1);
      sum += difference * difference;
      ++count;
    }
  }
  return sum / static_cast<double>(count);
}

TEST(Simulate, SameSeedGivesTheSameBytesAndAnotherSeedOthers) {
  const TemporaryFolder folder;
  for (const std::string format : {"odim", "cf"}) {
    SimulationSpec spec = small(format);
    const auto first = simulate(spec, folder.path() / (format + "1"));
    const auto second = simulate(spec, folder.path() / (format + "2"));
    spec.seed = 8;
    const auto other = simulate(spec, folder.path() / (format + "3"));
    ASSERT_EQ(first.size(), 3U);
    // The clock that HDF5 would stamp on an object counts whole seconds.
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    EXPECT_TRUE(read_file(simulate(small(format), folder.path() / (format + "4")).front()) ==
                read_file(first.front()));
    for (std::size_t i = 0; i < first.size(); ++i) {
      EXPECT_EQ(first[i].filename(), second[i].filename());
      EXPECT_TRUE(read_file(first[i]) == read_file(second[i])) << first[i];
      EXPECT_NE(read_file(first[i]), read_file(other[i]));
    }
  }
}

TEST(Simulate, NamesCarryTheTime) {
  const TemporaryFolder folder;
  const auto files = simulate(small(), folder.path());
  EXPECT_EQ(files[0].filename(), "raincell_20240601T0000Z.h5");
  EXPECT_EQ(files[2].filename(), "raincell_20240601T0010Z.h5");
}

TEST(Simulate, AFrameDoesNotDependOnTheOthers) {
  const SimulationSpec spec = small();
  const Simulator simulator(spec);
  const Frame straight = simulator.frame(2);
  (void)simulator.frame(0);
  EXPECT_EQ(straight.states, simulate_frame(spec, 2).states);
  EXPECT_EQ(simulator.frame(2).states, straight.states);
  EXPECT_NE(simulator.frame(1).states, straight.states);
}

TEST(Simulate, RainHasTheClimateOfRain) {
  SimulationSpec spec;
  double wet = 0., largest = 0.;
  int frames = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    spec.seed = seed;
    const Simulator simulator(spec);
    for (std::int64_t index = 0; index < 120; index += 24) {
      const Frame frame = simulator.frame(index);
      wet += wet_fraction(frame);
      ++frames;
      for (const float value : frame.values) {
        if (!std::isnan(value)) largest = std::max(largest, static_cast<double>(value));
      }
    }
  }
  EXPECT_GT(wet / frames, 0.1);
  EXPECT_LT(wet / frames, 0.4);
  EXPECT_GT(largest, 15.);
  EXPECT_LT(largest, 151.);
}

/// Share of wet pixels, and mean rain of these, over some frames and seeds.
struct Climate {
  double wet = 0., rate = 0.;
};

Climate climate_of(const std::string& regime) {
  SimulationSpec spec;
  spec.regime = regime;
  double seen = 0., wet = 0., sum = 0.;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    spec.seed = seed;
    const Simulator simulator(spec);
    for (std::int64_t index = 0; index < 120; index += 24) {
      for (const float value : simulator.frame(index).values) {
        if (std::isnan(value)) continue;
        seen += 1.;
        wet += value >= 0.1F ? 1. : 0.;
        sum += value;
      }
    }
  }
  return {wet / seen, sum / wet};
}

TEST(Simulate, RegimesAreDifferentWeather) {
  const Climate temperate = climate_of("temperate"), stratiform = climate_of("stratiform"),
                showers = climate_of("showers"), storms = climate_of("storms");
  EXPECT_GT(stratiform.wet, 1.5 * temperate.wet);
  EXPECT_LT(stratiform.rate, 0.8 * temperate.rate);
  EXPECT_LT(showers.wet, 0.8 * temperate.wet);
  EXPECT_GT(storms.rate, 1.5 * temperate.rate);
  SimulationSpec spec;
  spec.regime = "strm";
  EXPECT_THROW(Simulator{spec}, DataError);
}

TEST(Simulate, AnyRegimeIsDrawnBySeedAndSomeHaveClutterThatStands) {
  SimulationSpec spec;
  spec.regime = "any";
  int cluttered = 0;
  for (spec.seed = 1; spec.seed <= 12; ++spec.seed) {
    const RainRegime regime = rain_regime("any", spec.seed);
    EXPECT_NE(regime.outer_scale_km, rain_regime("any", spec.seed + 1).outer_scale_km);
    const Simulator simulator(spec);
    // A pixel that is wet far more often than its neighbours is no weather.
    std::vector<int> times(static_cast<std::size_t>(spec.columns * spec.rows));
    for (std::int64_t index = 0; index < 120; index += 8) {
      const Frame frame = simulator.frame(index);
      for (std::size_t i = 0; i < times.size(); ++i) times[i] += frame.values[i] >= 0.1F ? 1 : 0;
    }
    int standing = 0;
    for (std::size_t i = 1; i + 1 < times.size(); ++i)
      standing += times[i] > times[i - 1] + 5 && times[i] > times[i + 1] + 5 ? 1 : 0;
    EXPECT_EQ(standing > 5, regime.clutter > 0.) << "seed " << spec.seed << ", " << standing << " pixels";
    cluttered += regime.clutter > 0. ? 1 : 0;
  }
  EXPECT_GT(cluttered, 1);
  EXPECT_LT(cluttered, 9);
}

TEST(Simulate, MovingRainBeatsStandingRain) {
  SimulationSpec spec;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    spec.seed = seed;
    const Simulator simulator(spec);
    const Frame now = simulator.frame(30), later = simulator.frame(33);
    double best = 1e9;
    for (int dy = -15; dy <= 15; ++dy) {
      for (int dx = -15; dx <= 15; ++dx) best = std::min(best, mismatch(now, later, dx, dy));
    }
    EXPECT_LT(best, 0.7 * mismatch(now, later, 0, 0)) << "seed " << seed;
  }
}

TEST(Simulate, GapsAreNotWritten) {
  const TemporaryFolder folder;
  SimulationSpec spec = small();
  spec.gaps = {1};
  const auto files = simulate(spec, folder.path());
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[1].filename(), "raincell_20240601T0010Z.h5");
}

// The stored codes, read with the libraries themselves: state and value are the frame's.
TEST(Simulate, OdimCodesAreTheFrame) {
  const TemporaryFolder folder;
  const auto files = simulate(small(), folder.path());
  const Frame frame = simulate_frame(small(), 1);
  const hid_t file = H5Fopen(files[1].c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  const hid_t data = H5Dopen2(file, "/dataset1/data1/data", H5P_DEFAULT);
  ASSERT_GE(data, 0);
  std::vector<std::uint16_t> codes(frame.values.size());
  ASSERT_GE(H5Dread(data, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, codes.data()), 0);
  H5Dclose(data);
  H5Fclose(file);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (frame.states[i] == PixelState::missing) {
      EXPECT_EQ(codes[i], 65535);
    } else if (frame.states[i] == PixelState::dry) {
      EXPECT_EQ(codes[i], 0);
    } else {
      EXPECT_EQ(static_cast<float>(0.01 * codes[i]), frame.values[i]);
    }
  }
}

TEST(Simulate, CfCodesAreTheFrame) {
  const TemporaryFolder folder;
  const auto files = simulate(small("cf"), folder.path());
  const Frame frame = simulate_frame(small("cf"), 1);
  int file = -1, variable = -1;
  ASSERT_EQ(nc_open(files[1].c_str(), NC_NOWRITE, &file), NC_NOERR);
  ASSERT_EQ(nc_inq_varid(file, "precip_intensity", &variable), NC_NOERR);
  std::vector<std::int16_t> codes(frame.values.size());
  ASSERT_EQ(nc_get_var_short(file, variable, codes.data()), NC_NOERR);
  double scale = 0.;
  ASSERT_EQ(nc_get_att_double(file, variable, "scale_factor", &scale), NC_NOERR);
  nc_close(file);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (frame.states[i] == PixelState::missing) {
      EXPECT_EQ(codes[i], -32768);
    } else {
      EXPECT_EQ(static_cast<float>(scale * codes[i]), frame.values[i]);
    }
  }
}

TEST(Simulate, CfVariablesKeepTheirOrderAndOthersMayAppend) {
  const TemporaryFolder folder;
  const auto files = simulate(small("cf"), folder.path());
  int file = -1, added = -1;
  ASSERT_EQ(nc_open(files[0].c_str(), NC_WRITE, &file), NC_NOERR);
  const char* order[] = {"time", "y", "x"};
  for (int i = 0; i < 3; ++i) {
    char name[NC_MAX_NAME + 1] = {};
    ASSERT_EQ(nc_inq_varname(file, i, name), NC_NOERR);
    EXPECT_STREQ(name, order[i]);
  }
  EXPECT_EQ(nc_def_var(file, "added", NC_INT, 0, nullptr, &added), NC_NOERR);
  EXPECT_EQ(nc_close(file), NC_NOERR);
}

TEST(Simulate, BothFormatsReadBackAsTheSameFrames) {
  const TemporaryFolder folder;
  FrameReader reader;
  for (const std::string format : {"odim", "cf"}) {
    const auto files = simulate(small(format), folder.path());
    for (std::int64_t i = 0; i < 3; ++i) {
      const Frame drawn = simulate_frame(small(format), i);
      const std::vector<Frame> read = reader.read(files[static_cast<std::size_t>(i)]);
      ASSERT_EQ(read.size(), 1U);
      EXPECT_EQ(read[0].source.format, format);
      EXPECT_EQ(read[0].quantity, Quantity::rain_rate);
      EXPECT_EQ(read[0].valid_time, drawn.valid_time);
      EXPECT_TRUE(same_grid(read[0].grid, drawn.grid, 0.01)) << describe(read[0].grid);
      EXPECT_EQ(read[0].states, drawn.states);
      ASSERT_EQ(read[0].values.size(), drawn.values.size());
      for (std::size_t k = 0; k < drawn.values.size(); ++k) {
        if (drawn.states[k] != PixelState::missing) {
          ASSERT_EQ(read[0].values[k], drawn.values[k]);
        }
      }
    }
  }
}

TEST(Simulate, RefusesTheImpossible) {
  SimulationSpec spec = small();
  spec.kind = "snow";
  EXPECT_THROW(simulate_frame(spec, 0), DataError);
  spec = small("grib");
  EXPECT_THROW(simulate_frame(spec, 0), DataError);
  spec = small();
  spec.columns = 0;
  EXPECT_THROW(simulate_frame(spec, 0), DataError);
  spec = small();
  spec.kind = "moving-mnist";
  EXPECT_THROW(simulate_frame(spec, 0), DataError);  // no digits
}

/// An idx file of one digit: a bright square of 28x28.
void write_digit(const std::filesystem::path& path) {
  std::string bytes{'\0', '\0', '\x08', '\x03', '\0', '\0', '\0', '\x01',
                    '\0', '\0', '\0',   '\x1c', '\0', '\0', '\0', '\x1c'};
  bytes.append(28 * 28, '\xff');
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST(Simulate, MovingMnistDrawsTwoDigitsThatStayInside) {
  const TemporaryFolder folder;
  SimulationSpec spec;
  spec.kind = "moving-mnist";
  spec.rows = spec.columns = 64;
  spec.frames = 40;
  spec.digits = folder.path() / "digits";
  write_digit(spec.digits);
  const Simulator simulator(spec);
  for (std::int64_t index = 0; index < 40; ++index) {
    const Frame frame = simulator.frame(index);
    double sum = 0.;
    for (const float value : frame.values) sum += value;
    EXPECT_GE(sum, 28. * 28.);       // both on top of each other
    EXPECT_LE(sum, 2. * 28. * 28.);  // apart
  }
  // Sequences lie a step further apart.
  EXPECT_EQ(simulator.frame(20).valid_time - simulator.frame(19).valid_time, std::chrono::seconds{600});
  const auto files = simulate(spec, folder.path() / "out");
  ASSERT_EQ(files.size(), 2U);
  // And they read back as what they are.
  FrameReader reader;
  const auto frames = reader.read(files[1]);
  ASSERT_EQ(frames.size(), 20U);
  EXPECT_EQ(frames[3].quantity, Quantity::intensity);
  EXPECT_EQ(frames[3].valid_time, simulator.frame(23).valid_time);
  EXPECT_EQ(frames[3].values, simulator.frame(23).values);
}

TEST(Simulate, MovingMnistReadsTheRealDigits) {
  const char* data = std::getenv("RAINCELL_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "RAINCELL_TEST_DATA is not set";
  SimulationSpec spec;
  spec.kind = "moving-mnist";
  spec.rows = spec.columns = 64;
  spec.digits = std::filesystem::path(data) / "mnist" / "train-images-idx3-ubyte.gz";
  const Frame frame = simulate_frame(spec, 5);
  EXPECT_GT(frame.source.valued, 50);
  EXPECT_LT(frame.source.valued, 800);
  EXPECT_LE(frame.source.max, 1.);
}

}  // namespace
}  // namespace raincell::io
