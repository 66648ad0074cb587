// What a trained network's forecasts need beside it, fitted on windows that the training kept back.
#pragma once

#include <filesystem>
#include <functional>

#include "app/config.hpp"
#include "app/log.hpp"
#include "app/training_data.hpp"
#include "kernels/backend.hpp"

namespace raincell::app {

/// Forecasts validation windows with a weights file and writes into it the weights of `blend`, or, of a
/// network for probabilities, their calibration; without validation windows that is done on some to train
/// on, and the usual weights of `blend` stay. Warns when `memory` bytes are too few or the network's output
/// is not finite, and throws Stopped at a signal; the file is left as it is then. `alive` is called before
/// each window.
void fit_on_validation(const std::filesystem::path& weights, const Config&, const TrainingData&,
                       kernels::Backend&, std::int64_t memory, const std::function<void()>& alive, Log&);

}  // namespace raincell::app
