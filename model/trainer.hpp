// Updates of a network: optimizer, schedules, clipping, accumulation, average, and everything that a resumed
// run needs to end in the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/communicator.hpp"
#include "model/network.hpp"
#include "model/schedule.hpp"

namespace raincell::model {

struct TrainingSpec {
  kernels::LossSpec loss;
  kernels::OptimizerSpec optimizer;  // learning_rate is the schedule's peak; step is set by the trainer
  ScheduleSpec schedule;
  SamplingSpec sampling;          // feed: previous only
  std::int64_t accumulation = 1;  // batches an update, weighted by their valid pixels
  double average_decay = 0.;      // exponential moving average of the parameters; 0: none
  std::uint64_t seed = 1;         // of scheduled sampling
  /// Of several processes: samples of a whole batch, and which of them is this one's first. 0: all are.
  std::int64_t whole_batch = 0, first_sample = 0;
};

/// One training run. The network must be planned for training and outlive the trainer.
class Trainer {
 public:
  /// Throws ModelError naming the key of a setting that cannot be. With a communicator, which must outlive
  /// it as must the group, each process trains on its share of every batch, and all of them hold the same
  /// bits after every update: step(), take_mean_loss(), state() and restore() are then made by all. Gradients
  /// are summed by the group of devices where there is one, over the hosts otherwise.
  Trainer(Network&, const TrainingSpec&, Communicator* = nullptr, kernels::DeviceGroup* = nullptr);

  /// One batch: load, forward, loss, backward; every `accumulation` batches one update. Nothing is allocated
  /// and nothing copied to the host. A non-finite gradient changes nothing and is counted on the device; a
  /// batch without a valid pixel is not computed, and an update of such batches alone changes nothing.
  /// Returns true when an update was due.
  bool step(const HostBatch& batch) {
    load(batch);
    return step_loaded();
  }
  /// The two halves of it: what brings the batch to the device, and what computes with it.
  void load(const HostBatch&);
  bool step_loaded();

  /// Batches and updates so far; the rate and the probability of the truth of the next update.
  std::int64_t batches() const { return batches_; }
  std::int64_t updates() const { return updates_; }
  double learning_rate() const;
  double truth_probability() const { return model::truth_probability(spec_.sampling, updates_); }

  /// Updates that none of their batches had a valid pixel for.
  std::int64_t empty_updates() const { return empty_updates_; }

  // Copies to the host, for logging.
  Network::LossValue read_loss() { return network_.read_loss(); }
  /// Mean loss of the batches with valid pixels since the last call, and their number; NaN when there were
  /// none, or when one was not finite. Part of the state.
  struct MeanLoss {
    double mean = 0.;
    std::int64_t batches = 0;
  };
  MeanLoss take_mean_loss();
  /// Norms of the gradients of updates [first, updates()), before clipping; of the last kNormsKept at most.
  static constexpr std::int64_t kNormsKept = 64;
  std::vector<double> read_gradient_norms(std::int64_t first);
  std::int64_t read_skipped();  // updates skipped because of non-finite gradients

  /// Tells a plateau schedule the validation loss.
  void report_validation(double loss) { model::report_validation(spec_.schedule, plateau_, loss); }
  /// Multiplies all further learning rates; after a roll-back.
  void scale_learning_rate(double factor) { rate_scale_ *= factor; }

  /// True: the network computes with the average of the parameters until false. No effect without an average.
  void use_average(bool);
  bool uses_average() const { return averaged_; }

  /// All that determines the future, as bytes: parameters, moments, average, gradients under accumulation,
  /// counters and schedule.
  std::vector<std::byte> state();
  /// Throws WeightsError when the bytes are damaged or belong to another model; the trainer is then
  /// unchanged.
  void restore(std::span<const std::byte>);

 private:
  struct Block {
    const char* name;
    kernels::View view;
  };
  std::vector<Block> blocks();
  void choose_inputs();
  float take_share();
  kernels::View norm_of_update() { return gradient_squares_.step(updates_ % kNormsKept); }
  void sum_gradients();
  void update();

  Network& network_;
  TrainingSpec spec_;
  Communicator* communicator_;
  kernels::DeviceGroup* devices_;
  std::vector<float> exchanged_;                            // gradients that are summed on the host
  kernels::Tensor first_moment_, second_moment_, average_;  // {1,1,stored,1,1}; the last two may be empty
  kernels::Tensor gradient_squares_;                        // [kNormsKept,1,1,1,1], by number of the update
  kernels::Tensor skipped_, loss_sum_;                      // scalar; {1,1,2,1,1} as Network::loss_sums()
  std::vector<float> truth_weights_;                        // [N,T']
  PlateauState plateau_;
  std::int64_t batches_ = 0, updates_ = 0;
  std::int64_t empty_updates_ = 0, loss_batches_ = 0;
  double own_pixels_ = 0.;          // valid ones, of the loaded share of the batch
  double loaded_pixels_ = 0.;       // of the loaded batch
  double accumulated_pixels_ = 0.;  // valid ones, in the batches since the last update
  double rate_scale_ = 1.;
  bool averaged_ = false;
};

}  // namespace raincell::model
