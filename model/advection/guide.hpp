// What guides a network: at each lead the advected frame, faded as far as its detail can no longer be
// predicted.
#pragma once

#include <optional>

#include "model/advection/lifetimes.hpp"

namespace raincell::model {

struct GuideSpec {
  MotionSpec motion;
  bool fading = false;    // structures fade as their size does in this scene; else the frame as it is
  bool tendency = false;  // for networks that are fed it
  std::int64_t tendency_steps = 4;  // how far back the tendency looks, as far as there are frames
  double tendency_smoothing_km = 8.;
  FieldScale scale = {};  // of the field, not of the network

  /// Frames of the past that are looked at.
  std::int64_t frames() const;
};

/// Motion and source frames of one window, for any rectangle of the field: the latest frame, faded by the
/// lifetimes of its structures (lifetimes.hpp). Missing pixels stay missing and lend no value to their
/// neighbours.
class Guide {
 public:
  /// Copies what it needs of the frames (mm/h or another quantity, not decibels). Throws
  /// std::invalid_argument for smoothing that is negative or infinite, a scale that is not above 0, no
  /// frames, no steps.
  Guide(const PastFrames&, const GuideSpec&, std::int64_t leads);

  /// Fills `values` [leads, rows, columns] of the rectangle, NaN where advect() gives NaN; and `tendency`, of
  /// the same shape or empty (as it must be without GuideSpec::tendency), with the Lagrangian tendency
  /// brought to each lead: what has been added by then at the mean rate at which the latest frame differs
  /// from each of `tendency_steps` older ones brought here by the motion, smoothed; a rate that is forgotten
  /// within half an hour. 0 where none is known. Any thread.
  void frames(std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns,
              std::span<float> values, std::span<float> tendency = {}) const;
  /// Memory that a guide on a field of `pixels` takes.
  static std::int64_t bytes(const GuideSpec&, std::int64_t pixels, std::int64_t leads);

 private:
  std::int64_t leads_;
  FieldScale scale_;
  Motion motion_;
  std::vector<float> sources_;  // [1 or leads, rows, columns]
  std::vector<float> change_;   // a step, [rows, columns]; empty without tendency
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
  Lifetimes lifetimes_;
  std::optional<Fading> fading_;
  std::vector<float> change_;  // a step, [rows, columns]; empty without tendency
  Trajectories trajectories_;
  std::int64_t lead_ = 0;
};

}  // namespace raincell::model
