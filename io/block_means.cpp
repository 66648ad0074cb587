#include "io/block_means.hpp"

#include <algorithm>
#include <cmath>

#include "io/frame.hpp"

namespace raincell::io {

std::vector<float> block_means(std::span<const float> values, std::int64_t columns, std::int64_t rows,
                               int factor) {
  std::vector<float> means;
  for (std::int64_t top = 0; top < rows; top += factor) {
    const std::int64_t bottom = std::min(rows, top + factor);
    for (std::int64_t left = 0; left < columns; left += factor) {
      const std::int64_t right = std::min(columns, left + factor);
      double sum = 0.;
      std::int64_t seen = 0;
      for (std::int64_t y = top; y < bottom; ++y) {
        for (std::int64_t x = left; x < right; ++x) {
          const float value = values[static_cast<std::size_t>(y * columns + x)];
          if (std::isnan(value)) continue;
          sum += static_cast<double>(value);
          ++seen;
        }
      }
      const bool enough = 2 * seen >= (bottom - top) * (right - left);
      means.push_back(enough ? static_cast<float>(sum / static_cast<double>(seen)) : kMissing);
    }
  }
  return means;
}

}  // namespace raincell::io
