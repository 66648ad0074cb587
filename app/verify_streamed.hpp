// Verification of domains of which memory holds few frames: forecasts lie in scratch, and one lead after the
// other is scored.
#pragma once

#include <functional>

#include "app/forecasting.hpp"
#include "model/verification.hpp"

namespace raincell::app {

/// model::verify() with the same numbers. cases: indices of `past` frames and the truths after them.
/// `support` is an advection like the one among the forecasters; `begin` is told the case that is next.
model::VerificationResult verify_streamed(model::VerificationSpec,
                                          const std::vector<std::vector<std::int64_t>>& cases,
                                          std::int64_t past, FrameSeries&, Forecasting&,
                                          model::Advection& support,
                                          const std::function<void(std::int64_t)>& begin,
                                          const model::VerificationProgress& progress);

}  // namespace raincell::app
