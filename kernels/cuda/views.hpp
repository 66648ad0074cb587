// How wide a kernel reads, and what runs on the device. For the .cu sources.
#pragma once

#include "kernels/cuda/number.hpp"
#include "kernels/typed_view.hpp"

#if defined(__CUDACC__)
#define RAINCELL_BODY __device__  // a lambda that each(), sum() or sum_channels() runs
#else
#define RAINCELL_BODY
#endif

namespace raincell::kernels::cuda {

template <int kValue>
struct Width {
  static constexpr int value = kValue;
};

/// visit(Width<V>) with the elements of 16 bytes, or 1 where `size` does not divide by that.
template <class T, class Visit>
void with_width(std::int64_t size, const Visit& visit) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  if (size % kWide == 0) {
    visit(Width<kWide>{});
  } else {
    visit(Width<1>{});
  }
}

}  // namespace raincell::kernels::cuda
