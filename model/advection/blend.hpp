// The forecaster `blend`: a mean forecast and the advected frame together, with the amounts of observed rain.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "model/advection/lifetimes.hpp"

namespace raincell::model {

/// How much of the advected frame a blend takes, by lead and rain rate, and how far its rain reaches: linear
/// in the lead between nodes, constant beyond them.
struct BlendWeights {
  std::vector<double> lead_minutes;  // ascending
  std::vector<double> rates;         // ascending, above 0; mm/h or the unit of the field
  std::vector<double> advected;      // [lead, rate], from 0 to 1: for amounts from this rate to the next; the
                                     // first also for less
  std::vector<double> extent;        // [lead], from 1 to 2: wet pixels, as a multiple of the advected frame's

  /// What did well on the training hours of three climates, with networks that had not seen them.
  static BlendWeights usual();
  double advected_at(double lead, std::size_t rate) const;
  double extent_at(double lead) const;
  /// JSON, and back. Throws ModelError for anything else.
  std::string text() const;
  static BlendWeights parse(const std::string& text);
};

/// What decides who gets rain: `likely` in roots, `part` of it advected.
inline float blend_key(float likely, float advected, float part) {
  return (1 - part) * likely + part * std::sqrt(std::max(advected, 0.F));  // NaN stays NaN
}

/// The mean forecast tells where rain is likely, the advected frame how it looks now. Between them stands the
/// advected frame faded in the square root of the rain (lifetimes.hpp): there one heavy cell, of which a mean
/// forecast keeps a wide and weak rest, does not outweigh the lasting light rain around it. It goes on
/// growing and decaying a little where it did so along the motion in the last step. The amounts of the
/// advected frame are handed out anew (matching.hpp) by the roots of mean and faded frame in equal parts,
/// with as much of the advected frame's as the weight of these amounts says. Light rain goes where it is
/// likely; heavy rain, of which a mean has lost the shape, mostly stays in its cells, so that the frequencies
/// of rain and the power of small scales remain those of rain.
class Blend : public Forecaster {
 public:
  /// Borrows the mean forecast. past: frames that the motion is estimated from, at most.
  Blend(Forecaster& mean, BlendWeights weights, MotionSpec motion, std::int64_t past)
      : mean_(mean), weights_(std::move(weights)), motion_(motion), past_(past) {}
  std::string name() const override { return "blend"; }
  std::int64_t frames_needed() const override { return std::max<std::int64_t>(2, mean_.frames_needed()); }
  ForecastFrames forecast(const PastFrames&, std::int64_t leads) override;
  void stream(PastStream&, std::int64_t leads, const LeadSink&) override;
  /// What a lead is blended of: the mean of the roots of mean forecast and faded frame, and the advected
  /// frame.
  using PartsSink =
      std::function<void(std::int64_t lead, std::span<const float> likely, std::span<const float> advected)>;
  void parts(PastStream&, std::int64_t leads, const PartsSink&);
  void use_scale(const FieldScale& scale) { scale_ = scale; }
  /// Trajectories lie there.
  void use_scratch(Scratch* scratch) { scratch_ = scratch; }
  /// Of the field, beside trajectories and Fading: motion; faded, carried, advected, blended; ranks, amounts.
  static constexpr std::int64_t kPlanes = 2 + 4 + 2;

 private:
  Forecaster& mean_;
  BlendWeights weights_;
  MotionSpec motion_;
  std::int64_t past_;
  FieldScale scale_;
  Scratch* scratch_ = nullptr;
};

}  // namespace raincell::model
