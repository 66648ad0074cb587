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

/// Values from lead `first` on, `a_lead` of them each.
void require_finite(std::span<const float> values, std::size_t a_lead, std::size_t first = 0) {
  const auto wrong =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (wrong == values.end()) return;
  throw NonFiniteForecast(
      "convlstm: the network's output is not finite from lead " +
      std::to_string(first + static_cast<std::size_t>(wrong - values.begin()) / a_lead + 1) +
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

/// Between the frames of a stream and the rows of a banded network.
class StreamedFrames : public FrameExchange {
 public:
  StreamedFrames(Network& network, const FieldTransform& transform, const Calibration& calibration,
                 double step_minutes, PastStream& past, LeadGuide* guide, const LeadSink& sink)
      : network_(network),
        transform_(transform),
        calibration_(calibration),
        step_minutes_(step_minutes),
        past_(past),
        guide_(guide),
        sink_(sink) {
    const auto pixels = static_cast<std::size_t>(past.pixels());
    const std::size_t classes = network.spec().thresholds.size();
    values_.resize(pixels);
    probabilities_.resize(classes * pixels);
    if (guide == nullptr) {
      const auto latest = past.frame(past.frames() - 1);
      missing_.resize(pixels);
      for (std::size_t i = 0; i < pixels; ++i) missing_[i] = std::isnan(latest[i]);
    } else {
      guide_values_.resize(pixels);
      if (network.spec().tendency) guide_tendency_.resize(pixels);
    }
  }

  void past(std::int64_t t, Kind kind, std::int64_t first, std::int64_t rows, std::span<float> to) override {
    give(past_.frame(past_.frames() - network_.spec().past + t).subspan(at(first), at(rows)), kind, to);
  }

  void guide(std::int64_t lead, Kind kind, std::int64_t first, std::int64_t rows,
             std::span<float> to) override {
    if (lead != guided_) guide_->next(guide_values_, guide_tendency_);
    guided_ = lead;
    if (kind == Kind::tendency) {
      std::copy_n(guide_tendency_.begin() + static_cast<std::ptrdiff_t>(at(first)), to.size(), to.begin());
      return transform_.change_to_network(to);
    }
    give(std::span<const float>(guide_values_).subspan(at(first), at(rows)), kind, to);
  }

  void take(std::int64_t lead, std::int64_t first, std::int64_t rows, std::span<const float> from) override {
    std::vector<float>& out = rows_;
    out.assign(from.begin(), from.end());
    network_.from_logits(out);
    const auto lead_index = static_cast<std::size_t>(lead);
    require_finite(out, out.size(), lead_index);
    const std::size_t begin = at(first), count = at(rows), pixels = values_.size();
    const auto values = std::span(values_).subspan(begin, count);
    const std::vector<double>& thresholds = network_.spec().thresholds;
    if (thresholds.empty()) {
      transform_.to_physical(out);
      require_finite(out, out.size(), lead_index);
      std::copy(out.begin(), out.end(), values.begin());
    } else {
      calibration_.apply(out, step_minutes_ * static_cast<double>(lead + 1));
      for (std::size_t k = 0; k < thresholds.size(); ++k)
        std::copy_n(out.begin() + static_cast<std::ptrdiff_t>(k * count), count,
                    probabilities_.begin() + static_cast<std::ptrdiff_t>(k * pixels + begin));
      const std::vector<float> likely = likely_rates(out, thresholds);
      std::copy(likely.begin(), likely.end(), values.begin());
    }
    for (std::size_t i = begin; i < begin + count; ++i) {
      if (guide_ == nullptr ? !missing_[i] : !std::isnan(guide_values_[i])) continue;
      for (std::size_t k = 0; k < thresholds.size(); ++k) probabilities_[k * pixels + i] = kMissing;
      values_[i] = kMissing;
    }
    if (begin + count == pixels) sink_(lead, values_, probabilities_);
  }

 private:
  std::size_t at(std::int64_t rows) const { return static_cast<std::size_t>(rows * past_.columns()); }
  void give(std::span<const float> physical, Kind kind, std::span<float> to) {
    rows_.resize(to.size());
    if (kind == Kind::values) {
      transform_.to_network(physical, to, rows_);
    } else {
      transform_.to_network(physical, rows_, to);
    }
  }

  Network& network_;
  const FieldTransform& transform_;
  const Calibration& calibration_;
  double step_minutes_;
  PastStream& past_;
  LeadGuide* guide_;
  const LeadSink& sink_;
  std::int64_t guided_ = -1;
  std::vector<float> values_, probabilities_;         // of a lead
  std::vector<float> guide_values_, guide_tendency_;  // of a lead
  std::vector<bool> missing_;                         // in the latest frame
  std::vector<float> rows_;
};

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
  if (bands_.on()) {
    HeldFrames held(past);
    return collect(held, leads);
  }
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
    const std::size_t a_lead = out.size() / steps;
    for (std::size_t lead = 0; lead < steps; ++lead)
      calibration_.apply(std::span(out).subspan(lead * a_lead, a_lead),
                         step_minutes_ * static_cast<double>(lead + 1));
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

ForecastFrames ConvLstm::collect(PastStream& past, std::int64_t leads) {
  const auto pixels = static_cast<std::size_t>(past.pixels()), steps = static_cast<std::size_t>(leads);
  const std::vector<double>& thresholds = network_->spec().thresholds;
  ForecastFrames result{leads,          past.rows(),
                        past.columns(), std::vector<float>(steps * pixels),
                        thresholds,     std::vector<float>(thresholds.size() * steps * pixels)};
  stream(past, leads,
         [&](std::int64_t lead, std::span<const float> values, std::span<const float> probabilities) {
           const auto step = static_cast<std::size_t>(lead);
           std::copy(values.begin(), values.end(),
                     result.values.begin() + static_cast<std::ptrdiff_t>(step * pixels));
           for (std::size_t k = 0; k < thresholds.size(); ++k)
             std::copy_n(
                 probabilities.begin() + static_cast<std::ptrdiff_t>(k * pixels), pixels,
                 result.probabilities.begin() + static_cast<std::ptrdiff_t>((k * steps + step) * pixels));
         });
  return result;
}

void ConvLstm::use_bands(const BandPlan& bands, LeadGuideFunction guide) {
  bands_ = bands;
  lead_guide_ = std::move(guide);
}

void ConvLstm::stream(PastStream& past, std::int64_t leads, const LeadSink& sink) {
  if (!bands_.on()) return Forecaster::stream(past, leads, sink);
  const ModelSpec& spec = network_->spec();
  if (past.frames() < spec.past) {
    throw std::invalid_argument("convlstm needs " + std::to_string(spec.past) + " past frames, there are " +
                                std::to_string(past.frames()));
  }
  // The guide first: what it takes to be made is free again when the network comes.
  const std::unique_ptr<LeadGuide> guide = spec.feed == Feed::advection ? lead_guide_(past) : nullptr;
  const NetworkPlan& planned = network_->planned();
  if (!network_->is_planned() || !planned.bands.on() || planned.height != past.rows() ||
      planned.width != past.columns()) {
    network_->plan({.batch = 1, .height = past.rows(), .width = past.columns(), .bands = bands_});
  }
  StreamedFrames frames(*network_, transform_, calibration_, step_minutes_, past, guide.get(), sink);
  network_->forecast(frames, leads);
}

}  // namespace raincell::model
