#include "io/rain_field.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace raincell::io {
namespace {

using Complex = std::complex<float>;

constexpr double kLifeScale = 48.;  // pixels: the width that a life is given for

std::uint64_t mix(std::uint64_t value) {  // the finaliser of splitmix64
  value += 0x9e3779b97f4a7c15ULL;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

/// Inverse discrete Fourier transform of one line, in place, without the factor 1/n.
void transform_line(Complex* line, std::size_t n, const std::vector<Complex>& turns) {
  const int bits = std::countr_zero(n);
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t j = 0;
    for (int b = 0; b < bits; ++b) j |= ((i >> b) & 1U) << (bits - 1 - b);
    if (i < j) std::swap(line[i], line[j]);
  }
  for (std::size_t half = 1; half < n; half *= 2) {
    const std::size_t stride = n / (2 * half);
    for (std::size_t first = 0; first < n; first += 2 * half) {
      for (std::size_t k = 0; k < half; ++k) {
        const Complex turn = turns[k * stride];
        const Complex low = line[first + k], high = line[first + k + half];
        const Complex turned(high.real() * turn.real() - high.imag() * turn.imag(),
                             high.real() * turn.imag() + high.imag() * turn.real());
        line[first + k] = low + turned;
        line[first + k + half] = low - turned;
      }
    }
  }
}

void transpose(std::vector<Complex>& square, std::size_t n) {
  constexpr std::size_t kBlock = 16;
  for (std::size_t r0 = 0; r0 < n; r0 += kBlock) {
    for (std::size_t c0 = r0; c0 < n; c0 += kBlock) {
      for (std::size_t r = r0; r < std::min(r0 + kBlock, n); ++r) {
        for (std::size_t c = std::max(c0, r + 1); c < std::min(c0 + kBlock, n); ++c) {
          std::swap(square[r * n + c], square[c * n + r]);
        }
      }
    }
  }
}

/// Signed wave number of index i.
double wave_number(std::int64_t i, std::int64_t n) {
  return static_cast<double>(i <= n / 2 ? i : i - n);
}

Complex unit(double angle) {
  return {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
}

/// exp(-i k shift) of all wave numbers.
std::vector<Complex> shifts(std::int64_t n, double shift) {
  std::vector<Complex> out(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    out[static_cast<std::size_t>(i)] =
        unit(-2. * std::numbers::pi * wave_number(i, n) * shift / static_cast<double>(n));
  }
  return out;
}

}  // namespace

std::uint64_t random_bits(std::uint64_t seed, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  return mix(mix(mix(mix(seed) ^ a) ^ b) ^ c);
}

double random_unit(std::uint64_t seed, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  return static_cast<double>(random_bits(seed, a, b, c) >> 11) * 0x1p-53;
}

RainField::RainField(std::int64_t size, const RainRegime& regime, std::uint64_t seed)
    : size_(size),
      seed_(seed),
      amplitude_(static_cast<std::size_t>(size * size)),
      rate_(static_cast<std::size_t>(size * size)) {
  const double outer = static_cast<double>(size) / regime.outer_scale_km;  // wave number of the outer scale
  double power = 0.;
  for (std::int64_t r = 0; r < size; ++r) {
    for (std::int64_t c = 0; c < size; ++c) {
      const std::size_t at = static_cast<std::size_t>(r * size + c);
      const double y = wave_number(r, size), x = wave_number(c, size), k2 = x * x + y * y;
      const double amplitude = k2 == 0. ? 0. : std::pow(outer * outer + k2, -regime.spectrum);
      amplitude_[at] = static_cast<float>(amplitude);
      power += amplitude * amplitude;
      const double scale =
          std::min(regime.outer_scale_km, static_cast<double>(size) / std::sqrt(std::max(k2, 1.)));
      rate_[at] = static_cast<float>(1. / (regime.life_s * std::pow(scale / kLifeScale, 0.75)));
    }
  }
  // Real and imaginary part share the power.
  const auto norm = static_cast<float>(std::sqrt(2. / power));
  for (float& amplitude : amplitude_) amplitude *= norm;
}

std::vector<Complex> RainField::at(double seconds, double x, double y) const {
  const auto n = static_cast<std::size_t>(size_);
  const std::vector<Complex> shift_x = shifts(size_, x), shift_y = shifts(size_, y);
  std::vector<Complex> field(n * n), turns(n / 2);
  for (std::size_t k = 0; k < n / 2; ++k) {
    turns[k] = unit(2. * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n));
  }
  for (std::size_t r = 0; r < n; ++r) {
    for (std::size_t c = 0; c < n; ++c) {
      const std::size_t mode = r * n + c;
      // Two knots and the way between them, at an offset of its own so that modes do not change in step.
      const double when = seconds * rate_[mode] + random_unit(seed_, 1, mode);
      const double knot = std::floor(when), way = (when - knot) * std::numbers::pi / 2.;
      const auto index = static_cast<std::uint64_t>(static_cast<std::int64_t>(knot));
      const Complex before = unit(2. * std::numbers::pi * random_unit(seed_, 2, mode, index));
      const Complex after = unit(2. * std::numbers::pi * random_unit(seed_, 2, mode, index + 1));
      const Complex value =
          before * static_cast<float>(std::cos(way)) + after * static_cast<float>(std::sin(way));
      field[mode] = amplitude_[mode] * value * shift_x[c] * shift_y[r];
    }
  }
  for (std::size_t r = 0; r < n; ++r) transform_line(&field[r * n], n, turns);
  transpose(field, n);
  for (std::size_t c = 0; c < n; ++c) transform_line(&field[c * n], n, turns);
  transpose(field, n);
  return field;
}

}  // namespace raincell::io
