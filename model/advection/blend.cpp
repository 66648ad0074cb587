#include "model/advection/blend.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "model/matching.hpp"
#include "model/spec.hpp"

namespace raincell::model {

namespace {

using Json = nlohmann::ordered_json;

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

/// Weights of one lead in steps of the rate's logarithm, linear between them.
class WeightTable {
 public:
  WeightTable(const BlendWeights& weights, double lead_minutes) {
    for (std::size_t k = 0; k < kNodes; ++k)
      nodes_[k] = static_cast<float>(
          weights.at(lead_minutes, std::exp2((static_cast<double>(k) - kOne) / kNodesADouble)));
  }
  float at(float rate) const {
    const float place =
        std::clamp(static_cast<float>(kNodesADouble) * std::log2(std::max(rate, 1e-6F)) + float{kOne}, 0.F,
                   static_cast<float>(kNodes - 2));
    const auto node = static_cast<std::size_t>(place);
    return nodes_[node] + (place - static_cast<float>(node)) * (nodes_[node + 1] - nodes_[node]);
  }

 private:
  static constexpr std::size_t kNodes = 66;
  static constexpr int kOne = 32, kNodesADouble = 6;  // where a rate of 1 is
  std::array<float, kNodes> nodes_{};
};

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

}  // namespace

BlendWeights BlendWeights::usual() {
  return {{10., 30., 60.}, {0.5, 1., 5.}, {0.1, 0.1, 0.2, 0.1, 0.1, 0.2, 0.05, 0.05, 0.15}};
}

double BlendWeights::at(double lead, double rate) const {
  const Place row = place_of(lead, lead_minutes);
  std::vector<double> logarithms(rates.size());
  std::transform(rates.begin(), rates.end(), logarithms.begin(), [](double r) { return std::log(r); });
  const Place column = place_of(std::log(std::max(rate, 1e-9)), logarithms);
  const auto along = [&](std::size_t node) {
    const double* weights = advected.data() + node * rates.size() + column.node;
    return column.part == 0. ? weights[0] : weights[0] + column.part * (weights[1] - weights[0]);
  };
  const double low = along(row.node);
  return row.part == 0. ? low : low + row.part * (along(row.node + 1) - low);
}

std::string BlendWeights::text() const {
  return Json{{"lead_minutes", lead_minutes}, {"rates", rates}, {"advected", advected}}.dump();
}

BlendWeights BlendWeights::parse(const std::string& text) {
  BlendWeights weights;
  try {
    const Json json = Json::parse(text);
    json.at("lead_minutes").get_to(weights.lead_minutes);
    json.at("rates").get_to(weights.rates);
    json.at("advected").get_to(weights.advected);
  } catch (const nlohmann::json::exception& error) {
    throw ModelError(std::string("weights of a blend: ") + error.what());
  }
  const auto is_part = [](double w) { return w >= 0. && w <= 1.; };
  if (!is_ascending(weights.lead_minutes) || !is_ascending(weights.rates) ||
      weights.advected.size() != weights.lead_minutes.size() * weights.rates.size() ||
      !std::all_of(weights.advected.begin(), weights.advected.end(), is_part)) {
    throw ModelError(
        "weights of a blend: expected ascending lead_minutes and rates above 0, and for each pair of them a "
        "weight "
        "from 0 to 1");
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

void Blend::stream(PastStream& past, std::int64_t leads, const LeadSink& sink) {
  LastFrames newest(past, std::min(past.frames(), past_));
  const Motion motion = estimate_motion(newest, motion_);
  Roots roots(newest);
  const Lifetimes lifetimes = estimate_lifetimes(roots, motion, scale_, scratch_);
  Fading fading(roots.frame(newest.frames() - 1), past.rows(), past.columns(), scale_, scratch_);
  Trajectories trajectories(motion, scratch_);
  const auto pixels = static_cast<std::size_t>(past.pixels());
  std::vector<float> faded(pixels), carried(pixels), advected(pixels), blended(pixels);
  mean_.stream(past, leads, [&](std::int64_t lead, std::span<const float> mean, std::span<const float>) {
    const double minutes = scale_.step_minutes * static_cast<double>(lead + 1);
    fading.at(lifetimes, minutes, faded);
    trajectories.step({{past.frame(past.frames() - 1), advected}, {faded, carried}});
    const WeightTable weight(weights_, minutes);
    for (std::size_t i = 0; i < pixels; ++i) {
      const float part = std::isnan(mean[i]) ? 0.F : weight.at(std::max(mean[i], 0.F));
      blended[i] = (1 - part) * 0.5F * (root(mean[i]) + carried[i]) + part * root(advected[i]);
    }
    match_distribution(blended, advected);
    sink(lead, blended, {});
  });
}

}  // namespace raincell::model
