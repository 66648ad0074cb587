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
std::vector<float> change(const PastFrames& past, const Motion& motion, const GuideSpec& spec) {
  const auto pixels = static_cast<std::size_t>(past.rows * past.columns);
  const std::int64_t steps = std::min(spec.tendency_steps, past.frames - 1);
  if (steps < 1) return std::vector<float>(pixels, 0.F);
  const auto frame = [&](std::int64_t age) {
    return past.values.subspan(pixels * static_cast<std::size_t>(past.frames - 1 - age), pixels);
  };
  const auto latest = frame(0);
  std::vector<float> older, difference(pixels);
  older.reserve(pixels * static_cast<std::size_t>(steps));
  for (std::int64_t age = 1; age <= steps; ++age)
    older.insert(older.end(), frame(age).begin(), frame(age).end());
  std::vector<float> brought(older.size());  // each here, over its own age
  advect({{older, brought}}, motion, steps, 0, 0, past.rows, past.columns);
  for (std::size_t i = 0; i < pixels; ++i) {
    float rates = 0.F;
    std::int64_t known = 0;
    for (std::int64_t age = 1; age <= steps; ++age) {
      const float rate =
          (latest[i] - brought[static_cast<std::size_t>(age - 1) * pixels + i]) / static_cast<float>(age);
      if (std::isnan(rate)) continue;
      rates += rate;
      ++known;
    }
    difference[i] = known > 0 ? rates * static_cast<float>(steps) / static_cast<float>(known)
                              : std::numeric_limits<float>::quiet_NaN();
  }
  if (spec.tendency_smoothing_pixels > 0.) {
    const std::vector<float> sharp = difference;
    smooth_frame(sharp, past.rows, past.columns, spec.tendency_smoothing_pixels, difference);
  }
  return difference;
}

bool is_smoothing(double pixels) {
  return pixels >= 0. && std::isfinite(pixels);
}

}  // namespace

Guide::Guide(const PastFrames& past, const GuideSpec& spec, std::int64_t leads)
    : leads_(leads), motion_(estimate_motion(past, spec.motion)) {
  if (!is_smoothing(spec.smoothing_pixels) || !is_smoothing(spec.tendency_smoothing_pixels) ||
      spec.tendency_steps < 1 || past.frames < 1 || leads < 1) {
    throw std::invalid_argument(
        "guide: smoothing must be 0 or more pixels, frames, steps and leads at least 1");
  }
  if (spec.tendency) change_ = change(past, motion_, spec);
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
  std::replace_if(
      tendency.begin(), tendency.end(), [](float value) { return std::isnan(value); }, 0.F);
}

std::int64_t Guide::bytes(const GuideSpec& spec, std::int64_t pixels, std::int64_t leads) {
  const std::int64_t sources = spec.smoothing_pixels > 0. ? leads : 1, change = spec.tendency ? 1 : 0;
  const std::int64_t planes = 2 + sources + change;  // and two of the motion
  return planes * pixels * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace raincell::model
