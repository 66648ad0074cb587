// Divergence that is finite: a loss that leaves its own recent past.
#pragma once

#include <cstdint>

namespace raincell::model {

struct SpikeSpec {
  double sigmas = 4.;           // how far the fast mean of the logarithm may rise above the slow one; 0: off
  std::int64_t fast = 5;        // losses that the fast mean remembers
  std::int64_t slow = 100;      // and the slow one, with their deviation
  std::int64_t begins_at = 50;  // losses before it judges
};

/// What the guard remembers; part of a checkpoint.
struct SpikeState {
  std::int64_t count = 0;                    // of finite, positive losses
  double fast = 0., slow = 0., square = 0.;  // means of the logarithm, and of its squared deviation
  bool operator==(const SpikeState&) const = default;
};

/// Takes one loss in; true when the fast mean lies more than `sigmas` deviations above the slow one, both
/// from before what is judged: Marian's rule for finite divergence, on logarithms, since losses of rain
/// differ by factors. What is not finite or not positive leaves the state as it is: a NaN in a running mean
/// would never leave it and no later spike be seen.
bool observe(const SpikeSpec&, SpikeState&, double loss);

}  // namespace raincell::model
