#include "model/verification.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <stdexcept>
#include <thread>

#include "model/lead_score.hpp"
#include "model/skill_spectrum.hpp"

namespace raincell::model {
namespace {

constexpr double kNoScore = std::numeric_limits<double>::quiet_NaN();

void require(bool condition, const std::string& what) {
  if (!condition) throw std::invalid_argument("verification: " + what);
}

/// What the interval of one case, forecaster and lead is made of.
struct CaseScore {
  std::vector<ContingencyTable> tables;  // [thresholds]
  double squared_error = 0;
  std::int64_t pixels = 0;
};

/// HKO-7's and OpenSTL's sums of one case, already summed over its pixels.
struct FrameErrors {
  std::int64_t frames = 0, psnr_frames = 0;
  double balanced_squared = 0, balanced_absolute = 0;
  double squared = 0, absolute = 0, similarity = 0, psnr = 0;

  FrameErrors& operator+=(const FrameErrors& other) {
    frames += other.frames;
    psnr_frames += other.psnr_frames;
    balanced_squared += other.balanced_squared;
    balanced_absolute += other.balanced_absolute;
    squared += other.squared;
    absolute += other.absolute;
    similarity += other.similarity;
    psnr += other.psnr;
    return *this;
  }
};

using TableScore = double (ContingencyTable::*)() const;

constexpr std::pair<const char*, TableScore> kTableScores[] = {
    {"csi", &ContingencyTable::csi}, {"pod", &ContingencyTable::pod}, {"far", &ContingencyTable::far},
    {"hss", &ContingencyTable::hss}, {"ets", &ContingencyTable::ets}, {"bias", &ContingencyTable::bias}};

/// Everything summed over the cases of one forecaster and lead.
struct Sums {
  std::vector<ContingencyTable> tables;  // [thresholds]
  ContinuousSums continuous;
  std::vector<FractionSums> fractions;  // [fss thresholds, scales]
  std::vector<double> forecast_power, truth_power;
  std::vector<double> probability_thresholds;
  std::vector<ReliabilityTable> reliability;  // [probability thresholds]
  double crps = 0;
  std::int64_t crps_pixels = 0;
  std::int64_t filled_pixels = 0;
  FrameErrors frames;
  std::vector<CaseScore> cases;
};

/// Work memory of one thread.
struct Scratch {
  LeadSupport support;
  std::vector<std::uint8_t> truth_events, forecast_events;
  std::vector<float> field, truth_cut, field_cut, probabilities;
  std::unique_ptr<RadialSpectrum> spectrum;
};

/// Pixel value of HKO-7: reflectivity from -10 to 60 dBZ over 0..1, Z = 58.53 R^1.56.
double hko_pixel(double rain_mm_h) {
  if (!(rain_mm_h > 0)) return 0;
  return std::clamp((10 * std::log10(58.53 * std::pow(rain_mm_h, 1.56)) + 10) / 70, 0., 1.);
}

double hko_weight(double rain_mm_h) {
  if (rain_mm_h >= 30) return 30;
  if (rain_mm_h >= 10) return 10;
  if (rain_mm_h >= 5) return 5;
  return rain_mm_h >= 2 ? 2 : 1;
}

}  // namespace

struct Verifier::State {
  VerificationSpec spec;
  std::vector<std::string> names;
  std::int64_t cases = 0, leads = 0, rows = 0, columns = 0;
  std::vector<Sums> sums;  // [forecasters, leads]
  std::vector<Scratch> scratch;

  Sums& at(std::size_t forecaster, std::int64_t lead) {
    return sums[forecaster * static_cast<std::size_t>(leads) + static_cast<std::size_t>(lead)];
  }
  const Sums& at(std::size_t forecaster, std::int64_t lead) const {
    return sums[forecaster * static_cast<std::size_t>(leads) + static_cast<std::size_t>(lead)];
  }
  std::size_t pixels() const { return static_cast<std::size_t>(rows * columns); }

  void start(const StreamedCase&);
  void check(const VerificationCase&, std::span<const float> advected, std::span<const ForecastFrames>) const;
  void check(const StreamedCase&) const;
  void add_lead(const StreamedCase&, std::int64_t lead, Scratch&);
  /// Of missing output; empty: zero.
  std::span<const float> stand_in(const StreamedCase& one) const {
    return spec.protocol.support == Support::transported ? one.latest : std::span<const float>();
  }
  void add_values(const StreamedCase&, std::span<const float> values, Sums&, Scratch&) const;
  void add_spatial(Sums&, Scratch&) const;
  void add_frame_errors(Sums&, Scratch&) const;
  void add_probabilities(const StreamedCase&, const std::vector<double>& thresholds,
                         const VerificationLead::Forecast&, Sums&, Scratch&) const;
  void write_scores(VerificationResult&, std::size_t forecaster, std::int64_t lead,
                    std::span<const std::int32_t> weights) const;
  void write_summary(VerificationResult&, std::size_t forecaster) const;
  double over_leads(std::size_t forecaster, std::size_t threshold, TableScore) const;
};

void Verifier::State::start(const StreamedCase& first) {
  leads = first.leads;
  rows = first.rows;
  columns = first.columns;
  sums.resize(names.size() * static_cast<std::size_t>(leads));
  const std::int64_t side = RadialSpectrum::side_for(rows, columns);
  const bool spectra = spec.spectra && side >= 2;
  const auto bins = static_cast<std::size_t>(spectra ? (side + 1) / 2 : 0);
  for (auto& sum : sums) {
    sum.tables.resize(spec.protocol.thresholds.size());
    sum.fractions.resize(spec.fss_thresholds.size() * spec.fss_scales.size());
    sum.forecast_power.resize(bins);
    sum.truth_power.resize(bins);
  }
  scratch.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(spec.threads, 1, leads)));
  if (!spectra) return;
  for (auto& one : scratch) one.spectrum = std::make_unique<RadialSpectrum>(side);
}

void Verifier::State::check(const VerificationCase& one, std::span<const float> advected,
                            std::span<const ForecastFrames> forecasts) const {
  require(one.leads > 0 && one.past.frames > 0 && one.past.rows > 0 && one.past.columns > 0,
          "a case is empty");
  const auto plane = static_cast<std::size_t>(one.past.rows * one.past.columns);
  const std::size_t size = plane * static_cast<std::size_t>(one.leads);
  require(
      one.past.values.size() == plane * static_cast<std::size_t>(one.past.frames) && one.truth.size() == size,
      "past or truth have the wrong size");
  require(spec.protocol.support == Support::observed || advected.size() == size,
          "the advected frames have the wrong size");
  require(forecasts.size() == names.size(),
          fmt::format("{} forecasts for {} forecasters", forecasts.size(), names.size()));
  for (std::size_t f = 0; f < forecasts.size(); ++f) {
    const auto& forecast = forecasts[f];
    require(!forecast.values.empty() || !forecast.probabilities.empty(),
            names[f] + " gave neither values nor probabilities");
    require(forecast.values.empty() || forecast.values.size() == size,
            names[f] + " gave values of the wrong size");
    require(
        forecast.probabilities.size() == size * forecast.thresholds.size() || forecast.probabilities.empty(),
        names[f] + " gave probabilities of the wrong size");
  }
}

void Verifier::State::check(const StreamedCase& one) const {
  require(one.leads > 0 && one.rows > 0 && one.columns > 0, "a case is empty");
  require(cases == 0 || (one.leads == leads && one.rows == rows && one.columns == columns),
          fmt::format("a case has {} leads of {}x{}, the first one {} of {}x{}", one.leads, one.columns,
                      one.rows, leads, columns, rows));
  require(one.thresholds.size() == names.size() &&
              one.latest.size() == static_cast<std::size_t>(one.rows * one.columns),
          "the latest frame or the forecasters do not fit the case");
}

void Verifier::State::add_lead(const StreamedCase& one, std::int64_t lead, Scratch& scratch_) {
  const VerificationLead given = one.lead(lead);
  const std::size_t plane = pixels();
  require(given.truth.size() == plane && given.forecasts.size() == names.size() &&
              (given.advected.size() == plane || spec.protocol.support == Support::observed),
          "a lead does not fit its case");
  const bool transported = spec.protocol.support == Support::transported;
  find_support(given.truth, one.latest, transported ? given.advected : std::span<const float>(),
               scratch_.support);
  for (std::size_t f = 0; f < given.forecasts.size(); ++f) {
    const VerificationLead::Forecast& forecast = given.forecasts[f];
    Sums& sum = at(f, lead);
    sum.cases.push_back({.tables = std::vector<ContingencyTable>(sum.tables.size())});
    if (!forecast.probabilities.empty()) add_probabilities(one, one.thresholds[f], forecast, sum, scratch_);
    if (!forecast.values.empty()) add_values(one, forecast.values, sum, scratch_);
    for (std::size_t k = 0; k < sum.tables.size(); ++k) sum.tables[k] += sum.cases.back().tables[k];
  }
}

/// Scores of the rain rate; where it is missing, persistence (or zero) stands in and is counted.
void Verifier::State::add_values(const StreamedCase& one, std::span<const float> values, Sums& sum,
                                 Scratch& scratch_) const {
  LeadScore scored =
      score_lead(scratch_.support, values, stand_in(one), spec.protocol.thresholds, scratch_.field);
  CaseScore& score = sum.cases.back();
  score.tables = std::move(scored.tables);
  score.squared_error = scored.sums.squared_error;
  score.pixels = scored.sums.pixels;
  sum.continuous += scored.sums;
  sum.filled_pixels += scored.filled_pixels;
  add_spatial(sum, scratch_);
  if (spec.protocol.balanced_errors || spec.protocol.image_errors) add_frame_errors(sum, scratch_);
}

/// FSS and spectra; pixels outside the support are dry in forecast and truth alike.
void Verifier::State::add_spatial(Sums& sum, Scratch& scratch_) const {
  const std::size_t plane = pixels();
  scratch_.truth_events.resize(plane);
  scratch_.forecast_events.resize(plane);
  for (std::size_t k = 0; k < spec.fss_thresholds.size(); ++k) {
    const double threshold = spec.fss_thresholds[k];
    for (std::size_t pixel = 0; pixel < plane; ++pixel) {
      const bool counts = scratch_.support.mask[pixel] != 0;
      scratch_.truth_events[pixel] =
          counts && static_cast<double>(scratch_.support.truth[pixel]) >= threshold ? 1 : 0;
      scratch_.forecast_events[pixel] =
          counts && static_cast<double>(scratch_.field[pixel]) >= threshold ? 1 : 0;
    }
    const std::size_t scales = spec.fss_scales.size();
    add_fractions(scratch_.forecast_events, scratch_.truth_events, rows, columns, spec.fss_scales,
                  std::span(sum.fractions).subspan(k * scales, scales));
  }
  if (scratch_.spectrum == nullptr) return;
  const std::int64_t side = scratch_.spectrum->side(), top = (rows - side) / 2, left = (columns - side) / 2;
  scratch_.truth_cut.resize(static_cast<std::size_t>(side * side));
  scratch_.field_cut.resize(scratch_.truth_cut.size());
  for (std::int64_t row = 0; row < side; ++row) {
    const std::int64_t from = (top + row) * columns + left;
    std::copy_n(scratch_.support.truth.begin() + from, side, scratch_.truth_cut.begin() + row * side);
    std::copy_n(scratch_.field.begin() + from, side, scratch_.field_cut.begin() + row * side);
  }
  scratch_.spectrum->add(scratch_.field_cut, scratch_.truth_cut, sum.forecast_power, sum.truth_power);
}

void Verifier::State::add_frame_errors(Sums& sum, Scratch& scratch_) const {
  FrameErrors& frames = sum.frames;
  ++frames.frames;
  double squared = 0;
  std::size_t counted = 0;
  for (std::size_t pixel = 0; pixel < scratch_.support.mask.size(); ++pixel) {
    if (scratch_.support.mask[pixel] == 0) continue;
    const double p = scratch_.field[pixel], t = scratch_.support.truth[pixel];
    ++counted;
    if (spec.protocol.balanced_errors) {
      const double error = hko_pixel(p) - hko_pixel(t), weight = hko_weight(t);
      frames.balanced_squared += weight * error * error;
      frames.balanced_absolute += weight * std::abs(error);
    }
    squared += (p - t) * (p - t);
    frames.absolute += std::abs(p - t);
  }
  frames.squared += squared;
  if (!spec.protocol.image_errors) return;
  double clipped = 0;
  for (std::size_t pixel = 0; pixel < scratch_.field.size(); ++pixel) {
    scratch_.field[pixel] = std::clamp(scratch_.field[pixel], 0.F, 1.F);
    const double error =
        static_cast<double>(scratch_.field[pixel]) - static_cast<double>(scratch_.support.truth[pixel]);
    if (scratch_.support.mask[pixel] != 0) clipped += error * error;
  }
  frames.similarity += structural_similarity(scratch_.field, scratch_.support.truth, rows, columns, 2);
  if (clipped > 0) {  // a perfect frame has no finite value and is left out
    frames.psnr += -10 * std::log10(clipped / static_cast<double>(counted));
    ++frames.psnr_frames;
  }
}

/// Brier, reliability and CRPS; without values, an event is forecast where its probability is at least one
/// half.
void Verifier::State::add_probabilities(const StreamedCase& one, const std::vector<double>& thresholds,
                                        const VerificationLead::Forecast& forecast, Sums& sum,
                                        Scratch& scratch_) const {
  const std::size_t plane = pixels(), levels = thresholds.size();
  require(forecast.probabilities.size() == levels, "a lead has probabilities of other thresholds");
  const std::span<const float> latest = stand_in(one);
  if (sum.reliability.empty()) {
    sum.probability_thresholds = thresholds;
    sum.reliability.resize(levels);
  }
  require(sum.probability_thresholds == thresholds, "a forecaster changed its thresholds between cases");
  std::vector<ContingencyTable> tables(levels);
  scratch_.probabilities.resize(levels);
  for (std::size_t pixel = 0; pixel < plane; ++pixel) {
    if (scratch_.support.mask[pixel] == 0) continue;
    const float truth = scratch_.support.truth[pixel];
    bool missing = false;
    for (std::size_t k = 0; k < levels; ++k) {
      scratch_.probabilities[k] = forecast.probabilities[k][pixel];
      missing = missing || std::isnan(scratch_.probabilities[k]);
    }
    if (missing && forecast.values.empty()) ++sum.filled_pixels;
    for (std::size_t k = 0; k < levels; ++k) {
      const double threshold = thresholds[k];
      if (missing) {
        const double rate = latest.empty() ? 0. : static_cast<double>(latest[pixel]);
        scratch_.probabilities[k] = rate >= threshold ? 1.F : 0.F;
      }
      const bool event = static_cast<double>(truth) >= threshold, said = scratch_.probabilities[k] >= 0.5F;
      sum.reliability[k].add(scratch_.probabilities[k], event);
      auto& cell = event ? (said ? tables[k].hits : tables[k].misses)
                         : (said ? tables[k].false_alarms : tables[k].correct_negatives);
      ++cell;
    }
    if (levels < 2) continue;
    sum.crps += crps_exceedance(thresholds, scratch_.probabilities, truth);
    ++sum.crps_pixels;
  }
  if (!forecast.values.empty()) return;
  for (std::size_t k = 0; k < levels; ++k) {
    const auto& wanted = spec.protocol.thresholds;
    const auto found = std::find(wanted.begin(), wanted.end(), thresholds[k]);
    if (found == wanted.end()) continue;
    sum.cases.back().tables[static_cast<std::size_t>(found - wanted.begin())] = tables[k];
  }
}

void Verifier::State::write_scores(VerificationResult& out, std::size_t forecaster, std::int64_t lead,
                                   std::span<const std::int32_t> weights) const {
  const Sums& sum = at(forecaster, lead);
  const double minutes = spec.step_minutes * static_cast<double>(lead + 1);
  const std::string& name = names[forecaster];
  const auto interval = [&](const auto& statistic) {
    return bootstrap_interval(weights, cases, spec.bootstrap.level, statistic);
  };
  for (std::size_t k = 0; k < sum.tables.size(); ++k) {
    const Interval csi = interval([&](std::span<const std::int32_t> times) {
      ContingencyTable total;
      for (std::size_t c = 0; c < times.size(); ++c) {
        const ContingencyTable& table = sum.cases[c].tables[k];
        total.hits += times[c] * table.hits;
        total.misses += times[c] * table.misses;
        total.false_alarms += times[c] * table.false_alarms;
      }
      return total.csi();
    });
    out.scores.push_back({name, minutes, spec.protocol.thresholds[k], sum.tables[k], sum.filled_pixels, csi});
  }
  const Interval mse = interval([&](std::span<const std::int32_t> times) {
    double squared = 0, counted = 0;
    for (std::size_t c = 0; c < times.size(); ++c) {
      squared += times[c] * sum.cases[c].squared_error;
      counted += static_cast<double>(times[c]) * static_cast<double>(sum.cases[c].pixels);
    }
    return counted > 0 ? squared / counted : kNoScore;
  });
  out.continuous.push_back({name, minutes, sum.continuous, sum.filled_pixels, mse});
  for (std::size_t k = 0; k < sum.fractions.size(); ++k) {
    const std::size_t scales = spec.fss_scales.size();
    out.fss.push_back({name, minutes, spec.fss_thresholds[k / scales], spec.fss_scales[k % scales],
                       sum.fractions[k].score()});
  }
  if (!sum.forecast_power.empty() && sum.continuous.pixels > 0) {
    SpectrumScore spectrum;
    spectrum.forecaster = name;
    spectrum.lead_minutes = minutes;
    const auto side = static_cast<double>(RadialSpectrum::side_for(rows, columns));
    for (std::size_t k = 1; k < sum.forecast_power.size(); ++k) {
      spectrum.wavelength_pixels.push_back(side / static_cast<double>(k));
      spectrum.forecast_power.push_back(sum.forecast_power[k] / static_cast<double>(cases));
      spectrum.truth_power.push_back(sum.truth_power[k] / static_cast<double>(cases));
      spectrum.ratio.push_back(sum.truth_power[k] > 0 ? sum.forecast_power[k] / sum.truth_power[k]
                                                      : kNoScore);
    }
    out.spectra.push_back(std::move(spectrum));
  }
  for (std::size_t k = 0; k < sum.reliability.size(); ++k) {
    out.probabilities.push_back({name, minutes, sum.probability_thresholds[k], sum.reliability[k]});
  }
  if (sum.crps_pixels > 0) {
    out.crps.push_back({name, minutes, sum.crps / static_cast<double>(sum.crps_pixels), sum.crps_pixels});
  }
}

void Verifier::State::write_summary(VerificationResult& out, std::size_t forecaster) const {
  const Protocol& protocol = spec.protocol;
  const auto put = [&](const std::string& score, double threshold, double value) {
    out.summary.push_back({names[forecaster], score, threshold, value});
  };
  FrameErrors frames;
  ContinuousSums continuous;
  for (std::int64_t lead = 0; lead < leads; ++lead) {
    const Sums& sum = at(forecaster, lead);
    continuous += sum.continuous;
    frames += sum.frames;
  }
  if (protocol.summary != LeadAverage::none) {
    for (const auto& [name, score] : kTableScores) {
      double total = 0;
      std::int64_t finite = 0;
      for (std::size_t k = 0; k < protocol.thresholds.size(); ++k) {
        const double value = over_leads(forecaster, k, score);
        put(name, protocol.thresholds[k], value);
        if (!std::isfinite(value)) continue;
        total += value;
        ++finite;
      }
      if (protocol.mean_of_thresholds)
        put(std::string(name) + "_mean", kNoScore,
            finite > 0 ? total / static_cast<double>(finite) : kNoScore);
    }
    const double scale = protocol.error_scale;
    if (!protocol.balanced_errors) {
      put("mse", kNoScore, continuous.mse() * scale * scale);
      put("mae", kNoScore, continuous.mae() * scale);
    }
  }
  const auto mean = [](double sum, std::int64_t count) {
    return count > 0 ? sum / static_cast<double>(count) : kNoScore;
  };
  if (protocol.balanced_errors) {
    put("b_mse", kNoScore, mean(frames.balanced_squared, frames.frames));
    put("b_mae", kNoScore, mean(frames.balanced_absolute, frames.frames));
  }
  if (protocol.image_errors) {
    put("mse", kNoScore, mean(frames.squared, frames.frames));
    put("mae", kNoScore, mean(frames.absolute, frames.frames));
    put("ssim", kNoScore, mean(frames.similarity, frames.frames));
    put("psnr", kNoScore, mean(frames.psnr, frames.psnr_frames));
  }
}

double Verifier::State::over_leads(std::size_t forecaster, std::size_t threshold, TableScore score) const {
  ContingencyTable pooled;
  double total = 0;
  std::int64_t finite = 0;
  for (std::int64_t lead = 0; lead < leads; ++lead) {
    const ContingencyTable& table = at(forecaster, lead).tables[threshold];
    pooled += table;
    const double value = (table.*score)();
    if (!std::isfinite(value)) continue;
    total += value;
    ++finite;
  }
  if (spec.protocol.summary == LeadAverage::pooled) return (pooled.*score)();
  return finite > 0 ? total / static_cast<double>(finite) : kNoScore;
}

Verifier::Verifier(VerificationSpec spec, std::vector<std::string> forecasters)
    : state_(std::make_unique<State>()) {
  require(!forecasters.empty(), "no forecasters");
  auto sorted = forecasters;
  std::sort(sorted.begin(), sorted.end());
  require(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), "a forecaster is listed twice");
  const auto& thresholds = spec.protocol.thresholds;
  require(
      std::adjacent_find(thresholds.begin(), thresholds.end(), std::greater_equal<>()) == thresholds.end(),
      "thresholds must ascend");
  require(std::all_of(spec.fss_scales.begin(), spec.fss_scales.end(), [](std::int64_t s) { return s >= 1; }),
          "FSS scales must be at least 1 pixel");
  require(spec.step_minutes > 0, "the step must be above 0 minutes");
  state_->spec = std::move(spec);
  state_->names = std::move(forecasters);
}

Verifier::~Verifier() = default;
Verifier::Verifier(Verifier&&) noexcept = default;
Verifier& Verifier::operator=(Verifier&&) noexcept = default;

void Verifier::add(const VerificationCase& one, std::span<const float> advected,
                   std::span<const ForecastFrames> forecasts) {
  state_->check(one, advected, forecasts);
  const auto plane = static_cast<std::size_t>(one.past.rows * one.past.columns);
  const auto of_lead = [plane](std::span<const float> frames, std::int64_t lead) {
    return frames.empty() ? frames : frames.subspan(plane * static_cast<std::size_t>(lead), plane);
  };
  StreamedCase streamed{one.past.rows, one.past.columns, one.leads, one.past.values.last(plane), {}, {}};
  for (const ForecastFrames& forecast : forecasts) streamed.thresholds.push_back(forecast.thresholds);
  streamed.lead = [&](std::int64_t lead) {
    VerificationLead given{of_lead(one.truth, lead), of_lead(advected, lead), {}};
    for (const ForecastFrames& forecast : forecasts) {
      VerificationLead::Forecast& each = given.forecasts.emplace_back();
      each.values = of_lead(forecast.values, lead);
      for (std::size_t k = 0; k < forecast.probabilities.size() / one.truth.size(); ++k)
        each.probabilities.push_back(
            of_lead(std::span(forecast.probabilities).subspan(k * one.truth.size(), one.truth.size()), lead));
    }
    return given;
  };
  add(streamed);
}

void Verifier::add(const StreamedCase& one) {
  State& state = *state_;
  state.check(one);
  if (state.cases == 0) state.start(one);
  ++state.cases;
  // Each lead has its own sums, so that the number of threads changes no number.
  std::atomic<std::int64_t> next{0};
  std::vector<std::exception_ptr> failures(state.scratch.size());
  const auto work = [&](std::size_t worker) {
    try {
      for (std::int64_t lead = next++; lead < state.leads; lead = next++) {
        state.add_lead(one, lead, state.scratch[worker]);
      }
    } catch (...) {
      failures[worker] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (std::size_t worker = 1; worker < state.scratch.size(); ++worker) helpers.emplace_back(work, worker);
    work(0);
  }
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

VerificationResult Verifier::result() const {
  const State& state = *state_;
  VerificationResult out;
  out.protocol = state.spec.protocol;
  out.cases = state.cases;
  if (state.cases == 0) return out;
  std::vector<std::int32_t> weights;
  if (state.spec.bootstrap.resamples > 0) weights = bootstrap_weights(state.cases, state.spec.bootstrap);
  for (std::size_t forecaster = 0; forecaster < state.names.size(); ++forecaster) {
    for (std::int64_t lead = 0; lead < state.leads; ++lead)
      state.write_scores(out, forecaster, lead, weights);
    state.write_summary(out, forecaster);
  }
  return out;
}

VerificationResult verify(const VerificationSpec& spec, std::int64_t cases, const CaseReader& reader,
                          std::span<Forecaster* const> forecasters, Forecaster& advection,
                          const VerificationProgress& progress) {
  std::vector<std::string> names;
  for (const Forecaster* forecaster : forecasters) names.push_back(forecaster->name());
  Verifier verifier(spec, names);
  std::int64_t skipped = 0;
  for (std::int64_t k = 0; k < cases; ++k) {
    const auto one = reader(k);
    if (one) {
      std::vector<ForecastFrames> forecasts(forecasters.size());
      const ForecastFrames advected = advection.forecast(one->past, one->leads);
      for (std::size_t f = 0; f < forecasters.size(); ++f) {
        forecasts[f] =
            forecasters[f] == &advection ? advected : forecasters[f]->forecast(one->past, one->leads);
      }
      verifier.add(*one, advected.values, forecasts);
    } else {
      ++skipped;
    }
    if (progress && !progress(k + 1)) break;
  }
  VerificationResult result = verifier.result();
  result.skipped_cases = skipped;
  return result;
}

}  // namespace raincell::model
