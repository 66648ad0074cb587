#include "model/advection/blend.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "model/matching.hpp"
#include "model/spec.hpp"

namespace raincell::model {

namespace {

using Json = nlohmann::ordered_json;

// What changed along the motion in the last step goes on by so much of it, as it does in the second-order
// autoregression of S-PROG; what is narrower than a few kilometres is noise. Chosen on the training hours of
// three radars: 0.3 to 0.5 are alike.
constexpr float kTrend = 0.4F;
constexpr double kTrendKm = 2.;

/// Place of x between ascending nodes: the lower of two, and how far towards the next.
struct Place {
  std::size_t node;
  double part;
};

Place place_of(double x, const std::vector<double>& nodes) {
  if (x <= nodes.front() || nodes.size() == 1) return {0, 0.};
  if (x >= nodes.back()) return {nodes.size() - 2, 1.};
  const auto above =
      static_cast<std::size_t>(std::upper_bound(nodes.begin(), nodes.end(), x) - nodes.begin());
  return {above - 1, (x - nodes[above - 1]) / (nodes[above] - nodes[above - 1])};
}

bool is_ascending(const std::vector<double>& nodes) {
  return !nodes.empty() && nodes.front() > 0. &&
         std::adjacent_find(nodes.begin(), nodes.end(), std::greater_equal<>()) == nodes.end();
}

float root(float rate) {
  return std::sqrt(std::max(rate, 0.F));  // NaN stays NaN
}

/// Square roots of rain rates.
class Roots : public PastStream {
 public:
  explicit Roots(PastStream& rates)
      : PastStream(rates.frames(), rates.rows(), rates.columns()), rates_(rates) {}
  std::span<const float> frame(std::int64_t index) override {
    const auto rates = rates_.frame(index);
    frame_.resize(rates.size());
    std::transform(rates.begin(), rates.end(), frame_.begin(), root);
    return frame_;
  }

 private:
  PastStream& rates_;
  std::vector<float> frame_;
};

/// The newest frame and what it will soon have grown or decayed by.
std::vector<float> with_trend(PastStream& past, const Motion& motion, const FieldScale& scale,
                              Scratch* scratch) {
  const std::int64_t newest = past.frames() - 1;
  if (newest == 0) return {past.frame(0).begin(), past.frame(0).end()};
  std::vector<float> change(static_cast<std::size_t>(past.pixels())), smooth(change.size());
  Trajectories(motion, scratch).step({{past.frame(newest - 1), change}});
  const auto now = past.frame(newest);
  std::transform(now.begin(), now.end(), change.begin(), change.begin(), std::minus<>());
  smooth_frame(change, past.rows(), past.columns(), kTrendKm / scale.pixel_km, smooth);
  std::transform(now.begin(), now.end(), smooth.begin(), smooth.begin(),
                 [](float is, float grows) { return std::isnan(grows) ? is : is + kTrend * grows; });
  return smooth;
}

}  // namespace

BlendWeights BlendWeights::usual() {
  return {{10., 30., 60.},
          {0.5, 1., 2., 5., 10.},
          {0.1, 0.1, 0., 0., 1., 0.1, 0.1, 1., 1., 1., 0.1, 0.1, 0.5, 1., 1.},
          std::vector<double>(15, 0.5),
          {1., 1.1, 1.1}};
}

BlendWeights::Shares BlendWeights::shares_at(double lead, std::size_t rate) const {
  const auto [node, part] = place_of(lead, lead_minutes);
  const auto at = [&, node = node, part = part](const std::vector<double>& shares) {
    const double* share = shares.data() + node * rates.size() + rate;
    return part == 0. ? share[0] : share[0] + part * (share[rates.size()] - share[0]);
  };
  return {at(advected), at(mean)};
}

double BlendWeights::extent_at(double lead) const {
  const auto [node, part] = place_of(lead, lead_minutes);
  return part == 0. ? extent[node] : extent[node] + part * (extent[node + 1] - extent[node]);
}

std::string BlendWeights::text() const {
  return Json{{"lead_minutes", lead_minutes},
              {"rates", rates},
              {"advected", advected},
              {"mean", mean},
              {"extent", extent}}
      .dump();
}

BlendWeights BlendWeights::parse(const std::string& text) {
  BlendWeights weights;
  try {
    const Json json = Json::parse(text);
    json.at("lead_minutes").get_to(weights.lead_minutes);
    json.at("rates").get_to(weights.rates);
    json.at("advected").get_to(weights.advected);
    json.at("mean").get_to(weights.mean);
    json.at("extent").get_to(weights.extent);
  } catch (const nlohmann::json::exception& error) {
    throw ModelError(std::string("weights of a blend: ") + error.what());
  }
  const auto within = [](const std::vector<double>& values, double least, double most) {
    return std::all_of(values.begin(), values.end(), [=](double w) { return w >= least && w <= most; });
  };
  if (!is_ascending(weights.lead_minutes) || !is_ascending(weights.rates) ||
      weights.advected.size() != weights.lead_minutes.size() * weights.rates.size() ||
      weights.mean.size() != weights.advected.size() || !within(weights.mean, 0., 1.) ||
      weights.extent.size() != weights.lead_minutes.size() || !within(weights.advected, 0., 1.) ||
      !within(weights.extent, 1., 2.)) {
    throw ModelError(
        "weights of a blend: expected ascending lead_minutes and rates above 0, for each pair of them shares "
        "advected and mean from 0 to 1, and for each lead an extent from 1 to 2");
  }
  return weights;
}

ForecastFrames Blend::forecast(const PastFrames& past, std::int64_t leads) {
  ForecastFrames out{leads, past.rows, past.columns, {}, {}, {}};
  out.values.reserve(static_cast<std::size_t>(leads * past.rows * past.columns));
  HeldFrames held(past);
  stream(held, leads, [&](std::int64_t, std::span<const float> values, std::span<const float>) {
    out.values.insert(out.values.end(), values.begin(), values.end());
  });
  return out;
}

void Blend::parts(PastStream& past, std::int64_t leads, const PartsSink& sink) {
  LastFrames newest(past, std::min(past.frames(), past_));
  const Motion motion = estimate_motion(newest, motion_);
  Roots roots(newest);
  const Lifetimes lifetimes = estimate_lifetimes(roots, motion, scale_, scratch_);
  Fading fading(with_trend(roots, motion, scale_, scratch_), past.rows(), past.columns(), scale_, scratch_);
  Trajectories trajectories(motion, scratch_);
  const auto pixels = static_cast<std::size_t>(past.pixels());
  std::vector<float> faded(pixels), carried(pixels), rain(pixels), likely(pixels), advected(pixels);
  mean_.stream(past, leads, [&](std::int64_t lead, std::span<const float> mean, std::span<const float>) {
    const double minutes = scale_.step_minutes * static_cast<double>(lead + 1);
    fading.at(lifetimes, minutes, faded);
    trajectories.step({{past.frame(past.frames() - 1), rain}, {faded, carried}});
    std::transform(mean.begin(), mean.end(), likely.begin(), root);
    std::transform(rain.begin(), rain.end(), advected.begin(), root);
    sink(lead, {likely, carried, advected}, rain);
  });
}

void Blend::stream(PastStream& past, std::int64_t leads, const LeadSink& sink) {
  std::vector<float> blended(static_cast<std::size_t>(past.pixels()));
  parts(past, leads, [&](std::int64_t lead, const BlendParts& parts, std::span<const float> rain) {
    const double minutes = scale_.step_minutes * static_cast<double>(lead + 1);
    std::vector<RankPart> ranks;
    for (std::size_t rate = weights_.rates.size(); rate-- > 0;) {
      const auto shares = weights_.shares_at(minutes, rate);
      ranks.push_back({rate == 0 ? 0.F : static_cast<float>(weights_.rates[rate]),
                       [&parts, shares](std::size_t i) { return parts.key(shares, i); }});
    }
    hand_out_rain(rain, ranks, weights_.extent_at(minutes), blended);
    sink(lead, blended, {});
  });
}

}  // namespace raincell::model
