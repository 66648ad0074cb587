// What a training does when its numbers go wrong.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "model/safetensors.hpp"
#include "tests/app/small_run.hpp"

namespace {

using namespace raincell;
using test::expect_ok;
using test::Folder;
using test::make_archive;
using test::run_raincell;
using test::says;
using Json = nlohmann::json;

class Guards : public testing::Test {
 protected:
  void SetUp() override { make_archive(folder_, "odim"); }
  test::Outcome train(const std::string& run, const std::vector<std::string>& settings,
                      const std::string& program = "") {
    std::vector<std::string> words = {"train", "small.yaml", "--run", run, "--threads", "1"};
    for (const std::string& setting : settings) words.insert(words.end(), {"--set", setting});
    if (!program.empty()) words.insert(words.end(), {"--backend", "cuda"});
    return run_raincell(folder_.path(), words, {.program = program});
  }
  Folder folder_;
};

TEST_F(Guards, RollsBackAndGivesUpWhenItDiverges) {
  for (const char* every : {"2", "5"}) {
    const std::string run = std::string("run") + every;
    const auto outcome =
        train(run, {"optimizer.kind=sgd", "optimizer.learning_rate=100", "optimizer.clip_norm=0",
                    "training.steps=60", std::string("training.checkpoint_every=") + every});
    EXPECT_EQ(outcome.code, 6) << outcome.err;
    EXPECT_TRUE(says(outcome, "learning rate halved") && says(outcome, "after 4 roll-backs") &&
                says(outcome, "optimizer.learning_rate"))
        << outcome.err;
  }
}

/// There is no scale of the loss that could drop: bf16 has the range of f32, so what overflows in it does not
/// come from gradients that are small.
TEST_F(Guards, WhatOverflowsInBf16IsSkippedCountedAndEndsAsInF32) {
  const auto outcome = train("run",
                             {"precision=bf16", "optimizer.kind=sgd", "optimizer.learning_rate=100",
                              "optimizer.clip_norm=0", "training.steps=60", "training.checkpoint_every=5"},
                             RAINCELL_CUDA_ON_HOST);
  EXPECT_EQ(outcome.code, 6) << outcome.err;
  EXPECT_TRUE(says(outcome, "the gradient is not finite, so the update was skipped") &&
              says(outcome, "learning rate halved") && says(outcome, "after 4 roll-backs"))
      << outcome.err;
  EXPECT_FALSE(test::events_of(folder_ / "run", "skipped").empty());
  EXPECT_FALSE(test::events_of(folder_ / "run", "rolled back").empty());
}

/// What the skipped step was computed from: the windows by name, and the values themselves.
TEST_F(Guards, AStepThatIsNotFiniteLeavesItsSamplesBehind) {
  const auto outcome = train("run", {"optimizer.kind=sgd", "optimizer.learning_rate=100",
                                     "optimizer.clip_norm=0", "training.steps=20", "training.accumulation=2",
                                     "training.checkpoint_every=100", "data.validation=0"});
  EXPECT_EQ(outcome.code, 6) << outcome.err;
  std::vector<std::string> names = test::files_below(folder_ / "run/failures");
  ASSERT_EQ(names.size(), 6U);  // three of them, each with its values
  const Json bundle = Json::parse(test::read_text(folder_ / "run/failures" / names[0]));
  EXPECT_TRUE(says(outcome, "its samples are in run/failures/" + names[0])) << outcome.err;
  EXPECT_EQ(bundle["seed"], 1);
  ASSERT_EQ(bundle["batches"].size(), 2U);
  const std::int64_t step = bundle["step"].get<std::int64_t>();
  std::size_t tensors = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    const Json& batch = bundle["batches"][i];
    EXPECT_EQ(batch["batch"], (step - 1) * 2 + static_cast<std::int64_t>(i));
    ASSERT_EQ(batch["samples"].size(), 2U);
    EXPECT_EQ(batch["samples"][0]["archive"], "archive.nc");
    EXPECT_EQ(batch["samples"][0]["crop"][2], 32);
    EXPECT_EQ(batch["values"]["past"]["not_finite"], 0);  // it was the weights
    EXPECT_EQ(batch["values"]["past"]["values"], 2 * 3 * 32 * 32);
    tensors += batch["values"].size();
  }
  const std::string bytes = test::read_text(folder_ / "run/failures" / names[1]);
  const auto values = model::parse_safetensors(std::as_bytes(std::span(bytes.data(), bytes.size())));
  EXPECT_EQ(values.tensors.size(), tensors);
  EXPECT_EQ(values.tensors[0].shape, (std::vector<std::int64_t>{2, 3 * 32 * 32}));
  EXPECT_FALSE(test::events_of(folder_ / "run", "rolled back").empty());
}

/// A rate that rises until the loss runs away, with gradients that stay finite.
TEST_F(Guards, ALossThatRunsAwaySendsTheRunBackStopsItOrIsSaid) {
  const auto runaway = [&](const std::string& action) {
    std::vector<std::string> words = {"train",     "small.yaml", "--run", action,
                                      "--threads", "1",          "--set", "guard.spike=" + action};
    words.insert(words.end(), test::kRunaway.begin(), test::kRunaway.end());
    return run_raincell(folder_.path(), words);
  };
  const auto worst = [&](const std::string& run) {
    double loss = 0.;
    for (const Json& line : test::metrics_of(folder_ / run))
      if (line.contains("loss") && line["loss"].is_number())
        loss = std::max(loss, line["loss"].get<double>());
    return loss;
  };
  const auto ignored = runaway("ignore");
  expect_ok(ignored);
  EXPECT_FALSE(says(ignored, "the loss has risen")) << ignored.err;
  EXPECT_TRUE(test::events_of(folder_ / "ignore", "spike").empty());
  ASSERT_GT(worst("ignore"), 10.);

  const auto warned = runaway("warn");
  expect_ok(warned);
  EXPECT_TRUE(says(warned, "the loss has risen to")) << warned.err;
  EXPECT_EQ(worst("warn"), worst("ignore"));

  const auto stopped = runaway("stop");
  EXPECT_EQ(stopped.code, 6);
  EXPECT_TRUE(says(stopped, "the loss has risen to") && says(stopped, "guard.spike")) << stopped.err;

  const auto back = runaway("roll_back");
  expect_ok(back);
  EXPECT_TRUE(says(back, "learning rate halved")) << back.err;
  ASSERT_FALSE(test::events_of(folder_ / "roll_back", "rolled back").empty());
  const Json event = test::events_of(folder_ / "roll_back", "rolled back")[0];
  EXPECT_LE(event["step"].get<std::int64_t>() + 100, event["from"].get<std::int64_t>() + 50);
  EXPECT_LT(worst("roll_back"), 0.1 * worst("ignore"));
  const std::string state = run_raincell(folder_.path(), {"status", "roll_back"}).out;
  EXPECT_NE(state.find("rolled back at step"), std::string::npos) << state;
}

}  // namespace
