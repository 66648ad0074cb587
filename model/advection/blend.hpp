// The forecaster `blend`: a mean forecast and the advected frame together, with the amounts of observed rain.
#pragma once

#include <algorithm>
#include <string>

#include "model/advection/lifetimes.hpp"

namespace raincell::model {

/// What a blend ranks by, for amounts of each rain rate, by lead; and how far its rain reaches. Linear in the
/// lead between nodes, constant beyond them.
struct BlendWeights {
  std::vector<double> lead_minutes;  // ascending
  std::vector<double> rates;         // ascending, above 0; mm/h or the unit of the field
  // [lead, rate], from 0 to 1, for amounts from this rate to the next; the first also for less
  std::vector<double> advected;  // share of the advected frame
  std::vector<double> mean;      // share of the mean forecast in the rest, which is the faded frame else
  std::vector<double> extent;    // [lead], from 1 to 2: wet pixels, as a multiple of the advected frame's

  /// What did well on the training hours of three climates, with networks that had not seen them.
  static BlendWeights usual();
  struct Shares {
    double advected, mean;
  };
  Shares shares_at(double lead, std::size_t rate) const;
  double extent_at(double lead) const;
  /// JSON, and back. Throws ModelError for anything else.
  std::string text() const;
  static BlendWeights parse(const std::string& text);
};

/// What a lead is blended of, in square roots, all [pixels].
struct BlendParts {
  std::span<const float> mean, faded, advected;
  /// What decides who gets rain; NaN where one of them is.
  float key(const BlendWeights::Shares& shares, std::size_t i) const {
    const auto carried = static_cast<float>(shares.advected), likely = static_cast<float>(shares.mean);
    return (1 - carried) * (likely * mean[i] + (1 - likely) * faded[i]) + carried * advected[i];
  }
};

/// The mean forecast tells where rain is likely, the advected frame how it looks now. Between them stands the
/// advected frame faded in the square root of the rain (lifetimes.hpp): there one heavy cell, of which a mean
/// forecast keeps a wide and weak rest, does not outweigh the lasting light rain around it. It goes on
/// growing and decaying a little where it did so along the motion in the last step. The amounts of the
/// advected frame are handed out anew (matching.hpp) by mean, faded and advected frame in the shares of these
/// amounts. Light rain goes where it is likely; heavy rain, of which a mean has lost the shape, mostly stays
/// in its cells, so that the frequencies of rain and the power of small scales remain those of rain.
class Blend : public Forecaster {
 public:
  /// Borrows the mean forecast. past: frames that the motion is estimated from, at most.
  Blend(Forecaster& mean, BlendWeights weights, MotionSpec motion, std::int64_t past)
      : mean_(mean), weights_(std::move(weights)), motion_(motion), past_(std::max<std::int64_t>(past, 2)) {}
  std::string name() const override { return "blend"; }
  std::int64_t frames_needed() const override { return std::max<std::int64_t>(2, mean_.frames_needed()); }
  ForecastFrames forecast(const PastFrames&, std::int64_t leads) override;
  void stream(PastStream&, std::int64_t leads, const LeadSink&) override;
  /// rain: of the advected frame, whose amounts are handed out.
  using PartsSink = std::function<void(std::int64_t lead, const BlendParts&, std::span<const float> rain)>;
  void parts(PastStream&, std::int64_t leads, const PartsSink&);
  void use_scale(const FieldScale& scale) { scale_ = scale; }
  /// Trajectories lie there.
  void use_scratch(Scratch* scratch) { scratch_ = scratch; }
  /// Of the field, beside trajectories and Fading: motion; faded, carried, advected and its roots, mean,
  /// blended; ranks, amounts.
  static constexpr std::int64_t kPlanes = 2 + 6 + 2;

 private:
  Forecaster& mean_;
  BlendWeights weights_;
  MotionSpec motion_;
  std::int64_t past_;
  FieldScale scale_;
  Scratch* scratch_ = nullptr;
};

}  // namespace raincell::model
