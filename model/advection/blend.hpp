// The forecaster `blend`: a mean forecast and the advected frame together, with the amounts of observed rain.
#pragma once

#include <string>

#include "model/advection/advection.hpp"

namespace raincell::model {

/// How much of the advected frame a blend takes, by lead and rain rate: between nodes linear in the lead and
/// in the logarithm of the rate, beyond them constant.
struct BlendWeights {
  std::vector<double> lead_minutes;  // ascending
  std::vector<double> rates;         // ascending, above 0; mm/h or the unit of the field
  std::vector<double> advected;      // [lead, rate], from 0 to 1

  /// What did best on the training hours of three climates with a forecast of the mean that only fades.
  static BlendWeights usual();
  double at(double lead, double rate) const;
  /// JSON, and back. Throws ModelError for anything else.
  std::string text() const;
  static BlendWeights parse(const std::string& text);
};

/// The mean forecast tells where rain is likely, the advected frame how it looks now: their weighted sum gets
/// the distribution of the advected frame (matching.hpp), its total in proportion to how the mean forecast
/// sees it grow or decay. So detail and heavy rain are as frequent as in nature, at the places where they are
/// most likely.
class Blend : public Forecaster {
 public:
  /// Borrows the mean forecast. past: frames that the motion is estimated from, at most.
  Blend(Forecaster& mean, BlendWeights weights, MotionSpec motion, std::int64_t past)
      : mean_(mean), weights_(std::move(weights)), motion_(motion), past_(past) {}
  std::string name() const override { return "blend"; }
  std::int64_t frames_needed() const override { return std::max<std::int64_t>(2, mean_.frames_needed()); }
  ForecastFrames forecast(const PastFrames&, std::int64_t leads) override;
  void stream(PastStream&, std::int64_t leads, const LeadSink&) override;
  void use_step(double minutes) { step_minutes_ = minutes; }
  /// Trajectories lie there.
  void use_scratch(Scratch* scratch) { scratch_ = scratch; }
  static constexpr std::int64_t kPlanes = 2 + 2 + 2;  // of the field: motion, two frames, ranks and amounts

 private:
  Forecaster& mean_;
  BlendWeights weights_;
  MotionSpec motion_;
  std::int64_t past_;
  double step_minutes_ = 5.;
  Scratch* scratch_ = nullptr;
};

}  // namespace raincell::model
