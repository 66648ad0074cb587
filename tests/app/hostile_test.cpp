// Files made to harm, through the commands that read radar files: each is refused with a reason, and costs
// little.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>

#include "tests/app/program.hpp"

namespace {

namespace fs = std::filesystem;
using raincell::test::Folder;
using raincell::test::Outcome;
using raincell::test::run_raincell;

class HostileFiles : public testing::TestWithParam<const char*> {};

TEST_P(HostileFiles, AreRefusedByEveryCommand) {
  const char* data = std::getenv("RAINCELL_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "needs real files: set RAINCELL_TEST_DATA to their folder";
  constexpr long kReader = 4L << 30;  // bytes of data a reader may allocate
  const fs::path source = fs::path(data) / "hostile" / GetParam();
  double slowest_s = 0.;
  long largest = 0;
  int files = 0;
  for (const auto& entry : fs::directory_iterator(source)) {
    if (!entry.is_regular_file() || entry.path().filename() == "COPYING") continue;
    ++files;
    const Folder folder;
    fs::create_directory(folder / "radar");
    const fs::path file = folder / "radar" / entry.path().filename();
    fs::copy_file(entry.path(), file);
    const std::vector<std::vector<std::string>> commands = {
        {"inspect", file.string()},
        {"pack", "radar", "--output", "archive.nc"},
        {"nowcast", "--forecaster", "persistence", "--input", "radar", "--output", "product.nc"}};
    for (const std::vector<std::string>& command : commands) {
      SCOPED_TRACE(command[0] + " " + entry.path().string());
      const auto begin = std::chrono::steady_clock::now();
      const Outcome outcome = run_raincell(folder.path(), command);
      slowest_s = std::max(slowest_s,
                           std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
      largest = std::max(largest, outcome.peak_bytes);
      EXPECT_EQ(outcome.code, 3) << outcome.err;
      EXPECT_NE(outcome.err.find(entry.path().filename().string()), std::string::npos) << outcome.err;
      EXPECT_LT(outcome.peak_bytes, kReader);
      EXPECT_EQ(raincell::test::files_below(folder.path()).size(), 1U);  // nothing was made of it
    }
  }
  EXPECT_GE(files, 8);
  std::cout << files << " files; the slowest command took " << slowest_s << " s, the largest process "
            << largest / 1048576 << " MiB\n";
}

INSTANTIATE_TEST_SUITE_P(Corpora, HostileFiles, testing::Values("bombs", "hdf5-cve"), [](const auto& name) {
  return name.param[0] == 'b' ? std::string("bombs") : std::string("cve");
});

}  // namespace
