// Optical flow over the past frames and semi-Lagrangian extrapolation. The only code that knows OpenCV.
#pragma once

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

/// Semi-Lagrangian backwards from the last frame: values [leads, rows, columns] of the sub-rectangle, NaN where the
/// bilinear weight of valid pixels is not above 0.99 or the point lies outside.
void advect(std::span<const float> last_frame, const Motion&, std::int64_t leads, std::int64_t row,
            std::int64_t column, std::int64_t rows, std::int64_t columns, std::span<float> values);

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
