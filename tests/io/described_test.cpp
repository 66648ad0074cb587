// HDF5 of layouts described by the user, and arrays in chunks; expected values by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "io/hdf5_file.hpp"
#include "io/publish.hpp"
#include "tests/io/hdf5_fixture.hpp"
#include "tests/io/read_path.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace raincell::io;
using enum PixelState;

class Described : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_.path() / "file.h5"; }
  TemporaryFolder folder_;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(Described, OneArray) {
  {
    Hdf5Fixture file(path());
    file.group("/rain");
    file.text("/rain", "when", "201008260405");
    file.array("/rain/now", {1, 2, 2}, {9, 1, 0, 7}, H5T_NATIVE_UINT8);
  }
  SourceOptions options;
  options.format = "described";
  options.description =
      R"json({"dataset": "/rain/now", "unit": "mm", "gain": 0.5, "missing": [9], "rows": "south", "window_s": 600,
              "time": {"attribute": "/rain@when"}, "grid": {"projection": "+proj=longlat +datum=WGS84", "x0": 4,
              "y0": 53, "dx": 0.01}})json";
  const Frame frame = read_path(path(), options).front();
  EXPECT_EQ(frame.states, (std::vector<PixelState>{dry, valued, missing, valued}));  // row 0 was in the south
  EXPECT_EQ(frame.values[1], 21.F);                                                  // 3.5 mm in 10 minutes
  EXPECT_EQ(format_time(frame.valid_time), "2010-08-26T04:05Z");
  EXPECT_EQ(frame.grid.x0, 4.);
  options.description = R"json({"dataset": "/rain/now", "unitt": "mm"})json";
  try {
    read_path(path(), options);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_HAS(std::string(error.what()), "unitt: is no known key");
  }
}

std::string described_refusal(const std::filesystem::path& path, const SourceOptions& options) {
  return refusal_of([&] { read_path(path, options); });
}

TEST_F(Described, TimesAlongAnAxis) {
  {
    Hdf5Fixture file(path());
    file.array("/rain", {2, 3, 2, 3},
               {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17,
                18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35},
               H5T_NATIVE_INT16);
    file.number("/rain", "scale", 0.5);
    file.array("/minutes", {3}, {0, 5, 10}, H5T_NATIVE_INT32);
  }
  SourceOptions options;
  options.format = "described";
  options.description =
      R"json({"dataset": "rain", "axes": ["member", "time", "x", "y"], "select": {"member": 1}, "unit": "mm/h",
              "gain": "/rain@scale", "time": {"values": "/minutes", "unit": "minutes since 2010-08-26T04:00"}})json";
  const std::vector<Frame> frames = read_path(path(), options);
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_EQ(format_time(frames[2].valid_time), "2010-08-26T04:10Z");
  EXPECT_EQ(frames[1].grid.columns, 2);
  EXPECT_EQ(frames[1].grid.rows, 3);
  // Stored as [x, y]: 24 25 26 | 27 28 29 are the columns.
  EXPECT_EQ(frames[1].values, (std::vector<float>{12.F, 13.5F, 12.5F, 14.F, 13.F, 14.5F}));
  options.description = R"json({"dataset": "rain", "unit": "mm/h", "time": {"filename": "."}})json";
  EXPECT_HAS(described_refusal(path(), options), "say axes");
  options.description = R"json({"dataset": "rain", "axes": ["member", "time", "y", "x"], "unit": "mm/h",
                                "time": {"start": "2010-08-26T04:00Z"}})json";
  EXPECT_HAS(described_refusal(path(), options), "member has 2 places");
  options.description =
      R"json({"dataset": "rain", "axes": ["member", "time", "y", "x"], "select": {"member": 0},
                                "unit": "mm/h", "time": {"start": "2010-08-26T04:00Z"}})json";
  EXPECT_HAS(described_refusal(path(), options), "time.step_s: 0; expected the seconds between");
}

// RainNet's archive: one array a time, named after it.
TEST_F(Described, ByTheNamesOfArrays) {
  {
    Hdf5Fixture file(path());
    file.group("/rain");
    file.array("/rain/201008260405", {2, 2}, {0, 1, 2, 9}, H5T_NATIVE_UINT8);
    file.array("/rain/201008260400", {2, 2}, {9, 9, 0, 1}, H5T_NATIVE_UINT8);
    file.array("/rain/mean", {2, 2}, {5, 5, 5, 5}, H5T_NATIVE_UINT8);
  }
  SourceOptions options;
  options.format = "described";
  options.description =
      R"json({"group": "rain", "datasets": "\\d{12}", "unit": "mm", "window_s": 300, "missing": 9,
                                "time": {"dataset": "\\d{12}"}})json";
  const std::vector<Frame> frames = read_path(path(), options);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(format_time(frames[0].valid_time), "2010-08-26T04:00Z");
  EXPECT_EQ(frames[0].source.missing, 2);
  EXPECT_EQ(frames[1].values[1], 12.F);
  options.description = R"json({"datasets": "x", "unit": "mm", "time": {"dataset": "x"}})json";
  EXPECT_HAS(described_refusal(path(), options), "nothing in / is named like");
}

// An event of SEVIR: time is the last axis, and bytes stand for VIL by a table.
TEST_F(Described, Sevir) {
  {
    Hdf5Fixture file(path());
    std::vector<double> bytes(2 * 2 * 2 * 3, 0.);
    for (std::size_t i = 0; i < 4; ++i) bytes[12 + i * 3 + 2] = std::vector<double>{5, 18, 254, 255}[i];
    file.array("/vil", {2, 2, 2, 3}, bytes, H5T_NATIVE_UINT8);
  }
  SourceOptions options;
  options.format = "described";
  options.description =
      R"json({"dataset": "/vil", "axes": ["event", "y", "x", "time"], "select": {"event": 1},
                                "quantity": "vil", "decode": "sevir_vil",
                                "time": {"start": "2019-06-09T18:02Z", "step_s": 300}})json";
  const std::vector<Frame> frames = read_path(path(), options);
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_EQ(format_time(frames[2].valid_time), "2019-06-09T18:12Z");
  EXPECT_EQ(frames[2].quantity, Quantity::vil);
  EXPECT_EQ(frames[2].values[0], 0.F);
  EXPECT_NEAR(frames[2].values[1], 16. / 90.66, 1e-6);
  EXPECT_NEAR(frames[2].values[2], std::exp((254. - 83.9) / 38.9), 1e-4);
  EXPECT_EQ(frames[2].states[3], missing);
  options.description =
      R"json({"dataset": "/vil", "axes": ["event", "y", "x", "time"], "select": {"event": 1},
                                "quantity": "vil", "decode": "vil", "time": {"start": "2019-06-09T18:02Z", "step_s": 300}})json";
  EXPECT_HAS(described_refusal(path(), options), "is not known; expected sevir_vil");
}

class Chunks : public Described {
 protected:
  /// 4x6 numbers 1 ... 24 in chunks of 2x3, deflated, without those that `written` leaves out.
  void write(const std::vector<std::pair<hsize_t, hsize_t>>& written, bool shuffled = true) {
    Hdf5Fixture file(path());
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[2] = {2, 3};
    H5Pset_chunk(creation, 2, chunk);
    if (shuffled) H5Pset_shuffle(creation);
    H5Pset_deflate(creation, 4);
    file.array("/rain", {4, 6}, {}, H5T_STD_I32BE, creation);
    H5Pclose(creation);
    const hid_t dataset = H5Dopen2(file.id(), "/rain", H5P_DEFAULT);
    for (const auto& [row, column] : written) {
      const hid_t space = H5Dget_space(dataset), memory = H5Screate_simple(2, chunk, nullptr);
      const hsize_t start[2] = {row, column};
      H5Sselect_hyperslab(space, H5S_SELECT_SET, start, nullptr, chunk, nullptr);
      std::vector<int> values;
      for (hsize_t r = row; r < row + 2; ++r) {
        for (hsize_t c = column; c < column + 3; ++c) values.push_back(static_cast<int>(r * 6 + c + 1));
      }
      ASSERT_GE(H5Dwrite(dataset, H5T_NATIVE_INT, memory, space, H5P_DEFAULT, values.data()), 0);
      H5Sclose(memory);
      H5Sclose(space);
    }
    H5Dclose(dataset);
  }
  /// Flips a bit in the middle of the stored chunk that begins there.
  void damage(hsize_t row, hsize_t column) {
    haddr_t address = 0;
    hsize_t size = 0;
    {
      const hid_t file = H5Fopen(path().c_str(), H5F_ACC_RDONLY, H5P_DEFAULT),
                  dataset = H5Dopen2(file, "/rain", H5P_DEFAULT);
      const hsize_t at[2] = {row, column};
      unsigned mask = 0;
      ASSERT_GE(H5Dget_chunk_info_by_coord(dataset, at, &mask, &address, &size), 0);
      H5Dclose(dataset);
      H5Fclose(file);
    }
    std::string bytes = read_file(path());
    bytes[address + size / 2] = static_cast<char>(bytes[address + size / 2] ^ 0x10);
    publish(path(), bytes);
  }
  SourceOptions options() const {
    SourceOptions described;
    described.format = "described";
    described.description =
        R"json({"dataset": "/rain", "unit": "mm/h", "time": {"start": "2010-08-26T04:00Z"}})json";
    return described;
  }
};

TEST_F(Chunks, AreInflatedTurnedAndPutInPlace) {
  for (const bool shuffled : {false, true}) {
    write({{0, 0}, {0, 3}, {2, 0}, {2, 3}}, shuffled);
    const Frame frame = read_path(path(), options()).front();
    for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(frame.values[i], static_cast<float>(i + 1));
    EXPECT_TRUE(frame.source.warnings.empty());
  }
}

TEST_F(Chunks, ThatWereNeverWrittenAreMissing) {
  write({{0, 0}, {0, 3}, {2, 3}});
  const Frame frame = read_path(path(), options()).front();
  EXPECT_EQ(frame.source.missing, 6);
  EXPECT_EQ(frame.source.dry, 0);  // the library would answer with zeros
  EXPECT_EQ(frame.states[2 * 6], missing);
  EXPECT_EQ(frame.values[2 * 6 + 3], 16.F);
  ASSERT_EQ(frame.source.warnings.size(), 1U);
  EXPECT_HAS(frame.source.warnings[0],
             "1 of its chunks cannot be had: chunk at (2, 0) was never written; their 6 pixels");
  write({});
  EXPECT_HAS(described_refusal(path(), options()), "chunk at (0, 0) was never written");
}

TEST_F(Chunks, ThatAreDamagedAreMissing) {
  write({{0, 0}, {0, 3}, {2, 0}, {2, 3}});
  damage(0, 3);
  const Frame frame = read_path(path(), options()).front();
  EXPECT_EQ(frame.source.missing, 6);
  EXPECT_EQ(frame.states[3], missing);
  EXPECT_EQ(frame.values[2], 3.F);
  ASSERT_EQ(frame.source.warnings.size(), 1U);
  EXPECT_HAS(frame.source.warnings[0], "chunk at (0, 3) does not inflate");
}

// 40 MB in chunks of 300x700, and contiguous: the bands put together are the array.
TEST_F(Described, LargeArraysComeInBands) {
  constexpr hsize_t kRows = 2500, kColumns = 2000;
  std::vector<double> values(kRows * kColumns);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.5 * static_cast<double>(i);
  {
    Hdf5Fixture file(path());
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[2] = {300, 700};
    H5Pset_chunk(creation, 2, chunk);
    H5Pset_deflate(creation, 1);
    for (const bool chunked : {true, false}) {
      const hsize_t sides[2] = {kRows, kColumns};
      const hid_t space = H5Screate_simple(2, sides, nullptr),
                  dataset = H5Dcreate2(file.id(), chunked ? "/chunked" : "/whole", H5T_IEEE_F64LE, space,
                                       H5P_DEFAULT, chunked ? creation : H5P_DEFAULT, H5P_DEFAULT);
      ASSERT_GE(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
      H5Dclose(dataset);
      H5Sclose(space);
    }
    // One with two chunks alone, which lie in the second band and the last.
    const hsize_t sides[2] = {kRows, kColumns}, stretch[2] = {300, 700};
    const hid_t space = H5Screate_simple(2, sides, nullptr), memory = H5Screate_simple(2, stretch, nullptr),
                dataset = H5Dcreate2(file.id(), "/holes", H5T_IEEE_F64LE, space, H5P_DEFAULT, creation,
                                     H5P_DEFAULT);
    for (const hsize_t row : {900, 2100}) {
      const hsize_t start[2] = {row, 700};
      H5Sselect_hyperslab(space, H5S_SELECT_SET, start, nullptr, stretch, nullptr);
      ASSERT_GE(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, values.data()), 0);
    }
    H5Dclose(dataset);
    H5Sclose(memory);
    H5Sclose(space);
    H5Pclose(creation);
  }
  const std::string bytes = read_file(path());
  const Hdf5File file(std::as_bytes(std::span(bytes.data(), bytes.size())));
  for (const char* dataset : {"/chunked", "/whole"}) {
    std::vector<double> read;
    int bands = 0;
    const std::string lost = file.read_rows(dataset, [&](const Field& band) {
      const auto& rows = std::get<std::vector<double>>(band.values);
      read.insert(read.end(), rows.begin(), rows.end());
      EXPECT_TRUE(band.lost.empty());
      ++bands;
    });
    EXPECT_EQ(lost, "");
    EXPECT_GT(bands, 1);
    EXPECT_EQ(read, values) << dataset;
  }
  const Field whole = file.read("/holes");
  Field banded(std::vector<double>{});
  banded.why = file.read_rows("/holes", [&](const Field& band) {
    const auto& rows = std::get<std::vector<double>>(band.values);
    ASSERT_EQ(band.lost.size(), rows.size());
    banded.lost.insert(banded.lost.end(), band.lost.begin(), band.lost.end());
  });
  EXPECT_EQ(banded.lost, whole.lost);
  EXPECT_EQ(banded.why, whole.why);
  EXPECT_HAS(banded.why, "25 of its chunks cannot be had: chunk at (0, 0) was never written");
}

TEST_F(Described, AFileThatNamesADriverOfItsOwnIsRefused) {
  Hdf5Fixture(path()).array("/rain", {2, 2}, {1, 2, 3, 4}, H5T_NATIVE_FLOAT);
  std::string bytes = read_file(path());
  ASSERT_EQ(bytes[8], 0);  // version of the superblock
  bytes[54] = static_cast<char>(bytes[54] ^ 0x10);
  publish(path(), bytes);
  EXPECT_HAS(described_refusal(path(), {}), "names a driver block");
}

TEST_F(Described, ATextInUnknownLettersIsRefused) {
  {
    Hdf5Fixture file(path());
    file.array("/rain", {2, 2}, {1, 2, 3, 4}, H5T_NATIVE_FLOAT);
    file.text("/rain", "when", "2010-08-26T04:00Z", H5T_STR_SPACEPAD);
  }
  std::string bytes = read_file(path());
  const std::size_t name = bytes.find("when");
  ASSERT_NE(name, std::string::npos);
  const std::size_t type = name + 8;  // a text of version 1: class and version, then padding and letters
  ASSERT_EQ(bytes[type], 0x13);
  bytes[type + 1] = static_cast<char>(bytes[type + 1] | 0x20);
  publish(path(), bytes);
  const std::string damaged = read_file(path());
  const Hdf5File file(std::as_bytes(std::span(damaged.data(), damaged.size())));
  EXPECT_HAS(refusal_of([&] { (void)file.text("/rain", "when"); }), "letters numbered 2");
}

TEST_F(Described, AnAttributeOfAnOddKindOfNumberIsRefused) {
  {
    Hdf5Fixture file(path());
    file.array("/rain", {2, 2}, {1, 2, 3, 4}, H5T_NATIVE_FLOAT);
    const hid_t odd = H5Tcopy(H5T_IEEE_F64LE);
    H5Tset_ebias(odd, 1000);
    file.number("/rain", "nodata", 255., odd);
    H5Tclose(odd);
    file.number("/rain", "gain", 0.5, H5T_IEEE_F32BE);
  }
  const std::string bytes = read_file(path());
  const Hdf5File file(std::as_bytes(std::span(bytes.data(), bytes.size())));
  EXPECT_EQ(file.number("/rain", "gain"), 0.5);
  EXPECT_HAS(refusal_of([&] { (void)file.number("/rain", "nodata"); }),
             "/rain@nodata: holds neither integers");
}

TEST_F(Described, AnArrayThatWasNeverWrittenIsRefused) {
  {
    Hdf5Fixture file(path());
    file.array("/rain", {4, 6}, {}, H5T_NATIVE_INT32);
  }
  SourceOptions options;
  options.format = "described";
  options.description =
      R"json({"dataset": "/rain", "unit": "mm/h", "time": {"start": "2010-08-26T04:00Z"}})json";
  EXPECT_HAS(described_refusal(path(), options), "was never written");
}

}  // namespace
