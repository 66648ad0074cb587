#include "app/network_forecaster.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/compute.hpp"

namespace raincell::app {

namespace {

/// The largest threshold that is exceeded with a probability of at least one half; 0 below the first.
void median_of(const std::vector<double>& thresholds, std::span<const float> probabilities,
               std::span<float> values) {
  const std::size_t pixels = values.size();
  for (std::size_t i = 0; i < pixels; ++i) {
    values[i] = 0.F;
    for (std::size_t k = 0; k < thresholds.size(); ++k) {
      if (probabilities[k * pixels + i] >= 0.5F) values[i] = static_cast<float>(thresholds[k]);
    }
  }
}

}  // namespace

void NetworkForecaster::plan(std::int64_t rows, std::int64_t columns) {
  const model::NetworkPlan wanted{.batch = 1, .height = rows, .width = columns};
  model::Network& network = *model_.network;
  if (network.planned().height == rows && network.planned().width == columns) return;
  const model::PlanBytes bytes = model::Network::predict_bytes(network.spec(), network.backend(), wanted, 1);
  require_memory(static_cast<std::int64_t>(bytes.device + bytes.host), memory_limit_,
                 fmt::format("a forecast of {}x{} pixels", columns, rows),
                 "forecast a smaller domain, allow more with --memory, or use --forecaster advection");
  network.plan(wanted);
}

model::ForecastFrames NetworkForecaster::forecast(const model::PastFrames& past, std::int64_t leads) {
  const WeightsInfo& info = model_.info;
  const std::int64_t needed = info.spec.past, pixels = past.rows * past.columns;
  if (past.frames < needed) {
    throw std::invalid_argument(fmt::format("convlstm needs {} frames and has {}", needed, past.frames));
  }
  plan(past.rows, past.columns);
  const auto newest = past.values.last(static_cast<std::size_t>(needed * pixels));
  std::vector<float> frames(newest.size()), mask(newest.size());  // [T,rows,columns]
  info.transform.to_network(newest, frames, mask);
  model::HostBatch batch;
  batch.past = frames;
  batch.past_mask = mask;
  const auto size = static_cast<std::size_t>(leads * pixels);
  std::vector<float> advected, guide, guide_mask;  // [T',rows,columns]
  if (info.spec.feed == model::Feed::advection) {
    advected.resize(size);
    guide.resize(size);
    guide_mask.resize(size);
    const model::Motion motion =
        model::estimate_motion({needed, past.rows, past.columns, newest}, info.motion);
    model::advect(newest.last(static_cast<std::size_t>(pixels)), motion, leads, 0, 0, past.rows, past.columns,
                  advected);
    info.transform.to_network(advected, guide, guide_mask);
    batch.guide = guide;
    batch.guide_mask = guide_mask;
  }
  const auto channels = static_cast<std::size_t>(info.spec.out_channels());
  std::vector<float> out(size * channels);  // [T',C,rows,columns]
  model_.network->forecast(batch, leads, out);

  model::ForecastFrames result{leads, past.rows, past.columns, std::vector<float>(size), {}, {}};
  if (info.spec.thresholds.empty()) {
    info.transform.to_physical(out, result.values);
  } else {
    result.thresholds = info.spec.thresholds;
    result.probabilities.resize(out.size());  // [thresholds,T',rows,columns]
    const auto plane = static_cast<std::size_t>(pixels);
    for (std::size_t lead = 0; lead < static_cast<std::size_t>(leads); ++lead) {
      const auto frame = std::span(out).subspan(lead * channels * plane, channels * plane);
      for (std::size_t k = 0; k < channels; ++k) {
        std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(k * plane), plane,
                    result.probabilities.begin() + static_cast<std::ptrdiff_t>(k * size + lead * plane));
      }
      median_of(result.thresholds, frame, std::span(result.values).subspan(lead * plane, plane));
    }
  }
  const auto last = newest.last(static_cast<std::size_t>(pixels));
  for (std::size_t i = 0; i < size; ++i) {
    const bool known = !std::isnan(last[i % static_cast<std::size_t>(pixels)]) ||
                       (!advected.empty() && !std::isnan(advected[i]));
    if (known) continue;
    result.values[i] = io::kMissing;
    for (std::size_t k = 0; k < result.thresholds.size(); ++k)
      result.probabilities[k * size + i] = io::kMissing;
  }
  return result;
}

}  // namespace raincell::app
