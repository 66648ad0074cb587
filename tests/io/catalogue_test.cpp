#include "io/catalogue.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include "io/publish.hpp"
#include "tests/io/hdf5_fixture.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace raincell::io;

class CatalogueTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.format = "described";
    options_.time_from = R"(filename:r(\d{12}))";
  }
  void frame(const std::string& name) const {
    fs::create_directories((folder_.path() / name).parent_path());
    Hdf5Fixture(folder_.path() / name).array("/rain", {1, 1, 2, 2}, {0, 1, 2, 3}, H5T_NATIVE_UINT8);
  }
  Catalogue scan_all(const std::string& window = "0", const std::string& unit = "mm/h") {
    options_.description = R"({"dataset": "/rain", "unit": ")" + unit + R"(", "window_s": )" + window + "}";
    ReaderPool reader(options_, 2);
    return scan({folder_.path()}, reader);
  }
  SourceOptions options_;
  TemporaryFolder folder_;
};

TEST_F(CatalogueTest, SortsByTimeAndFindsStepGapsAndDuplicates) {
  for (const char* name : {"b/r202001010010.h5", "r202001010000.h5", "r202001010005.h5", "r202001010025.h5",
                           "r202001010030.h5", "c/r202001010005_again.h5"}) {
    frame(name);
  }
  const Catalogue catalogue = scan_all();
  ASSERT_EQ(catalogue.frames.size(), 5u);
  EXPECT_EQ(catalogue.step_s, 300);
  EXPECT_EQ(format_time(catalogue.frames[2].key.valid_time), "2020-01-01T00:10Z");
  ASSERT_EQ(catalogue.gaps.size(), 1u);
  EXPECT_EQ(format_time(catalogue.gaps[0].first), "2020-01-01T00:10Z");
  EXPECT_EQ(format_time(catalogue.gaps[0].second), "2020-01-01T00:25Z");
  ASSERT_EQ(catalogue.duplicates.size(), 1u);
  EXPECT_EQ(catalogue.duplicates[0].file.filename(), "r202001010005.h5");  // c/ comes before r... by path
  EXPECT_NE(catalogue.duplicates[0].reason.find("r202001010005_again.h5"), std::string::npos);
}

TEST_F(CatalogueTest, LeavesOutHiddenTemporaryAndForeignThings) {
  frame("r202001010000.h5");
  frame(".r202001010005.h5");
  frame("r202001010010.h5.tmp");
  frame("r202001010015.h5.part");
  frame(".hidden/r202001010020.h5");
  TemporaryFolder outside;
  fs::create_symlink(folder_.path() / "r202001010000.h5", folder_.path() / "r202001010030.h5");
  fs::create_directory_symlink(outside.path(), folder_.path() / "elsewhere");
  fs::create_directory_symlink(folder_.path(), folder_.path() / "loop");
  publish(folder_.path() / "notes.txt", std::string("not a frame"));
  const Catalogue catalogue = scan_all();
  EXPECT_EQ(catalogue.frames.size(), 1u);
  ASSERT_EQ(catalogue.rejected.size(), 1u);
  EXPECT_NE(catalogue.rejected[0].reason.find("plain text"), std::string::npos);
}

TEST_F(CatalogueTest, NothingReadableIsAnErrorThatSaysWhy) {
  EXPECT_THROW(scan_all(), DataError);  // an empty folder
  publish(folder_.path() / "page.h5", std::string("<html>not found</html>"));
  try {
    scan_all();
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("HTML"), std::string::npos) << error.what();
  }
  ReaderPool reader;
  EXPECT_THROW(scan({folder_.path() / "none"}, reader), DataError);
}

TEST_F(CatalogueTest, OverlappingAccumulationsNeedAYes) {
  for (const char* name : {"r202001010000.h5", "r202001010015.h5", "r202001010030.h5"}) frame(name);
  EXPECT_EQ(scan_all("900", "mm").frames.size(), 3u);
  try {
    scan_all("3600", "mm");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("allow_overlapping_accumulation"), std::string::npos)
        << error.what();
  }
  options_.allow_overlapping_accumulation = true;
  EXPECT_EQ(scan_all("3600", "mm").frames.size(), 3u);
}

TEST_F(CatalogueTest, ProgressCountsEveryFile) {
  for (const char* name : {"r202001010000.h5", "r202001010015.h5"}) frame(name);
  options_.description = R"({"dataset": "/rain", "unit": "mm/h"})";
  ReaderPool reader(options_, 2);
  std::int64_t last = 0;
  scan({folder_.path()}, reader, [&](std::int64_t done, std::int64_t all) {
    EXPECT_EQ(all, 2);
    EXPECT_EQ(done, last + 1);
    last = done;
  });
  EXPECT_EQ(last, 2);
}

TEST(CatalogueOfRealFiles, ADayOfTheConvectiveArchive) {
  const char* data = std::getenv("RAINCELL_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "needs real files: set RAINCELL_TEST_DATA to their folder";
  ReaderPool reader;
  const Catalogue catalogue = scan({fs::path(data) / "radar/cf/bom_c10_20201031"}, reader);
  EXPECT_EQ(catalogue.frames.size(), 144u);
  EXPECT_EQ(catalogue.step_s, 600);
  EXPECT_TRUE(catalogue.gaps.empty());
  EXPECT_TRUE(catalogue.rejected.empty());
  EXPECT_TRUE(catalogue.duplicates.empty());
}

}  // namespace
