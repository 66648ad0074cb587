#include "app/training_memory.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "app/errors.hpp"

namespace raincell::app {

namespace {

constexpr std::int64_t kWholeGrid = 256;  // planned for when the crop is the whole of an unknown grid
constexpr std::int64_t kLargestGuideCache = std::int64_t{16} << 30;

}  // namespace

std::pair<std::int64_t, std::int64_t> planned_size(const Arguments& arguments, const Config& config) {
  if (arguments.has("size")) {
    const auto size = parse_grid_size(arguments.text("size"));
    if (size) return *size;
    throw UsageError(
        fmt::format("--size {}: expected COLUMNSxROWS, for example 700x765", arguments.text("size")));
  }
  if (config.data.crop_rows > 0) return {config.data.crop_columns, config.data.crop_rows};
  return {kWholeGrid, kWholeGrid};
}

std::int64_t batch_bytes(const Config& config, std::int64_t rows, std::int64_t columns) {
  const bool guided = config.model.feed == model::Feed::advection;
  const std::int64_t frames = 2 * (config.model.past + config.model.future) +
                              (guided ? 2 + (config.model.tendency ? 1 : 0) : 0) * config.model.future;
  return config.training.batch * frames * config.model.channels * rows * columns * 4;
}

model::PlanBytes training_bytes(const Config& config, kernels::Backend& backend, std::int64_t rows,
                                std::int64_t columns) {
  const int blocks = config.training.ema > 0. ? 5 : 4;  // values, gradients, two moments, average
  const model::NetworkPlan plan{.batch = config.training.batch,
                                .height = rows,
                                .width = columns,
                                .training = true,
                                .predict_input = config.training.predict_input};
  model::PlanBytes bytes = model::Network::predict_bytes(config.model, backend, plan, blocks);
  bytes.host += static_cast<std::size_t>((config.data.prefetch + 1) * batch_bytes(config, rows, columns));
  return bytes;
}

std::size_t checkpoint_bytes(const Config& config) {
  const bool second = config.optimizer.kind != kernels::OptimizerKind::sgd;
  const std::size_t blocks =
      2 + (second ? 1 : 0) + (config.training.ema > 0. ? 1 : 0) + (config.training.accumulation > 1 ? 1 : 0);
  return blocks * static_cast<std::size_t>(model::parameter_count(config.model)) *
         (sizeof(double) + sizeof(float));
}

std::int64_t guide_cache_bytes(std::int64_t memory_limit, std::size_t taken) {
  const std::int64_t left = memory_limit - static_cast<std::int64_t>(taken);
  return std::max<std::int64_t>(0, std::min({memory_limit / 4, left, kLargestGuideCache}));
}

}  // namespace raincell::app
