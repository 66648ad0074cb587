// A trained network as a forecaster of physical fields over a whole domain of any size.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <stdexcept>

#include "model/calibration.hpp"
#include "model/forecasters.hpp"
#include "model/network.hpp"

namespace raincell::model {

/// The network gave a value that is no number, or none that a float can hold in physical units.
class NonFiniteForecast : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Between physical units (NaN where missing) and the network's.
struct FieldTransform {
  /// values: network units, 0 where missing; mask: 1 valid, 0 missing. All spans have the same size.
  std::function<void(std::span<const float> physical, std::span<float> values, std::span<float> mask)>
      to_network;
  /// The same for changes: signed, in place, 0 for no change.
  std::function<void(std::span<float> changes)> change_to_network;
  /// In place and NaN-free on both sides.
  std::function<void(std::span<float> values)> to_physical;
};

/// What guides a network at the leads after the past, physical units [leads, rows, columns].
struct GuideFrames {
  std::vector<float> values;    // NaN where unknown
  std::vector<float> tendency;  // 0 where unknown; with spec().tendency
};
/// The same lead by lead.
class LeadGuide {
 public:
  virtual ~LeadGuide() = default;
  /// Of the next lead, [rows, columns]; tendency is empty where the network is not fed it.
  virtual void next(std::span<float> values, std::span<float> tendency) = 0;
};
using LeadGuideFunction = std::function<std::unique_ptr<LeadGuide>(PastStream&)>;
using GuideFunction = std::function<GuideFrames(const PastFrames&, std::int64_t leads)>;

/// The network over the last `past` frames, one lead after the other. A forecast is NaN where the latest
/// frame is missing; with a guide instead where the guide of that lead is: rain comes there from where no
/// radar sees. With thresholds, `probabilities` are filled and `values` hold the highest threshold that is
/// exceeded with a probability of at least one half, else 0.
class ConvLstm : public Forecaster {
 public:
  /// guide: for networks with feed: advection. Throws ModelError when it is missing there.
  ConvLstm(std::unique_ptr<Network>, FieldTransform, GuideFunction guide);
  std::string name() const override { return "convlstm"; }
  std::int64_t frames_needed() const override { return network_->spec().past; }
  /// Plans the network again when the size changes. Throws NonFiniteForecast rather than to call missing, or
  /// dry, what the network failed to compute.
  ForecastFrames forecast(const PastFrames&, std::int64_t leads) override;
  /// From now on streams are computed in bands of rows, with a few frames in memory. guide: as in the
  /// constructor.
  void use_bands(const BandPlan&, LeadGuideFunction guide);
  void stream(PastStream&, std::int64_t leads, const LeadSink&) override;
  /// Of the probabilities, from now on; step: between two leads.
  void use_calibration(Calibration calibration, double step_minutes) {
    calibration_ = std::move(calibration);
    step_minutes_ = step_minutes;
  }
  Network& network() { return *network_; }

 private:
  /// A stream as a whole.
  ForecastFrames collect(PastStream&, std::int64_t leads);
  std::unique_ptr<Network> network_;
  FieldTransform transform_;
  GuideFunction guide_;
  Calibration calibration_;
  double step_minutes_ = 5.;
  BandPlan bands_;
  LeadGuideFunction lead_guide_;
};

}  // namespace raincell::model
