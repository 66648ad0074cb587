// A week of the rolling service: nothing grows.
#include <malloc.h>
#include <sys/wait.h>

#include "app/forecast_memory.hpp"
#include "tests/app/watch_world.hpp"

namespace raincell::app {
namespace {

std::size_t descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

/// Children that have ended and that nobody asked about.
std::size_t zombies() {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "stat");
    std::string pid, name, state;
    long parent = 0;
    if (file >> pid >> name >> state >> parent && parent == ::getpid() && state == "Z") ++count;
  }
  return count;
}

TEST_F(Watch, TwoThousandCyclesLeaveMemoryDescriptorsAndChildrenAsTheyWere) {
  config_.forecaster = "convlstm";
  config_.publish.keep_products = 50;
  config_.ledger.days = 1;
  for (int i = 0; i <= 2010; ++i) {
    // Now and then a file that cannot be read, which costs a reader, and one that never comes.
    world_.at(slot(i) + seconds(15), [this, i] {
      if (i % 50 == 7) return write("broken" + std::to_string(i) + ".h5", "no radar file");
      io::Frame made = simulator_.frame(i % 300);
      made.valid_time = slot(i);
      write("frame" + std::to_string(i) + ".h5", bytes_of(made));
      std::error_code none;
      fs::remove(in() / ("frame" + std::to_string(i - 40) + ".h5"), none);
    });
  }
  std::vector<double> memory;
  std::vector<std::size_t> open;
  for (int i = 100; i <= 2000; i += 100)
    world_.at(slot(i) + seconds(100), [&] {
      ::malloc_trim(0);
      memory.push_back(static_cast<double>(resident_bytes()) / 1048576.);
      open.push_back(descriptors());
      EXPECT_EQ(zombies(), 0U);
    });
  run(2010);
  ASSERT_EQ(memory.size(), 20U);
  std::cout << "MiB: ";
  for (const double mib : memory) std::cout << mib << " ";
  std::cout << "\n" << summary_ << "\n";
  // Scores of a day are kept; after that (300 cycles) nothing is added any more.
  EXPECT_LT(memory.back(), 1.05 * memory[4] + 4.);
  EXPECT_EQ(open.back(), open[4]);
  EXPECT_LE(products().size(), 51U);
}

}  // namespace
}  // namespace raincell::app
