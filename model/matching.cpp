#include "model/matching.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <vector>

namespace raincell::model {

void match_distribution(std::span<float> values, std::span<const float> target) {
  if (values.size() != target.size() || values.size() > UINT32_MAX)
    throw std::invalid_argument("matching: the fields differ in size, or are too large");
  std::vector<std::uint32_t> wet;
  std::vector<float> amounts;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i]) || std::isnan(target[i])) continue;
    if (values[i] > 0.F) wet.push_back(static_cast<std::uint32_t>(i));
    if (target[i] > 0.F) amounts.push_back(target[i]);
  }
  const std::size_t rainy = std::min(wet.size(), amounts.size());
  const auto heavier = [&](std::uint32_t a, std::uint32_t b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  };
  const auto last = wet.begin() + static_cast<std::ptrdiff_t>(rainy);
  std::nth_element(wet.begin(), last, wet.end(), heavier);
  std::sort(wet.begin(), last, heavier);
  const auto least = amounts.begin() + static_cast<std::ptrdiff_t>(rainy);
  std::nth_element(amounts.begin(), least, amounts.end(), std::greater<>());
  std::sort(amounts.begin(), least, std::greater<>());
  for (std::size_t i = 0; i < rainy; ++i) values[wet[i]] = amounts[i];
  for (std::size_t i = rainy; i < wet.size(); ++i) values[wet[i]] = 0.F;
}

}  // namespace raincell::model
