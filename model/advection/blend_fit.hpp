// Weights of a blend, fitted to forecasts and what came of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/advection/blend.hpp"

namespace raincell::model {

/// Tries for each lead and rain rate of the usual weights what shares of advected frame and mean make the
/// amounts from this rate on fall where they should: the largest critical success index.
class BlendFit {
 public:
  BlendFit();
  /// Parts of a blend (Blend::parts) and the truth, all [pixels]. Leads count that lie nearest to one of the
  /// weights' among those every `step_minutes`; others change nothing.
  void add(std::int64_t lead, double step_minutes, const BlendParts&, std::span<const float> rain,
           std::span<const float> truth);
  /// The usual weights, except where another one is better by more than what is left to chance. The heaviest
  /// amounts stay as usual, in the cells of the advected frame: what small scales there are hangs on them.
  BlendWeights fit() const;

 private:
  struct Counts {
    std::int64_t hits = 0, misses = 0, false_alarms = 0;
    double csi() const;  // NaN without support
  };
  BlendWeights usual_ = BlendWeights::usual();
  std::vector<Counts> counts_;  // [node, rate, shares tried]
};

}  // namespace raincell::model
