#include "model/advection/guide.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace raincell::model {

namespace {

/// NaN where nothing is known; one frame has no past to compare with. Each older frame tells a rate: the near
/// ones are about now but their differences are mostly noise, the far ones the other way round. The mean of
/// the rates serves a linear forecast better than any one of them.
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
    difference[i] = known[i] > 0 ? difference[i] * static_cast<float>(steps) / static_cast<float>(known[i])
                                 : std::numeric_limits<float>::quiet_NaN();
  }
  known = {};
  if (spec.tendency_smoothing_pixels > 0.)
    smooth_frame(difference, past.rows(), past.columns(), spec.tendency_smoothing_pixels, difference);
  return difference;
}

void check(const GuideSpec& spec, std::int64_t frames, std::int64_t leads) {
  const auto is_smoothing = [](double pixels) { return pixels >= 0. && std::isfinite(pixels); };
  if (is_smoothing(spec.smoothing_pixels) && is_smoothing(spec.tendency_smoothing_pixels) &&
      spec.tendency_steps >= 1 && frames >= 1 && leads >= 1) {
    return;
  }
  throw std::invalid_argument(
      "guide: smoothing must be 0 or more pixels, frames, steps and leads at least 1");
}

/// 0 where nothing is known.
void without_gaps(std::span<float> tendency) {
  std::replace_if(
      tendency.begin(), tendency.end(), [](float value) { return std::isnan(value); }, 0.F);
}

constexpr std::int64_t kSmoothingPlanes = 5;  // that smooth_frame() has at once

}  // namespace

Guide::Guide(const PastFrames& past, const GuideSpec& spec, std::int64_t leads)
    : leads_(leads), motion_(estimate_motion(past, spec.motion)) {
  check(spec, past.frames, leads);
  HeldFrames held(past);
  if (spec.tendency) change_ = change(held, motion_, spec, nullptr);
  const auto pixels = static_cast<std::size_t>(past.rows * past.columns);
  const auto last = past.values.last(pixels);
  if (spec.smoothing_pixels == 0.) {
    sources_.assign(last.begin(), last.end());
    return;
  }
  sources_.resize(pixels * static_cast<std::size_t>(leads));
  for (std::int64_t lead = 0; lead < leads; ++lead) {
    smooth_frame(last, past.rows, past.columns, spec.smoothing_pixels * static_cast<double>(lead + 1),
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
  without_gaps(tendency);
}

std::int64_t Guide::bytes(const GuideSpec& spec, std::int64_t pixels, std::int64_t leads) {
  const std::int64_t sources = spec.smoothing_pixels > 0. ? leads : 1, change = spec.tendency ? 1 : 0;
  const std::int64_t planes = 2 + sources + change;  // and two of the motion
  return planes * pixels * static_cast<std::int64_t>(sizeof(float));
}

GuideStream::GuideStream(PastStream& past, const GuideSpec& spec, Scratch* scratch)
    : past_(past),
      spec_(spec),
      motion_(estimate_motion(past, spec.motion)),
      change_(spec.tendency ? change(past, motion_, spec, scratch) : std::vector<float>{}),
      trajectories_(motion_, scratch) {
  check(spec, past.frames(), 1);
}

void GuideStream::next(std::span<float> values, std::span<float> tendency) {
  ++lead_;
  const auto last = past_.frame(past_.frames() - 1);
  std::vector<float> smooth;
  if (spec_.smoothing_pixels > 0.) {
    smooth.resize(last.size());
    smooth_frame(last, past_.rows(), past_.columns(), spec_.smoothing_pixels * static_cast<double>(lead_),
                 smooth);
  }
  const auto source = smooth.empty() ? last : std::span<const float>(smooth);
  if (tendency.empty()) return trajectories_.step({{source, values}});
  trajectories_.step({{source, values}, {change_, tendency}});
  without_gaps(tendency);
}

std::int64_t GuideStream::bytes(const GuideSpec& spec, std::int64_t pixels, bool scratch) {
  const std::int64_t trajectories = scratch ? 0 : Trajectories::kBytesAPixel / std::int64_t{sizeof(float)};
  const std::int64_t motion = 2, change = spec.tendency ? 1 : 0;
  const std::int64_t smoothing = spec.smoothing_pixels > 0. ? 1 + kSmoothingPlanes : 0;
  return (motion + change + trajectories + smoothing) * pixels * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace raincell::model
