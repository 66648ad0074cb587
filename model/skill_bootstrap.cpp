// Confidence intervals by resampling cases.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "model/skill.hpp"

namespace raincell::model {
namespace {

/// A random number that depends on its arguments alone (splitmix64 of a counter).
std::uint64_t draw(std::uint64_t seed, std::uint64_t counter) {
  std::uint64_t z = seed * 0xD1342543DE82EF95ULL + (counter + 1) * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// Linear interpolation between order statistics.
double quantile(const std::vector<double>& sorted, double p) {
  const double at = p * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

std::vector<std::int32_t> bootstrap_weights(std::int64_t cases, const BootstrapSpec& spec) {
  if (cases < 0 || spec.resamples < 0 || spec.block < 1) {
    throw std::invalid_argument("bootstrap: cases and resamples must not be negative, blocks at least 1");
  }
  if (cases < 2 * spec.block) return {};
  std::vector<std::int32_t> weights(static_cast<std::size_t>(cases * spec.resamples));
  const std::int64_t block = spec.block;
  const std::int64_t blocks = (cases + block - 1) / block;
  std::uint64_t counter = 0;
  for (std::int64_t resample = 0; resample < spec.resamples; ++resample) {
    std::int64_t left = cases;
    std::int32_t* row = weights.data() + resample * cases;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const auto first =
          static_cast<std::int64_t>(draw(spec.seed, counter++) % static_cast<std::uint64_t>(cases));
      for (std::int64_t k = 0; k < block && left > 0; ++k, --left) ++row[(first + k) % cases];
    }
  }
  return weights;
}

Interval bootstrap_interval(std::span<const std::int32_t> weights, std::int64_t cases, double level,
                            const std::function<double(std::span<const std::int32_t>)>& statistic) {
  if (!(level > 0) || !(level < 1)) throw std::invalid_argument("bootstrap: level must lie between 0 and 1");
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (cases < 2) return {kNone, kNone};
  std::vector<double> values;
  const auto size = static_cast<std::size_t>(cases);
  for (std::size_t at = 0; at + size <= weights.size(); at += size) {
    const double value = statistic(weights.subspan(at, size));
    if (std::isfinite(value)) values.push_back(value);
  }
  if (values.empty()) return {kNone, kNone};
  std::sort(values.begin(), values.end());
  return {quantile(values, (1 - level) / 2), quantile(values, (1 + level) / 2)};
}

}  // namespace raincell::model
