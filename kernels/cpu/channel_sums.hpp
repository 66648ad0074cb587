// Sums over images and pixels, channel by channel: the gradients of biases. Internal to the cpu backend.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/cpu/pointwise.hpp"
#include "kernels/cpu/threads.hpp"
#include "kernels/specs.hpp"

namespace raincell::kernels::cpu {

/// In double, in parts that depend on the sizes and the number of threads alone.
class ChannelSums {
 public:
  ChannelSums(int threads, const PointwiseKernels& kernels) : threads_(threads), kernels_(kernels) {}
  /// Room for so many channels; sums of more may not be asked for.
  void reserve(std::int64_t channels) {
    const auto wanted = static_cast<std::size_t>(channels * threads_);
    if (parts_.size() < wanted) parts_.resize(wanted);
  }
  /// sums[c] (+)= sum of x, f32 or bf16, in any placement.
  void run(const ConstView& x, float* sums, Accumulate accumulate) {
    if (x.dtype == DType::bf16) return run_in<Bf16>(x, sums, accumulate);
    run_in<float>(x, sums, accumulate);
  }

 private:
  template <class T>
  void run_in(const ConstView& x, float* sums, Accumulate accumulate) {
    const std::int64_t channels = x.shape.c, lanes = x.placement.channel_block, blocks = channels / lanes,
                       pixels = x.shape.pixels();
    double* const parts = parts_.data();
    std::fill_n(parts, channels * threads_, 0.);
    const auto* values = static_cast<const T*>(x.memory);
    const auto& kernels = activation_kernels<T>(kernels_);
    parallel_parts(threads_, x.shape.images() * pixels, kSerialElements / channels,
                   [&](std::int64_t begin, std::int64_t end, int part) {
                     for (std::int64_t image = begin / pixels; image * pixels < end; ++image) {
                       const std::int64_t first = std::max(begin - image * pixels, std::int64_t{0});
                       const std::int64_t last = std::min(end - image * pixels, pixels);
                       for (std::int64_t block = 0; block < blocks; ++block) {
                         const std::int64_t row = (image * blocks + block) * pixels;
                         kernels.sum_rows(values, parts + part * channels + block * lanes, lanes, row + first,
                                          row + last);
                       }
                     }
                   });
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0;
      for (int part = 0; part < threads_; ++part) sum += parts[part * channels + c];
      sums[c] = (accumulate == Accumulate::yes ? sums[c] : 0.F) + static_cast<float>(sum);
    }
  }

  int threads_;
  const PointwiseKernels& kernels_;
  std::vector<double> parts_;
};

}  // namespace raincell::kernels::cpu
