#include "model/advection/blend_fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

namespace raincell::model {

namespace {

constexpr std::array kTried = {0., 0.1, 0.3, 0.5, 0.7, 1.};  // the usual ones among them
constexpr double kChance = 0.003;                            // of a critical success index
constexpr std::int64_t kFewest = 1000;                       // events of a rate, below which nothing is known

}  // namespace

double BlendFit::Counts::csi() const {
  const std::int64_t all = hits + misses + false_alarms;
  return all > 0 ? static_cast<double>(hits) / static_cast<double>(all)
                 : std::numeric_limits<double>::quiet_NaN();
}

BlendFit::BlendFit() : counts_(usual_.lead_minutes.size() * usual_.rates.size() * kTried.size()) {}

BlendFit::Counts& BlendFit::counts(std::size_t node, std::size_t rate, std::size_t weight) {
  return counts_[(node * usual_.rates.size() + rate) * kTried.size() + weight];
}

void BlendFit::add(std::int64_t lead, double step_minutes, std::span<const float> likely,
                   std::span<const float> advected, std::span<const float> truth) {
  const auto found =
      std::find_if(usual_.lead_minutes.begin(), usual_.lead_minutes.end(), [&](double minutes) {
        return std::max<std::int64_t>(std::llround(minutes / step_minutes), 1) == lead + 1;
      });
  if (found == usual_.lead_minutes.end()) return;
  const auto node = static_cast<std::size_t>(found - usual_.lead_minutes.begin());
  std::vector<std::size_t> known;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (!std::isnan(likely[i]) && !std::isnan(advected[i]) && !std::isnan(truth[i])) known.push_back(i);
  }
  std::vector<std::pair<float, bool>> ranked;  // key, event
  for (std::size_t rate = 0; rate < usual_.rates.size(); ++rate) {
    const auto least = static_cast<float>(usual_.rates[rate]);
    const auto reaches = [=](float value) { return value >= least; };
    const auto as_many = [&](std::span<const float> field) {
      return std::count_if(known.begin(), known.end(), [&](std::size_t i) { return reaches(field[i]); });
    };
    const std::int64_t events = as_many(truth);
    const auto wanted =
        static_cast<std::int64_t>(std::ceil(static_cast<double>(as_many(advected)) * usual_.extent[node]));
    for (std::size_t weight = 0; weight < kTried.size(); ++weight) {
      ranked.clear();
      for (const std::size_t i : known) {
        const float key = blend_key(likely[i], advected[i], static_cast<float>(kTried[weight]));
        if (key > 0.F) ranked.emplace_back(key, reaches(truth[i]));
      }
      const auto served = ranked.begin() + std::min<std::int64_t>(wanted, std::ssize(ranked));
      std::nth_element(ranked.begin(), served, ranked.end(),
                       [](const auto& a, const auto& b) { return a.first > b.first; });
      const std::int64_t hits =
          std::count_if(ranked.begin(), served, [](const auto& pixel) { return pixel.second; });
      Counts& sum = counts(node, rate, weight);
      sum.hits += hits;
      sum.misses += events - hits;
      sum.false_alarms += (served - ranked.begin()) - hits;
    }
  }
}

BlendWeights BlendFit::fit() const {
  BlendWeights weights = usual_;
  for (std::size_t at = 0; at < weights.advected.size(); ++at) {
    const Counts* tried = counts_.data() + at * kTried.size();
    if (tried[0].hits + tried[0].misses < kFewest) continue;
    const auto usual = std::find(kTried.begin(), kTried.end(), usual_.advected[at]) - kTried.begin();
    std::size_t best = 0;
    for (std::size_t weight = 1; weight < kTried.size(); ++weight) {
      if (tried[weight].csi() > tried[best].csi()) best = weight;
    }
    if (tried[best].csi() > tried[usual].csi() + kChance) weights.advected[at] = kTried[best];
  }
  return weights;
}

}  // namespace raincell::model
