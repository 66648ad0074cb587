// Fractions skill score by summed-area tables.
#include <algorithm>
#include <limits>
#include <stdexcept>

#include "model/skill.hpp"

namespace raincell::model {
namespace {

/// Sums of all events above and left: [rows + 1, columns + 1].
std::vector<std::int32_t> summed_area(std::span<const std::uint8_t> events, std::int64_t rows,
                                      std::int64_t columns) {
  const std::int64_t width = columns + 1;
  std::vector<std::int32_t> table(static_cast<std::size_t>((rows + 1) * width));
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::uint8_t* from = events.data() + row * columns;
    const std::int32_t* above = table.data() + row * width;
    std::int32_t* out = table.data() + (row + 1) * width;
    std::int32_t line = 0;
    for (std::int64_t column = 0; column < columns; ++column) {
      line += from[column];
      out[column + 1] = above[column + 1] + line;
    }
  }
  return table;
}

/// Events in the windows of one row of pixels: [columns].
void window_counts(const std::vector<std::int32_t>& table, std::int64_t row, std::int64_t rows,
                   std::int64_t columns, std::int64_t scale, std::vector<std::int32_t>& counts) {
  const std::int64_t before = scale / 2, after = scale - before;  // rows row - before ... row + after - 1
  const std::int64_t width = columns + 1;
  const std::int32_t* top = table.data() + std::max<std::int64_t>(row - before, 0) * width;
  const std::int32_t* bottom = table.data() + std::min(row + after, rows) * width;
  for (std::int64_t column = 0; column < columns; ++column) {
    const std::int64_t left = std::max<std::int64_t>(column - before, 0),
                       right = std::min(column + after, columns);
    counts[static_cast<std::size_t>(column)] = bottom[right] - bottom[left] - top[right] + top[left];
  }
}

}  // namespace

double FractionSums::score() const {
  const double worst = forecast_squared + truth_squared;
  if (!(worst > 0)) return std::numeric_limits<double>::quiet_NaN();
  return 1 - (forecast_squared - 2 * product + truth_squared) / worst;
}

FractionSums& FractionSums::operator+=(const FractionSums& other) {
  forecast_squared += other.forecast_squared;
  truth_squared += other.truth_squared;
  product += other.product;
  return *this;
}

void add_fractions(std::span<const std::uint8_t> forecast_events, std::span<const std::uint8_t> truth_events,
                   std::int64_t rows, std::int64_t columns, std::span<const std::int64_t> scales,
                   std::span<FractionSums> sums) {
  const auto pixels = static_cast<std::size_t>(rows * columns);
  if (forecast_events.size() != pixels || truth_events.size() != pixels || sums.size() != scales.size()) {
    throw std::invalid_argument("skill: event fields or sums have the wrong size");
  }
  const auto forecast = summed_area(forecast_events, rows, columns),
             truth = summed_area(truth_events, rows, columns);
  std::vector<std::int32_t> f(static_cast<std::size_t>(columns)), t(f.size());
  for (std::size_t index = 0; index < scales.size(); ++index) {
    const std::int64_t scale = scales[index];
    if (scale < 1) throw std::invalid_argument("skill: a scale must be at least 1 pixel");
    std::int64_t ff = 0, tt = 0, ft = 0;  // exact: counts are at most scale^2
    FractionSums added;
    const double area = static_cast<double>(scale) * static_cast<double>(scale);
    for (std::int64_t row = 0; row < rows; ++row) {
      window_counts(forecast, row, rows, columns, scale, f);
      window_counts(truth, row, rows, columns, scale, t);
      ff = tt = ft = 0;
      for (std::size_t column = 0; column < f.size(); ++column) {
        const std::int64_t a = f[column], b = t[column];
        ff += a * a, tt += b * b, ft += a * b;
      }
      added += {static_cast<double>(ff), static_cast<double>(tt), static_cast<double>(ft)};
    }
    sums[index] += {added.forecast_squared / (area * area), added.truth_squared / (area * area),
                    added.product / (area * area)};
  }
}

}  // namespace raincell::model
