// The whole network's gradients in double against central differences, for every kind of network.
#include <gtest/gtest.h>

#include "kernels/backend.hpp"
#include "model_support.hpp"

namespace raincell::model::testing {
namespace {

using kernels::CellKind;
using kernels::Peephole;

/// Two stages without resampling on 1-channel frames, T = 2, T' = 3: small enough to differentiate by hand.
ModelSpec small_spec() {
  ModelSpec spec;
  spec.stages = {{std::nullopt, {2, 3, 3}, std::nullopt}, {std::nullopt, {3, 1, 3}, std::nullopt}};
  spec.past = 2;
  spec.future = 3;
  return spec;
}

void expect_right(const ModelSpec& spec, NetworkPlan plan, const std::string& name,
                  std::span<const float> teacher = {}) {
  SCOPED_TRACE(name);
  const auto found = problems(spec);
  ASSERT_TRUE(found.empty()) << found.front();
  const auto backend = kernels::make_backend("reference", {});
  Network network(spec, *backend, 7);
  plan.training = true;
  network.plan(plan);
  kernels::LossSpec loss;
  loss.kind = spec.logits() ? kernels::LossKind::bce : kernels::LossKind::mse;
  for (std::int64_t lead = 0; lead < spec.future; ++lead)
    loss.lead_weights.push_back(1.F + 0.25F * float(lead));
  network.set_loss(loss);
  network.set_teacher(teacher);
  stir(network);
  const GradientCheck result = check_gradients(network, RandomBatch(spec, plan), 4);
  EXPECT_EQ(result.failures, "");
  EXPECT_GT(result.points, 10);
  EXPECT_LE(result.left_out * 20, result.points) << "more than 5 % of the points lie at a kink";
}

struct Kind {
  CellKind cell;
  ForecasterKind forecaster;
  Feed feed;
};

class NetworkGradient : public ::testing::TestWithParam<Kind> {};

TEST_P(NetworkGradient, EveryHeadAndPeephole) {
  const auto [cell, forecaster, feed] = GetParam();
  for (const HeadInput head : {HeadInput::last, HeadInput::all}) {
    for (const Peephole peephole : {Peephole::none, Peephole::per_channel}) {
      if (peephole == Peephole::per_channel && cell != CellKind::convlstm) continue;
      ModelSpec spec = small_spec();
      spec.cell = cell;
      spec.forecaster = forecaster;
      spec.feed = feed;
      spec.head_input = head;
      spec.peephole = peephole;
      spec.mask_channel = forecaster == ForecasterKind::shared;
      expect_right(spec, {.batch = 2, .height = 4, .width = 3},
                   head == HeadInput::all ? "head over all states" : "head over the last state");
    }
  }
}

TEST_P(NetworkGradient, WithStridesBothSidesOfARecurrentLayer) {
  const auto [cell, forecaster, feed] = GetParam();
  ModelSpec spec = small_spec();
  spec.cell = cell;
  spec.forecaster = forecaster;
  spec.feed = feed;
  spec.mask_channel = true;
  spec.stages[0].down = SamplingConv{2, 3, 2, 1, true};
  spec.stages[1].down = SamplingConv{3, 3, 2, 1, false};
  spec.head = {SamplingConv{2, 3, 1, 1, true}};
  expect_right(spec, {.batch = 1, .height = 7, .width = 8}, "strides 2 and 2 on 7x8");
}

std::vector<Kind> all_kinds() {
  std::vector<Kind> kinds;
  for (const CellKind cell : {CellKind::convlstm, CellKind::convgru, CellKind::rnn})
    for (const ForecasterKind forecaster :
         {ForecasterKind::mirrored, ForecasterKind::same_order, ForecasterKind::shared})
      for (const Feed feed : {Feed::none, Feed::previous, Feed::advection})
        kinds.push_back({cell, forecaster, feed});
  return kinds;
}

std::string name_of(const ::testing::TestParamInfo<Kind>& info) {
  const char* const cells[] = {"convlstm", "convgru", "rnn"};
  const char* const forecasters[] = {"mirrored", "same_order", "shared"};
  const char* const feeds[] = {"none", "previous", "advection"};
  return std::string(cells[int(info.param.cell)]) + "_" + forecasters[int(info.param.forecaster)] + "_" +
         feeds[int(info.param.feed)];
}

INSTANTIATE_TEST_SUITE_P(Kinds, NetworkGradient, ::testing::ValuesIn(all_kinds()), name_of);

TEST(NetworkGradientOptions, Patches) {
  ModelSpec spec = small_spec();
  spec.patch = 2;
  spec.channels = 2;
  expect_right(spec, {.batch = 2, .height = 5, .width = 6}, "patches of 2, two channels");
}

TEST(NetworkGradientOptions, Flatten) {
  ModelSpec spec = small_spec();
  for (Stage& stage : spec.stages) stage.layer.input_kernel = stage.layer.state_kernel = 1;
  spec.flatten = true;
  spec.flatten_pixels = 6;
  spec.peephole = Peephole::per_channel;
  expect_right(spec, {.batch = 2, .height = 2, .width = 3}, "fully connected LSTM");
}

TEST(NetworkGradientOptions, WithoutBias) {
  ModelSpec spec = small_spec();
  spec.bias = spec.head_bias = false;
  expect_right(spec, {.batch = 1, .height = 3, .width = 3}, "no bias");
}

TEST(NetworkGradientOptions, HeadThatSeesTheGuide) {
  ModelSpec spec = small_spec();
  spec.feed = Feed::advection;
  spec.head_skip = true;
  for (const ForecasterKind kind : {ForecasterKind::mirrored, ForecasterKind::same_order}) {
    spec.forecaster = kind;
    for (const HeadInput head : {HeadInput::last, HeadInput::all}) {
      spec.head_input = head;
      spec.head = {SamplingConv{2, 3, 1, 1, true}};
      expect_right(spec, {.batch = 2, .height = 3, .width = 4}, "a convolution over states and guide");
      spec.head.clear();
      expect_right(spec, {.batch = 2, .height = 3, .width = 4}, "the output straight from states and guide");
    }
  }
}

TEST(NetworkGradientOptions, ForecasterThatSeesTheTendency) {
  ModelSpec spec = small_spec();
  spec.feed = Feed::advection;
  spec.tendency = true;
  for (const ForecasterKind kind : {ForecasterKind::mirrored, ForecasterKind::same_order}) {
    spec.forecaster = kind;
    expect_right(spec, {.batch = 2, .height = 3, .width = 4}, "guide, mask and tendency");
  }
}

TEST(NetworkGradientOptions, Exceedance) {
  ModelSpec spec = small_spec();
  spec.thresholds = {0.5, 2.};
  spec.feed = Feed::advection;
  expect_right(spec, {.batch = 2, .height = 3, .width = 4}, "two thresholds, guided");
}

TEST(NetworkGradientOptions, SigmoidOutput) {
  ModelSpec spec = small_spec();
  spec.output = OutputKind::sigmoid;
  spec.patch = 2;
  for (const Feed feed : {Feed::none, Feed::advection}) {
    spec.feed = feed;
    expect_right(spec, {.batch = 2, .height = 5, .width = 4}, "intensities by cross-entropy");
  }
}

TEST(NetworkGradientOptions, ScheduledSampling) {
  const std::vector<float> weights = {0.F,  1.F,   0.F,
                                      0.5F, 0.25F, 0.75F};  // [N,T']; those of lead 0 are unused
  for (const ForecasterKind kind :
       {ForecasterKind::mirrored, ForecasterKind::same_order, ForecasterKind::shared}) {
    ModelSpec spec = small_spec();
    spec.forecaster = kind;
    spec.feed = Feed::previous;
    spec.mask_channel = true;
    expect_right(spec, {.batch = 2, .height = 3, .width = 4}, "mixed with the truth", weights);
  }
}

TEST(NetworkGradientOptions, PredictingTheInput) {
  ModelSpec spec = small_spec();
  spec.forecaster = ForecasterKind::shared;
  spec.feed = Feed::previous;
  for (const HeadInput head : {HeadInput::last, HeadInput::all}) {
    spec.head_input = head;
    expect_right(spec, {.batch = 2, .height = 3, .width = 4, .training = true, .predict_input = true},
                 "openstl style");
  }
}

TEST(NetworkGradientOptions, OneStep) {
  ModelSpec spec = small_spec();
  spec.past = spec.future = 1;
  for (const ForecasterKind kind :
       {ForecasterKind::mirrored, ForecasterKind::same_order, ForecasterKind::shared}) {
    spec.forecaster = kind;
    spec.feed = kind == ForecasterKind::mirrored ? Feed::none : Feed::previous;
    const auto backend = kernels::make_backend("reference", {});
    Network network(spec, *backend, 7);
    NetworkPlan plan{.batch = 1, .height = 3, .width = 3, .training = true};
    network.plan(plan);
    // A shared stack that never has a state before it gives its recurrent weights no gradient: the rest must
    // fit.
    const GradientCheck result = check_gradients(network, RandomBatch(spec, plan), 3);
    for (std::size_t at = 0; at < result.failures.size();) {
      const std::size_t end = result.failures.find('\n', at);
      EXPECT_NE(result.failures.substr(at, end - at).find("state.weight: gradient is zero"),
                std::string::npos)
          << result.failures.substr(at, end - at);
      at = end + 1;
    }
  }
}

}  // namespace
}  // namespace raincell::model::testing
