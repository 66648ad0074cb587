// Probability matching: the rain of one field, put where others have it most.
#pragma once

#include <functional>
#include <span>

namespace raincell::model {

/// What decides who gets the amounts of `least` or more that no part before it has handed out.
struct RankPart {
  float least;
  std::function<float(std::size_t pixel)> key;  // the larger, the sooner; 0 or less: no rain there
};

/// Hands the rain of `rain` out again, the heaviest amounts first: those of a part go, in their order, to the
/// pixels with the largest keys of that part that have none yet (Ebert 2001 has one part). parts: `least`
/// descending; what is left after the last is not handed out. extent: how many pixels get rain, as a multiple
/// of those that have it; amounts then serve more than one pixel. Amounts stay as they are: radars count in
/// coarse steps, so that 0.998 times an amount may lie below a threshold. out, not `rain` itself: NaN where
/// rain or the last part's key is NaN, 0 where nothing was handed out.
void hand_out_rain(std::span<const float> rain, std::span<const RankPart> parts, double extent,
                   std::span<float> out);

}  // namespace raincell::model
