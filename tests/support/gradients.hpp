// Analytic gradients against central differences in double.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace raincell::test {

/// Distance of element i from the nearest point where the objective has no derivative; above 1e-3: none near.
using Kinks = std::function<double(std::size_t)>;

/// Compares analytic with (L(x + h) - L(x - h)) / 2h, h = 1e-5, for at most `most` elements spread over x:
/// |a - d| <= 1e-6 max(|a|, |d|, 1e-2 of the tensor's largest entry). `objective` reads x; x is left as it
/// was. Returns how many elements were left out because a kink is within 1e-3.
inline int expect_gradient(const std::string& name, std::vector<double>& x,
                           const std::vector<double>& analytic, const std::function<double()>& objective,
                           std::size_t most, const Kinks& kinks = {}) {
  constexpr double kStep = 1e-5, kTolerance = 1e-6, kKink = 1e-3;
  EXPECT_EQ(x.size(), analytic.size()) << name;
  if (x.size() != analytic.size()) return 0;
  double largest = 0;
  for (const double a : analytic) largest = std::max(largest, std::abs(a));
  EXPECT_GT(largest, 0) << name << ": all gradients are zero, which proves nothing";
  int left_out = 0, wrong = 0;
  // A stride without common factor walks all channels and pixels evenly.
  const std::size_t stride = std::max<std::size_t>(1, x.size() / most) | 1U;
  for (std::size_t i = 0; i < x.size() && wrong < 4; i += stride) {
    if (kinks && kinks(i) < kKink) {
      ++left_out;
      continue;
    }
    const double here = x[i];
    x[i] = here + kStep;
    const double above = objective();
    x[i] = here - kStep;
    const double below = objective();
    x[i] = here;
    const double difference = (above - below) / (2 * kStep);
    const double bound = kTolerance * std::max({std::abs(analytic[i]), std::abs(difference), 1e-2 * largest});
    if (std::abs(analytic[i] - difference) <= bound) continue;
    ++wrong;
    ADD_FAILURE() << name << "[" << i << "]: analytic " << analytic[i] << ", central difference "
                  << difference;
  }
  objective();
  return left_out;
}

}  // namespace raincell::test
