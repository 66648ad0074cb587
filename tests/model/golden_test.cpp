// Against PyTorch: outputs, all gradients, ten Adam losses; and ndrplz' stack with imported weights.
// The files are made by tests/golden/make_golden.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "model/trainer.hpp"
#include "model/weights.hpp"
#include "tests/kernels/backends.hpp"

namespace raincell::model {
namespace {

WeightsFile golden(const std::string& name) {
  std::ifstream file(std::string(GOLDEN_DIR) + "/" + name + ".safetensors", std::ios::binary);
  if (!file) throw std::runtime_error("no golden file " + name);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  return parse_safetensors(std::as_bytes(std::span(bytes)));
}

std::vector<float> floats(const WeightsFile& file, const std::string& name) {
  const WeightTensor* tensor = file.find(name);
  if (tensor == nullptr) throw std::runtime_error("no golden tensor " + name);
  return {tensor->values.begin(), tensor->values.end()};
}

/// Largest difference over the largest entry.
template <class A, class B>
double relative_difference(const std::vector<A>& ours, const std::vector<B>& theirs) {
  EXPECT_EQ(ours.size(), theirs.size());
  double largest = 0., difference = 0.;
  for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
    largest = std::max(largest, std::abs(double(theirs[i])));
    difference = std::max(difference, std::abs(double(ours[i]) - double(theirs[i])));
  }
  return difference / largest;
}

/// Batch, model and training settings of a golden file.
struct Golden {
  WeightsFile file;
  ModelSpec spec;
  TrainingSpec training;
  bool predict_input = false;
  std::vector<float> past, past_mask, future, future_mask, guide, guide_mask, tendency;

  explicit Golden(const std::string& name) : file(golden("network_" + name)) {
    spec = spec_from_text(file.metadata.at("model"));
    const auto json = nlohmann::json::parse(file.metadata.at("training"));
    auto& loss = training.loss;
    const std::string kind = json["loss"];
    loss.kind = kind == "mse"     ? kernels::LossKind::mse
                : kind == "huber" ? kernels::LossKind::huber
                : kind == "bce"   ? kernels::LossKind::bce
                                  : kernels::LossKind::balanced;
    loss.huber_delta = json["huber_delta"];
    loss.target_weight = json["target_weight"];
    loss.class_bounds = json["class_bounds"].get<std::vector<float>>();
    loss.class_weights = json["class_weights"].get<std::vector<float>>();
    training.optimizer.clip_norm = json["clip_norm"];
    predict_input = json["predict_input"];
    past = floats(file, "past"), past_mask = floats(file, "past_mask");
    future = floats(file, "future"), future_mask = floats(file, "future_mask");
    guide = floats(file, "guide"), guide_mask = floats(file, "guide_mask");
    if (spec.tendency) tendency = floats(file, "tendency");
  }
  HostBatch batch() const { return {past, past_mask, future, future_mask, guide, guide_mask, tendency, {}}; }
  void load(Network& network) const {
    std::int64_t loaded = 0;
    for (const WeightTensor& tensor : file.tensors) {
      if (!tensor.name.starts_with("value.")) continue;
      const int slice = network.layout().find(tensor.name.substr(6));
      ASSERT_GE(slice, 0) << tensor.name;
      network.parameters().write(slice, tensor.values);
      loaded += static_cast<std::int64_t>(tensor.values.size());
    }
    EXPECT_EQ(loaded, network.layout().count());
    const auto& shape = file.find("past")->shape;
    network.plan({.batch = shape[0],
                  .height = shape[3],
                  .width = shape[4],
                  .training = true,
                  .predict_input = predict_input});
  }
};

class PyTorch : public ::testing::TestWithParam<std::tuple<test::TestedBackend, const char*>> {
 protected:
  void SetUp() override {
    std::string why;
    if ((backend_ = test::open_backend(std::get<0>(GetParam()), why)) == nullptr) GTEST_SKIP() << why;
  }
  std::unique_ptr<kernels::Backend> backend_;
};

/// Of the largest value. Rounded numbers are rounded again in every layer and step.
double tolerance_of(const test::TestedBackend& tested, std::string_view golden) {
  // The errors of many channels even out (0.2 % in the wide network). Sums of few that nearly cancel, as of
  // the gradient of a bias, keep little of a bf16 number's 7 bits.
  if (tested.precision == kernels::Precision::bf16) return golden == "wide" ? 0.01 : 0.15;
  if (tested.precision == kernels::Precision::tf32) return 5 * tested.tolerance;
  return std::string(tested.backend) == "reference" ? 1e-6 : 1e-5;
}

TEST_P(PyTorch, OutputGradientsAndTenLosses) {
  const auto& [tested, case_name] = GetParam();
  kernels::Backend* const backend = backend_.get();
  const Golden golden(case_name);
  Network network(golden.spec, *backend, 1);
  golden.load(network);
  const double tolerance = tolerance_of(tested, case_name);

  network.set_loss(golden.training.loss);
  network.zero_gradients();
  network.load(golden.batch());
  network.forward();
  network.loss(1.F);
  network.backward();
  std::vector<float> output(golden.future.size());
  network.export_forecast(output);
  EXPECT_LT(relative_difference(output, floats(golden.file, "output")), tolerance);
  network.forecast(golden.batch(), golden.spec.future, output);
  EXPECT_LT(relative_difference(output, floats(golden.file, golden.spec.logits() ? "forecast" : "output")),
            tolerance);
  for (int s = 0; s < int(network.layout().slices().size()); ++s) {
    const ParameterSlice& slice = network.layout().slice(s);
    std::vector<double> gradient(std::size_t(slice.shape.elements()));
    backend->read(network.parameters().gradient(s), std::span<double>(gradient));
    const WeightTensor* expected = golden.file.find("gradient." + slice.name);
    ASSERT_NE(expected, nullptr) << slice.name;
    EXPECT_LT(relative_difference(gradient, expected->values), tolerance) << slice.name;
  }

  TrainingSpec training = golden.training;
  training.optimizer.learning_rate = 1e-3;
  Trainer trainer(network, training);
  std::vector<double> losses;
  for (int step = 0; step < 10; ++step) {
    trainer.step(golden.batch());
    losses.push_back(trainer.read_loss().mean);
  }
  const std::vector<float> expected = floats(golden.file, "losses");
  for (std::size_t i = 0; i < losses.size(); ++i)
    EXPECT_NEAR(losses[i] / double(expected[i]), 1., std::max(tolerance, 1e-5)) << i;
}

INSTANTIATE_TEST_SUITE_P(Golden, PyTorch,
                         ::testing::Combine(::testing::ValuesIn(test::tested_backends()),
                                            ::testing::Values("guided", "paper", "trajectory", "shared",
                                                              "fed_back", "sigmoid", "guided_skip",
                                                              "tendency", "wide")),
                         [](const auto& each) {
                           return std::string(std::get<0>(each.param).name) + "_" + std::get<1>(each.param);
                         });

/// Or nothing would compare their gradients with PyTorch's.
TEST(Golden, WideNetworksAreComputedByWinograd) {
  const auto cpu = kernels::make_backend("cpu", {.threads = 1});
  for (const std::int64_t kernel : {3, 5}) {
    const kernels::ConvSpec state{.images = 2,
                                  .channels_in = 16,
                                  .channels_out = 64,
                                  .height = 16,
                                  .width = 16,
                                  .kernel = kernel,
                                  .padding = kernel / 2,
                                  .bias = false};
    EXPECT_NE(cpu->plan_convolution(state, kernels::ConvUse::training)->implementation().find("Winograd"),
              std::string::npos)
        << kernel;
  }
}

TEST(Import, NdrplzStackGivesItsOutputs) {
  WeightsFile file = golden("ndrplz");
  const auto input = floats(file, "input");  // [2,4,2,6,7]
  WeightsFile state_dict;
  for (const WeightTensor& tensor : file.tensors) {
    if (tensor.name.starts_with("cell_list.")) state_dict.tensors.push_back(tensor);
  }
  ImportedWeights imported = import_convlstm_stack(state_dict);
  EXPECT_EQ(imported.spec.channels, 2);
  ASSERT_EQ(imported.spec.stages.size(), 2U);
  EXPECT_EQ(imported.spec.stages[1].layer, (RecurrentLayer{4, 3, 3}));
  imported.spec.past = 4;
  imported.spec.future = 1;
  for (const char* name : {"reference-f32", "cpu"}) {
    const auto backend = kernels::make_backend(name, {.threads = 1});
    Network network(imported.spec, *backend, 1);
    load_imported(network, imported);
    network.plan({.batch = 2, .height = 6, .width = 7, .training = true});
    const std::vector<float> none(2 * 2 * 6 * 7);
    network.load({.past = input, .future = none, .future_mask = none});
    network.forward();
    for (std::size_t stage = 0; stage < 2; ++stage) {
      const Network::EncoderState state = network.read_encoder_state(stage);
      const std::string index = std::to_string(stage);
      EXPECT_LT(relative_difference(state.h, floats(file, "h." + index)), 1e-5) << name;
      EXPECT_LT(relative_difference(state.c, floats(file, "c." + index)), 1e-5) << name;
    }
  }
}

TEST(Import, OpenStlModelGivesItsForecast) {
  const WeightsFile file = golden("openstl");
  WeightsFile state_dict = file;
  state_dict.tensors.resize(file.tensors.size() - 2);  // without frames and forecast
  ImportedWeights imported = import_openstl(state_dict);
  EXPECT_EQ(imported.spec.patch, 2);
  imported.spec.past = 3;
  const auto frames = floats(file, "frames"), expected = floats(file, "forecast");
  for (const char* name : {"reference-f32", "cpu"}) {
    const auto backend = kernels::make_backend(name, {.threads = 1});
    Network network(imported.spec, *backend, 1);
    EXPECT_EQ(network.layout().slices().size(), imported.tensors.size());
    load_imported(network, imported);
    network.plan({.batch = 2, .height = 8, .width = 6});
    std::vector<float> forecast(expected.size());
    network.forecast({.past = frames}, 4, forecast);
    EXPECT_LT(relative_difference(forecast, expected), 1e-5) << name;
  }
  state_dict.tensors.pop_back();
  EXPECT_THROW(import_openstl(state_dict), WeightsError);
  EXPECT_THROW(import_openstl(WeightsFile{}), WeightsError);
}

}  // namespace
}  // namespace raincell::model
