// Convolutions by oneDNN. Internal to the cpu backend.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/backend.hpp"
#include "kernels/cpu/pointwise.hpp"

namespace raincell::kernels::cpu {

/// What x86-64 may have beyond its baseline.
enum class InstructionSet { avx2, avx512, avx512_bf16 };

/// Engine, stream and the scratch memory that all plans of a backend share (only one of them runs at a time).
class Onednn {
 public:
  Onednn(int threads, const PointwiseKernels& kernels);
  ~Onednn();
  /// Of activations in f32 or bf16; parameters and their gradients are f32. The plan borrows this object.
  /// Throws DeviceError when oneDNN has no such convolution.
  std::unique_ptr<ConvPlan> plan(const ConvSpec&, ConvUse, DType, Placement x, Placement y);
  /// Whether this processor has it and oneDNN is not told to leave it (ONEDNN_MAX_CPU_ISA=AVX2, SSE41).
  static bool has(InstructionSet);
  /// Scratch that all plans share.
  std::size_t bytes() const;
  /// "oneDNN 2.6.3"
  static std::string version();

  struct State;  // holds oneDNN's own types

 private:
  std::unique_ptr<State> state_;
};

}  // namespace raincell::kernels::cpu
