#include "app/sample_forecast.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/picture.hpp"

namespace raincell::app {

void RainScore::add(const io::Transform& transform, std::span<const float> forecast,
                    std::span<const float> truth, std::span<const float> mask) {
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (mask[i] == 0.F) continue;
    const auto f = static_cast<double>(transform.to_physical(forecast[i]));
    const auto t = static_cast<double>(transform.to_physical(truth[i]));
    pixels += 1.;
    squares += (f - t) * (f - t);
    hits += f >= kEvent && t >= kEvent ? 1. : 0.;
    misses += f < kEvent && t >= kEvent ? 1. : 0.;
    false_alarms += f >= kEvent && t < kEvent ? 1. : 0.;
  }
}

double RainScore::mse() const {
  return pixels > 0. ? squares / pixels : NAN;
}

double RainScore::csi() const {
  const double events = hits + misses + false_alarms;
  return events > 0. ? hits / events : NAN;
}

std::vector<ReportPicture> draw_sample(const SampleFrames& frames, const std::string& guide_name,
                                       const io::Transform& transform, io::Grid grid, std::int64_t step_s) {
  grid.rows = frames.rows;
  grid.columns = frames.columns;
  const auto pixels = static_cast<std::size_t>(frames.rows * frames.columns);
  const auto place = [&](std::int64_t sample, std::int64_t lead) {
    return static_cast<std::size_t>(sample * frames.leads + lead) * pixels;
  };
  std::int64_t wettest = 0;
  double most = -1.;
  for (std::int64_t n = 0; n < frames.samples; ++n) {
    double sum = 0.;
    for (std::size_t i = place(n, 0); i < place(n + 1, 0); ++i)
      sum += static_cast<double>(frames.mask[i] * transform.to_physical(frames.truth[i]));
    if (sum > most) {
      most = sum;
      wettest = n;
    }
  }
  std::vector<ReportPicture> pictures;
  for (const std::int64_t lead : {(frames.leads + 1) / 2, frames.leads}) {
    const std::string group = fmt::format("+{} min", lead * step_s / 60);
    const auto draw = [&](const std::string& name, std::span<const float> values) {
      if (values.empty()) return;
      std::vector<float> field(pixels);
      const std::size_t first = place(wettest, lead - 1);
      for (std::size_t i = 0; i < pixels; ++i) {
        field[i] = frames.mask[first + i] == 0.F ? io::kMissing : transform.to_physical(values[first + i]);
      }
      io::MapText text{name, group};
      text.quantity = transform.quantity;
      pictures.push_back({group, name, io::draw_map(grid, field, text)});
    };
    draw("truth", frames.truth);
    draw(guide_name, frames.guide);
    draw("network", frames.forecast);
    if (frames.leads == 1) break;
  }
  return pictures;
}

}  // namespace raincell::app
