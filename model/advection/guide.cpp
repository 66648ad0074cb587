#include "model/advection/guide.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace raincell::model {

namespace {

constexpr double kRateMinutes = 30.;  // after which 1/e of a rate of change is left

/// What is added a step; NaN where nothing is known; one frame has no past to compare with. Each older frame
/// tells a rate: the near ones are about now but their differences are mostly noise, the far ones the other
/// way round. The mean of the rates serves a linear forecast better than any one of them.
std::vector<float> change(PastStream& past, const Motion& motion, const GuideSpec& spec, Scratch* scratch) {
  const auto pixels = static_cast<std::size_t>(past.pixels());
  const std::int64_t steps = std::min(spec.tendency_steps, past.frames() - 1);
  if (steps < 1) return std::vector<float>(pixels, 0.F);
  const auto frame = [&](std::int64_t age) { return past.frame(past.frames() - 1 - age); };
  std::vector<float> difference(pixels, 0.F);  // at first the sum of the rates
  std::vector<std::int32_t> known(pixels, 0);
  {
    const auto now = frame(0);
    const std::vector<float> latest(now.begin(), now.end());
    std::vector<float> brought(pixels);  // here, over its own age
    Trajectories trajectories(motion, scratch);
    for (std::int64_t age = 1; age <= steps; ++age) {
      trajectories.step({{frame(age), brought}});
      for (std::size_t i = 0; i < pixels; ++i) {
        const float rate = (latest[i] - brought[i]) / static_cast<float>(age);
        if (std::isnan(rate)) continue;
        difference[i] += rate;
        ++known[i];
      }
    }
  }
  for (std::size_t i = 0; i < pixels; ++i) {
    difference[i] =
        known[i] > 0 ? difference[i] / static_cast<float>(known[i]) : std::numeric_limits<float>::quiet_NaN();
  }
  known = {};
  if (spec.tendency_smoothing_km > 0.)
    smooth_frame(difference, past.rows(), past.columns(), spec.tendency_smoothing_km / spec.scale.pixel_km,
                 difference);
  return difference;
}

void check(const GuideSpec& spec, std::int64_t frames, std::int64_t leads) {
  const auto is_size = [](double size) { return size > 0. && std::isfinite(size); };
  if ((spec.tendency_smoothing_km == 0. || is_size(spec.tendency_smoothing_km)) &&
      is_size(spec.scale.pixel_km) && is_size(spec.scale.step_minutes) && spec.tendency_steps >= 1 &&
      frames >= 1 && leads >= 1) {
    return;
  }
  throw std::invalid_argument(
      "guide: smoothing must be 0 or more km, pixels and steps more than 0, frames and leads at least 1");
}

/// A change of a step as what it adds until a lead (1, 2, ...): the rate is forgotten. 0 where nothing is
/// known.
void add_up(std::span<float> tendency, std::int64_t lead, const FieldScale& scale) {
  const double minutes = scale.step_minutes * static_cast<double>(lead);
  const auto steps =
      static_cast<float>(kRateMinutes * (1. - std::exp(-minutes / kRateMinutes)) / scale.step_minutes);
  for (float& value : tendency) value = std::isnan(value) ? 0.F : value * steps;
}

}  // namespace

std::int64_t GuideSpec::frames() const {
  const std::int64_t looks_back = std::max(fading ? kLifetimeLags + 1 : 0, tendency ? tendency_steps + 1 : 0);
  return std::max(motion.frames, looks_back);
}

Guide::Guide(const PastFrames& past, const GuideSpec& spec, std::int64_t leads)
    : leads_(leads), scale_(spec.scale), motion_(estimate_motion(past, spec.motion)) {
  check(spec, past.frames, leads);
  HeldFrames held(past);
  if (spec.tendency) change_ = change(held, motion_, spec, nullptr);
  const auto pixels = static_cast<std::size_t>(past.rows * past.columns);
  const auto last = past.values.last(pixels);
  if (!spec.fading) {
    sources_.assign(last.begin(), last.end());
    return;
  }
  const Lifetimes lifetimes = estimate_lifetimes(held, motion_, scale_, nullptr);
  Fading fading(last, past.rows, past.columns, scale_, nullptr);
  sources_.resize(pixels * static_cast<std::size_t>(leads));
  for (std::int64_t lead = 0; lead < leads; ++lead) {
    fading.at(lifetimes, scale_.step_minutes * static_cast<double>(lead + 1),
              std::span(sources_).subspan(pixels * static_cast<std::size_t>(lead), pixels));
  }
}

void Guide::frames(std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns,
                   std::span<float> values, std::span<float> tendency) const {
  if (tendency.empty()) {
    advect({{sources_, values}}, motion_, leads_, row, column, rows, columns);
    return;
  }
  advect({{sources_, values}, {change_, tendency}}, motion_, leads_, row, column, rows, columns);
  const auto plane = static_cast<std::size_t>(rows * columns);
  for (std::int64_t lead = 0; lead < leads_; ++lead)
    add_up(tendency.subspan(plane * static_cast<std::size_t>(lead), plane), lead + 1, scale_);
}

std::int64_t Guide::bytes(const GuideSpec& spec, std::int64_t pixels, std::int64_t leads) {
  const std::int64_t sources = spec.fading ? leads : 1, change = spec.tendency ? 1 : 0;
  const std::int64_t planes = 2 + sources + change;  // and two of the motion
  return planes * pixels * static_cast<std::int64_t>(sizeof(float));
}

GuideStream::GuideStream(PastStream& past, const GuideSpec& spec, Scratch* scratch)
    : past_(past),
      spec_(spec),
      motion_(estimate_motion(past, spec.motion)),
      lifetimes_(spec.fading ? estimate_lifetimes(past, motion_, spec.scale, scratch) : Lifetimes{}),
      change_(spec.tendency ? change(past, motion_, spec, scratch) : std::vector<float>{}),
      trajectories_(motion_, scratch) {
  check(spec, past.frames(), 1);
  if (spec.fading)
    fading_.emplace(past.frame(past.frames() - 1), past.rows(), past.columns(), spec.scale, scratch);
}

void GuideStream::next(std::span<float> values, std::span<float> tendency) {
  ++lead_;
  const auto last = past_.frame(past_.frames() - 1);
  std::vector<float> faded;
  if (spec_.fading) {
    faded.resize(last.size());
    fading_->at(lifetimes_, spec_.scale.step_minutes * static_cast<double>(lead_), faded);
  }
  const auto source = faded.empty() ? last : std::span<const float>(faded);
  if (tendency.empty()) return trajectories_.step({{source, values}});
  trajectories_.step({{source, values}, {change_, tendency}});
  add_up(tendency, lead_, spec_.scale);
}

std::int64_t GuideStream::bytes(const GuideSpec& spec, std::int64_t pixels, bool scratch) {
  const std::int64_t trajectories = scratch ? 0 : Trajectories::kBytesAPixel / std::int64_t{sizeof(float)};
  const std::int64_t motion = 2, change = spec.tendency ? 1 : 0;
  const std::int64_t fading = !spec.fading ? 0 : 1 + (scratch ? 0 : Fading::kPlanes);
  return (motion + change + trajectories + fading) * pixels * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace raincell::model
