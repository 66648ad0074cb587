#include "model/advection/lifetimes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace raincell::model {

namespace {

constexpr double kFinestKm = 1.;        // sigma of the first Gaussian; each next one is twice as wide
constexpr double kLeastPixels = 0.5;    // a narrower Gaussian changes nothing
constexpr double kMiddle = 0.70710678;  // of a band, relative to the wider of its two Gaussians
// Lifetimes: minutes = kUsualMinutes (middle of the band in km / kUsualKm)^kGrowth; left = exp(-(lead /
// minutes)^kShape). Fitted on rain over the Netherlands, Melbourne and Brisbane, hours that no test uses.
constexpr double kUsualMinutes = 10., kUsualKm = 1.41421356, kGrowth = 0.75, kShape = 1.9;
constexpr double kTrust = 0.7;         // weight of what was measured where structures are many
constexpr double kFewStructures = 2.;  // of which half as much is trusted
constexpr double kLeastLeft = 0.05, kMostLeft = 0.99;
constexpr double kTooLittleLeft = 0.1;  // lags beyond the first of these say no more
constexpr double kFarthest = 4.;        // from usual(), as a factor
constexpr float kWetRate = 0.1F;

double sigma_pixels(std::size_t band, const FieldScale& scale) {
  return kFinestKm * std::pow(2., static_cast<double>(band)) / scale.pixel_km;
}

double usual_minutes(std::size_t band) {
  const double middle_km = kMiddle * kFinestKm * std::pow(2., static_cast<double>(band));
  return kUsualMinutes * std::pow(middle_km / kUsualKm, kGrowth);
}

/// Calls with each band's detail, narrowest first; `smooth` ends as what is wider than all bands.
template <class Visit>
void each_band(std::span<const float> frame, std::int64_t rows, std::int64_t columns, const FieldScale& scale,
               std::vector<float>& smooth, const Visit& visit) {
  std::vector<float> finer(frame.begin(), frame.end());
  smooth.resize(frame.size());
  for (std::size_t band = 0; band < kBands; ++band) {
    const double sigma = std::min(sigma_pixels(band, scale), static_cast<double>(std::max(rows, columns)));
    if (sigma < kLeastPixels) continue;
    smooth_frame(frame, rows, columns, sigma, smooth);
    visit(band, std::span<const float>(finer), std::span<const float>(smooth));
    finer = smooth;
  }
  smooth = std::move(finer);
}

/// Of one band, over the lags.
struct Explained {
  std::vector<double> product, square;  // sums of now x then and then x then
};

/// Weighted mean over the lags of log(minutes); NaN where they say nothing.
double measured(const Explained& band, double step_minutes) {
  double sum = 0., weights = 0.;
  for (std::size_t lag = 0; lag < band.product.size(); ++lag) {
    if (!(band.square[lag] > 0.)) break;
    const double left = band.product[lag] / band.square[lag];
    const double exponent = -std::log(std::clamp(left, kLeastLeft, kMostLeft));
    const double weight = std::min(exponent, 1.);
    sum += weight * (std::log(step_minutes * static_cast<double>(lag + 1)) - std::log(exponent) / kShape);
    weights += weight;
    if (left < kTooLittleLeft) break;
  }
  return weights > 0. ? sum / weights : std::numeric_limits<double>::quiet_NaN();
}

void require(const FieldScale& scale) {
  const auto is_size = [](double value) { return value > 0. && std::isfinite(value); };
  if (!is_size(scale.pixel_km) || !is_size(scale.step_minutes))
    throw std::invalid_argument("lifetimes: pixels and steps must be more than 0");
}

}  // namespace

Lifetimes Lifetimes::usual() {
  Lifetimes all;
  for (std::size_t band = 0; band < kBands; ++band) all.minutes[band] = usual_minutes(band);
  return all;
}

double Lifetimes::left(std::size_t band, double lead_minutes) const {
  return std::exp(-std::pow(lead_minutes / minutes[band], kShape));
}

Lifetimes estimate_lifetimes(PastStream& past, const Motion& motion, const FieldScale& scale,
                             Scratch* scratch) {
  require(scale);
  Lifetimes all = Lifetimes::usual();
  const std::int64_t used = std::min(kLifetimeLags, past.frames() - 1);
  if (used < 1) return all;
  const auto pixels = static_cast<std::size_t>(past.pixels());
  const std::int64_t rows = past.rows(), columns = past.columns();
  const auto now = past.frame(past.frames() - 1);
  const auto wet =
      static_cast<double>(std::count_if(now.begin(), now.end(), [](float rate) { return rate >= kWetRate; }));
  if (wet == 0.) return all;

  Fading latest(now, rows, columns, scale, scratch);
  std::array<Explained, kBands> explained;
  std::vector<float> brought(pixels), widest;
  Trajectories trajectories(motion, scratch);
  for (std::int64_t lag = 1; lag <= used; ++lag) {
    trajectories.step({{past.frame(past.frames() - 1 - lag), brought}});
    each_band(brought, rows, columns, scale, widest, [&](std::size_t band, auto finer, auto wider) {
      const auto detail = latest.band(band);
      double product = 0., square = 0.;
      for (std::size_t i = 0; i < pixels; ++i) {
        const float then = finer[i] - wider[i], is = detail[i];
        if (std::isnan(then) || std::isnan(is)) continue;
        product += static_cast<double>(then) * is;
        square += static_cast<double>(then) * then;
      }
      explained[band].product.push_back(product);
      explained[band].square.push_back(square);
    });
  }
  for (std::size_t band = 0; band < kBands; ++band) {
    const double seen = measured(explained[band], scale.step_minutes);
    if (std::isnan(seen)) continue;
    const double sigma = sigma_pixels(band, scale), structures = wet / (M_PI * sigma * sigma);
    const double trust = kTrust * structures / (structures + kFewStructures), usual = all.minutes[band];
    all.minutes[band] = std::clamp(std::exp(trust * seen + (1. - trust) * std::log(usual)), usual / kFarthest,
                                   usual * kFarthest);
  }
  return all;
}

Fading::Fading(std::span<const float> frame, std::int64_t rows, std::int64_t columns, const FieldScale& scale,
               Scratch* scratch)
    : pixels_(frame.size()), planes_(frame.size() * kPlanes, scratch, "bands of the latest frame") {
  require(scale);
  std::vector<float> widest;
  each_band(frame, rows, columns, scale, widest, [&](std::size_t band, auto finer, auto wider) {
    there_[band] = true;
    std::transform(finer.begin(), finer.end(), wider.begin(), plane(band).begin(), std::minus<>());
  });
  std::copy(widest.begin(), widest.end(), plane(kBands).begin());
  planes_.drop();
}

std::span<float> Fading::plane(std::size_t band) {
  planes_.drop();
  return planes_.values().subspan(band * pixels_, pixels_);
}

void Fading::at(const Lifetimes& lifetimes, double lead_minutes, std::span<float> out) {
  if (out.size() != pixels_) throw std::invalid_argument("lifetimes: the frames differ in size");
  const auto widest = plane(kBands);
  std::copy(widest.begin(), widest.end(), out.begin());
  for (std::size_t band = 0; band < kBands; ++band) {
    if (!there_[band]) continue;
    const auto left = static_cast<float>(lifetimes.left(band, lead_minutes));
    const auto detail = plane(band);
    for (std::size_t i = 0; i < pixels_; ++i) out[i] += left * detail[i];
  }
  for (float& value : out) {
    if (value < 0.F) value = 0.F;  // not of NaN
  }
}

}  // namespace raincell::model
