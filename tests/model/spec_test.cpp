// Parameter counts against the published ones, contradictions, and the text form.
#include "model/spec.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "model/blueprint.hpp"

namespace raincell::model {
namespace {

using kernels::Peephole;

ModelSpec paper(const std::vector<std::int64_t>& hidden, std::int64_t input_kernel,
                std::int64_t state_kernel) {
  ModelSpec spec;
  spec.peephole = Peephole::per_channel;
  spec.patch = 4;
  spec.head_input = HeadInput::all;
  for (const std::int64_t h : hidden)
    spec.stages.push_back({std::nullopt, {h, input_kernel, state_kernel}, std::nullopt});
  return spec;
}

// Shi et al. 2015, table 1.
TEST(ParameterCount, PaperConvLstm) {
  EXPECT_EQ(parameter_count(paper({256}, 5, 5)), 13'524'496);
  EXPECT_EQ(parameter_count(paper({128, 128}, 5, 5)), 10'042'896);
  EXPECT_EQ(parameter_count(paper({128, 64, 64}, 5, 5)), 7'585'296);
  EXPECT_EQ(parameter_count(paper({128, 128}, 9, 1)), 11'550'224);
  EXPECT_EQ(parameter_count(paper({128, 64, 64}, 9, 1)), 8'830'480);
}

TEST(ParameterCount, PaperFullyConnectedLstm) {
  ModelSpec spec = paper({2048, 2048}, 1, 1);
  spec.patch = 1;
  spec.flatten = true;
  spec.flatten_pixels = 4096;
  spec.head_input = HeadInput::last;
  EXPECT_EQ(parameter_count(spec), 142'667'776);
}

ModelSpec openstl() {
  ModelSpec spec;
  spec.patch = 4;
  spec.bias = spec.head_bias = false;
  spec.forecaster = ForecasterKind::shared;
  spec.feed = Feed::previous;
  for (int i = 0; i < 4; ++i) spec.stages.push_back({std::nullopt, {128, 5, 5}, std::nullopt});
  return spec;
}

TEST(ParameterCount, OpenStlMovingMnist) {
  EXPECT_EQ(parameter_count(openstl()), 11'675'648);
}

ModelSpec hko7() {
  ModelSpec spec;
  spec.stages = {{SamplingConv{8, 7, 5, 1, true}, {64, 3, 3}, std::nullopt},
                 {SamplingConv{192, 5, 3, 1, true}, {192, 3, 3}, std::nullopt},
                 {SamplingConv{192, 3, 2, 1, true}, {192, 3, 3}, SamplingConv{192, 4, 2, 1, true}}};
  spec.head = {SamplingConv{8, 3, 1, 1, true}};
  spec.past = 5;
  spec.future = 20;
  return spec;
}

TEST(ParameterCount, Hko7) {
  EXPECT_EQ(parameter_count(hko7()), 11'316'841);
}

ModelSpec ref_train() {
  ModelSpec spec;
  spec.forecaster = ForecasterKind::same_order;
  spec.feed = Feed::previous;
  spec.stages = {{std::nullopt, {64, 5, 5}, std::nullopt},
                 {std::nullopt, {64, 3, 3}, std::nullopt},
                 {std::nullopt, {64, 3, 3}, std::nullopt}};
  return spec;
}

TEST(ParameterCount, ReferenceWorkload) {
  EXPECT_EQ(parameter_count(ref_train()), 2'013'249);
}

// By hand, in GFLOP at batch 16 and 128x128: forward 10,177 and the 1x1 head 0.34 (reference workload's
// table).
TEST(MacsPerForecast, ReferenceWorkload) {
  const double gflop = 2e-9 * 16. * static_cast<double>(macs_per_forecast(ref_train(), 128, 128));
  EXPECT_NEAR(gflop, 10'177. + 2e-9 * 16 * 10 * 128 * 128 * 64, 1.);
}

// Forward, all weight gradients, all data gradients but those of the encoder's frames: 30,499 GFLOP and three
// times the head. That table counts a gradient of the last past frame too, which the forecaster starts from.
TEST(MacsPerStep, ReferenceWorkload) {
  const double gflop = 2e-9 * 16. * static_cast<double>(macs_per_step(ref_train(), 128, 128));
  const double head = 2e-9 * 16 * 10 * 128 * 128 * 64, first_frame = 2e-9 * 16 * 128 * 128 * 256 * 25;
  EXPECT_NEAR(gflop, 30'499. + 3 * head - first_frame, 1.);
}

// 480 -> 96 -> 32 -> 16 and back: every flow of the published network has the published size.
TEST(Blueprint, Hko7SizesComeBack) {
  const Blueprint plan = blueprint(hko7());
  const auto size_of = [](const Graph& graph, int flow) {
    return 480 / graph.flows[std::size_t(flow)].divisor;
  };
  std::vector<std::int64_t> sizes;
  for (const Node& node : plan.encoder.nodes) sizes.push_back(size_of(plan.encoder, node.output));
  for (const Node& node : plan.forecaster.nodes) sizes.push_back(size_of(plan.forecaster, node.output));
  EXPECT_EQ(sizes, (std::vector<std::int64_t>{96, 96, 32, 32, 16, 16, 16, 32, 32, 96, 96, 480, 480, 480}));
}

TEST(SpecText, RoundTrip) {
  ModelSpec spec = hko7();
  spec.cell = kernels::CellKind::convgru;
  spec.sampling_activation = kernels::Activation::tanh;
  spec.sampling_slope = 0.1F;
  spec.feed = Feed::advection;
  spec.thresholds = {0.1, 1., 5.};
  spec.mask_channel = true;
  ModelSpec sigmoid = paper({128, 64, 64}, 5, 5);
  sigmoid.output = OutputKind::sigmoid;
  EXPECT_EQ(parameter_count(sigmoid), 7'585'296);
  for (const ModelSpec& each : {spec, openstl(), paper({128, 64, 64}, 5, 5), ref_train(), sigmoid}) {
    EXPECT_EQ(spec_from_text(to_text(each)), each);
  }
}

TEST(SpecText, RefusesWhatItDoesNotKnow) {
  const auto message = [](const std::string& text) -> std::string {
    try {
      spec_from_text(text);
    } catch (const ModelError& error) {
      return error.what();
    }
    return "nothing";
  };
  EXPECT_NE(message("{\"cel\": 1}").find("model.cel: unknown key"), std::string::npos);
  EXPECT_NE(message("{\"cell\": \"lstm\"}").find("model.cell: unknown value 'lstm'"), std::string::npos);
  EXPECT_NE(message("{\"stages\": [{\"down\": {\"kernel\": \"x\"}}]}").find("model.stages[0].down.kernel"),
            std::string::npos);
  EXPECT_NE(message("[").find("not JSON"), std::string::npos);
  EXPECT_NE(message("{}").find("model.stages"), std::string::npos);
}

struct Contradiction {
  const char* key;
  void (*spoil)(ModelSpec&);
};

TEST(Problems, EachNamesItsKey) {
  const std::vector<Contradiction> table = {
      {"model.stages", [](ModelSpec& s) { s.stages.clear(); }},
      {"model.channels", [](ModelSpec& s) { s.channels = 0; }},
      {"model.patch", [](ModelSpec& s) { s.patch = 0; }},
      {"model.past", [](ModelSpec& s) { s.past = 0; }},
      {"model.future", [](ModelSpec& s) { s.future = -1; }},
      {"model.stages[1].layer.hidden", [](ModelSpec& s) { s.stages[1].layer.hidden = 0; }},
      {"model.stages[1].layer.input_kernel", [](ModelSpec& s) { s.stages[1].layer.input_kernel = 4; }},
      {"model.stages[1].layer.state_kernel", [](ModelSpec& s) { s.stages[1].layer.state_kernel = 0; }},
      {"model.stages[0].down.padding",
       [](ModelSpec& s) {
         s.stages[0].down = SamplingConv{8, 5, 2, 0, true};
       }},
      {"model.stages[0].down.kernel",
       [](ModelSpec& s) {
         s.stages[0].down = SamplingConv{8, 3, 4, 1, true};
       }},
      {"model.stages[0].down.channels",
       [](ModelSpec& s) {
         s.stages[0].down = SamplingConv{0, 3, 2, 1, true};
       }},
      {"model.stages[0].up",
       [](ModelSpec& s) {
         s.stages[0].up = SamplingConv{8, 4, 2, 1, true};
       }},
      {"model.stages[0].up.stride",
       [](ModelSpec& s) {
         s.stages[0].down = SamplingConv{8, 3, 2, 1, true};
         s.stages[0].up = SamplingConv{8, 5, 3, 1, true};
       }},
      {"model.stages[0].up.padding",
       [](ModelSpec& s) {
         s.stages[0].down = SamplingConv{8, 3, 2, 1, true};
         s.stages[0].up = SamplingConv{8, 3, 2, 1, true};
       }},
      {"model.stages[0].down.stride",
       [](ModelSpec& s) {
         s.stages[0].down = SamplingConv{8, 3, 2, 1, true};
         s.head_input = HeadInput::all;
       }},
      {"model.head_kernel", [](ModelSpec& s) { s.head_kernel = 2; }},
      {"model.head[0].stride",
       [](ModelSpec& s) {
         s.head = {SamplingConv{8, 3, 2, 1, true}};
       }},
      {"model.head[0].padding",
       [](ModelSpec& s) {
         s.head = {SamplingConv{8, 3, 1, 0, true}};
       }},
      {"model.head_skip", [](ModelSpec& s) { s.head_skip = true; }},
      {"model.tendency", [](ModelSpec& s) { s.tendency = true; }},
      {"model.tendency",
       [](ModelSpec& s) {
         s.tendency = s.mask_channel = true;
         s.feed = Feed::advection;
         s.forecaster = ForecasterKind::shared;
       }},
      {"model.head_skip",
       [](ModelSpec& s) {
         s.head_skip = s.mask_channel = true;
         s.feed = Feed::advection;
         s.forecaster = ForecasterKind::shared;
       }},
      {"model.flatten_pixels", [](ModelSpec& s) { s.flatten_pixels = 5; }},
      {"model.stages[0].layer.input_kernel",
       [](ModelSpec& s) {
         s.flatten = true;
         s.flatten_pixels = 16;
       }},
      {"model.peephole",
       [](ModelSpec& s) {
         s.cell = kernels::CellKind::rnn;
         s.peephole = Peephole::per_channel;
       }},
      {"model.sampling_slope", [](ModelSpec& s) { s.sampling_slope = -0.5F; }},
      {"model.thresholds[1]",
       [](ModelSpec& s) {
         s.thresholds = {2., 1.};
       }},
      {"model.feed",
       [](ModelSpec& s) {
         s.thresholds = {1.};
         s.feed = Feed::previous;
       }},
      {"model.feed",
       [](ModelSpec& s) {
         s.output = OutputKind::sigmoid;
         s.feed = Feed::previous;
       }},
      {"model.output",
       [](ModelSpec& s) {
         s.output = OutputKind::sigmoid;
         s.thresholds = {1.};
       }},
      {"model.channels",
       [](ModelSpec& s) {
         s.channels = 2;
         s.feed = Feed::advection;
       }},
      {"model.mask_channel",
       [](ModelSpec& s) {
         s.forecaster = ForecasterKind::shared;
         s.feed = Feed::advection;
       }},
  };
  ModelSpec fine;
  fine.stages.resize(2);
  ASSERT_TRUE(problems(fine).empty());
  for (const Contradiction& row : table) {
    ModelSpec spec = fine;
    row.spoil(spec);
    const auto found = problems(spec);
    const bool named = std::any_of(found.begin(), found.end(), [&](const std::string& problem) {
      return problem.starts_with(std::string(row.key) + ": ");
    });
    EXPECT_TRUE(named) << row.key << (found.empty() ? " was accepted" : "; instead: " + found.front());
    EXPECT_THROW(check(spec), ModelError);
  }
}

}  // namespace
}  // namespace raincell::model
