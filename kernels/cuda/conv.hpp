// Convolution plans of the cuda backend.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "kernels/backend.hpp"
#include "kernels/cuda/cudnn.hpp"
#include "kernels/cuda/device.hpp"

namespace raincell::kernels::cuda {

/// What all plans of a backend share: cuDNN, its choices, and the scratch memory of the one that runs.
class Convolutions {
 public:
  Convolutions(Device&, Arithmetic, bool deterministic);
  /// The plan borrows this object. Throws DeviceError when cuDNN has no engine for it.
  std::unique_ptr<ConvPlan> plan(const ConvSpec&, ConvUse, Placement x, Placement y);
  std::string version() const { return cudnn_.version(); }
  /// Scratch of all plans.
  std::size_t bytes() const { return workspace_.bytes() + result_.bytes() + sums_.bytes(); }
  DType type() const { return arithmetic_ == Arithmetic::bf16 ? DType::bf16 : DType::f32; }

 private:
  friend class Convolution;
  /// The fastest of the engines that cuDNN recommends, and its milliseconds: always the same one for the same
  /// question. With an addition behind it: null where none is faster than an addition of its own. When
  /// deterministic, nothing is timed: the first engine that runs, the same in every process.
  struct Choice {
    std::shared_ptr<Engine> engine;
    float milliseconds = 0;
  };
  const Choice& choose(const Correlation&);
  Choice measure(const Correlation&);
  std::vector<std::unique_ptr<Engine>> candidates(const Correlation&);
  /// What follows the convolution, apart from it, on a result of so many elements.
  float addition_milliseconds(const Correlation&, std::size_t count);

  Device& device_;
  Cudnn cudnn_;
  Arithmetic arithmetic_;
  bool deterministic_;
  std::map<std::string, Choice> choices_;
  Scratch workspace_, result_, sums_;  // of cuDNN; a result before it is added; of sums over pixels
};

}  // namespace raincell::kernels::cuda
