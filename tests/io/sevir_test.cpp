// SEVIR: its table, its files, and archives of its events.
#include "io/sevir.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "io/packing.hpp"
#include "io/publish.hpp"
#include "tests/io/hdf5_fixture.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace raincell::io;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

const std::string kHead =
    "id,file_name,file_index,img_type,time_utc,minute_offsets,episode_id,event_id,event_type,llcrnrlat,"
    "llcrnrlon,"
    "urcrnrlat,urcrnrlon,proj,size_x,size_y,height_m,width_m,data_min,data_max,pct_missing\n";

/// An event of three frames on 6 x 4 pixels of 1 km, whose lower left corner is the centre of the projection.
std::string row(const std::string& id, const std::string& file, const std::string& index,
                const std::string& type = "vil", const std::string& offsets = "-5.0:0.0:5.0",
                const std::string& time = "2019-06-09 18:02:00") {
  return id + "," + file + "," + index + "," + type + "," + time + "," + offsets +
         ",1,2,Hail,38.0,-98.0,38.04,-97.93,+proj=laea +lat_0=38 +lon_0=-98 +units=m +a=6370997.0 "
         "+ellps=sphere ,6,4,"
         "4000,6000,0,254,0\n";
}

TEST(SevirTable, EventsComeInTheOrderOfTime) {
  const std::string text = kHead + row("R2", "vil/a.h5", "1", "vil", "-5:0:5", "2019-06-10 18:02:00") +
                           row("S1", "ir069/b.h5", "0", "ir069") + row("S1", "vil/a.h5", "0");
  ASSERT_TRUE(is_sevir_catalogue(text));
  EXPECT_TRUE(is_sevir_catalogue("\xef\xbb\xbf" + text));
  EXPECT_EQ(parse_sevir_catalogue("\xef\xbb\xbf" + text).events.size(), 2U);
  EXPECT_FALSE(is_sevir_catalogue("time,rain\n"));
  const SevirCatalogue catalogue = parse_sevir_catalogue(text);
  ASSERT_EQ(catalogue.events.size(), 2U);
  EXPECT_TRUE(catalogue.rejected.empty());
  const SevirEvent& first = catalogue.events[0];
  EXPECT_EQ(first.id, "S1");
  EXPECT_EQ(first.file, "vil/a.h5");
  EXPECT_EQ(format_time(first.start), "2019-06-09T17:57Z");
  EXPECT_EQ(first.step_s, 300);
  EXPECT_EQ(first.steps, 3);
  EXPECT_EQ(first.grid.x0, 0.);
  EXPECT_EQ(first.grid.y0, 4000.);
  EXPECT_EQ(first.grid.dx, 1000.);
  EXPECT_EQ(first.grid.columns, 6);
}

TEST(SevirTable, WhatIsWrongIsSaidWithItsLine) {
  const auto said = [](const std::string& wrong) {
    const SevirCatalogue catalogue = parse_sevir_catalogue(kHead + row("S1", "vil/a.h5", "0") + wrong);
    EXPECT_EQ(catalogue.events.size(), 1U);
    EXPECT_EQ(catalogue.rejected.size(), 1U);
    return catalogue.rejected.empty() ? std::string() : catalogue.rejected.front();
  };
  EXPECT_HAS(said(row("S1", "vil/a.h5", "1")), "line 3: the id S1 is there twice, first in line 2");
  EXPECT_HAS(said(row("S2", "vil/a.h5", "one")), "line 3: file_index: \"one\" is no number");
  EXPECT_HAS(said(row("S2", "vil/a.h5", "-1")), "file_index: -1; expected a whole number");
  EXPECT_HAS(said(row("S2", "../a.h5", "1")), "file_name: \"../a.h5\"");
  EXPECT_HAS(said(row("../S2", "vil/a.h5", "1")), "id: \"../S2\" cannot name an archive");
  EXPECT_HAS(said(row("S2", "vil/a.h5", "1", "vil", "0:5:15")), "the steps differ (at place 2)");
  EXPECT_HAS(said(row("S2", "vil/a.h5", "1", "vil", "0:5", "yesterday")),
             "time_utc: \"yesterday\" is no time");
  EXPECT_HAS(said("S2,vil/a.h5,1\n"), "has 3 cells; expected 21");
  const auto refused = [](const std::string& text) {
    try {
      parse_sevir_catalogue(text);
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return std::string("was read");
  };
  EXPECT_HAS(refused("id,file_name,img_type\n"), "the column file_index is missing");
  EXPECT_HAS(refused(kHead + row("S1", "vis/b.h5", "0", "vis")), "no event of radar VIL");
}

class SevirFiles : public testing::Test {
 protected:
  /// Bytes 0, 1, 2, ... in the order stored: event, y, x, time.
  void write(const std::vector<std::string>& ids, const std::vector<hsize_t>& sides = {2, 4, 6, 3}) {
    fs::create_directories(folder_.path() / "data/vil");
    Hdf5Fixture file(folder_.path() / "data/vil/a.h5");
    hsize_t count = 1;
    for (const hsize_t side : sides) count *= side;
    std::vector<double> bytes(count);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<double>(i % 256);
    file.texts("/id", ids, 12);
    file.array("/vil", sides, bytes, H5T_NATIVE_UINT8);
  }
  PackedEvents pack(const std::string& rows, bool append = false) {
    publish(folder_.path() / "CATALOG.csv", kHead + rows);
    ArchiveOptions options;
    options.append = append;
    ReaderPool readers({}, 2);
    return pack_events(folder_.path() / "CATALOG.csv", readers, folder_.path() / "sevir", options);
  }
  std::string refusal(const std::string& rows) {
    try {
      pack(rows);
    } catch (const DataError& error) {
      return error.what();
    }
    return "was packed";
  }
  TemporaryFolder folder_;
};

TEST_F(SevirFiles, EachEventIsAnArchive) {
  write({"S1", "S2"});
  const PackedEvents packed = pack(row("S1", "vil/a.h5", "0") + row("S2", "vil/a.h5", "1"));
  EXPECT_EQ(packed.events, 2);
  EXPECT_EQ(packed.frames, 6);
  EXPECT_TRUE(packed.rejected.empty());
  const Archive archive = Archive::open(folder_.path() / "sevir/S2.nc");
  EXPECT_EQ(archive.quantity(), Quantity::vil);
  EXPECT_EQ(archive.frames(), 3);
  EXPECT_EQ(format_time(archive.time(2)), "2019-06-09T18:07Z");
  EXPECT_EQ(archive.grid().y0, 4000.);
  // Stored at event 1, y 3 (the north), x 2, time 1: byte 72 + 3 * 18 + 2 * 3 + 1 = 133.
  std::vector<float> values(24);
  archive.read(1, {0, 0, 4, 6}, values);
  EXPECT_NEAR(values[2], std::exp((133. - 83.9) / 38.9), 0.006);
  // y 0, the south, lies in the last row: byte 72 + 1.
  EXPECT_NEAR(values[18], std::exp((73. - 83.9) / 38.9), 0.006);
  EXPECT_EQ(pack(row("S1", "vil/a.h5", "0") + row("S2", "vil/a.h5", "1"), true).already_there, 2);
  EXPECT_THROW(pack(row("S1", "vil/a.h5", "0")), WriteError);
}

TEST_F(SevirFiles, WhatDoesNotFitTheTableIsLeftOut) {
  write({"S1", "S2"});
  EXPECT_HAS(refusal(row("S1", "vil/a.h5", "2")), "/id: has no place 2 (2 of them)");
  EXPECT_HAS(refusal(row("S3", "vil/a.h5", "1")), "/id holds \"S2\" at place 1; expected \"S3\"");
  EXPECT_HAS(refusal(row("S1", "vil/a.h5", "0", "vil", "-5:0")), "/vil holds 3 times; expected 2");
  const std::string narrow = row("S1", "vil/a.h5", "0");
  EXPECT_HAS(refusal(std::string(narrow).replace(narrow.find(",6,4,"), 5, ",5,4,")),
             "grid: the array has 6x4 pixels; expected 5x4");
  EXPECT_FALSE(fs::exists(folder_.path() / "sevir"));
  EXPECT_HAS(refusal(row("S1", "vil/none.h5", "0")), "none.h5: reader: /: not found");
  write({"S1"}, {4, 6, 3});
  EXPECT_HAS(refusal(row("S1", "vil/a.h5", "0")), "axes: expected 3 names, one a dimension");
  write({"S1", "S2"});
  const PackedEvents packed = pack(row("S1", "vil/a.h5", "0") + row("S9", "vil/a.h5", "1"));
  EXPECT_EQ(packed.events, 1);
  ASSERT_EQ(packed.rejected.size(), 1U);
  EXPECT_HAS(packed.rejected[0].reason, "S9: ");
}

}  // namespace
