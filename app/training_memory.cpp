#include "app/training_memory.hpp"

namespace raincell::app {

std::int64_t batch_bytes(const Config& config, std::int64_t rows, std::int64_t columns) {
  const bool guided = config.model.feed == model::Feed::advection;
  const std::int64_t frames = 2 * (config.model.past + config.model.future) +
                              (guided ? 2 + (config.model.tendency ? 1 : 0) : 0) * config.model.future;
  return config.training.batch * frames * config.model.channels * rows * columns * 4;
}

model::PlanBytes training_bytes(const Config& config, kernels::Backend& backend, std::int64_t rows,
                                std::int64_t columns) {
  const int blocks = config.training.ema > 0. ? 5 : 4;  // values, gradients, two moments, average
  const model::NetworkPlan plan{
      .batch = config.training.batch, .height = rows, .width = columns, .training = true};
  model::PlanBytes bytes = model::Network::predict_bytes(config.model, backend, plan, blocks);
  bytes.host += static_cast<std::size_t>((config.data.prefetch + 1) * batch_bytes(config, rows, columns));
  return bytes;
}

}  // namespace raincell::app
