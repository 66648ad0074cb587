// Domains that are larger than memory: what --memory allows is enough, and changes no byte.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/app/program.hpp"

namespace {

using namespace raincell;
using test::Folder;
using test::run_raincell;

void expect_ok(const test::Outcome& outcome) {
  ASSERT_EQ(outcome.code, 0) << outcome.err << outcome.out;
}

/// A domain whose network alone takes more than the limit: bands, a scratch file, the same bytes.
TEST(Memory, NowcastStaysWithinIt) {
  const Folder folder;
  expect_ok(run_raincell(folder.path(), {"simulate", "--output", "radar", "--frames", "8", "--size",
                                         "1500x1300", "--seed", "3", "--format", "odim"}));
  expect_ok(run_raincell(folder.path(), {"pack", "radar", "--output", "archive.nc"}));
  test::write_text(folder / "large.yaml",
                   "data: {archive: archive.nc, past: 3, future: 3, crop: 32x32, validation: 0}\n"
                   "model:\n"
                   "  stages: [{hidden: 16}]\n"
                   "  forecaster: same_order\n"
                   "  feed: advection\n"
                   "  tendency: true\n"
                   "advection: {fading: true}\n"
                   "training: {batch: 1, steps: 3}\n");
  expect_ok(run_raincell(folder.path(), {"train", "large.yaml", "--run", "run", "--threads", "1"}));
  const auto nowcast = [&](const std::string& output, const std::vector<std::string>& more) {
    std::vector<std::string> words = {"nowcast", "--model",   "run/last.safetensors",
                                      "--input", "radar",     "--output",
                                      output,    "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return run_raincell(folder.path(), words);
  };
  constexpr long kMiB = 1 << 20;
  const auto whole = nowcast("whole.nc", {"--png", "whole"});
  expect_ok(whole);
  EXPECT_GT(whole.peak_bytes, 700 * kMiB);  // 16 channels, 4 gates and more of 1500x1300
  const long little_less = whole.peak_bytes / kMiB - 16;
  const auto tight = nowcast("tight.nc", {"--memory", std::to_string(little_less) + "MiB", "--scratch", "."});
  expect_ok(tight);
  EXPECT_LT(tight.peak_bytes, little_less * kMiB)
      << tight.err;  // or what the whole takes was foretold wrongly
  const auto banded = nowcast("banded.nc", {"--memory", "500MiB", "--png", "banded"});
  if (banded.err.find("tmpfs") != std::string::npos) GTEST_SKIP() << banded.err;
  expect_ok(banded);
  EXPECT_LT(banded.peak_bytes, 500 * kMiB) << banded.err;
  EXPECT_NE(banded.err.find("in bands of "), std::string::npos) << banded.err;
  EXPECT_NE(banded.err.find("peak memory "), std::string::npos) << banded.err;
  const auto scratch = nowcast("scratch.nc", {"--memory", "300MiB", "--scratch", "."});
  expect_ok(scratch);
  EXPECT_LT(scratch.peak_bytes, 300 * kMiB) << scratch.err;
  EXPECT_NE(scratch.err.find("of states in a scratch file in ."), std::string::npos) << scratch.err;
  const std::string product = test::read_text(folder / "whole.nc");
  EXPECT_EQ(product, test::read_text(folder / "banded.nc"));
  EXPECT_EQ(product, test::read_text(folder / "scratch.nc"));
  expect_ok(nowcast("blend.nc", {"--forecaster", "blend"}));
  const auto blend =
      nowcast("blend_scratch.nc", {"--forecaster", "blend", "--memory", "500MiB", "--scratch", "."});
  expect_ok(blend);
  EXPECT_LT(blend.peak_bytes, 500 * kMiB) << blend.err;
  EXPECT_NE(blend.err.find("in bands of "), std::string::npos) << blend.err;
  EXPECT_EQ(test::read_text(folder / "blend.nc"), test::read_text(folder / "blend_scratch.nc"));
  for (const std::string& picture : test::files_below(folder / "whole"))
    EXPECT_EQ(test::read_text(folder / "whole" / picture), test::read_text(folder / "banded" / picture));
  for (const std::string& file : test::files_below(folder.path()))
    EXPECT_EQ(file.find("scratch-"), std::string::npos) << file;

  const auto none = nowcast("none.nc", {"--memory", "100MiB"});
  EXPECT_EQ(none.code, 5);
  for (const char* word :
       {"1500x1300", "with a scratch file, needs about", "and 100.0 MiB may be used", "--memory"})
    EXPECT_NE(none.err.find(word), std::string::npos) << none.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "none.nc"));
  const auto nowhere = nowcast("none.nc", {"--memory", "300MiB", "--scratch", "nowhere"});
  EXPECT_EQ(nowhere.code, 5);
  EXPECT_NE(nowhere.err.find("nowhere"), std::string::npos) << nowhere.err;
  std::vector<std::string> verify = {"verify",
                                     "--model",
                                     "run/last.safetensors",
                                     "--input",
                                     "radar",
                                     "--from",
                                     "2024-06-01T00:00Z",
                                     "--to",
                                     "2024-06-01T00:25Z",
                                     "--threads",
                                     "1",
                                     "--forecasters",
                                     "persistence,advection,convlstm",
                                     "--json",
                                     "scores.json"};
  expect_ok(run_raincell(folder.path(), verify));
  verify.back() = "streamed.json";
  verify.insert(verify.end(), {"--memory", "420MiB", "--scratch", "."});
  const auto scored = run_raincell(folder.path(), verify);
  expect_ok(scored);
  EXPECT_LT(scored.peak_bytes, 420 * kMiB) << scored.err;
  EXPECT_NE(scored.err.find("frame by frame"), std::string::npos) << scored.err;
  EXPECT_EQ(test::read_text(folder / "scores.json"), test::read_text(folder / "streamed.json"));
  const auto advection = run_raincell(folder.path(), {"nowcast", "--forecaster", "advection", "--input",
                                                      "radar", "--output", "a.nc", "--memory", "250MiB"});
  expect_ok(advection);
  EXPECT_LT(advection.peak_bytes, 250 * kMiB) << advection.err;
}

}  // namespace
