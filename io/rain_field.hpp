// The random field behind simulated rain.
#pragma once

#include <complex>
#include <cstdint>
#include <vector>

#include "io/rain_regime.hpp"

namespace raincell::io {

/// A pair of independent, correlated, periodic random fields of unit variance that are carried along and
/// change slowly. Every Fourier mode has a fixed amplitude, (k0^2 + k^2)^(-spectrum), and random phases at
/// knots in time between which it turns smoothly; small scales live shorter than large ones, so that what can
/// be forecast is what moves.
class RainField {
 public:
  /// size: a power of two, pixels of 1 km.
  RainField(std::int64_t size, const RainRegime&, std::uint64_t seed);
  std::int64_t size() const { return size_; }
  /// [size, size], displaced by (x, y) pixels (positive: to the right and down) at `seconds`; real and
  /// imaginary part are the two fields.
  std::vector<std::complex<float>> at(double seconds, double x, double y) const;

 private:
  std::int64_t size_;
  std::uint64_t seed_;
  std::vector<float> amplitude_, rate_;  // [size, size]; rate: knots a second
};

/// A random number of 64 bits, a pure function of its arguments.
std::uint64_t random_bits(std::uint64_t seed, std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0);
/// Uniform in [0, 1).
double random_unit(std::uint64_t seed, std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0);

}  // namespace raincell::io
