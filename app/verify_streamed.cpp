#include "app/verify_streamed.hpp"

#include <algorithm>

namespace raincell::app {

namespace {

/// A forecast in scratch.
class StoredForecast {
 public:
  StoredForecast(model::Forecaster& forecaster, model::PastStream& past, std::int64_t leads,
                 std::size_t thresholds, model::Scratch* scratch)
      : pixels_(static_cast<std::size_t>(past.pixels())),
        thresholds_(thresholds),
        planes_((1 + thresholds) * static_cast<std::size_t>(leads) * pixels_, scratch, "forecasts") {
    forecaster.stream(
        past, leads, [&](std::int64_t lead, std::span<const float> values, std::span<const float> chances) {
          const auto to = planes_.values().subspan(first(lead));
          std::copy(values.begin(), values.end(), to.begin());
          std::copy(chances.begin(), chances.end(), to.begin() + static_cast<std::ptrdiff_t>(pixels_));
          planes_.drop();
        });
  }
  /// Until the next.
  model::VerificationLead::Forecast lead(std::int64_t lead) {
    planes_.drop();
    const auto all = std::span<const float>(planes_.values()).subspan(first(lead));
    model::VerificationLead::Forecast out{all.first(pixels_), {}};
    for (std::size_t k = 0; k < thresholds_; ++k)
      out.probabilities.push_back(all.subspan((1 + k) * pixels_, pixels_));
    return out;
  }

 private:
  std::size_t first(std::int64_t lead) const {
    return static_cast<std::size_t>(lead) * (1 + thresholds_) * pixels_;
  }
  std::size_t pixels_, thresholds_;
  model::Floats planes_;
};

}  // namespace

model::VerificationResult verify_streamed(model::VerificationSpec spec,
                                          const std::vector<std::vector<std::int64_t>>& cases,
                                          std::int64_t past_frames, FrameSeries& series,
                                          Forecasting& forecasting, model::Advection& support,
                                          const std::function<void(std::int64_t)>& begin,
                                          const model::VerificationProgress& progress) {
  const std::vector<model::Forecaster*> forecasters = forecasting.all();
  std::vector<std::string> names;
  for (const model::Forecaster* forecaster : forecasters) names.push_back(forecaster->name());
  spec.threads = 1;  // each has work memory of its own
  model::Verifier verifier(spec, names);
  support.use_scratch(forecasting.scratch());
  for (std::size_t k = 0; k < cases.size(); ++k) {
    begin(static_cast<std::int64_t>(k));
    const std::vector<std::int64_t>& indices = cases[k];
    const std::vector<std::int64_t> inputs(indices.begin(), indices.begin() + past_frames);
    PastStore past(series, inputs, forecasting.scratch());
    series.keep(0);
    const auto leads = static_cast<std::int64_t>(indices.size()) - past_frames;
    StoredForecast advected(support, past, leads, 0, forecasting.scratch());
    std::vector<StoredForecast> forecasts;
    model::StreamedCase one{past.rows(), past.columns(), leads, past.frame(past_frames - 1), {}, {}};
    for (model::Forecaster* forecaster : forecasters) {
      const bool network = forecaster->name() == "convlstm";
      one.thresholds.push_back(network ? forecasting.weights()->spec.thresholds : std::vector<double>{});
      if (forecaster->name() != support.name())
        forecasts.emplace_back(*forecaster, past, leads, one.thresholds.back().size(), forecasting.scratch());
    }
    forecasting.rest();
    one.lead = [&](std::int64_t lead) {
      const std::int64_t truth = indices[static_cast<std::size_t>(past_frames + lead)];
      series.require_same_grid(indices.front(), truth);
      model::VerificationLead given{series.values(truth), advected.lead(lead).values, {}};
      std::size_t next = 0;
      for (const std::string& name : names) {
        const bool same = name == support.name();
        given.forecasts.push_back(same ? advected.lead(lead) : forecasts[next++].lead(lead));
      }
      return given;
    };
    verifier.add(one);
    series.keep(0);
    if (progress && !progress(static_cast<std::int64_t>(k) + 1)) break;
  }
  return verifier.result();
}

}  // namespace raincell::app
