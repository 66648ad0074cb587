// Work that a backend keeps and replays gives what it gave when it was asked for piece by piece.
#include <gtest/gtest.h>

#include "model/trainer.hpp"
#include "model_support.hpp"
#include "tests/kernels/backends.hpp"

namespace raincell::model::testing {
namespace {

class Replays : public test::OnEveryBackend {
 protected:
  /// Of values around one, through a few layers and steps.
  double tolerance() const { return 10 * GetParam().tolerance; }
};

TEST_P(Replays, ForecastsOfAnyLength) {
  const auto reference = kernels::make_backend("reference", {});
  for (ModelSpec spec : every_kind()) {
    SCOPED_TRACE(to_text(spec));
    const NetworkPlan plan{.batch = 2, .height = 7, .width = 9};
    Network ours(spec, *backend_, 5), theirs(spec, *reference, 5);
    const std::int64_t future = spec.future;
    for (Network* network : {&ours, &theirs}) {
      stir(*network);
      network->plan(plan);
    }
    // The same lengths again, in between others, with other frames and other parameters.
    for (const std::int64_t leads :
         {future, future, 2 * future + 1, future, future, 2 * future + 1, 2 * future + 1, std::int64_t{1}}) {
      spec.future = leads;
      const RandomBatch batch(spec, plan, static_cast<std::uint64_t>(leads));
      std::vector<float> out(static_cast<std::size_t>(plan.batch * leads * plan.height * plan.width)),
          expected(out.size());
      for (Network* network : {&ours, &theirs}) {
        network->parameters().write(0, std::vector<double>(network->parameters().read(0).size(), 0.1));
        network->parameters_changed();
      }
      ours.forecast(batch.view(), leads, out);
      theirs.forecast(batch.view(), leads, expected);
      ASSERT_LT(largest_difference(out, expected), tolerance()) << leads << " leads";
    }
  }
}

/// With the average in use between steps, and scheduled sampling that changes from step to step.
TEST_P(Replays, TrainingWithAverageAndTeacher) {
  const auto reference = kernels::make_backend("reference", {});
  ModelSpec spec = strided(kernels::CellKind::convlstm, ForecasterKind::mirrored, Feed::previous);
  spec.peephole = kernels::Peephole::per_channel;
  const NetworkPlan plan{.batch = 2, .height = 7, .width = 9, .training = true};
  TrainingSpec training;
  training.sampling.kind = SamplingKind::linear;
  training.sampling.start = 1.;
  training.sampling.end = 0.;
  training.sampling.steps = 6;
  training.average_decay = 0.5;
  training.accumulation = 2;
  std::vector<std::vector<double>> losses;
  for (kernels::Backend* backend : {backend_.get(), reference.get()}) {
    Network network(spec, *backend, 5);
    stir(network);
    network.plan(plan);
    Trainer trainer(network, training);
    std::vector<double>& all = losses.emplace_back();
    for (std::uint64_t i = 0; i < 12; ++i) {
      const RandomBatch batch(spec, plan, i);
      trainer.step(batch.view());
      all.push_back(trainer.read_loss().mean);
      if (i % 2 == 0) continue;
      trainer.use_average(i % 4 == 3);  // without the average, only the teacher is another
      network.load(batch.view());
      network.set_teacher({});
      network.forward();
      network.loss(1.F);
      all.push_back(network.read_loss().mean);
      trainer.use_average(false);
    }
  }
  for (std::size_t i = 0; i < losses[1].size(); ++i)
    EXPECT_NEAR(losses[0][i] / losses[1][i], 1., tolerance()) << i;
}

INSTANTIATE_TEST_SUITE_P(Backends, Replays, ::testing::ValuesIn(test::tested_backends()),
                         test::name_of_backend);

}  // namespace
}  // namespace raincell::model::testing
