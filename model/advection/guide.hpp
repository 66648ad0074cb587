// What guides a network: at each lead the advected frame, smoothed as far as its detail can no longer be
// predicted.
#pragma once

#include "model/advection/advection.hpp"

namespace raincell::model {

struct GuideSpec {
  MotionSpec motion;
  double smoothing_pixels = 0.;  // sigma of the Gaussian at the first lead; grows in proportion to the lead
  bool tendency = false;         // for networks that are fed it
  std::int64_t tendency_steps = 4;  // how far back the tendency looks, as far as there are frames
  double tendency_smoothing_pixels = 8.;
};

/// Motion and source frames of one window, for any rectangle of the field. The smaller a rain structure, the
/// sooner it is gone (Germann and Zawadzki 2002; Seed 2003, S-PROG): the mean of what may come is the
/// advected frame without the scales that do not live until then. Missing pixels stay missing and lend no
/// value to their neighbours.
class Guide {
 public:
  /// Copies what it needs of the frames (mm/h or another quantity, not decibels). Throws
  /// std::invalid_argument for smoothing that is negative or infinite, no frames, no steps.
  Guide(const PastFrames&, const GuideSpec&, std::int64_t leads);

  /// Fills `values` [leads, rows, columns] of the rectangle, NaN where advect() gives NaN; and `tendency`, of
  /// the same shape or empty (as it must be without GuideSpec::tendency), with the Lagrangian tendency
  /// brought to each lead: what `tendency_steps` steps add at the mean rate at which the latest frame differs
  /// from each of as many older ones brought here by the motion, smoothed; 0 where none is known. Any thread.
  void frames(std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns,
              std::span<float> values, std::span<float> tendency = {}) const;
  /// Memory that a guide on a field of `pixels` takes.
  static std::int64_t bytes(const GuideSpec&, std::int64_t pixels, std::int64_t leads);

 private:
  std::int64_t leads_;
  Motion motion_;
  std::vector<float> sources_;  // [1 or leads, rows, columns]
  std::vector<float> change_;   // [rows, columns]; empty without tendency
};

/// The guide of a whole field lead by lead, of which memory holds few frames: the numbers of Guide.
class GuideStream {
 public:
  /// Borrows the frames. Trajectories lie in scratch where there is one.
  GuideStream(PastStream&, const GuideSpec&, Scratch*);
  GuideStream(const GuideStream&) = delete;
  GuideStream& operator=(const GuideStream&) = delete;
  /// Of the next lead, [rows, columns]; tendency may be empty.
  void next(std::span<float> values, std::span<float> tendency);
  /// The most memory that it takes at any time, in a field of `pixels`, beside scratch and the results.
  static std::int64_t bytes(const GuideSpec&, std::int64_t pixels, bool scratch);

 private:
  PastStream& past_;
  GuideSpec spec_;
  Motion motion_;
  std::vector<float> change_;  // [rows, columns]; empty without tendency
  Trajectories trajectories_;
  std::int64_t lead_ = 0;
};

}  // namespace raincell::model
