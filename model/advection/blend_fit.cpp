#include "model/advection/blend_fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

namespace raincell::model {

namespace {

// Shares of the advected frame and of the mean in the rest; the usual ones are among them.
constexpr std::array<BlendWeights::Shares, 10> kTried = {{{0., 0.5},
                                                          {0.1, 0.5},
                                                          {0.3, 0.5},
                                                          {0.5, 0.5},
                                                          {1., 0.5},
                                                          {0., 0.},
                                                          {0.1, 0.},
                                                          {0.5, 0.},
                                                          {0., 1.},
                                                          {0.1, 1.}}};
constexpr double kChance = 0.003;       // of a critical success index
constexpr std::int64_t kFewest = 1000;  // events of a rate, below which nothing is known

}  // namespace

double BlendFit::Counts::csi() const {
  const std::int64_t all = hits + misses + false_alarms;
  return all > 0 ? static_cast<double>(hits) / static_cast<double>(all)
                 : std::numeric_limits<double>::quiet_NaN();
}

BlendFit::BlendFit() : counts_(usual_.lead_minutes.size() * usual_.rates.size() * kTried.size()) {}

void BlendFit::add(std::int64_t lead, double step_minutes, const BlendParts& parts,
                   std::span<const float> rain, std::span<const float> truth) {
  const auto found =
      std::find_if(usual_.lead_minutes.begin(), usual_.lead_minutes.end(),
                   [&](double minutes) { return std::llround(minutes / step_minutes) == lead + 1; });
  if (found == usual_.lead_minutes.end()) return;
  const auto node = static_cast<std::size_t>(found - usual_.lead_minutes.begin());
  std::vector<std::size_t> known;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (!std::isnan(rain[i] + parts.mean[i] + parts.faded[i] + truth[i])) known.push_back(i);
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
        static_cast<std::int64_t>(std::ceil(static_cast<double>(as_many(rain)) * usual_.extent[node]));
    for (std::size_t shares = 0; shares < kTried.size(); ++shares) {
      ranked.clear();
      for (const std::size_t i : known) {
        const float key = parts.key(kTried[shares], i);
        if (key > 0.F) ranked.emplace_back(key, reaches(truth[i]));
      }
      const auto served = ranked.begin() + std::min<std::int64_t>(wanted, std::ssize(ranked));
      std::nth_element(ranked.begin(), served, ranked.end(),
                       [](const auto& a, const auto& b) { return a.first > b.first; });
      const std::int64_t hits =
          std::count_if(ranked.begin(), served, [](const auto& pixel) { return pixel.second; });
      Counts& sum = counts_[(node * usual_.rates.size() + rate) * kTried.size() + shares];
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
    const bool heaviest = (at + 1) % usual_.rates.size() == 0;
    if (heaviest || tried[0].hits + tried[0].misses < kFewest) continue;
    const auto usual =
        std::find_if(kTried.begin(), kTried.end(),
                     [&](const auto& shares) {
                       return shares.advected == usual_.advected[at] && shares.mean == usual_.mean[at];
                     }) -
        kTried.begin();
    std::size_t best = 0;
    for (std::size_t shares = 1; shares < kTried.size(); ++shares) {
      if (tried[shares].csi() > tried[best].csi()) best = shares;
    }
    if (!(tried[best].csi() > tried[usual].csi() + kChance)) continue;
    weights.advected[at] = kTried[best].advected;
    weights.mean[at] = kTried[best].mean;
  }
  return weights;
}

}  // namespace raincell::model
