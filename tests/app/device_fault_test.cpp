// A GPU that is lost, and one that is too small: what the program says, how it ends, what it leaves. The GPU
// is the one of tests/kernels/cuda_on_host.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/app/program.hpp"

namespace {

using raincell::test::files_below;
using raincell::test::Folder;
using raincell::test::Outcome;
using raincell::test::read_text;
using raincell::test::run_raincell;
using raincell::test::write_text;

bool says(const Outcome& outcome, const std::string& words) {
  return outcome.err.find(words) != std::string::npos;
}

/// Sets a variable while it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

class DeviceFault : public testing::Test {
 protected:
  void SetUp() override {
    write_text(
        folder_ / "small.yaml",
        "data: {archive: archive.nc, past: 2, future: 2, crop: 16x16, validation: 0}\n"
        "model: {stages: [{hidden: 4}], feed: none}\ntraining: {batch: 2, steps: 8, checkpoint_every: 2}\n");
    run({"simulate", "--output", "radar", "--frames", "12", "--size", "32x32", "--format", "odim"}, 0);
    run({"pack", "radar", "--output", "archive.nc"}, 0);
  }
  Outcome run(std::vector<std::string> arguments, int code) {
    Outcome outcome = run_raincell(folder_.path(), arguments);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    return outcome;
  }
  std::vector<std::string> train(const std::string& name, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"train", "small.yaml", "--run", name, "--backend", "cuda"});
    return more;
  }
  Folder folder_;
};

TEST_F(DeviceFault, ALostGpuEndsAServiceWithCode8AndAWordAboutIt) {
  run(train("run"), 0);
  write_text(folder_ / "watch.yaml",
             "input: in\noutput: out\nmodel: run/last.safetensors\npublish: {pictures: false}\n");
  const std::vector<std::string> watch = {"watch",   "watch.yaml", "--replay",  "radar",
                                          "--speed", "5000x",      "--backend", "cuda"};
  {
    const Variable lost("RAINCELL_TEST_GPU_LOST",
                        (folder_ / "out/products/nowcast_20240601T0020Z.nc").string());
    const Outcome outcome = run(watch, 8);
    EXPECT_TRUE(says(outcome, "cudaErrorIllegalAddress") && says(outcome, "start it again")) << outcome.err;
  }
  const std::string latest = read_text(folder_ / "out/latest.json");
  EXPECT_NE(latest.find("\"WITHHELD\""), std::string::npos) << latest;
  EXPECT_NE(latest.find("cudaErrorIllegalAddress"), std::string::npos) << latest;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "out/products/nowcast_20240601T0020Z.nc"));
}

/// No retry in the process: whoever supervises it starts it again, and it goes on from the last checkpoint.
TEST_F(DeviceFault, ALostGpuEndsTrainingWithCode8AndTheNextRunEndsInTheSameBytes) {
  run(train("whole"), 0);
  {
    const Variable lost("RAINCELL_TEST_GPU_LOST", (folder_ / "cut/checkpoints").string());
    const Outcome outcome = run(train("cut"), 8);
    EXPECT_TRUE(says(outcome, "CUDA: ") && says(outcome, "cudaErrorIllegalAddress") &&
                says(outcome, "start it again"))
        << outcome.err;
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "cut/last.safetensors"));
  run(train("cut"), 0);
  EXPECT_EQ(read_text(folder_ / "cut/last.safetensors"), read_text(folder_ / "whole/last.safetensors"));
}

TEST_F(DeviceFault, ALostGpuLeavesTheOldProduct) {
  run(train("run"), 0);
  const std::vector<std::string> nowcast{"nowcast", "--model",   "run/last.safetensors",
                                         "--input", "radar",     "--output",
                                         "out.nc",  "--backend", "cuda"};
  run(nowcast, 0);
  const std::string product = read_text(folder_ / "out.nc");
  const auto before = files_below(folder_.path());
  const Variable lost("RAINCELL_TEST_GPU_LOST", (folder_ / "archive.nc").string());
  run(nowcast, 8);
  EXPECT_EQ(read_text(folder_ / "out.nc"), product);
  EXPECT_EQ(files_below(folder_.path()), before);
}

TEST_F(DeviceFault, AGpuThatIsTooSmallIsSaidBeforeTraining) {
  const Variable small("RAINCELL_TEST_GPU_BYTES", "100000");
  const Outcome outcome = run(train("run"), 5);
  EXPECT_TRUE(says(outcome, "the memory of the GPU") && says(outcome, "training.batch")) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
  // Forced all the same, it tells what did not fit, what was free, and what took the rest.
  const Outcome forced = run(train("run", {"--force"}), 5);
  EXPECT_TRUE(says(forced, "no memory for ") && says(forced, "wanted ") && says(forced, "are free") &&
              says(forced, "held: "))
      << forced.err;
}

}  // namespace
