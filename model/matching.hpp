// Probability matching: the distribution of one field on the ranks of another.
#pragma once

#include <span>

namespace raincell::model {

/// Gives `values` the values of `target`, rank by rank over the pixels where both are there: the place of the
/// rain is that of `values`, its amounts are those of `target` (Ebert 2001). A mean forecast is smooth, so that
/// its heavy rain is too weak and its light rain too wide; this undoes it. As many pixels as rain in both
/// fields get rain, the others become 0; NaN stays NaN. Equal values are told apart by their order.
void match_distribution(std::span<float> values, std::span<const float> target);

}  // namespace raincell::model
