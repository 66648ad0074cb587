// Training: it learns, every option has an effect, a step allocates and copies nothing, a resumed run ends in
// the same bits, and what is not finite touches nothing.
#include "model/trainer.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "kernels/decorators.hpp"
#include "model/weights.hpp"
#include "model_support.hpp"

namespace raincell::model::testing {
namespace {

using kernels::LossKind;
using kernels::OptimizerKind;

ModelSpec guided() {
  ModelSpec spec;
  spec.feed = Feed::advection;
  spec.stages = {{SamplingConv{3, 3, 2, 1, true}, {4, 3, 3}, std::nullopt},
                 {SamplingConv{4, 3, 2, 1, true}, {5, 3, 3}, std::nullopt}};
  spec.past = 2;
  spec.future = 3;
  return spec;
}

/// A planned network with its trainer and a stream of batches.
struct TrainingRun {
  Network network;
  Trainer trainer;
  NetworkPlan plan;

  TrainingRun(kernels::Backend& backend, const ModelSpec& spec, const TrainingSpec& training,
              std::int64_t size = 8)
      : network(spec, backend, 11),
        trainer((plan_for(network, size), network), training),
        plan(network.planned()) {}

  void steps(std::int64_t first, std::int64_t count) {
    for (std::int64_t i = first; i < first + count; ++i) {
      trainer.step(RandomBatch(network.spec(), plan, static_cast<std::uint64_t>(i)).view());
    }
  }

 private:
  static void plan_for(Network& network, std::int64_t size) {
    network.plan({.batch = 2, .height = size, .width = size, .training = true});
  }
};

std::vector<double> parameters_of(Network& network) {
  std::vector<double> values(static_cast<std::size_t>(network.layout().stored()));
  network.backend().read(network.parameters().values(), std::span<double>(values));
  return values;
}

TEST(Trainer, OverfitsOneSequence) {
  for (const char* name : {"reference-f32", "cpu"}) {
    const auto backend = kernels::make_backend(name, {.threads = 1});
    TrainingSpec training;
    training.optimizer.learning_rate = 1e-2;
    training.optimizer.clip_norm = 1.;
    ModelSpec spec = guided();
    spec.stages[0].layer.hidden = 12;
    Network network(spec, *backend, 11);
    network.plan({.batch = 1, .height = 8, .width = 8, .training = true});
    Trainer trainer(network, training);
    const RandomBatch batch(spec, network.planned());
    trainer.step(batch.view());
    const double first = trainer.read_loss().mean;
    for (int i = 0; i < 300; ++i) trainer.step(batch.view());
    EXPECT_LT(trainer.read_loss().mean, 0.1 * first) << name;
    EXPECT_EQ(trainer.read_skipped(), 0);
  }
}

TEST(Trainer, AStepAllocatesAndCopiesNothing) {
  const auto cpu = kernels::make_backend("cpu", {.threads = 1});
  for (const ModelSpec& spec : {guided(), fed_back()}) {
    kernels::CountingBackend counting(*cpu);
    TrainingSpec training;
    training.accumulation = 2;
    training.average_decay = 0.9;
    training.optimizer.clip_norm = 1.;
    if (spec.feed == Feed::previous) training.sampling.kind = SamplingKind::linear;
    TrainingRun run(counting, spec, training);
    counting.reset();
    counting.arm(true);
    EXPECT_NO_THROW(run.steps(0, 4));
    counting.arm(false);
    const auto& counts = counting.counts();
    EXPECT_EQ(counts.allocations + counts.plans + counts.writes + counts.reads + counts.synchronizations, 0);
    EXPECT_GT(counts.operations, 0);
    EXPECT_EQ(run.trainer.updates(), 2);
  }
}

struct Option {
  const char* name;
  std::function<void(ModelSpec&, TrainingSpec&)> set;
};

/// Each row must change the parameters after three updates on the same batches.
TEST(Trainer, EveryOptionHasAnEffect) {
  const std::vector<Option> options = {
      {"mae", [](ModelSpec&, TrainingSpec& t) { t.loss.kind = LossKind::mae; }},
      {"huber", [](ModelSpec&, TrainingSpec& t) { t.loss.kind = LossKind::huber; }},
      {"mse_rate", [](ModelSpec&, TrainingSpec& t) { t.loss.kind = LossKind::mse_rate; }},
      {"rate_growth",
       [](ModelSpec&, TrainingSpec& t) {
         t.loss.kind = LossKind::mse_rate;
         t.loss.rate_growth = 3.F;
       }},
      {"huber_delta",
       [](ModelSpec&, TrainingSpec& t) {
         t.loss.kind = LossKind::huber;
         t.loss.huber_delta = 0.3F;
       }},
      {"balanced",
       [](ModelSpec&, TrainingSpec& t) {
         t.loss.kind = LossKind::balanced;
         t.loss.class_bounds = {0.3F, 0.6F};
         t.loss.class_weights = {1.F, 2.F, 5.F};
       }},
      {"target_weight", [](ModelSpec&, TrainingSpec& t) { t.loss.target_weight = 4.F; }},
      {"lead_weights",
       [](ModelSpec&, TrainingSpec& t) {
         t.loss.lead_weights = {1.F, 2.F, 3.F};
       }},
      {"learning_rate", [](ModelSpec&, TrainingSpec& t) { t.optimizer.learning_rate = 2e-3; }},
      {"beta1", [](ModelSpec&, TrainingSpec& t) { t.optimizer.beta1 = 0.5; }},
      {"beta2", [](ModelSpec&, TrainingSpec& t) { t.optimizer.beta2 = 0.9; }},
      {"epsilon", [](ModelSpec&, TrainingSpec& t) { t.optimizer.epsilon = 1e-3; }},
      {"weight_decay", [](ModelSpec&, TrainingSpec& t) { t.optimizer.weight_decay = 0.1; }},
      {"adamw",
       [](ModelSpec&, TrainingSpec& t) {
         t.optimizer.kind = OptimizerKind::adamw;
         t.optimizer.weight_decay = 0.1;
       }},
      {"rmsprop", [](ModelSpec&, TrainingSpec& t) { t.optimizer.kind = OptimizerKind::rmsprop; }},
      {"sgd", [](ModelSpec&, TrainingSpec& t) { t.optimizer.kind = OptimizerKind::sgd; }},
      {"sgd without momentum",
       [](ModelSpec&, TrainingSpec& t) {
         t.optimizer.kind = OptimizerKind::sgd;
         t.optimizer.beta1 = 0.;
       }},
      {"clip_norm",
       [](ModelSpec&, TrainingSpec& t) {
         t.optimizer.kind = OptimizerKind::sgd;
         t.optimizer.clip_norm = 1e-3;
       }},
      {"cosine",
       [](ModelSpec&, TrainingSpec& t) {
         t.schedule.kind = ScheduleKind::cosine;
         t.schedule.total_steps = 10;
       }},
      {"cosine with a floor",
       [](ModelSpec&, TrainingSpec& t) {
         t.schedule.kind = ScheduleKind::cosine;
         t.schedule.total_steps = 10;
         t.schedule.final_fraction = 0.5;
       }},
      {"one_cycle",
       [](ModelSpec&, TrainingSpec& t) {
         t.schedule.kind = ScheduleKind::one_cycle;
         t.schedule.total_steps = 10;
       }},
      {"warm-up", [](ModelSpec&, TrainingSpec& t) { t.schedule.warmup_steps = 5; }},
      {"accumulation", [](ModelSpec&, TrainingSpec& t) { t.accumulation = 3; }},
      {"scheduled sampling", [](ModelSpec&, TrainingSpec& t) { t.sampling.kind = SamplingKind::linear; }},
      {"sampling that ends elsewhere",
       [](ModelSpec&, TrainingSpec& t) {
         t.sampling = {SamplingKind::linear, 0.5, 0.5, 1};
       }},
      {"sampling seed",
       [](ModelSpec&, TrainingSpec& t) {
         t.sampling = {SamplingKind::linear, 0.5, 0.5, 1};
         t.seed = 2;
       }},
  };
  const auto backend = kernels::make_backend("reference-f32", {});
  std::map<std::vector<double>, std::string> seen;
  const auto outcome = [&](const Option& option) {
    ModelSpec spec = fed_back();
    TrainingSpec training;
    option.set(spec, training);
    TrainingRun run(*backend, spec, training, 4);
    run.steps(0, 3);
    return parameters_of(run.network);
  };
  seen[outcome({"none", [](ModelSpec&, TrainingSpec&) {}})] = "no option";
  for (const Option& option : options) {
    const auto values = outcome(option);
    const auto twin = seen.find(values);
    EXPECT_TRUE(twin == seen.end()) << option.name << " does the same as " << twin->second;
    seen[values] = option.name;
  }
}

TEST(Trainer, AccumulatesTheWeightedMeanOfItsBatches) {
  const auto backend = kernels::make_backend("reference", {});
  TrainingSpec training;
  training.optimizer.kind = OptimizerKind::sgd;
  training.optimizer.beta1 = 0.;
  training.optimizer.learning_rate = 1.;
  const auto moved = [&](std::vector<std::int64_t> batches, std::int64_t accumulation) {
    training.accumulation = accumulation;
    TrainingRun run(*backend, fed_back(), training, 4);
    auto before = parameters_of(run.network);
    for (const std::int64_t batch : batches) run.steps(batch, 1);
    const auto after = parameters_of(run.network);
    for (std::size_t i = 0; i < before.size(); ++i) before[i] = after[i] - before[i];
    return before;
  };
  const auto one = moved({1}, 1), two = moved({2}, 1), both = moved({1, 2}, 2);
  const auto valid = [&](std::uint64_t seed) {
    const NetworkPlan plan{.batch = 2, .height = 4, .width = 4};
    const RandomBatch batch(fed_back(), plan, seed);
    return static_cast<double>(std::count(batch.future_mask.begin(), batch.future_mask.end(), 1.F));
  };
  const double share = valid(1) / (valid(1) + valid(2));
  ASSERT_NE(share, 0.5);
  for (std::size_t i = 0; i < both.size(); ++i)
    EXPECT_NEAR(both[i], share * one[i] + (1. - share) * two[i], 1e-7);  // shares are single precision
}

/// Both batches, sample after sample.
std::vector<float> joined(std::vector<float> a, const std::vector<float>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(Trainer, UnequalBatchesAccumulateToOneJointBatch) {
  const auto backend = kernels::make_backend("reference", {});
  ModelSpec shared = fed_back();
  shared.forecaster = ForecasterKind::shared;
  for (const bool predict_input : {false, true}) {
    const ModelSpec spec = predict_input ? shared : fed_back();
    const NetworkPlan small{
        .batch = 2, .height = 4, .width = 4, .training = true, .predict_input = predict_input};
    RandomBatch one(spec, small, 1), two(spec, small, 2);
    for (std::size_t i = 0; i < two.future_mask.size(); ++i)
      if (i % 4 != 0) two.future[i] = two.future_mask[i] = 0.F;  // a quarter as much is valid
    for (std::size_t i = 0; i < two.past_mask.size(); i += 2) two.past[i] = two.past_mask[i] = 0.F;
    RandomBatch both = one;
    both.past = joined(one.past, two.past), both.past_mask = joined(one.past_mask, two.past_mask);
    both.future = joined(one.future, two.future), both.future_mask = joined(one.future_mask, two.future_mask);
    const auto after = [&](std::int64_t batch, const std::vector<const RandomBatch*>& batches) {
      TrainingSpec training;
      training.optimizer.kind = OptimizerKind::sgd;
      training.optimizer.learning_rate = 1.;
      training.accumulation = static_cast<std::int64_t>(batches.size());
      Network network(spec, *backend, 11);
      NetworkPlan plan = small;
      plan.batch = batch;
      network.plan(plan);
      Trainer trainer(network, training);
      for (const RandomBatch* each : batches) trainer.step(each->view());
      return parameters_of(network);
    };
    const auto joint = after(4, {&both}), in_turn = after(2, {&one, &two});
    for (std::size_t i = 0; i < joint.size(); ++i) ASSERT_NEAR(in_turn[i], joint[i], 1e-6 * 1e-2) << i;
    RandomBatch nothing = two;
    std::fill(nothing.future_mask.begin(), nothing.future_mask.end(), 0.F);
    if (predict_input) continue;
    EXPECT_EQ(after(2, {&nothing, &one, &nothing}), after(2, {&one}));
  }
}

TEST(Trainer, SkippedUpdatesDoNotCountForAdam) {
  for (const char* name : {"reference-f32", "cpu"}) {
    const auto backend = kernels::make_backend(name, {.threads = 1});
    TrainingRun once(*backend, guided(), {}), after_bad(*backend, guided(), {});
    RandomBatch bad(guided(), once.plan, 3);
    bad.past[7] = std::numeric_limits<float>::quiet_NaN();
    after_bad.trainer.step(bad.view());
    after_bad.steps(1, 2);
    once.steps(1, 2);
    EXPECT_EQ(after_bad.trainer.read_skipped(), 1);
    EXPECT_EQ(parameters_of(after_bad.network), parameters_of(once.network)) << name;
  }
}

/// Its past may hold anything: what cannot be compared to a truth teaches nothing.
RandomBatch without_truth(const ModelSpec& spec, const NetworkPlan& plan) {
  RandomBatch empty(spec, plan, 77);
  std::fill(empty.future_mask.begin(), empty.future_mask.end(), 0.F);
  std::fill(empty.future.begin(), empty.future.end(), 0.F);
  return empty;
}

TEST(Trainer, BatchesWithoutAValidPixelChangeNothing) {
  for (const char* name : {"reference-f32", "cpu"}) {
    const auto backend = kernels::make_backend(name, {.threads = 1});
    TrainingSpec training;  // moments, decay and average would all go on without a gradient
    training.optimizer.kind = OptimizerKind::adamw;
    training.optimizer.weight_decay = 0.1;
    training.average_decay = 0.9;
    TrainingRun with(*backend, guided(), training), without(*backend, guided(), training);
    const RandomBatch empty = without_truth(guided(), with.plan);
    with.steps(0, 2);
    EXPECT_TRUE(with.trainer.step(empty.view()));
    EXPECT_EQ(with.trainer.updates(), 3);
    EXPECT_EQ(with.trainer.empty_updates(), 1);
    EXPECT_EQ(with.trainer.read_gradient_norms(2), std::vector<double>{0.});
    EXPECT_EQ(with.trainer.read_skipped(), 0);
    with.steps(2, 2);
    without.steps(0, 4);
    EXPECT_EQ(parameters_of(with.network), parameters_of(without.network)) << name;
    with.trainer.use_average(true);
    without.trainer.use_average(true);
    // The average's decay grows with the number of updates, so that alone differs a little.
    const auto a = parameters_of(with.network), b = parameters_of(without.network);
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-3);
    EXPECT_EQ(with.trainer.take_mean_loss().batches, 4);
  }
}

TEST(Trainer, TellsTheMeanLossAndTheNormOfEveryUpdateSinceItWasAsked) {
  const auto backend = kernels::make_backend("reference-f32", {});
  TrainingRun run(*backend, guided(), {}), resumed(*backend, guided(), {});
  const auto go = [](TrainingRun& some, std::int64_t first, std::int64_t count, std::vector<double>& losses,
                     std::vector<double>& norms) {
    for (std::int64_t i = first; i < first + count; ++i) {
      some.steps(i, 1);
      losses.push_back(some.trainer.read_loss().mean);
      norms.push_back(some.trainer.read_gradient_norms(some.trainer.updates() - 1).back());
    }
  };
  std::vector<double> losses, norms;
  go(run, 0, 3, losses, norms);
  resumed.trainer.restore(run.trainer.state());  // in the middle of what is averaged
  go(run, 3, 2, losses, norms);
  double mean = 0.;
  for (const double loss : losses) mean += loss / 5.;
  const Trainer::MeanLoss told = run.trainer.take_mean_loss();
  EXPECT_NEAR(told.mean, mean, 1e-6 * mean);
  EXPECT_EQ(told.batches, 5);
  EXPECT_EQ(run.trainer.read_gradient_norms(0), norms);
  EXPECT_EQ(run.trainer.read_gradient_norms(3), (std::vector<double>{norms[3], norms[4]}));
  EXPECT_TRUE(std::isnan(run.trainer.take_mean_loss().mean));
  std::vector<double> others, other_norms;
  go(resumed, 3, 2, others, other_norms);
  EXPECT_EQ(resumed.trainer.take_mean_loss().mean, told.mean);
  const std::int64_t many = Trainer::kNormsKept + 3;
  run.steps(5, many);
  EXPECT_EQ(run.trainer.read_gradient_norms(5).size(), static_cast<std::size_t>(Trainer::kNormsKept));
}

TEST(Trainer, AverageFollowsAndStepsBack) {
  const auto backend = kernels::make_backend("reference", {});
  TrainingSpec training;
  training.average_decay = 0.15;  // below (1 + 1) / (10 + 1), so in force from the first update
  TrainingRun run(*backend, fed_back(), training, 4);
  const auto start = parameters_of(run.network);
  run.steps(0, 1);
  const auto one = parameters_of(run.network);
  run.trainer.use_average(true);
  const auto average = parameters_of(run.network);
  EXPECT_THROW(run.steps(1, 1), std::logic_error);
  run.trainer.use_average(false);
  EXPECT_EQ(parameters_of(run.network), one);
  EXPECT_NE(average, one);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(average[i], 0.15 * start[i] + 0.85 * one[i], 1e-7);
}

TEST(Trainer, NonFiniteTouchesNothingAndIsCounted) {
  for (const char* name : {"reference-f32", "cpu"}) {
    const auto backend = kernels::make_backend(name, {.threads = 1});
    TrainingSpec training;
    training.optimizer.clip_norm = 1.;
    TrainingRun run(*backend, guided(), training);
    run.steps(0, 2);
    const auto before = parameters_of(run.network);
    RandomBatch bad(run.network.spec(), run.plan, 3);
    bad.past[7] = std::numeric_limits<float>::quiet_NaN();
    run.trainer.step(bad.view());
    run.trainer.step(bad.view());
    EXPECT_EQ(parameters_of(run.network), before) << name;
    EXPECT_EQ(run.trainer.read_skipped(), 2) << name;
    run.steps(4, 1);
    const auto after = parameters_of(run.network);
    EXPECT_NE(after, before);
    for (const double value : after) ASSERT_TRUE(std::isfinite(value)) << name;
    EXPECT_EQ(run.trainer.read_skipped(), 2);
  }
}

/// Everything on: average, accumulation in the middle, sampling, plateau, a scaled rate.
TrainingSpec everything() {
  TrainingSpec training;
  training.optimizer.kind = OptimizerKind::adamw;
  training.optimizer.weight_decay = 0.01;
  training.optimizer.clip_norm = 0.5;
  training.schedule.kind = ScheduleKind::plateau;
  training.schedule.patience = 1;
  training.schedule.warmup_steps = 2;
  training.sampling = {SamplingKind::inverse_sigmoid, 1., 0.2, 6};
  training.average_decay = 0.95;
  training.accumulation = 2;
  return training;
}

TEST(Trainer, ResumedRunEndsInTheSameBits) {
  for (const char* name : {"reference", "cpu"}) {
    const auto backend = kernels::make_backend(name, {.threads = 1});
    TrainingRun whole(*backend, fed_back(), everything());
    whole.steps(0, 3);
    whole.trainer.report_validation(1.);
    whole.trainer.report_validation(2.);
    whole.trainer.scale_learning_rate(0.7);
    const auto middle = whole.trainer.state();  // in the middle of an accumulation
    whole.steps(3, 6);

    TrainingRun resumed(*backend, fed_back(), everything());
    resumed.steps(20, 5);  // has been elsewhere
    resumed.trainer.restore(middle);
    EXPECT_EQ(resumed.trainer.state(), middle);
    EXPECT_EQ(resumed.trainer.batches(), 3);
    resumed.steps(3, 6);
    EXPECT_EQ(resumed.trainer.state(), whole.trainer.state()) << name;
    EXPECT_EQ(resumed.trainer.learning_rate(), whole.trainer.learning_rate());
    whole.trainer.use_average(true);
    resumed.trainer.use_average(true);
    EXPECT_EQ(parameters_of(resumed.network), parameters_of(whole.network)) << name << ": the average";
  }
}

TEST(Trainer, RefusesForeignOrDamagedState) {
  const auto backend = kernels::make_backend("reference-f32", {});
  TrainingRun run(*backend, fed_back(), everything(), 4);
  run.steps(0, 1);
  auto state = run.trainer.state();
  const auto before = run.trainer.state();
  ModelSpec wider = fed_back();
  wider.stages[0].layer.hidden = 5;
  TrainingRun other(*backend, wider, everything(), 4);
  EXPECT_THROW(run.trainer.restore(other.trainer.state()), WeightsError);
  TrainingSpec sgd = everything();
  sgd.optimizer.kind = OptimizerKind::sgd;
  TrainingRun lighter(*backend, fed_back(), sgd, 4);
  EXPECT_THROW(run.trainer.restore(lighter.trainer.state()), WeightsError);
  for (const std::size_t kept : {std::size_t{0}, std::size_t{7}, state.size() / 2, state.size() - 1}) {
    EXPECT_THROW(run.trainer.restore(std::span(state).first(kept)), WeightsError) << kept;
  }
  EXPECT_THROW(run.trainer.restore(save_weights(run.network, {})), WeightsError);
  EXPECT_EQ(run.trainer.state(), before);
}

TEST(Trainer, RefusesSettingsThatCannotBe) {
  const auto backend = kernels::make_backend("reference-f32", {});
  const auto message = [&](const std::function<void(TrainingSpec&)>& spoil,
                           const ModelSpec& spec = guided()) -> std::string {
    TrainingSpec training;
    spoil(training);
    try {
      TrainingRun run(*backend, spec, training, 4);
    } catch (const ModelError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message([](TrainingSpec&) {}), "accepted");
  const auto names = [&](const char* key, const std::function<void(TrainingSpec&)>& spoil) {
    EXPECT_TRUE(message(spoil).starts_with(std::string("training.") + key)) << message(spoil);
  };
  names("optimizer.learning_rate", [](TrainingSpec& t) { t.optimizer.learning_rate = std::nan(""); });
  names("optimizer.beta1", [](TrainingSpec& t) { t.optimizer.beta1 = 1.; });
  names("optimizer.beta2", [](TrainingSpec& t) { t.optimizer.beta2 = -1.; });
  names("optimizer.epsilon", [](TrainingSpec& t) { t.optimizer.epsilon = 0.; });
  names("optimizer.weight_decay", [](TrainingSpec& t) { t.optimizer.weight_decay = -1.; });
  names("optimizer.clip_norm", [](TrainingSpec& t) { t.optimizer.clip_norm = -1.; });
  names("accumulation", [](TrainingSpec& t) { t.accumulation = 0; });
  names("average_decay", [](TrainingSpec& t) { t.average_decay = 1.; });
  names("sampling", [](TrainingSpec& t) { t.sampling.kind = SamplingKind::linear; });
  names("loss", [](TrainingSpec& t) { t.loss.kind = LossKind::bce; });
}

// Values by hand.
TEST(Schedule, LearningRates) {
  ScheduleSpec spec;
  EXPECT_EQ(learning_rate_factor(spec, 12345), 1.);
  spec.warmup_steps = 4;
  EXPECT_EQ(learning_rate_factor(spec, 0), 0.25);
  EXPECT_EQ(learning_rate_factor(spec, 3), 1.);
  spec.kind = ScheduleKind::cosine;
  spec.total_steps = 104;
  spec.final_fraction = 0.1;
  EXPECT_NEAR(learning_rate_factor(spec, 4), 1., 1e-12);
  EXPECT_NEAR(learning_rate_factor(spec, 54), 0.55, 1e-12);
  EXPECT_NEAR(learning_rate_factor(spec, 104), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate_factor(spec, 1000), 0.1, 1e-12);
  spec = {};
  spec.kind = ScheduleKind::one_cycle;
  spec.total_steps = 100;
  EXPECT_NEAR(learning_rate_factor(spec, 0), 0.04, 1e-12);
  EXPECT_NEAR(learning_rate_factor(spec, 15), 0.52, 1e-12);
  EXPECT_NEAR(learning_rate_factor(spec, 30), 1., 1e-12);
  EXPECT_NEAR(learning_rate_factor(spec, 65), 0.5, 1e-12);
  EXPECT_NEAR(learning_rate_factor(spec, 100), 0., 1e-12);
}

TEST(Schedule, Plateau) {
  ScheduleSpec spec;
  spec.kind = ScheduleKind::plateau;
  spec.patience = 2;
  spec.final_fraction = 0.3;
  PlateauState state;
  const auto factor_after = [&](double loss) {
    report_validation(spec, state, loss);
    return state.factor;
  };
  EXPECT_EQ(factor_after(1.), 1.);
  EXPECT_EQ(factor_after(0.99999), 1.);  // not better by 1e-4
  EXPECT_EQ(factor_after(std::nan("")), 1.);
  EXPECT_EQ(factor_after(1.2), 0.5);
  EXPECT_EQ(factor_after(0.5), 0.5);
  EXPECT_EQ(factor_after(0.6), 0.5);
  EXPECT_EQ(factor_after(0.6), 0.3);  // 0.25, but no less than the floor
}

TEST(Schedule, ProbabilityOfTheTruth) {
  SamplingSpec spec{SamplingKind::linear, 1., 0.2, 10};
  EXPECT_EQ(truth_probability(spec, 0), 1.);
  EXPECT_NEAR(truth_probability(spec, 5), 0.6, 1e-12);
  EXPECT_NEAR(truth_probability(spec, 99), 0.2, 1e-12);
  spec.kind = SamplingKind::exponential;
  EXPECT_NEAR(truth_probability(spec, 2), 0.2 + 0.8 * std::exp(-1.), 1e-12);
  spec.kind = SamplingKind::inverse_sigmoid;
  EXPECT_NEAR(truth_probability(spec, 5), 0.6, 1e-12);
  spec.kind = SamplingKind::own_output;
  EXPECT_EQ(truth_probability(spec, 0), 0.);
}

}  // namespace
}  // namespace raincell::model::testing
