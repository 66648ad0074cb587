// Radially averaged power spectra: how much of the truth's variance a forecast keeps at each scale.
#pragma once

#include <complex>
#include <cstdint>
#include <span>
#include <vector>

namespace raincell::model {

/// Spectra of square cut-outs of one size; holds the twiddle factors. Not for use by two threads at once.
class RadialSpectrum {
 public:
  /// Side of the largest centred square in a field that factors into 2, 3, 5 and 7.
  static std::int64_t side_for(std::int64_t rows, std::int64_t columns);

  /// Throws std::invalid_argument unless side factors into 2, 3, 5 and 7 and is at least 2.
  explicit RadialSpectrum(std::int64_t side);

  std::int64_t side() const { return side_; }
  std::int64_t wavenumbers() const { return (side_ + 1) / 2; }  // 0, 1, ... cycles a side
  /// Mean power |F|^2 / side^2 over the ring of each wavenumber (rounded to the nearest), as pysteps' rapsd.
  /// Both fields are [side, side]; power: [wavenumbers] each, added to.
  void add(std::span<const float> first, std::span<const float> second, std::span<double> first_power,
           std::span<double> second_power);

 private:
  void transform(const std::complex<double>* in, std::int64_t stride, std::complex<double>* out,
                 std::int64_t length, std::size_t factor);

  std::int64_t side_;
  std::vector<std::int64_t> factors_;
  std::vector<std::complex<double>> roots_;  // exp(-2 pi i k / side)
  std::vector<std::complex<double>> plane_, line_, out_;
};

}  // namespace raincell::model
