// Optical flow over the past frames and semi-Lagrangian extrapolation. The only code that knows OpenCV.
#pragma once

#include <initializer_list>

#include "model/forecasters.hpp"
#include "model/scratch.hpp"

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
/// The same, with one frame in memory at a time; reads the newest first.
Motion estimate_motion(PastStream&, const MotionSpec&);

/// What is carried along the motion, and where it arrives.
struct Carried {
  std::span<const float> sources;  // the last frame [rows, columns], or one a lead [leads, rows, columns]
  std::span<float> values;         // [leads, rows, columns] of the rectangle
};

/// Semi-Lagrangian backwards from the last frame, into the rectangle at (row, column): NaN where the bilinear
/// weight of valid pixels is not above 0.99 or the point lies outside.
void advect(std::initializer_list<Carried> fields, const Motion&, std::int64_t leads, std::int64_t row,
            std::int64_t column, std::int64_t rows, std::int64_t columns);

/// Semi-Lagrangian trajectories of all pixels of a field, one step at a time: advect() lead by lead.
class Trajectories {
 public:
  /// Borrows the motion. What is kept of each pixel, 16 bytes, lies in scratch where there is one.
  Trajectories(const Motion&, Scratch*);
  /// One step further back. sources, values: [rows, columns].
  void step(std::initializer_list<Carried> fields);
  static constexpr std::int64_t kBytesAPixel = 16;

 private:
  const Motion& motion_;
  Floats kept_;  // [rows, columns, 4]: the point, NaN once it has left the field, and the last step
  bool begun_ = false;
};

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
  void stream(PastStream&, std::int64_t leads, const LeadSink&) override;
  /// Trajectories lie there while a forecast is streamed.
  void use_scratch(Scratch* scratch) { scratch_ = scratch; }

 private:
  MotionSpec spec_;
  Scratch* scratch_ = nullptr;
};

}  // namespace raincell::model
