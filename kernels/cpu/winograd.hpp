// Winograd's convolutions F(4x4, 3x3) and F(2x2, 5x5) in f32: a quarter and a little more than a third of the
// multiplications, forwards, backwards and for the gradient of the weights. Internal to the cpu backend.
#pragma once

#include <memory>

#include "kernels/backend.hpp"
#include "kernels/cpu/pointwise.hpp"

namespace raincell::kernels::cpu {

/// The memory that all plans of a backend share, a piece a thread: only one plan runs at a time.
class Winograd {
 public:
  Winograd(int threads, const PointwiseKernels&);
  ~Winograd();

  /// Whether it takes the convolution and is faster than a direct one: 3x3 or 5x5 without stride, enough
  /// channels and tiles. Its results differ from a direct one's by rounding: 1e-5 of the largest.
  static bool suits(const ConvSpec&);
  /// The plan borrows this object.
  std::unique_ptr<ConvPlan> plan(const ConvSpec&, ConvUse, Placement x, Placement y);
  /// Bytes that all plans share.
  std::size_t bytes() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace raincell::kernels::cpu
