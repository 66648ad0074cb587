// Numbers as GPU kernels load and store them: f32 and bf16, alone and in packs of 16 bytes.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/bf16.hpp"

namespace raincell::kernels::cuda {

/// `kCount` neighbours, loaded and stored at once; the address is a multiple of the whole size.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T values[kCount];
};

template <int kCount>
struct Floats {
  float values[kCount];
  RAINCELL_HOST_DEVICE float& operator[](int i) { return values[i]; }
  RAINCELL_HOST_DEVICE float operator[](int i) const { return values[i]; }
};

template <int kCount, class T>
RAINCELL_HOST_DEVICE Floats<kCount> load(const T* from) {
  const Pack<T, kCount> pack = *reinterpret_cast<const Pack<T, kCount>*>(from);
  Floats<kCount> out;
  for (int i = 0; i < kCount; ++i) out[i] = to_float(pack.values[i]);
  return out;
}
/// Zeros when there is nothing to load from.
template <int kCount, class T>
RAINCELL_HOST_DEVICE Floats<kCount> load_or_zero(const T* base, std::int64_t offset) {
  if (base != nullptr) return load<kCount>(base + offset);
  Floats<kCount> out;
  for (int i = 0; i < kCount; ++i) out[i] = 0.F;
  return out;
}
template <int kCount, class T>
RAINCELL_HOST_DEVICE void store(T* to, const Floats<kCount>& values) {
  Pack<T, kCount> pack;
  for (int i = 0; i < kCount; ++i) pack.values[i] = from_float<T>(values[i]);
  *reinterpret_cast<Pack<T, kCount>*>(to) = pack;
}

/// Exact to an ulp or two; what f32 results are compared with.
struct AccurateMath {
  RAINCELL_HOST_DEVICE static float sigmoid(float x) { return 1.F / (1.F + expf(-x)); }
  RAINCELL_HOST_DEVICE static float tanh(float x) { return tanhf(x); }
};

/// Good to a few units of 1e-7 beside 1, far below what bf16 holds.
struct FastMath {
#if defined(__CUDA_ARCH__)
  RAINCELL_HOST_DEVICE static float sigmoid(float x) {
    return __fdividef(1.F, 1.F + __expf(-x));
  }
  RAINCELL_HOST_DEVICE static float tanh(float x) {
    return fabsf(x) < 0.02F ? x - x * x * x / 3.F : 2.F * sigmoid(2.F * x) - 1.F;
  }
#else
  RAINCELL_HOST_DEVICE static float sigmoid(float x) {
    return AccurateMath::sigmoid(x);
  }
  RAINCELL_HOST_DEVICE static float tanh(float x) {
    return AccurateMath::tanh(x);
  }
#endif
};

template <class T>
struct MathOf {
  using Type = FastMath;
};
template <>
struct MathOf<float> {
  using Type = AccurateMath;
};

}  // namespace raincell::kernels::cuda
