// Several ranks train as one: the same curve up to rounding, the same bits on each, from any number to any
// other.
#include <gtest/gtest.h>

#include <barrier>
#include <functional>
#include <memory>
#include <thread>

#include "model/safetensors.hpp"
#include "model/trainer.hpp"
#include "model_support.hpp"

namespace raincell::model::testing {
namespace {

/// Ranks that are threads.
class Threads {
 public:
  explicit Threads(int size)
      : size_(size),
        barrier_(size),
        doubles_(static_cast<std::size_t>(size)),
        floats_(doubles_.size()),
        texts_(doubles_.size()) {}

  class Rank final : public Communicator {
   public:
    Rank(Threads& all, int rank) : all_(all), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return all_.size_; }
    std::string name(int rank) const override { return "rank " + std::to_string(rank); }
    void sum(std::span<double> values) override { sum(values, all_.doubles_); }
    void sum(std::span<float> values) override { sum(values, all_.floats_); }
    std::vector<std::string> gather(const std::string& mine) override {
      all_.texts_[static_cast<std::size_t>(rank_)] = mine;
      all_.barrier_.arrive_and_wait();
      std::vector<std::string> said = all_.texts_;
      all_.barrier_.arrive_and_wait();
      return said;
    }
    void broadcast(std::vector<std::byte>&) override { FAIL() << "the trainer needs none"; }
    void beat() override {}
    void rest() override {}
    void end_all(int) override { std::abort(); }

   private:
    template <class Number>
    void sum(std::span<Number> values, std::vector<std::vector<Number>>& shared) {
      shared[static_cast<std::size_t>(rank_)].assign(values.begin(), values.end());
      all_.barrier_.arrive_and_wait();
      for (std::size_t i = 0; i < values.size(); ++i) {
        double total = 0.;
        for (const auto& of : shared) total += static_cast<double>(of[i]);
        values[i] = static_cast<Number>(total);
      }
      all_.barrier_.arrive_and_wait();
    }
    Threads& all_;
    int rank_;
  };

 private:
  int size_;
  std::barrier<> barrier_;
  std::vector<std::vector<double>> doubles_;
  std::vector<std::vector<float>> floats_;
  std::vector<std::string> texts_;
};

constexpr std::int64_t kBatch = 6, kSize = 8;

TrainingSpec training_of(std::int64_t accumulation) {
  TrainingSpec training;
  training.optimizer.kind = kernels::OptimizerKind::adamw;
  training.optimizer.weight_decay = 0.01;
  training.optimizer.clip_norm = 0.5;
  training.sampling = {SamplingKind::inverse_sigmoid, 1., 0.2, 6};
  training.average_decay = 0.9;
  training.accumulation = accumulation;
  return training;
}

/// Batch i, unevenly observed: the first samples are mostly missing.
RandomBatch whole_batch(std::int64_t i) {
  RandomBatch batch(fed_back(), {.batch = kBatch, .height = kSize, .width = kSize},
                    static_cast<std::uint64_t>(i));
  for (std::size_t k = 0; k < batch.future_mask.size() / 3; ++k)
    if (i % 3 == 0 || k % 5 != 0) batch.future[k] = batch.future_mask[k] = 0.F;
  return batch;
}

std::vector<float> part(const std::vector<float>& all, std::int64_t first, std::int64_t count) {
  const auto each = static_cast<std::int64_t>(all.size()) / kBatch;
  return {all.begin() + first * each, all.begin() + (first + count) * each};
}

struct Outcome {
  std::vector<std::byte> state;  // the same on all ranks, or the test fails
  std::vector<double> losses;
};

/// Updates [first, last) by `ranks` ranks, from a state (empty: from the seed).
Outcome train(int ranks, std::int64_t first, std::int64_t last, const std::vector<std::byte>& from,
              std::int64_t accumulation) {
  Threads all(ranks);
  std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks));
  const auto work = [&](int rank) {
    Threads::Rank communicator(all, rank);
    const auto backend = kernels::make_backend("reference-f32", {});
    Network network(fed_back(), *backend, 11);
    const std::int64_t each = kBatch / ranks, more = kBatch % ranks;
    const std::int64_t mine = each + (rank < more ? 1 : 0),
                       begin = rank * each + std::min<std::int64_t>(rank, more);
    network.plan({.batch = mine, .height = kSize, .width = kSize, .training = true});
    TrainingSpec spec = training_of(accumulation);
    spec.whole_batch = kBatch;
    spec.first_sample = begin;
    Trainer trainer(network, spec, ranks > 1 ? &communicator : nullptr);
    if (!from.empty()) trainer.restore(from);
    Outcome& outcome = outcomes[static_cast<std::size_t>(rank)];
    for (std::int64_t i = first * accumulation; i < last * accumulation; ++i) {
      RandomBatch share = whole_batch(i);
      for (auto* values : {&share.past, &share.past_mask, &share.future, &share.future_mask})
        *values = part(*values, begin, mine);
      // Every other update, so that a state may have some of the sum.
      if (trainer.step(share.view()) && trainer.updates() % 2 == 0)
        outcome.losses.push_back(trainer.take_mean_loss().mean);
    }
    outcome.state = trainer.state();
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(work, rank);
  for (std::thread& thread : threads) thread.join();
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.state, outcomes[0].state);
    EXPECT_EQ(outcome.losses, outcomes[0].losses);
  }
  return outcomes[0];
}

/// Largest difference of the parameters in two states, over their largest value.
double distance(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  const WeightsFile one = parse_safetensors(a), two = parse_safetensors(b);
  double most = 0., largest = 0.;
  for (const WeightTensor& tensor : one.tensors) {
    if (tensor.name.rfind("value.", 0) != 0) continue;
    const WeightTensor* other = two.find(tensor.name);
    for (std::size_t i = 0; i < tensor.values.size(); ++i) {
      most = std::max(most, std::abs(tensor.values[i] - other->values[i]));
      largest = std::max(largest, std::abs(tensor.values[i]));
    }
  }
  return most / largest;
}

TEST(Ranks, TrainAsOneWould) {
  for (const std::int64_t accumulation : {1, 2}) {
    const Outcome one = train(1, 0, 8, {}, accumulation);
    for (const int ranks : {2, 3, 4}) {  // 4: shares of one and two samples
      const Outcome several = train(ranks, 0, 8, {}, accumulation);
      ASSERT_EQ(several.losses.size(), one.losses.size());
      for (std::size_t i = 0; i < one.losses.size(); ++i)
        EXPECT_NEAR(several.losses[i], one.losses[i], 1e-5 * one.losses[i])
            << ranks << " ranks, update " << i;
      EXPECT_LT(distance(several.state, one.state), 1e-4) << ranks;
      EXPECT_EQ(train(ranks, 0, 8, {}, accumulation).state, several.state) << "the same again";
    }
  }
}

TEST(Ranks, GoOnWithAnotherNumber) {
  const Outcome whole = train(1, 0, 9, {}, 2);
  const Outcome two = train(2, 0, 3, {}, 2), one = train(1, 3, 6, two.state, 2),
                three = train(3, 6, 9, one.state, 2);
  EXPECT_LT(distance(three.state, whole.state), 1e-4);
  EXPECT_NEAR(three.losses.back(), whole.losses.back(), 1e-5 * whole.losses.back());
  // The same number ends in the same bits.
  const Outcome interrupted = train(2, 3, 6, two.state, 2);
  EXPECT_EQ(interrupted.state, train(2, 0, 6, {}, 2).state);
}

}  // namespace
}  // namespace raincell::model::testing
