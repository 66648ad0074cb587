// Typed memory of views, and the choice of a type by them. For backends of f32 and bf16.
#pragma once

#include "kernels/bf16.hpp"
#include "kernels/tensor.hpp"

namespace raincell::kernels {

template <class T = float>
const T* data(const ConstView& view) {
  return static_cast<const T*>(view.memory);
}
template <class T = float>
T* data(const View& view) {
  return static_cast<T*>(view.memory);
}

/// visit(T{}) with the type of a tensor's numbers.
template <class Visit>
void with_type(DType type, const Visit& visit) {
  if (type == DType::bf16) {
    visit(Bf16{});
  } else {
    visit(float{});
  }
}

}  // namespace raincell::kernels
