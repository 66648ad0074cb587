// From folders of files to an archive, through several children.
#include "io/packing.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "io/publish.hpp"
#include "tests/io/hdf5_fixture.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace raincell::io;

class PackFiles : public testing::Test {
 protected:
  void frame(const std::string& name, double rain) const {
    fs::create_directories((folder_.path() / name).parent_path());
    Hdf5Fixture(folder_.path() / name).array("/rain", {2, 2}, {rain, 0, 99, rain}, H5T_NATIVE_UINT8);
  }
  static SourceOptions options() {
    SourceOptions described;
    described.format = "described";
    described.time_from = R"(filename:(\d{12}))";
    described.description = R"({"dataset": "/rain", "unit": "mm/h", "missing": 99})";
    return described;
  }
  Packed packed(const ArchiveOptions& archive = {}) {
    ReaderPool readers(options(), 3);
    return pack_files({folder_.path() / "radar"}, readers, target(), archive);
  }
  fs::path target() const { return folder_.path() / "archive.nc"; }
  float first_value(std::int64_t frame) const {
    std::vector<float> values(4);
    Archive::open(target()).read(frame, {0, 0, 2, 2}, values);
    EXPECT_TRUE(std::isnan(values[2]));
    EXPECT_EQ(values[1], 0.F);
    return values[0];
  }
  TemporaryFolder folder_;
};

TEST_F(PackFiles, ReadsFilesInOrderOnce) {
  for (int i = 0; i < 9; ++i) frame("radar/202001010" + std::to_string(i) + "00.h5", i + 1);
  std::int64_t last = 0;
  ReaderPool readers(options(), 3);
  const Packed packed =
      pack_files({folder_.path() / "radar"}, readers, target(), {}, [&](std::int64_t done, std::int64_t all) {
        EXPECT_EQ(done, last + 1);
        EXPECT_EQ(all, 9);
        last = done;
      });
  EXPECT_EQ(last, 9);
  EXPECT_EQ(packed.report.frames, 9);
  EXPECT_EQ(packed.catalogue.frames.size(), 9U);
  for (std::int64_t i = 0; i < 9; ++i) EXPECT_EQ(first_value(i), static_cast<float>(i + 1));
}

TEST_F(PackFiles, SortsWhatIsNotInOrderAndNamesDuplicates) {
  frame("radar/a/202001010200.h5", 3);
  frame("radar/b/202001010000.h5", 1);
  frame("radar/b/202001010100.h5", 2);
  frame("radar/c/202001010100.h5", 5);
  publish(folder_.path() / "radar/note.txt", std::string("no radar"));
  const Packed packed = this->packed();
  EXPECT_EQ(packed.report.frames, 3);
  ASSERT_EQ(packed.catalogue.duplicates.size(), 1U);
  ASSERT_EQ(packed.catalogue.rejected.size(), 1U);
  for (std::int64_t i = 0; i < 3; ++i) EXPECT_EQ(first_value(i), static_cast<float>(i + 1));
}

TEST_F(PackFiles, PartsOfAFirstPassThatMetDisorderAreTakenBack) {
  for (int i = 1; i < 8; ++i) frame("radar/202001010" + std::to_string(i) + "00.h5", i);
  frame("radar/late_202001010000.h5", 0);
  ArchiveOptions options;
  options.part_bytes = 2 * 4 * 2;  // two frames
  ReaderPool readers(this->options(), 2);
  const fs::path target = folder_.path() / "archive";
  const Packed packed = pack_files({folder_.path() / "radar"}, readers, target, options);
  EXPECT_EQ(packed.report.frames, 8);
  EXPECT_EQ(packed.report.written.size(), 4U);
  const Archive archive = Archive::open(target);
  ASSERT_EQ(archive.frames(), 8);
  EXPECT_EQ(archive.parts().size(), 4U);
  for (std::int64_t i = 0; i < 8; ++i) {
    std::vector<float> values(4);
    archive.read(i, {0, 0, 2, 2}, values);
    EXPECT_EQ(values[0], static_cast<float>(i));
  }
}

TEST_F(PackFiles, AppendingReadsWhatIsNewOnly) {
  frame("radar/202001010000.h5", 1);
  packed();
  frame("radar/202001010100.h5", 2);
  ArchiveOptions append;
  append.append = true;
  const Packed more = packed(append);
  EXPECT_EQ(more.report.already_there, 1);
  EXPECT_EQ(Archive::open(target()).frames(), 2);
  const Packed none = packed(append);
  EXPECT_EQ(none.report.already_there, 2);
  EXPECT_EQ(none.report.frames, 0);
}

TEST_F(PackFiles, WhatThrowsOnTheWayEndsItAndLeavesNothing) {
  for (int i = 0; i < 9; ++i) frame("radar/202001010" + std::to_string(i) + "00.h5", i + 1);
  ReaderPool readers(options(), 3);
  const auto stop = [](std::int64_t done, std::int64_t) {
    if (done == 4) throw std::runtime_error("stop");
  };
  EXPECT_THROW(pack_files({folder_.path() / "radar"}, readers, target(), {}, stop), std::runtime_error);
  EXPECT_FALSE(fs::exists(target()));
  EXPECT_EQ(pack_files({folder_.path() / "radar"}, readers, target(), {}).report.frames,
            9);  // the pool lives on
}

TEST_F(PackFiles, NothingReadableIsAnErrorThatSaysWhy) {
  fs::create_directories(folder_.path() / "radar");
  EXPECT_THROW(packed(), DataError);
  publish(folder_.path() / "radar/note.txt", std::string("no radar"));
  EXPECT_THROW(packed(), DataError);
  EXPECT_FALSE(fs::exists(target()));
}

}  // namespace
