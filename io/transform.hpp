// Physical values to network units and back.
#pragma once

#include <span>
#include <string>

#include "io/frame.hpp"

namespace raincell::io {

enum class TransformKind : std::uint8_t { dbz, log_eps, linear };

/// dbz:     10 log10(a R^b) clipped to [floor_dbz, ceiling_dbz] and mapped to [0,1]; at the floor: exactly
/// dry.
///          (reflectivity archives: the dBZ itself)
/// log_eps: (ln(R + eps) - ln(eps)) / (ln(max + eps) - ln(eps))
/// linear:  R / max
/// The inverse maps 0 and below to exactly 0.
struct Transform {
  TransformKind kind = TransformKind::dbz;
  double zr_a = 200., zr_b = 1.6, floor_dbz = 0., ceiling_dbz = 60.;
  double epsilon = 0.01, max_value = 100.;
  Quantity quantity = Quantity::rain_rate;

  float to_network(float physical) const;  // kMissing -> to_network(dry) = 0
  float to_physical(float network) const;
  /// g of rate + constant = e^(g network) x constant; 0: linear, or not a rain rate.
  double growth() const;
  float change_to_network(float change) const;  // the size as if a value, its sign; dbz: 0 below the floor
  void to_network(std::span<const float> physical, std::span<float> network, std::span<float> mask) const;
  void to_physical(std::span<const float> network, std::span<float> physical) const;
  std::string text() const;  // "dbz a=200 b=1.6 floor=0 ceiling=60", for weights and products
  static Transform parse(const std::string& text);
};

}  // namespace raincell::io
