// Scores as JSON and as a table for people.
#pragma once

#include <string>

#include "model/verification.hpp"

namespace raincell::app {

/// One object: protocol, cases, scores by threshold, continuous, and what else was scored. NaN becomes null.
std::string verification_json(const model::VerificationResult&);
/// CSI at 1 mm/h (or the first threshold above) and MSE by lead, a column a forecaster.
std::string verification_table(const model::VerificationResult&);

}  // namespace raincell::app
