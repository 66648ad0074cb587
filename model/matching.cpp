#include "model/matching.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <vector>

namespace raincell::model {

void hand_out_rain(std::span<const float> rain, std::span<const RankPart> parts, double extent,
                   std::span<float> out) {
  if (out.size() != rain.size() || out.size() > UINT32_MAX || parts.empty() || !(extent > 0.))
    throw std::invalid_argument("matching: fields of different sizes or too large, no parts, or no extent");
  std::vector<std::uint32_t> waiting;
  std::vector<float> amounts;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = rain[i] + 0.F * parts.back().key(i);  // NaN where either is
    if (std::isnan(out[i])) continue;
    waiting.push_back(static_cast<std::uint32_t>(i));
    if (rain[i] > 0.F) amounts.push_back(rain[i]);
  }
  std::sort(amounts.begin(), amounts.end(), std::greater<>());
  const auto amount = [&](std::size_t rank) {
    return amounts[std::min(static_cast<std::size_t>(static_cast<double>(rank) / extent),
                            amounts.size() - 1)];
  };
  const auto all = static_cast<std::size_t>(static_cast<double>(amounts.size()) * extent);
  // Until it is handed out, out holds the key.
  const auto sooner = [&](std::uint32_t a, std::uint32_t b) {
    return out[a] != out[b] ? out[a] > out[b] : a < b;
  };
  std::size_t done = 0;
  auto first = waiting.begin();
  for (const RankPart& part : parts) {
    const auto last_amount =
        std::partition_point(amounts.begin(), amounts.end(), [&](float a) { return a >= part.least; });
    const auto until = std::min(
        all,
        static_cast<std::size_t>(std::ceil(static_cast<double>(last_amount - amounts.begin()) * extent)));
    if (until <= done) continue;
    const auto wet =
        std::partition(first, waiting.end(), [&](std::uint32_t i) { return (out[i] = part.key(i)) > 0.F; });
    const auto served = first + std::min(static_cast<std::ptrdiff_t>(until - done), wet - first);
    std::nth_element(first, served, wet, sooner);
    std::sort(first, served, sooner);
    for (; first != served; ++first) out[*first] = amount(done++);
  }
  for (; first != waiting.end(); ++first) out[*first] = 0.F;
}

}  // namespace raincell::model
