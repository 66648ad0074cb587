// Forecasts of samples while a training goes on: what they are worth in physical units, and how they look.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "app/report.hpp"
#include "io/frame.hpp"
#include "io/transform.hpp"

namespace raincell::app {

/// Sums over pixels with a truth; those of several batches or ranks add up.
struct RainScore {
  static constexpr double kEvent = 1.;  // mm/h
  double pixels = 0., squares = 0., hits = 0., misses = 0., false_alarms = 0.;

  /// Network units; pixels whose mask is 0 do not count.
  void add(const io::Transform&, std::span<const float> forecast, std::span<const float> truth,
           std::span<const float> mask);
  double mse() const;  // mm2/h2; NaN without pixels
  double csi() const;  // at 1 mm/h; NaN without events
  std::span<double> sums() { return {&pixels, 5}; }
};

/// The frames of one batch, network units: [N,T',1,rows,columns] each; guide may be empty.
struct SampleFrames {
  std::span<const float> forecast, truth, mask, guide;
  std::int64_t samples = 0, leads = 0, rows = 0, columns = 0;
};

/// Truth, guide (by its name) and forecast of the sample with the most rain, at half and at the whole of the
/// horizon. The grid gives size and projection of a pixel.
std::vector<ReportPicture> draw_sample(const SampleFrames&, const std::string& guide_name,
                                       const io::Transform&, io::Grid, std::int64_t step_s);

}  // namespace raincell::app
