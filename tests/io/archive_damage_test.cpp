// Frames of an archive that are not what was packed, or that the file no longer holds.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <thread>

#include "io/publish.hpp"
#include "tests/io/archive_support.hpp"
#include "tests/io/temporary_folder.hpp"

namespace raincell::io {
namespace {

class DamagedArchive : public testing::TestWithParam<bool> {};

TEST_P(DamagedArchive, AFrameThatIsNotWhatWasPackedIsUnreadableAndNoOther) {
  const TemporaryFolder folder;
  ArchiveOptions options;
  options.compress = GetParam();
  const auto path = pack_simulation(folder.path() / "a.nc", rain(), options);
  std::vector<std::vector<float>> good;
  {
    const Archive archive = Archive::open(path);
    for (std::int64_t i = 0; i < 6; ++i) good.push_back(whole(archive, i));
  }
  damage_frame(path, 2);
  const Archive archive = Archive::open(path);
  EXPECT_EQ(archive.frames_met(), 0);
  const Crop corner{0, 0, 2, 2};
  std::vector<float> few(4);
  std::vector<std::int16_t> codes(4), all(static_cast<std::size_t>(archive.grid().pixels()));
  EXPECT_THROW(archive.read(2, corner, few), UnreadableFrame);
  EXPECT_THROW(archive.read_codes(2, corner, codes), UnreadableFrame);
  EXPECT_THROW(archive.read_codes(2, all), UnreadableFrame);
  for (const std::int64_t i : {0, 1, 3, 4, 5}) {
    const std::vector<float> values = whole(archive, i);
    for (std::size_t k = 0; k < values.size(); ++k)
      ASSERT_TRUE(same(values[k], good[static_cast<std::size_t>(i)][k]));
  }
  EXPECT_EQ(archive.frames_met(), 6);
  ASSERT_EQ(archive.unreadable().size(), 1U);
  EXPECT_EQ(archive.unreadable()[0].frame, 2);
  const std::string why = archive.unreadable()[0].why;
  EXPECT_NE(why.find(path.string() + ": the frame of 2024-06-01T00:10Z cannot be read"), std::string::npos)
      << why;
}

/// The kernel would end the process by SIGBUS.
TEST_P(DamagedArchive, AFileThatIsCutShortWhileItIsReadLosesItsLastFramesAlone) {
  const TemporaryFolder folder;
  ArchiveOptions options;
  options.compress = GetParam();
  SimulationSpec large = rain();
  large.columns = large.rows = 200;  // frames of several pages
  const auto path = pack_simulation(folder.path() / "a.nc", large, options);
  const Archive archive = Archive::open(path);
  const auto part = ArchivePart::open(path);
  const auto by_place = [](const PackedFrame& a, const PackedFrame& b) { return a.offset < b.offset; };
  const auto first = std::min_element(part->frames().begin(), part->frames().end(), by_place) -
                     part->frames().begin(),
             last = std::max_element(part->frames().begin(), part->frames().end(), by_place) -
                    part->frames().begin();
  const std::vector<float> before = whole(archive, first);
  // One that has been read already, and one that has not; compressed, a thread keeps what it has
  // decompressed.
  for (const bool again : {true, false}) {
    const Archive opened = Archive::open(path);
    if (again) whole(opened, last);
    const auto size = std::filesystem::file_size(path);
    const std::string bytes = read_file(path);
    std::filesystem::resize_file(path, part->frames()[static_cast<std::size_t>(last)].offset);
    std::atomic<int> lost = 0;
    std::vector<std::thread> readers;
    for (int i = 0; i < 4; ++i) {
      readers.emplace_back([&] {
        try {
          whole(opened, last);
        } catch (const UnreadableFrame& error) {
          lost += std::string(error.what()).find("cannot be read") != std::string::npos ? 1 : 0;
        }
      });
    }
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(lost, 4);
    const std::vector<float> after = whole(opened, first);
    for (std::size_t k = 0; k < before.size(); ++k) ASSERT_TRUE(same(after[k], before[k]));
    ASSERT_EQ(opened.unreadable().size(), 1U);
    EXPECT_EQ(opened.unreadable()[0].frame, last);
    // A compressed frame may lie in the last page alone, whose rest reads as zeros.
    const std::string reason = GetParam() ? "cannot be read" : "cut short";
    EXPECT_NE(opened.unreadable()[0].why.find(reason), std::string::npos) << opened.unreadable()[0].why;
    std::ofstream(path, std::ios::binary) << bytes;
    ASSERT_EQ(std::filesystem::file_size(path), size);
  }
}

INSTANTIATE_TEST_SUITE_P(PlainAndCompressed, DamagedArchive, testing::Bool());

}  // namespace
}  // namespace raincell::io
