// bf16 as kernels load and store it, on host and device; arithmetic is in f32.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cell_math.hpp"

namespace raincell::kernels {

/// The upper half of an f32; conversion rounds to nearest even and keeps NaN.
struct Bf16 {
  std::uint16_t bits;
};

RAINCELL_HOST_DEVICE float to_float(float value) {
  return value;
}
RAINCELL_HOST_DEVICE float to_float(Bf16 value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16;
  float out;
  memcpy(&out, &bits, sizeof out);
  return out;
}

template <class T>
RAINCELL_HOST_DEVICE T from_float(float value);
template <>
RAINCELL_HOST_DEVICE float from_float<float>(float value) {
  return value;
}
template <>
RAINCELL_HOST_DEVICE Bf16 from_float<Bf16>(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const std::uint32_t rounded = (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16, nan = bits >> 16 | 0x40U;
  return {static_cast<std::uint16_t>((bits & 0x7FFFFFFFU) > 0x7F800000U ? nan : rounded)};
}

}  // namespace raincell::kernels
