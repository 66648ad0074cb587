#include "io/publish.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "io/frame.hpp"

namespace {

namespace fs = std::filesystem;
using namespace raincell::io;

class Publish : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "raincell-publish-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    fs::permissions(folder_, fs::perms::owner_all);
    fs::remove_all(folder_);
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  std::string message_of(const fs::path& path, const std::string& text) {
    try {
      publish(path, text);
    } catch (const WriteError& error) {
      return error.what();
    }
    return "";
  }
  fs::path folder_;
};

TEST_F(Publish, WritesReplacesAndLeavesNothingElse) {
  publish(folder_ / "a.txt", std::string("first"));
  publish(folder_ / "a.txt", std::string("second, longer"));
  EXPECT_EQ(read_file(folder_ / "a.txt"), "second, longer");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(Publish, EmptyFilesAreFiles) {
  publish(folder_ / "empty", std::string());
  EXPECT_EQ(read_file(folder_ / "empty"), "");
}

TEST_F(Publish, MissingFolderSaysWhatToDo) {
  const std::string message = message_of(folder_ / "none" / "a.txt", "x");
  EXPECT_NE(message.find("none/a.txt"), std::string::npos) << message;
  EXPECT_NE(message.find("create the folder"), std::string::npos) << message;
}

TEST_F(Publish, FileInTheWayOfAFolder) {
  publish(folder_ / "a", std::string("x"));
  EXPECT_NE(message_of(folder_ / "a" / "b", "x").find("a file stands where"), std::string::npos);
  EXPECT_THROW(make_folder(folder_ / "a"), WriteError);
  EXPECT_THROW(make_folder(folder_ / "a" / "b"), WriteError);
}

TEST_F(Publish, FolderInTheWayOfAFileLeavesNoTemporary) {
  fs::create_directory(folder_ / "d");
  publish(folder_ / "d" / "x", std::string("x"));
  EXPECT_NE(message_of(folder_ / "d", "x"), "");
  EXPECT_EQ(entries(), 1u);
}

// A file-size limit stands in for a full disk: the write fails half way in the same place.
TEST_F(Publish, AWriteThatFailsHalfWayKeepsTheOldFileAndRemovesTheTemporary) {
  publish(folder_ / "a", std::string("old"));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 4096;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = message_of(folder_ / "a", std::string(100000, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_NE(message.find("cannot write"), std::string::npos) << message;
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(Publish, FullDeviceIsNamed) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "needs /dev/full";
  try {
    append_line("/dev/full", "x");
    FAIL();
  } catch (const WriteError& error) {
    EXPECT_NE(std::string(error.what()).find("free space"), std::string::npos) << error.what();
  }
}

TEST_F(Publish, AppendsWholeLines) {
  append_line(folder_ / "log", "one");
  append_line(folder_ / "log", "two");
  EXPECT_EQ(read_file(folder_ / "log"), "one\ntwo\n");
}

TEST_F(Publish, ReadRefusesWhatIsNotARegularFileOrIsTooLarge) {
  EXPECT_THROW(read_file(folder_), DataError);
  EXPECT_THROW(read_file(folder_ / "none"), DataError);
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(read_file(folder_ / "pipe"), DataError);
  publish(folder_ / "a", std::string("12345"));
  EXPECT_THROW(read_file(folder_ / "a", 4), DataError);
}

// FIPS 180-4 examples.
TEST(Sha256, KnownDigests) {
  EXPECT_EQ(sha256({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const std::string abc = "abc";
  EXPECT_EQ(sha256(std::as_bytes(std::span(abc.data(), abc.size()))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
