// Training in other arithmetic follows training in f32 on the CPU: the same batches, the same parameters at
// the start.
#include <gtest/gtest.h>

#include <cmath>

#include "model/safetensors.hpp"
#include "model/trainer.hpp"
#include "model_support.hpp"
#include "tests/kernels/backends.hpp"

namespace raincell::model::testing {
namespace {

constexpr std::int64_t kSize = 12, kSteps = 200;

ModelSpec guided() {
  ModelSpec spec;
  spec.feed = Feed::advection;
  spec.stages = {{SamplingConv{4, 3, 2, 1, true}, {8, 3, 3}, std::nullopt},
                 {SamplingConv{5, 3, 2, 1, true}, {6, 3, 3}, std::nullopt}};
  spec.past = 3;
  spec.future = 3;
  return spec;
}

/// A cell of rain that moves and grows, with a guide that moves but does not grow.
struct GrowingCell : RandomBatch {
  GrowingCell(const ModelSpec& spec, const NetworkPlan& plan, std::uint64_t seed)
      : RandomBatch(spec, plan, seed) {
    draw(spec, plan, seed, 0, spec.past, 0., past, past_mask);
    draw(spec, plan, seed, spec.past, spec.future, 0., future, future_mask);
    draw(spec, plan, seed, spec.past, spec.future, 1., guide, guide_mask);
  }

 private:
  static void draw(const ModelSpec& spec, const NetworkPlan& plan, std::uint64_t seed, std::int64_t first,
                   std::int64_t steps, double frozen, std::vector<float>& values, std::vector<float>& mask) {
    std::size_t at = 0;
    for (std::int64_t n = 0; n < plan.batch; ++n) {
      const auto item = static_cast<std::uint64_t>(n);
      const double row = 3 + 6 * uniform(seed, 21, item), column = 2 + 3 * uniform(seed, 22, item),
                   growth = 0.25 * uniform(seed, 23, item);
      for (std::int64_t t = first; t < first + steps; ++t) {
        const double age = frozen > 0 ? static_cast<double>(spec.past - 1) : static_cast<double>(t);
        for (std::int64_t y = 0; y < plan.height; ++y) {
          for (std::int64_t x = 0; x < plan.width; ++x, ++at) {
            const double dy = static_cast<double>(y) - row, dx = static_cast<double>(x - t) - column;
            values[at] = static_cast<float>((0.3 + growth * age) * std::exp(-(dx * dx + dy * dy) / 4));
            mask[at] = 1;
          }
        }
      }
    }
  }
};

std::vector<double> losses(kernels::Backend& backend, std::uint64_t seed) {
  Network network(guided(), backend, seed);
  network.plan({.batch = 2, .height = kSize, .width = kSize, .training = true});
  TrainingSpec training;
  training.optimizer.learning_rate = 3e-3;
  training.optimizer.clip_norm = 1.;
  Trainer trainer(network, training);
  std::vector<double> all;
  for (std::int64_t i = 0; i < kSteps; ++i) {
    trainer.step(GrowingCell(network.spec(), network.planned(), static_cast<std::uint64_t>(i)).view());
    all.push_back(trainer.read_loss().mean);
  }
  EXPECT_EQ(trainer.read_skipped(), 0);
  return all;
}

double mean_of_last(const std::vector<double>& values, std::size_t count) {
  double sum = 0;
  for (std::size_t i = values.size() - count; i < values.size(); ++i) sum += values[i];
  return sum / static_cast<double>(count);
}

class OtherArithmetic : public test::OnEveryBackend {};

TEST_P(OtherArithmetic, TrainingFollowsTheCpu) {
  const auto cpu = kernels::make_backend("cpu", {.threads = 1});
  const auto backend = deterministic();
  const bool exact = GetParam().precision == kernels::Precision::f32;
  // Trainings from other first weights end up to 6 % apart in bf16, either way (standard deviation 3 %): what
  // would be wrong is a mean that is off.
  const std::uint64_t networks = exact ? 1 : 8;
  double ratios = 0;
  for (std::uint64_t seed = 0; seed < networks; ++seed) {
    const std::vector<double> expected = losses(*cpu, seed), ours = losses(*backend, seed);
    ASSERT_LT(mean_of_last(expected, 20), 0.5 * expected[0]) << "nothing was learnt";
    ratios += mean_of_last(ours, 50) / mean_of_last(expected, 50);
    if (!exact) continue;
    // Rounding grows with every update; the loss of a batch stays the same to a thousandth.
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(ours[i] / expected[i], 1., 1e-3) << "step " << i;
  }
  EXPECT_NEAR(ratios / static_cast<double>(networks), 1., 0.04);  // four standard errors of eight
}

/// bf16 has the range of f32, so there is no scale of the loss: what overflows is skipped, as in f32.
TEST_P(OtherArithmetic, WhatOverflowsTouchesNothingAndIsCounted) {
  const auto backend = deterministic();
  Network network(guided(), *backend, 1);
  network.plan({.batch = 2, .height = kSize, .width = kSize, .training = true});
  TrainingSpec training;
  training.optimizer.clip_norm = 1.;
  Trainer trainer(network, training);
  const auto step = [&](float factor, std::uint64_t seed) {
    GrowingCell batch(network.spec(), network.planned(), seed);
    for (std::vector<float>* values : {&batch.past, &batch.future, &batch.guide})
      for (float& value : *values) {
        value *= factor;
        ASSERT_TRUE(std::isfinite(value));
      }
    trainer.step(batch.view());
  };
  const auto numbers = [&] {  // parameters and moments
    std::vector<double> all;
    for (const WeightTensor& tensor : parse_safetensors(trainer.state()).tensors)
      all.insert(all.end(), tensor.values.begin(), tensor.values.end());
    return all;
  };
  for (std::uint64_t seed = 0; seed < 3; ++seed) step(1.F, seed);
  const std::vector<double> before = numbers();
  for (std::uint64_t seed = 3; seed < 5; ++seed) step(1e38F, seed);
  EXPECT_EQ(numbers(), before);
  EXPECT_EQ(trainer.read_skipped(), 2);
  step(1.F, 5);
  EXPECT_NE(numbers(), before);
  for (const double value : numbers()) ASSERT_TRUE(std::isfinite(value));
  EXPECT_EQ(trainer.read_skipped(), 2);
}

/// Those that are not the cpu in f32 itself, nor the reference, which would take minutes; in one thread,
/// which is fastest for images this small.
std::vector<test::TestedBackend> other_backends() {
  std::vector<test::TestedBackend> others;
  for (test::TestedBackend tested : test::tested_backends()) {
    tested.threads = 1;
    if (tested.backend == std::string("cuda") || tested.precision != kernels::Precision::f32)
      others.push_back(tested);
  }
  return others;
}

INSTANTIATE_TEST_SUITE_P(Backends, OtherArithmetic, ::testing::ValuesIn(other_backends()),
                         test::name_of_backend);

}  // namespace
}  // namespace raincell::model::testing
