// What the computing process does when the file, or the child that parses it, misbehaves.
#include "io/jail.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "io/publish.hpp"
#include "tests/io/hdf5_fixture.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace raincell::io;

class JailTest : public testing::Test {
 protected:
  void SetUp() override { ::unsetenv("RAINCELL_READER"); }
  void TearDown() override { ::unsetenv("RAINCELL_READER"); }

  fs::path good() const {
    const fs::path path = folder_.path() / "good.h5";
    Hdf5Fixture file(path);
    file.array("/rain", {2, 2}, {0, 1, 2, 9}, H5T_NATIVE_UINT8);
    return path;
  }
  static SourceOptions options() {
    SourceOptions described;
    described.format = "described";
    described.description =
        R"json({"dataset": "/rain", "unit": "mm/h", "missing": [9], "time": {"filename": "."}})json";
    described.time_from = "filename:good";
    return described;
  }
  std::string message(Jail& jail, const fs::path& path, const SourceOptions& wanted = {}) {
    try {
      jail.read(path, wanted, Wanted::values);
    } catch (const DataError& error) {
      return error.what();
    }
    return "was read";
  }
  /// A program in the reader's place.
  void stand_in(const std::string& script) {
    const fs::path path = folder_.path() / "reader.sh";
    publish(path, "#!/bin/sh\n" + script + "\n");
    fs::permissions(path, fs::perms::owner_all);
    ::setenv("RAINCELL_READER", path.c_str(), 1);
  }
  TemporaryFolder folder_;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(JailTest, WhatIsNoRegularFileNeverReachesTheChild) {
  Jail jail;
  EXPECT_HAS(message(jail, folder_.path() / "none.h5"), "not found");
  EXPECT_HAS(message(jail, folder_.path()), "is a directory");
  publish(folder_.path() / "empty.h5", std::string());
  EXPECT_HAS(message(jail, folder_.path() / "empty.h5"), "is empty");
  ASSERT_EQ(::mkfifo((folder_.path() / "pipe.h5").c_str(), 0600), 0);
  EXPECT_HAS(message(jail, folder_.path() / "pipe.h5"), "not a regular file");
  fs::create_symlink("/etc/passwd", folder_.path() / "link.h5");
  EXPECT_HAS(message(jail, folder_.path() / "link.h5"), "symbolic link");
  EXPECT_EQ(jail.started(), 0);
}

TEST_F(JailTest, ARefusalReplacesTheChildAndTheNextFileIsRead) {
  Jail jail;
  publish(folder_.path() / "text.h5", std::string("hello"));
  EXPECT_HAS(message(jail, folder_.path() / "text.h5"), "text.h5: reader: /: is plain text");
  EXPECT_HAS(message(jail, folder_.path() / "text.h5"), "plain text");
  EXPECT_EQ(jail.started(), 2);
}

TEST_F(JailTest, ACrashIsOneRefusedFile) {
  stand_in("kill -SEGV $$");
  Jail jail;
  publish(folder_.path() / "a.h5", std::string("x"));
  EXPECT_HAS(message(jail, folder_.path() / "a.h5"), "crashed the parser (signal 11");
}

TEST_F(JailTest, AnEarlyEndAndGarbageAreRefusedFiles) {
  publish(folder_.path() / "a.h5", std::string("x"));
  stand_in("exit 4");
  Jail ending;
  EXPECT_HAS(message(ending, folder_.path() / "a.h5"), "ended the parser (status 4)");
  stand_in("head -c 4096 /dev/zero >&3; sleep 5");
  Jail garbling;
  EXPECT_HAS(message(garbling, folder_.path() / "a.h5"), "garbage");
}

TEST_F(JailTest, AChildThatHangsIsGivenUp) {
  publish(folder_.path() / "a.h5", std::string("x"));
  stand_in("exec sleep 1000");
  Jail jail(std::chrono::seconds{1});
  EXPECT_HAS(message(jail, folder_.path() / "a.h5"), "no answer within 1 s");
}

TEST_F(JailTest, AMissingReaderSaysWhereItWasExpected) {
  ::setenv("RAINCELL_READER", "/nowhere/raincell-reader", 1);
  publish(folder_.path() / "a.h5", std::string("x"));
  Jail jail;
  EXPECT_HAS(message(jail, folder_.path() / "a.h5"), "/nowhere/raincell-reader: cannot be started");
}

TEST_F(JailTest, SixtyFourFilesAChild) {
  SourceOptions described = options();
  const fs::path path = folder_.path() / "good_201008260400.h5";
  fs::rename(good(), path);
  described.time_from = R"(filename:(\d{12}))";
  Jail jail;
  for (int i = 0; i < 64; ++i) ASSERT_EQ(jail.read(path, described, Wanted::values).front().source.valued, 2);
  EXPECT_EQ(jail.started(), 1);
  const Frame frame = jail.read(path, described, Wanted::values).front();
  EXPECT_EQ(jail.started(), 2);
  EXPECT_EQ(frame.values[2], 2.F);
  EXPECT_EQ(frame.states[3], PixelState::missing);
  EXPECT_EQ(frame.source.format, "described");
  const Frame described_only = jail.read(path, described, Wanted::description).front();
  EXPECT_TRUE(described_only.values.empty());
  EXPECT_EQ(described_only.grid.columns, 2);
}

TEST_F(JailTest, TheChildCannotOpenFiles) {
  // Raw storage in another file: refused by its layout, before any attempt to open it.
  const fs::path path = folder_.path() / "good_201008260400.h5";
  {
    Hdf5Fixture file(path);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, "/etc/passwd", 0, 4);
    file.array("/rain", {2, 2}, {}, H5T_NATIVE_UINT8, creation);
    H5Pclose(creation);
  }
  SourceOptions described = options();
  described.time_from = R"(filename:(\d{12}))";
  Jail jail;
  EXPECT_HAS(message(jail, path, described), "external storage");
}

}  // namespace
