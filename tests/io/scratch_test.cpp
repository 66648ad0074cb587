// The scratch file: room that leaves memory and comes back as it was.
#include "io/scratch.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <fstream>

#include "io/frame.hpp"
#include "temporary_folder.hpp"

namespace raincell::io {
namespace {

std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t pages = 0;
  file >> pages >> pages;
  return pages * ::getpagesize();
}

TEST(ScratchFile, LeavesMemoryAndComesBack) {
  const TemporaryFolder folder;
  ScratchFile scratch(folder.path());
  std::span<std::byte> room;
  try {
    room = scratch.take(std::size_t{256} << 20, "a test");
  } catch (const WriteError& error) {
    GTEST_SKIP() << error.what();  // the temporary folder lies in memory
  }
  EXPECT_EQ(room.front(), std::byte{0});
  const std::int64_t before = resident_bytes();
  for (std::size_t i = 0; i < room.size(); ++i) room[i] = static_cast<std::byte>(i * 31 >> 7);
  EXPECT_GT(resident_bytes(), before + (std::int64_t{200} << 20));
  ScratchFile::drop(room);
  EXPECT_LT(resident_bytes(), before + (std::int64_t{20} << 20));
  for (std::size_t i = 0; i < room.size(); i += 4093)
    ASSERT_EQ(room[i], static_cast<std::byte>(i * 31 >> 7)) << i;
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  scratch.give_back(room);
  const auto second = scratch.take(100, "a test");
  EXPECT_EQ(second.size(), 100U);
  EXPECT_EQ(second[99], std::byte{0});
}

TEST(ScratchFile, SaysWhereThereIsNoRoom) {
  const auto message = [](const std::filesystem::path& folder, std::size_t bytes) -> std::string {
    ScratchFile scratch(folder);
    try {
      scratch.take(bytes, "states");
    } catch (const WriteError& error) {
      return error.what();
    }
    return {};
  };
  const std::string nowhere = message("/nonexistent/folder", 1);
  EXPECT_NE(nowhere.find("/nonexistent/folder"), std::string::npos) << nowhere;
  EXPECT_NE(nowhere.find("--scratch"), std::string::npos) << nowhere;
  const std::string memory = message("/dev/shm", 1);
  EXPECT_NE(memory.find("lies in memory"), std::string::npos) << memory;
  const TemporaryFolder folder;
  const std::string full = message(folder.path(), std::size_t{1} << 50);
  EXPECT_NE(full.find("states"), std::string::npos) << full;
}

}  // namespace
}  // namespace raincell::io
