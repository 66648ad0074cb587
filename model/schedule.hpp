// Learning rates and sampling probabilities as functions of the number of the update.
#pragma once

#include <cstdint>

namespace raincell::model {

enum class ScheduleKind : std::uint8_t { constant, cosine, one_cycle, plateau };

/// Learning rate as a factor of the optimizer's. The first `warmup_steps` updates of every kind but one_cycle
/// rise linearly.
struct ScheduleSpec {
  ScheduleKind kind = ScheduleKind::constant;
  std::int64_t total_steps = 1000;  // cosine, one_cycle
  std::int64_t warmup_steps = 0;
  double final_fraction = 0.;    // cosine, one_cycle: where it ends; plateau: the least
  double start_fraction = 0.04;  // one_cycle: where it starts
  double peak_at = 0.3;          // one_cycle: part of total_steps at which the factor is 1
  double factor = 0.5;           // plateau: multiplies after `patience` validations without improvement
  std::int64_t patience = 3;
  double least_improvement = 1e-4;  // plateau: relative
};

/// The factor at an update, counted from 0; for plateau only its warm-up.
double learning_rate_factor(const ScheduleSpec&, std::int64_t update);

/// What a plateau schedule remembers.
struct PlateauState {
  double factor = 1.;
  double best = 0.;
  std::int64_t validations = 0, without_improvement = 0;
};
void report_validation(const ScheduleSpec&, PlateauState&, double loss);

enum class SamplingKind : std::uint8_t { own_output, linear, exponential, inverse_sigmoid };

/// Scheduled sampling (Bengio et al. 2015): probability that the truth is fed instead of the own output,
/// from `start` to `end` over `steps` updates.
struct SamplingSpec {
  SamplingKind kind = SamplingKind::own_output;
  double start = 1., end = 0.;
  std::int64_t steps = 1000;
};
double truth_probability(const SamplingSpec&, std::int64_t update);

}  // namespace raincell::model
