// Branch-free float functions that compilers vectorise; NaN in, NaN out. Everything has internal linkage,
// because the file is compiled for several instruction sets and no code may leak from one set into another.
#pragma once

#include <cstdint>

namespace raincell::kernels::cpu {
namespace {

struct VectorMath {
  /// Within 2e-7 of e^x in relative terms; x is held inside [-87, 88].
  [[gnu::always_inline]] static inline float exp(float x) {
    x = x < -87.F ? -87.F : x;
    x = x > 88.F ? 88.F : x;
    constexpr float kRound = 12582912.F;  // 1.5 * 2^23: adding it rounds to an integer kept in the low bits
    const float shifted = x * 1.44269504F + kRound;
    const float n = shifted - kRound;
    float r = x - n * 0.693359375F;
    r -= n * -2.12194440e-4F;
    float p = 1.9841270e-4F;  // Taylor: |r| <= ln 2 / 2, the remainder is below 1e-8
    p = p * r + 1.3888889e-3F;
    p = p * r + 8.3333333e-3F;
    p = p * r + 4.1666667e-2F;
    p = p * r + 1.6666667e-1F;
    p = p * r + 0.5F;
    p = p * r + 1.F;
    p = p * r + 1.F;
    const std::uint32_t power = (__builtin_bit_cast(std::uint32_t, shifted) << 23) + 0x3F800000U;
    return p * __builtin_bit_cast(float, power);
  }

  [[gnu::always_inline]] static inline float sigmoid(float x) { return 1.F / (1.F + exp(-x)); }

  /// Within 4e-7 in relative terms: minimax x P(x^2) / Q(x^2) on [0, 9].
  [[gnu::always_inline]] static inline float tanh(float x) {
    x = x < -9.F ? -9.F : x;
    x = x > 9.F ? 9.F : x;
    const float u = x * x;
    float p = 1.3318342e-8F;
    p = p * u + 2.0583042e-5F;
    p = p * u + 3.4940125e-3F;
    p = p * u + 1.3379701e-1F;
    p = p * u + 0.99999998F;
    float q = 7.7617449e-7F;
    q = q * u + 3.2830534e-4F;
    q = q * u + 2.5870995e-2F;
    q = q * u + 4.6713016e-1F;
    q = q * u + 1.F;
    float y = x * p / q;
    y = y < -1.F ? -1.F : y;
    return y > 1.F ? 1.F : y;
  }

  /// log(1 + e) for 0 <= e <= 1, as 2 artanh(e / (2 + e)).
  [[gnu::always_inline]] static inline float log1p_unit(float e) {
    const float s = e / (2.F + e), u = s * s;
    float p = 1.F / 15.F;
    p = p * u + 1.F / 13.F;
    p = p * u + 1.F / 11.F;
    p = p * u + 1.F / 9.F;
    p = p * u + 1.F / 7.F;
    p = p * u + 1.F / 5.F;
    p = p * u + 1.F / 3.F;
    p = p * u + 1.F;
    return 2.F * s * p;
  }
};

}  // namespace
}  // namespace raincell::kernels::cpu
