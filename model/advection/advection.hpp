// Optical flow over the past frames and semi-Lagrangian extrapolation. The only code that knows OpenCV.
#pragma once

#include <initializer_list>

#include "model/forecasters.hpp"

namespace raincell::model {

struct MotionSpec {
  std::int64_t frames = 4;        // past frames used (pairs = frames - 1), newest weighted most
  double smoothing_pixels = 16.;  // Gaussian smoothing of the motion, weighted by rain
};

/// Pixels a step, positive to the right (u) and downwards (v). [rows, columns]
struct Motion {
  std::int64_t rows = 0, columns = 0;
  std::vector<float> u, v;
};

/// Pure: depends on the frames alone. No rain or no valid pair: zero motion.
Motion estimate_motion(const PastFrames&, const MotionSpec&);

/// What is carried along the motion, and where it arrives.
struct Carried {
  std::span<const float> sources;  // the last frame [rows, columns], or one a lead [leads, rows, columns]
  std::span<float> values;         // [leads, rows, columns] of the rectangle
};

/// Semi-Lagrangian backwards from the last frame, into the rectangle at (row, column): NaN where the bilinear
/// weight of valid pixels is not above 0.99 or the point lies outside.
void advect(std::initializer_list<Carried> fields, const Motion&, std::int64_t leads, std::int64_t row,
            std::int64_t column, std::int64_t rows, std::int64_t columns);

/// Gaussian mean over the valid pixels around each valid one; missing pixels stay NaN. Beyond a sigma of a
/// few pixels by three box passes, whose sigma is a whole number of pixels within half a pixel.
void smooth_frame(std::span<const float> frame, std::int64_t rows, std::int64_t columns, double sigma_pixels,
                  std::span<float> out);

class Advection : public Forecaster {
 public:
  explicit Advection(MotionSpec spec = {}) : spec_(spec) {}
  std::string name() const override { return "advection"; }
  std::int64_t frames_needed() const override { return 2; }
  ForecastFrames forecast(const PastFrames&, std::int64_t leads) override;

 private:
  MotionSpec spec_;
};

}  // namespace raincell::model
