#include "model/spike_guard.hpp"

#include <algorithm>
#include <cmath>

namespace raincell::model {

namespace {

constexpr double kLeastDeviation = 0.2;  // of the logarithm; the losses of easy tasks hardly differ
constexpr double kMostDeviations = 2.;   // of a loss that the slow mean follows: a spike does not hide itself

/// The mean of the first values, then an exponential one over `reach`: by how much it moves.
double step(double off, std::int64_t count, std::int64_t reach) {
  return off / static_cast<double>(std::min(count + 1, reach));
}

}  // namespace

bool observe(const SpikeSpec& spec, SpikeState& state, double loss) {
  if (spec.sigmas <= 0. || !std::isfinite(loss) || loss <= 0.) return false;
  const double value = std::log(loss), deviation = std::max(std::sqrt(state.square), kLeastDeviation);
  const bool judges = state.count >= spec.begins_at;
  state.fast += step(value - state.fast, state.count, spec.fast);
  const bool spike = judges && state.fast > state.slow + spec.sigmas * deviation;
  double off = value - state.slow;
  if (judges) off = std::clamp(off, -kMostDeviations * deviation, kMostDeviations * deviation);
  if (state.count > 0) state.square += step(off * off - state.square, state.count - 1, spec.slow);
  state.slow += step(off, state.count, spec.slow);
  ++state.count;
  return spike;
}

}  // namespace raincell::model
