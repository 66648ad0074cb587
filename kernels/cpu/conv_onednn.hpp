// Convolutions by oneDNN. Internal to the cpu backend.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.hpp"
#include "kernels/cpu/pointwise.hpp"

namespace raincell::kernels::cpu {

/// Engine, stream and the scratch memory that all plans of a backend share (only one of them runs at a time).
class Onednn {
 public:
  Onednn(int threads, const PointwiseKernels& kernels);
  ~Onednn();
  /// The plan borrows this object. Throws DeviceError when oneDNN has no such convolution.
  std::unique_ptr<ConvPlan> plan(const ConvSpec&, ConvUse, Placement x, Placement y);
  /// Bytes that all plans share.
  std::size_t bytes() const;
  /// "oneDNN 2.6.3"
  static std::string version();

  struct State;  // holds oneDNN's own types

 private:
  std::unique_ptr<State> state_;
};

}  // namespace raincell::kernels::cpu
