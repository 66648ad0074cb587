// What a training and a forecast will take as processes: peak memory and time, from the sizes of what they
// allocate and from short trials on this machine.
#pragma once

#include <cstdint>
#include <optional>

#include "app/config.hpp"
#include "app/forecast_memory.hpp"
#include "app/training_data.hpp"
#include "kernels/backend.hpp"
#include "model/network.hpp"

namespace raincell::app {

/// A training's archives as its loader sees them.
struct LoaderTrial {
  std::int64_t grid_rows = 0, grid_columns = 0;
  double batch_s = 0., batch_again_s = 0.;  // of one thread, the second time with guides that were kept
  std::size_t process = 0;                  // bytes of the process at its peak, without what is counted below
  std::size_t archives = 0;                 // bytes of all archives, which the training maps
  std::size_t guides = 0;                   // bytes of those that the training will keep
  double guides_kept = 1.;                  // part of all windows whose guide is kept
};

/// Bytes of this process before any work; of configs that are guided with what the advection's code takes.
std::size_t process_bytes(const Config&);

/// Opens the archives of the config and fills a batch, twice; nothing when one of them is not there.
std::optional<LoaderTrial> try_loader(Config, std::int64_t memory_limit);

struct TrainingPrediction {
  model::PlanBytes bytes;  // of the whole process at its peak, mapped archives included
  double compute_s = 0.;   // of a step, once its batch is there
  double step_s = 0.;      // with what loading adds
};
/// `process`: process_bytes().
TrainingPrediction predict_training(const Config&, kernels::Backend&, std::int64_t rows, std::int64_t columns,
                                    const std::optional<LoaderTrial>&, std::size_t process);

/// A nowcast with the config's network on frames of this size; refers to the config.
ForecastWork nowcast_work(const Config&, std::int64_t rows, std::int64_t columns);

/// Of a nowcast that holds everything, on frames of this size, without pictures; the whole process at its
/// peak.
model::PlanBytes predict_nowcast(const Config&, kernels::Backend&, std::int64_t rows, std::int64_t columns,
                                 std::size_t process);

}  // namespace raincell::app
