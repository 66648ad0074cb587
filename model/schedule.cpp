#include "model/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace raincell::model {

namespace {

/// 1 at x = 0, 0 at x = 1.
double cosine_fall(double x) {
  return 0.5 * (1. + std::cos(std::numbers::pi * std::clamp(x, 0., 1.)));
}

double one_cycle(const ScheduleSpec& spec, double at) {
  const double peak = std::clamp(spec.peak_at, 1e-9, 1. - 1e-9);
  if (at < peak) return 1. + (spec.start_fraction - 1.) * cosine_fall(at / peak);
  return spec.final_fraction + (1. - spec.final_fraction) * cosine_fall((at - peak) / (1. - peak));
}

}  // namespace

double learning_rate_factor(const ScheduleSpec& spec, std::int64_t update) {
  const auto step = static_cast<double>(update),
             total = static_cast<double>(std::max<std::int64_t>(1, spec.total_steps));
  if (spec.kind == ScheduleKind::one_cycle) return one_cycle(spec, std::min(1., step / total));
  if (update < spec.warmup_steps) return (step + 1.) / static_cast<double>(spec.warmup_steps);
  if (spec.kind != ScheduleKind::cosine) return 1.;
  const auto warm = static_cast<double>(spec.warmup_steps);
  const double at = (step - warm) / std::max(1., total - warm);
  return spec.final_fraction + (1. - spec.final_fraction) * cosine_fall(at);
}

void report_validation(const ScheduleSpec& spec, PlateauState& state, double loss) {
  if (spec.kind != ScheduleKind::plateau || !std::isfinite(loss)) return;
  const bool better = state.validations == 0 || loss < state.best * (1. - spec.least_improvement);
  ++state.validations;
  if (better) {
    state.best = loss;
    state.without_improvement = 0;
    return;
  }
  if (++state.without_improvement < spec.patience) return;
  state.without_improvement = 0;
  state.factor = std::max(spec.final_fraction, state.factor * spec.factor);
}

double truth_probability(const SamplingSpec& spec, std::int64_t update) {
  const double x =
      std::min(1., static_cast<double>(update) / static_cast<double>(std::max<std::int64_t>(1, spec.steps)));
  double fallen = 0.;  // 1 at the start, 0 at the end
  switch (spec.kind) {
    case SamplingKind::own_output:
      return 0.;
    case SamplingKind::linear:
      fallen = 1. - x;
      break;
    case SamplingKind::exponential:
      fallen = x < 1. ? std::exp(-5. * x) : 0.;
      break;
    case SamplingKind::inverse_sigmoid:
      fallen = x < 1. ? 1. / (1. + std::exp(12. * (x - 0.5))) : 0.;
      break;
  }
  return spec.end + (spec.start - spec.end) * fallen;
}

}  // namespace raincell::model
