#include "model/skill_spectrum.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace raincell::model {
namespace {

using Complex = std::complex<double>;

constexpr std::int64_t kLargestFactor = 7;

/// Without the NaN recovery of std::complex, which costs more than the product.
Complex times(const Complex& a, const Complex& b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

/// Ascending factors up to 7; empty when a larger one remains.
std::vector<std::int64_t> small_factors(std::int64_t number) {
  std::vector<std::int64_t> factors;
  for (std::int64_t factor = 2; factor <= kLargestFactor; ++factor) {
    while (number % factor == 0 && number > 1) {
      factors.push_back(factor);
      number /= factor;
    }
  }
  if (number != 1) factors.clear();
  return factors;
}

/// Signed frequency of an output index.
std::int64_t frequency(std::int64_t index, std::int64_t side) {
  return index <= side / 2 ? index : index - side;
}

}  // namespace

std::int64_t RadialSpectrum::side_for(std::int64_t rows, std::int64_t columns) {
  std::int64_t side = std::min(rows, columns);
  while (side > 1 && small_factors(side).empty()) --side;
  return side;
}

RadialSpectrum::RadialSpectrum(std::int64_t side)
    : side_(side), factors_(small_factors(std::max<std::int64_t>(side, 1))) {
  if (side < 2 || factors_.empty())
    throw std::invalid_argument("spectrum: the side must factor into 2, 3, 5 and 7");
  const auto size = static_cast<std::size_t>(side);
  roots_.resize(size);
  for (std::size_t k = 0; k < size; ++k) {
    roots_[k] = std::polar(1., -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(side));
  }
  plane_.resize(size * size);
  line_.resize(size);
  out_.resize(size);
}

/// Mixed-radix decimation in time: out[k] = sum_n in[n stride] exp(-2 pi i n k / length).
void RadialSpectrum::transform(const Complex* in, std::int64_t stride, Complex* out, std::int64_t length,
                               std::size_t factor) {
  if (length == 1) {
    out[0] = in[0];
    return;
  }
  const std::int64_t radix = factors_[factor], part = length / radix;
  for (std::int64_t r = 0; r < radix; ++r)
    transform(in + r * stride, stride * radix, out + r * part, part, factor + 1);
  const std::int64_t step = side_ / length;  // roots_[step j] = exp(-2 pi i j / length)
  Complex twiddled[kLargestFactor];
  for (std::int64_t k = 0; k < part; ++k) {
    for (std::int64_t r = 0; r < radix; ++r)
      twiddled[r] = times(out[r * part + k], roots_[static_cast<std::size_t>(step * r * k)]);
    for (std::int64_t q = 0; q < radix; ++q) {
      Complex sum = twiddled[0];
      for (std::int64_t r = 1; r < radix; ++r) {
        sum += times(twiddled[r], roots_[static_cast<std::size_t>(step * part * ((r * q) % radix))]);
      }
      out[q * part + k] = sum;
    }
  }
}

void RadialSpectrum::add(std::span<const float> first, std::span<const float> second,
                         std::span<double> first_power, std::span<double> second_power) {
  const auto n = static_cast<std::size_t>(side_), bins = static_cast<std::size_t>(wavenumbers());
  if (first.size() != n * n || second.size() != n * n || first_power.size() != bins ||
      second_power.size() != bins) {
    throw std::invalid_argument("spectrum: fields or spectra have the wrong size");
  }
  // Two real fields in one complex transform.
  for (std::size_t i = 0; i < n * n; ++i) plane_[i] = {first[i], second[i]};
  for (std::size_t row = 0; row < n; ++row) {
    transform(plane_.data() + row * n, 1, out_.data(), side_, 0);
    std::copy(out_.begin(), out_.end(), plane_.begin() + static_cast<std::ptrdiff_t>(row * n));
  }
  for (std::size_t column = 0; column < n; ++column) {
    for (std::size_t row = 0; row < n; ++row) line_[row] = plane_[row * n + column];
    transform(line_.data(), 1, out_.data(), side_, 0);
    for (std::size_t row = 0; row < n; ++row) plane_[row * n + column] = out_[row];
  }
  std::vector<double> first_sum(bins), second_sum(bins);
  std::vector<std::int64_t> count(bins);
  for (std::size_t row = 0; row < n; ++row) {
    const auto y = static_cast<double>(frequency(static_cast<std::int64_t>(row), side_));
    for (std::size_t column = 0; column < n; ++column) {
      const auto x = static_cast<double>(frequency(static_cast<std::int64_t>(column), side_));
      const auto bin = static_cast<std::size_t>(std::lround(std::sqrt(x * x + y * y)));
      if (bin >= bins) continue;
      const Complex here = plane_[row * n + column];
      const Complex mirrored = std::conj(plane_[(n - row) % n * n + (n - column) % n]);
      first_sum[bin] += std::norm((here + mirrored) / 2.);
      second_sum[bin] += std::norm((here - mirrored) / 2.);
      ++count[bin];
    }
  }
  for (std::size_t bin = 0; bin < bins; ++bin) {
    const double scale = 1 / (static_cast<double>(count[bin]) * static_cast<double>(n * n));
    first_power[bin] += first_sum[bin] * scale;
    second_power[bin] += second_sum[bin] * scale;
  }
}

}  // namespace raincell::model
