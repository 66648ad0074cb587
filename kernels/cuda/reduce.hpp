// Sums of the cuda backend (losses, norms, gradients of biases) and the update that depends on them, queued
// on a stream. Sums are taken in double, in parts and an order that depend on the sizes alone.
#pragma once

#include "kernels/cuda/device.hpp"

namespace raincell::kernels::cuda {

/// The lists of a LossSpec in device memory; null where it has none.
struct LossLists {
  const float *class_bounds = nullptr, *class_weights = nullptr, *lead_weights = nullptr;
};

/// Bytes of scratch that the sums below need.
std::size_t sum_scratch(std::int64_t elements);
std::size_t channel_sum_scratch(const Shape&);

void loss(Stream, const LossSpec&, const LossLists&, ConstView forecast, ConstView target, ConstView mask,
          View d_forecast, View sums, float scale, void* scratch);
void add_sum_of_squares(Stream, ConstView x, View sum, void* scratch);
/// sums[c] (+)= sum of x over images and pixels.
void sum_over_pixels(Stream, ConstView x, View sums, Accumulate, void* scratch);

/// What an update has in common for all elements, worked out on the device because it depends on a sum there.
struct OptimizerFactors {
  float clip, rate, second_scale;
  bool apply;  // the gradient is finite
};
void optimizer_step(Stream, const OptimizerSpec&, View value, ConstView gradient, View m, View v,
                    ConstView gradient_sum_of_squares, View skipped, OptimizerFactors* factors);

}  // namespace raincell::kernels::cuda
