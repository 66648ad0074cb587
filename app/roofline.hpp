// The least time that a device can take for some work: what it computes and moves at best, measured on it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "kernels/decorators.hpp"

namespace raincell::app {

struct Roofline {
  double flop_per_s = 0., bytes_per_s = 0.;

  /// Times a convolution of 1x1 that is one large product of matrices, and a copy of a large tensor.
  static Roofline measured(kernels::Backend&);
  /// Memory of the device that measuring takes.
  static std::size_t bytes(const kernels::Backend&);
  /// Every operation at the slower of its two rates, one after the other.
  double seconds(const std::map<std::string, kernels::CountingBackend::Work>&) const;
};

}  // namespace raincell::app
