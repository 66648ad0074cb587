// Typed memory of views, and the choice of a kernel's types by them. For the .cu sources.
#pragma once

#include "kernels/cuda/number.hpp"
#include "kernels/tensor.hpp"

#if defined(__CUDACC__)
#define RAINCELL_BODY __device__  // a lambda that each(), sum() or sum_channels() runs
#else
#define RAINCELL_BODY
#endif

namespace raincell::kernels::cuda {

template <class T>
const T* data(const ConstView& view) {
  return static_cast<const T*>(view.memory);
}
template <class T>
T* data(const View& view) {
  return static_cast<T*>(view.memory);
}

/// visit(T{}) with the type of the tensor.
template <class Visit>
void with_type(DType type, const Visit& visit) {
  if (type == DType::bf16) {
    visit(Bf16{});
  } else {
    visit(float{});
  }
}

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
