#include "model/convlstm_forecaster.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace raincell::model {

namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

/// Probabilities [K, leads * pixels] as the highest threshold reached with one half.
std::vector<float> likely_rates(std::span<const float> probabilities, std::span<const double> thresholds) {
  std::vector<float> rates(probabilities.size() / thresholds.size(), 0.F);
  for (std::size_t k = 0; k < thresholds.size(); ++k) {
    for (std::size_t i = 0; i < rates.size(); ++i) {
      if (probabilities[k * rates.size() + i] >= 0.5F) rates[i] = static_cast<float>(thresholds[k]);
    }
  }
  return rates;
}

void require_finite(std::span<const float> values, std::size_t a_lead) {
  const auto wrong =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (wrong == values.end()) return;
  throw NonFiniteForecast(
      "convlstm: the network's output is not finite from lead " +
      std::to_string(static_cast<std::size_t>(wrong - values.begin()) / a_lead + 1) +
      " on; its weights are of no use: take another checkpoint, or train again with a lower learning rate");
}

/// [leads, K, pixels] as [K, leads, pixels].
std::vector<float> by_threshold(std::span<const float> out, std::size_t leads, std::size_t classes) {
  std::vector<float> turned(out.size());
  const std::size_t pixels = out.size() / leads / classes;
  for (std::size_t lead = 0; lead < leads; ++lead) {
    for (std::size_t k = 0; k < classes; ++k) {
      const auto from = out.subspan((lead * classes + k) * pixels, pixels);
      std::copy(from.begin(), from.end(),
                turned.begin() + static_cast<std::ptrdiff_t>((k * leads + lead) * pixels));
    }
  }
  return turned;
}

}  // namespace

ConvLstm::ConvLstm(std::unique_ptr<Network> network, FieldTransform transform, GuideFunction guide)
    : network_(std::move(network)), transform_(std::move(transform)), guide_(std::move(guide)) {
  const ModelSpec& spec = network_->spec();
  if (spec.channels != 1) throw ModelError("model.channels: is not 1; only single fields can be forecast");
  if (spec.feed == Feed::advection && !guide_) {
    throw ModelError("model.feed: advection, but there is no advection to guide the forecast");
  }
}

ForecastFrames ConvLstm::forecast(const PastFrames& past, std::int64_t leads) {
  const ModelSpec& spec = network_->spec();
  if (past.frames < spec.past) {
    throw std::invalid_argument("convlstm needs " + std::to_string(spec.past) + " past frames, there are " +
                                std::to_string(past.frames));
  }
  const auto pixels = static_cast<std::size_t>(past.rows * past.columns),
             steps = static_cast<std::size_t>(leads);
  const PastFrames used{spec.past, past.rows, past.columns,
                        past.values.last(pixels * static_cast<std::size_t>(spec.past))};
  const NetworkPlan& planned = network_->planned();
  const bool fits = network_->is_planned() && !planned.training && planned.batch == 1 &&
                    planned.height == past.rows && planned.width == past.columns;
  if (!fits) {
    network_->plan({.batch = 1, .height = past.rows, .width = past.columns});
  }
  std::vector<float> values(used.values.size()), mask(used.values.size());
  transform_.to_network(used.values, values, mask);
  std::vector<float> guide, guide_mask, tendency;
  if (spec.feed == Feed::advection) {
    GuideFrames frames = guide_(past, leads);
    if (frames.values.size() != pixels * steps || (spec.tendency && frames.tendency.size() != pixels * steps))
      throw std::logic_error("the guide has another size than the forecast");
    guide.resize(frames.values.size());
    guide_mask.resize(frames.values.size());
    transform_.to_network(frames.values, guide, guide_mask);
    if (spec.tendency) {
      tendency = std::move(frames.tendency);
      transform_.change_to_network(tendency);
    }
  }
  std::vector<float> out(pixels * steps * static_cast<std::size_t>(spec.out_channels()));
  network_->forecast({values, mask, {}, {}, guide, guide_mask, tendency, {}}, leads, out);
  require_finite(out, out.size() / steps);  // before the transform, which has no word for it

  ForecastFrames result{leads, past.rows, past.columns, {}, spec.thresholds, {}};
  if (spec.thresholds.empty()) {
    transform_.to_physical(out);
    require_finite(out, pixels);
    result.values = std::move(out);
  } else {
    result.probabilities = by_threshold(out, steps, spec.thresholds.size());
    result.values = likely_rates(result.probabilities, spec.thresholds);
  }
  const auto latest = std::span<const float>(mask).last(pixels);
  for (std::size_t i = 0; i < result.values.size(); ++i) {
    if ((guide_mask.empty() ? latest[i % pixels] : guide_mask[i]) != 0.F) continue;
    for (std::size_t k = 0; k < result.probabilities.size() / result.values.size(); ++k) {
      result.probabilities[k * result.values.size() + i] = kMissing;
    }
    result.values[i] = kMissing;
  }
  return result;
}

}  // namespace raincell::model
