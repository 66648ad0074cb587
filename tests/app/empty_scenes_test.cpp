// Scenes without rain and without data go through every forecaster and every score: nothing crashes, nothing
// is NaN.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "io/odim_out.hpp"
#include "tests/app/program.hpp"

namespace {

using namespace raincell;
using test::Folder;
using test::run_raincell;
using Json = nlohmann::json;

constexpr std::int64_t kFrames = 10;

void expect_ok(const test::Outcome& outcome) {
  ASSERT_EQ(outcome.code, 0) << outcome.err << outcome.out;
}

/// Frames every five minutes from 2024-07-01T00:00Z; value: of all pixels of frame t, but for the first.
template <class Value, class Corner>
void write_frames(const std::filesystem::path& folder, const Value& value, const Corner& corner) {
  std::filesystem::create_directory(folder);
  io::Frame frame;
  frame.grid = {"+proj=laea +lat_0=52 +lon_0=5 +ellps=WGS84", 48, 40, 0., 0., 1000., 1000.};
  frame.values.resize(static_cast<std::size_t>(frame.grid.pixels()));
  frame.states.resize(frame.values.size());
  for (std::int64_t t = 0; t < kFrames; ++t) {
    frame.valid_time = *io::parse_time("2024-07-01T00:00Z") + std::chrono::minutes(5 * t);
    for (std::size_t i = 0; i < frame.values.size(); ++i) {
      frame.values[i] = i == 0 ? corner(t) : value(t);
      frame.states[i] = std::isnan(frame.values[i]) ? io::PixelState::missing
                        : frame.values[i] > 0.F     ? io::PixelState::valued
                                                    : io::PixelState::dry;
    }
    const auto bytes = io::odim_bytes(frame);
    test::write_text(folder / ("f" + std::to_string(t) + ".h5"),
                     {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
}

template <class Value>
void write_frames(const std::filesystem::path& folder, const Value& value) {
  write_frames(folder, value, value);
}

/// Whether every number is finite: JSON has no word for others, and null stands for no support.
bool is_sound(const std::string& text) {
  return text.find("nan") == std::string::npos && text.find("inf") == std::string::npos;
}

class EmptyScenes : public testing::Test {
 protected:
  void SetUp() override {
    expect_ok(run("simulate --output radar --frames 20 --size 48x40 --seed 2"));
    expect_ok(run("pack radar --output archive.nc"));
    test::write_text(folder_ / "rates.yaml",
                     "data: {archive: archive.nc, past: 3, future: 3, crop: 32x32, validation: 0}\n"
                     "model: {stages: [{hidden: 4}], feed: advection, tendency: true}\n"
                     "advection: {fading: true}\n"
                     "training: {steps: 2, batch: 1}\n");
    test::write_text(folder_ / "chances.yaml",
                     "data: {archive: archive.nc, past: 3, future: 3, crop: 32x32, validation: 0}\n"
                     "model: {stages: [{hidden: 4}], thresholds: [0.5, 2]}\n"
                     "loss: {kind: bce}\ntraining: {steps: 2, batch: 1}\n");
    for (const std::string name : {"rates", "chances"})
      expect_ok(run("train " + name + ".yaml --run " + name));
    write_frames(folder_ / "dry", [](std::int64_t) { return 0.F; });
    write_frames(folder_ / "missing", [](std::int64_t) { return io::kMissing; });
    // Every second frame was lost.
    write_frames(folder_ / "blinking", [](std::int64_t t) { return t % 2 == 0 ? 0.F : io::kMissing; });
  }

  test::Outcome run(const std::string& command) {
    std::istringstream words(command);
    return run_raincell(folder_.path(), {std::istream_iterator<std::string>(words), {}});
  }

  Folder folder_;
};

TEST_F(EmptyScenes, EveryForecasterForecastsNothing) {
  for (const std::string name : {"persistence", "advection", "convlstm", "blend"}) {
    const bool network = name == "convlstm" || name == "blend";
    const std::string with = " --forecaster " + name + (network ? " --model rates/last.safetensors" : "");
    const auto dry = run("nowcast --input dry --output dry.nc --png maps --json" + with);
    expect_ok(dry);
    if (name != "convlstm") {
      EXPECT_EQ(Json::parse(dry.out)["max"], 0.) << name;
    }
    const auto seen = run("inspect dry.nc --json");
    expect_ok(seen);
    EXPECT_TRUE(is_sound(seen.out)) << seen.out;
    const auto missing = run("nowcast --input missing --output missing.nc" + with);
    EXPECT_EQ(missing.code, 4);
    EXPECT_NE(missing.err.find("has no observed pixel"), std::string::npos) << missing.err;
    // The latest frame that was seen, with lost ones before it.
    const auto blinking =
        run("nowcast --input blinking --at 2024-07-01T00:40Z --output blinking.nc --json" + with);
    expect_ok(blinking);
    EXPECT_TRUE(is_sound(blinking.out)) << blinking.out;
  }
  expect_ok(run("nowcast --input dry --output chances.nc --model chances/last.safetensors"));
}

TEST_F(EmptyScenes, ATrainingWithoutAnObservedPixelSaysSoAndOneWithSomeLearnsFromThem) {
  // One pixel that changes, or pack would take them for the frames of a radar that is stuck.
  write_frames(
      folder_ / "speck", [](std::int64_t) { return io::kMissing; },
      [](std::int64_t t) { return static_cast<float>(t); });
  expect_ok(run("pack speck --output missing.nc"));
  const auto nothing = run("train rates.yaml --run nothing --set data.archive=missing.nc");
  EXPECT_EQ(nothing.code, 3);
  EXPECT_NE(nothing.err.find("no sample has a pixel that could be compared"), std::string::npos)
      << nothing.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "nothing/last.safetensors"));
  const auto some =
      run("train rates.yaml --run some --set data.archive=[missing.nc,archive.nc] --set training.steps=30 "
          "--set data.rain_weighting=0");
  expect_ok(some);
  const std::string metrics = test::read_text(folder_ / "some/metrics.jsonl");
  std::istringstream lines(metrics);
  Json last;
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line);
    if (json.contains("empty")) last = json;
  }
  EXPECT_GT(last["empty"], 0);
  EXPECT_LT(last["empty"], 30);
  EXPECT_EQ(last["skipped"], 0);
  EXPECT_TRUE(last["loss"].is_number()) << metrics;
  EXPECT_NE(some.err.find("updates had no valid pixel"), std::string::npos) << some.err;
}

TEST_F(EmptyScenes, EveryScoreIsANumberOrNull) {
  for (const std::string scene : {"dry", "missing", "blinking"}) {
    for (const std::string model : {"rates", "chances"}) {
      for (const std::string protocol : {"default", "hko7"}) {
        const auto outcome =
            run("verify --input " + scene + " --from 2024-07-01T00:00Z --to 2024-07-01T00:45Z --protocol " +
                protocol + " --model " + model + "/last.safetensors --json - --report report.html");
        expect_ok(outcome);
        EXPECT_TRUE(is_sound(outcome.out)) << outcome.out;
        const Json scores = Json::parse(outcome.out);
        EXPECT_EQ(scores["cases"], 5);
        for (const auto& row : scores["scores"]) {
          EXPECT_TRUE(row["pod"].is_null());  // no event was observed
          if (scene == "missing") {
            EXPECT_EQ(row["correct_negatives"], 0);
          }
        }
        for (const auto& row : scores["continuous"]) {
          EXPECT_EQ(row["mse"].is_null(), row["pixels"] == 0) << row;
          if (row["forecaster"] != "convlstm" && row["pixels"] != 0) {
            EXPECT_EQ(row["mse"], 0.) << row;
          }
          if (scene == "dry") {
            EXPECT_EQ(row["pixels"], 5 * 48 * 40);
          } else if (scene == "missing") {
            EXPECT_EQ(row["pixels"], 0);
          }
        }
        EXPECT_EQ(test::read_text(folder_ / "report.html").find(">nan<"), std::string::npos);
      }
    }
  }
}

}  // namespace
