// raincell train as a user does it, on small sizes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>

#include "tests/app/small_run.hpp"

namespace {

using namespace raincell;
using test::expect_ok;
using test::Folder;
using test::make_archive;
using test::run_raincell;
using Json = nlohmann::json;

TEST(Training, SameSeedSameBytesAlsoWhenInterrupted) {
  const Folder folder;
  make_archive(folder, "odim");
  expect_ok(run_raincell(folder.path(), {"train", "small.yaml", "--run", "a", "--threads", "1"}));
  expect_ok(run_raincell(folder.path(), {"train", "small.yaml", "--run", "b", "--threads", "1"}));
  const std::string weights = test::read_text(folder / "a/last.safetensors");
  EXPECT_EQ(weights, test::read_text(folder / "b/last.safetensors"));
  // As after a kill: the newest checkpoint is damaged, the one before is taken, the end is the same.
  std::filesystem::resize_file(test::state_file(folder / "b", 6), 100);
  const auto resumed = run_raincell(folder.path(), {"train", "small.yaml", "--run", "b", "--threads", "1"});
  expect_ok(resumed);
  EXPECT_NE(resumed.err.find("damaged"), std::string::npos);
  EXPECT_NE(resumed.err.find("going on at step 4"), std::string::npos) << resumed.err;
  EXPECT_EQ(weights, test::read_text(folder / "b/last.safetensors"));
  // Another configuration does not continue the run.
  const auto other = run_raincell(folder.path(), {"train", "small.yaml", "--run", "b", "--set", "seed=2"});
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("seed"), std::string::npos);
  EXPECT_EQ(weights, test::read_text(folder / "b/last.safetensors"));
}

/// The tensors of a safetensors file without its header, which carries the options themselves.
std::string tensors_of(const std::filesystem::path& file) {
  const std::string bytes = test::read_text(file);
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  return bytes.substr(sizeof header + header);
}

TEST(Training, ManyArchivesAreSplitByTheTimeOfAllTogether) {
  const test::Folder folder;
  std::filesystem::create_directory(folder / "packs");
  // 12 frames each, an hour apart: 9 windows of 2 + 2 frames an archive.
  for (const std::string hour : {"00", "01", "02"}) {
    expect_ok(run_raincell(folder.path(), {"simulate", "--output", "radar" + hour, "--frames", "12", "--size",
                                           "32x32", "--start", "2024-06-01T" + hour + ":00Z"}));
    expect_ok(run_raincell(folder.path(), {"pack", "radar" + hour, "--output", "packs/" + hour + ".nc"}));
  }
  const auto train = [&](const std::string& archives, const std::string& blocks) {
    test::write_text(folder / "my.yaml",
                     "data: {archive: " + archives +
                         ", past: 2, future: 2, crop: 16x16, validation: 0.34, "
                         "validation_blocks: " +
                         blocks +
                         "}\n"
                         "model: {stages: [{hidden: 4}], feed: none}\ntraining: {steps: 1, batch: 1}\n");
    const auto outcome = run_raincell(folder.path(), {"train", "my.yaml", "--run", "run", "--fresh"});
    expect_ok(outcome);
    return outcome.err;
  };
  // As many archives as blocks: one of the three hours is kept whole.
  const std::string together = train("\"packs/*.nc\"", "3");
  EXPECT_NE(together.find("18 windows to train on, 9 to choose on"), std::string::npos) << together;
  const auto none =
      run_raincell(folder.path(), {"train", "my.yaml", "--run", "run", "--set", "data.archive=no/*.nc"});
  EXPECT_EQ(none.code, 3);
  EXPECT_NE(none.err.find("data.archive: no/*.nc matches no file"), std::string::npos) << none.err;
  // Fewer archives than blocks: a part of each.
  const std::string apart = train("[packs/00.nc, packs/01.nc, packs/02.nc]", "4");
  EXPECT_EQ(apart.find("18 windows to train on, 9 to choose on"), std::string::npos) << apart;
}

TEST(Training, ArchivesOfSeveralStepsNeedAGuideThatKnowsTheirTime) {
  const Folder folder;
  for (const std::string minutes : {"5", "10"}) {
    expect_ok(run_raincell(folder.path(), {"simulate", "--output", "radar" + minutes, "--frames", "14",
                                           "--size", "40x36", "--step", minutes + "min", "--seed", minutes}));
    expect_ok(run_raincell(folder.path(), {"pack", "radar" + minutes, "--output", minutes + ".nc"}));
  }
  test::write_text(folder / "small.yaml", test::kSmallConfig);
  const auto train = [&](const std::string& fading) {
    return run_raincell(
        folder.path(), {"train", "small.yaml", "--run", "run", "--set", "data.archive=[5.nc, 10.nc]", "--set",
                        "advection.fading=" + fading, "--set", "training.steps=2"});
  };
  const auto refused = train("false");
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("10.nc holds frames every 600 s, but 5.nc every 300 s"), std::string::npos)
      << refused.err;
  const auto unguided = run_raincell(
      folder.path(), {"train", "small.yaml", "--run", "none", "--set", "data.archive=[5.nc, 10.nc]", "--set",
                      "advection.fading=true", "--set", "model.feed=none"});
  EXPECT_EQ(unguided.code, 2) << unguided.err;
  expect_ok(train("true"));
  const auto inspected = run_raincell(folder.path(), {"inspect", "run/last.safetensors", "--json"});
  expect_ok(inspected);
  EXPECT_EQ(Json::parse(inspected.out)["step_minutes"], 5.);
  EXPECT_EQ(Json::parse(inspected.out)["longest_step_minutes"], 10.);
  // Good for both, with a word for what is near, and for no step farther away.
  std::set<std::string> said;
  for (const std::string name : {"blend", "convlstm"}) {
    for (const std::string minutes : {"5", "10"}) {
      const std::string product = name + minutes + ".nc";
      expect_ok(run_raincell(folder.path(), {"nowcast", "--model", "run/last.safetensors", "--input",
                                             "radar" + minutes, "--forecaster", name, "--output", product}));
      EXPECT_TRUE(said.insert(test::read_text(folder / product)).second);
    }
  }
  for (const std::string minutes : {"15", "30"}) {
    expect_ok(run_raincell(folder.path(), {"simulate", "--output", "radar" + minutes, "--frames", "6",
                                           "--size", "40x36", "--step", minutes + "min"}));
    const auto other =
        run_raincell(folder.path(), {"nowcast", "--model", "run/last.safetensors", "--input",
                                     "radar" + minutes, "--output", "other" + minutes + ".nc"});
    EXPECT_EQ(other.code, minutes == "15" ? 0 : 7);
    const std::string words =
        "was trained on frames every 5 min to 10 min, and the input has one every " + minutes + " min";
    EXPECT_NE(other.err.find(words), std::string::npos) << other.err;
  }
}

/// Metadata of a weights file.
Json metadata_of(const std::filesystem::path& path) {
  const std::string bytes = test::read_text(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  return Json::parse(bytes.substr(sizeof length, length))["__metadata__"];
}

TEST(Training, FitsBlendAndCalibrationOnWhatItKeptBack) {
  const Folder folder;
  make_archive(folder, "odim");
  const auto train = [&](const char* run, std::vector<std::string> settings) {
    std::vector<std::string> words = {"train", "small.yaml", "--run", run, "--threads", "1"};
    for (const std::string& setting : settings) words.insert(words.end(), {"--set", setting});
    const auto outcome = run_raincell(folder.path(), words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.err;
  };
  train("rates", {});
  const Json blend = Json::parse(metadata_of(folder / "rates/best.safetensors")["blend"].get<std::string>());
  EXPECT_EQ(blend["rates"].size() * blend["lead_minutes"].size(), blend["advected"].size());
  EXPECT_TRUE(metadata_of(folder / "rates/last.safetensors").contains("blend"));
  const auto inspected = run_raincell(folder.path(), {"inspect", "rates/best.safetensors"});
  EXPECT_NE(inspected.out.find("fitted     weights of blend"), std::string::npos) << inspected.out;
  train("alone", {"data.validation=0"});
  EXPECT_FALSE(metadata_of(folder / "alone/best.safetensors").contains("blend"));

  const std::vector<std::string> events = {"model.thresholds=[0.1, 2]", "loss.kind=bce", "training.steps=1"};
  train("events", events);
  const Json calibration =
      Json::parse(metadata_of(folder / "events/best.safetensors")["calibration"].get<std::string>());
  EXPECT_EQ(calibration["lead_minutes"], Json({5., 10., 15.}));
  EXPECT_EQ(calibration["curves"].size(), 2U * 3U);
  std::vector<std::string> without = events;
  without.emplace_back("data.validation=0");
  EXPECT_NE(train("without", without).find("fitted on the training windows"), std::string::npos);

  // The weights of blend that stand in a file are those that are used: all of the advected frame is
  // advection.
  std::string text = test::read_text(folder / "rates/best.safetensors");
  const auto shares = text.find("advected");
  ASSERT_NE(shares, std::string::npos);
  const auto open = text.find('[', shares), close = text.find(']', shares);
  for (auto i = open + 1; i < close; ++i) text[i] = ' ';
  std::string ones;
  for (std::size_t i = 0; i < blend["advected"].size(); ++i) ones += i == 0 ? "1" : ",1";
  ASSERT_LE(ones.size(), close - open - 1);
  text.replace(open + 1, ones.size(), ones);
  const auto extent = text.find("extent");
  const auto from = text.find('[', extent), to = text.find(']', extent);
  for (auto i = from + 1; i < to; ++i)
    if (text[i] != '.' && text[i] != ',' && text[i - 1] == '.') text[i] = '0';
  test::write_text(folder / "advected.safetensors", text);
  const auto forecast = [&](const char* forecaster, const char* weights) {
    expect_ok(
        run_raincell(folder.path(), {"nowcast", "--model", weights, "--input", "radar", "--at",
                                     "2024-06-01T02:00Z", "--forecaster", "blend", "--output", forecaster}));
    return test::read_text(folder / forecaster);
  };
  EXPECT_NE(forecast("fitted.nc", "rates/best.safetensors"), forecast("advected.nc", "advected.safetensors"));

  // What an untrained network says is far from frequencies; calibrated, it agrees with those it was fitted
  // to.
  const auto brier = [&](const std::filesystem::path& weights) {
    const auto verify = run_raincell(
        folder.path(), {"verify", "--model", weights, "--input", "archive.nc", "--from", "2024-06-01T00:00Z",
                        "--to", "2024-06-01T02:25Z", "--forecasters", "convlstm", "--json", "-"});
    EXPECT_EQ(verify.code, 0) << verify.err;
    std::vector<double> scores;
    const Json all = Json::parse(verify.out);
    for (const Json& score : all["probabilities"]) scores.push_back(score["brier"].get<double>());
    return scores;
  };
  const auto calibrated = folder / "without/best.safetensors", own = folder / "own.safetensors";
  std::string bytes = test::read_text(calibrated);
  const auto at = bytes.find("\"calibration\"");
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 13, "\"calibratioX\"");  // a name that says nothing
  test::write_text(own, bytes);
  const std::vector<double> better = brier(calibrated), worse = brier(own);
  ASSERT_EQ(better.size(), 6U);
  for (std::size_t i = 0; i < better.size(); ++i) EXPECT_LT(better[i], 0.9 * worse[i]) << i;
}

TEST(Training, MayStartFromWeights) {
  const Folder folder;
  make_archive(folder, "odim");
  const auto train = [&](const char* run, const std::vector<std::string>& more) {
    std::vector<std::string> words = {"train", "small.yaml", "--run", run, "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return run_raincell(folder.path(), words);
  };
  const auto validation_loss = [&](const char* run) {  // the last that was written
    double loss = NAN;
    for (const Json& values : test::metrics_of(folder / run)) {
      if (values.contains("validation_loss")) loss = values["validation_loss"].get<double>();
    }
    return loss;
  };
  expect_ok(train("first", {"--set", "optimizer.learning_rate=0.02"}));
  const std::vector<std::string> still = {"--set", "optimizer.learning_rate=1e-9", "--set",
                                          "training.steps=1"};
  std::vector<std::string> from = still;
  from.insert(from.end(), {"--start", "first/last.safetensors"});
  expect_ok(train("second", from));
  expect_ok(train("anew", still));
  EXPECT_NEAR(validation_loss("second"), validation_loss("first"), 1e-5 * validation_loss("first"));
  EXPECT_GT(std::abs(validation_loss("anew") - validation_loss("first")), 1e-4 * validation_loss("first"));
  for (const char* setting : {"model.tendency=true", "transform.ceiling_dbz=50"}) {
    std::vector<std::string> other = from;
    other.insert(other.end(), {"--set", setting});
    const auto refused = train("other", other);
    EXPECT_EQ(refused.code, 7) << setting;
    EXPECT_NE(refused.err.find("first/last.safetensors: "), std::string::npos) << refused.err;
    const std::string what = setting == std::string("model.tendency=true")
                                 ? "model.tendency true, theirs false"
                                 : "ceiling=60, and the configuration says";
    EXPECT_NE(refused.err.find(what), std::string::npos) << refused.err;
  }
}

TEST(Training, EverySampleAndHeadOptionReachesTheNetwork) {
  const Folder folder;
  make_archive(folder, "odim");
  std::set<std::string> weights;
  using Options = std::vector<std::string>;
  for (const Options& options :
       {Options{"seed=1"}, Options{"data.flips=true"}, Options{"data.time_reversal=true"},
        Options{"data.rain_scaling=3"}, Options{"data.rain_level=2"}, Options{"data.rain_weighting=0"},
        Options{"loss.kind=mse_rate"}, Options{"loss.texture_weight=1"}, Options{"model.head_skip=true"},
        Options{"advection.fading=true"}, Options{"transform.kind=linear"},
        // The rain of this archive changes by less than the floor of the dbz transform.
        Options{"transform.kind=linear", "model.tendency=true"},
        Options{"transform.kind=linear", "model.tendency=true", "advection.tendency_steps=1"},
        Options{"transform.kind=linear", "model.tendency=true", "advection.tendency_smoothing_km=2"}}) {
    const std::string run = "run" + std::to_string(weights.size());
    std::vector<std::string> train = {"train",     "small.yaml", "--run", run,
                                      "--threads", "1",          "--set", "training.steps=2"};
    for (const std::string& option : options) train.insert(train.end(), {"--set", option});
    expect_ok(run_raincell(folder.path(), train));
    EXPECT_TRUE(weights.insert(tensors_of(folder / (run + "/last.safetensors"))).second) << options.back();
  }
}

TEST(Training, WindowsThatRunBackwardsAreGuidedBackwards) {
  const Folder folder;
  make_archive(folder, "odim");
  // The first loss is that of the guide: as small for rain that moves back as for rain that moves on.
  const auto loss = [&](const std::string& reversal) {
    expect_ok(run_raincell(
        folder.path(), {"train", "small.yaml", "--run", reversal, "--threads", "1", "--set",
                        "data.time_reversal=" + reversal, "--set", "data.validation=0", "--set",
                        "data.rain_weighting=0", "--set", "training.batch=24", "--set", "training.steps=1"}));
    const std::string metrics = test::read_text(folder / (reversal + "/metrics.jsonl"));
    return Json::parse(metrics.substr(0, metrics.find('\n')))["loss"].get<double>();
  };
  const double on = loss("false"), both = loss("true");
  EXPECT_NE(both, on);
  EXPECT_LT(both, 1.5 * on) << on << " " << both;
}

TEST(Training, KilledAtAnyMomentEndsInTheSameBytes) {
  const Folder folder;
  make_archive(folder, "odim");
  std::vector<std::string> train = {"train", "small.yaml",        "--threads", "1",
                                    "--set", "training.steps=30", "--run"};
  train.emplace_back("a");
  expect_ok(run_raincell(folder.path(), train));
  train.back() = "b";
  for (const char* moment : {"step-000000004.json", "step-000000010.json", "step-000000020.json"}) {
    const auto killed = run_raincell(folder.path(), train, {.kill_at = folder / "b/checkpoints" / moment});
    EXPECT_EQ(killed.code, 128 + 9) << killed.err;
  }
  const auto resumed = run_raincell(folder.path(), train);
  expect_ok(resumed);
  EXPECT_NE(resumed.err.find("going on at step"), std::string::npos) << resumed.err;
  for (const char* name : {"last.safetensors", "best.safetensors"}) {
    EXPECT_EQ(test::read_text(folder / "a" / name), test::read_text(folder / "b" / name)) << name;
  }
}

TEST(Training, AClockThatJumpsChangesNothing) {
  if (RAINCELL_IS_SANITIZED) GTEST_SKIP() << "a sanitizer must be the first of the preloaded libraries";
  const Folder folder;
  make_archive(folder, "odim");
  const auto train = [&](const std::string& run, const test::Limits& limits) {
    expect_ok(run_raincell(
        folder.path(), {"train", "small.yaml", "--run", run, "--threads", "1", "--set", "training.steps=30"},
        limits));
    std::string curve;
    for (Json line : test::metrics_of(folder / run)) {
      if (line.contains("samples_per_s")) {
        EXPECT_GT(line["samples_per_s"].get<double>(), 0.);
        EXPECT_LT(line["samples_per_s"].get<double>(), 1e6);
      }
      line.erase("samples_per_s");
      curve += line.dump() + "\n";
    }
    return curve;
  };
  const std::string steady = train("steady", {});
  EXPECT_EQ(train("jumping", {.under = {"env", std::string("LD_PRELOAD=") + CLOCK_FAULT}}), steady);
  EXPECT_TRUE(test::read_text(folder / "jumping/last.safetensors") ==
              test::read_text(folder / "steady/last.safetensors"));
  // It did jump: what is dated is years off.
  const std::string metrics = test::read_text(folder / "jumping/metrics.prom");
  const std::string name = "\nraincell_train_checkpoint_last_success_timestamp_seconds ";
  ASSERT_NE(metrics.find(name), std::string::npos) << metrics;
  const double dated = std::stod(metrics.substr(metrics.find(name) + name.size()));
  EXPECT_GT(std::abs(dated - static_cast<double>(std::time(nullptr))), 300. * 86400.) << metrics;
}

TEST(Training, SaysWhatIsPinned) {
  const Folder folder;
  make_archive(folder, "odim");
  const auto outcome = run_raincell(
      folder.path(), {"train", "small.yaml", "--run", "run", "--threads", "1", "--deterministic"});
  expect_ok(outcome);
  EXPECT_NE(outcome.err.find("deterministic: seed 1, backend"), std::string::npos) << outcome.err;
  const Json environment = Json::parse(test::read_text(folder / "run/env.json"));
  EXPECT_EQ(environment.at("threads"), 1);
  ASSERT_FALSE(environment.at("kernels").empty());
  for (const auto& [convolution, kernels] : environment.at("kernels").items())
    EXPECT_NE(kernels.get<std::string>().find("forward "), std::string::npos) << convolution;

  const auto other = run_raincell(
      folder.path(), {"train", "small.yaml", "--run", "run", "--threads", "2", "--deterministic"});
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("threads (1 -> 2)"), std::string::npos) << other.err;
  const auto said = run_raincell(folder.path(), {"train", "small.yaml", "--run", "run", "--threads", "2"});
  expect_ok(said);
  EXPECT_NE(said.err.find("goes on with other threads (1 -> 2)"), std::string::npos) << said.err;
}

}  // namespace
