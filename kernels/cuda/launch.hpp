// How a body of work reaches the elements: as kernels under nvcc, as loops elsewhere. The loops are what
// tests run on machines without a GPU, so that every index and formula is proved there; they are not a
// backend.
#pragma once

#include <cstdint>

#include "kernels/cell_math.hpp"
#include "kernels/cuda/device.hpp"

namespace raincell::kernels::cuda {

constexpr int kThreads = 256;           // of a block
constexpr int kMaximumParts = 1024;     // blocks of a sum
constexpr int kElementsPerPart = 4096;  // at least, before a sum is cut further
constexpr int kLanes = 32;              // channels that a block of a channel sum covers

/// How many parts a sum over `count` elements is cut into: a matter of the size alone, so that the order of
/// additions, and with it every bit, is the same each time.
inline std::int64_t parts_of(std::int64_t count) {
  const std::int64_t parts = (count + kElementsPerPart - 1) / kElementsPerPart;
  return parts < kMaximumParts ? parts : kMaximumParts;
}

/// Division by a number that is the same for all threads; in 32 bits where they suffice.
RAINCELL_HOST_DEVICE std::int64_t quotient(std::int64_t value, std::int64_t by) {
  if ((value | by) >> 32 == 0) return static_cast<std::uint32_t>(value) / static_cast<std::uint32_t>(by);
  return value / by;
}

#if defined(__CUDACC__)

template <class Body>
__global__ void __launch_bounds__(kThreads) each_kernel(std::int64_t count, Body body) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) body(i);
}

/// body(i) for every i in [0, count), in any order.
template <class Body>
void each(Stream stream, const char* name, std::int64_t count, const Body& body) {
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  each_kernel<<<blocks, kThreads, 0, stream>>>(count, body);
  check_launch(name);
}

/// Adds the values of a block's threads, in a fixed order; the sum is thread 0's.
template <class Sum>
__device__ Sum block_sum(Sum value) {
  __shared__ Sum shared[kThreads];
  shared[threadIdx.x] = value;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  return shared[0];
}

template <class Sum, class Term>
__global__ void __launch_bounds__(kThreads) sum_parts_kernel(std::int64_t count, Term term, Sum* parts) {
  Sum sum{};
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += stride)
    sum += term(i);
  sum = block_sum(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

template <class Sum, class Final>
__global__ void __launch_bounds__(kThreads)
    sum_final_kernel(std::int64_t count, const Sum* parts, Final final) {
  Sum sum{};
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += parts[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) final(sum);
}

/// final(sum of term(i) over [0, count)); parts: parts_of(count) sums of scratch.
template <class Sum, class Term, class Final>
void sum(Stream stream, const char* name, std::int64_t count, Sum* parts, const Term& term,
         const Final& final) {
  const std::int64_t blocks = parts_of(count);
  sum_parts_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(count, term, parts);
  check_launch(name);
  sum_final_kernel<<<1, kThreads, 0, stream>>>(blocks, parts, final);
  check_launch(name);
}

template <class Term>
__global__ void __launch_bounds__(kThreads)
    sum_channels_kernel(std::int64_t rows, std::int64_t channels, Term term, double* parts) {
  constexpr int kRowsAtOnce = kThreads / kLanes;
  __shared__ double shared[kThreads];
  const int lane = static_cast<int>(threadIdx.x) % kLanes, first = static_cast<int>(threadIdx.x) / kLanes;
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kLanes + lane;
  double sum = 0;
  if (c < channels) {
    const std::int64_t stride = static_cast<std::int64_t>(gridDim.y) * kRowsAtOnce;
    for (std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * kRowsAtOnce + first; row < rows;
         row += stride)
      sum += term(row, c);
  }
  shared[threadIdx.x] = sum;
  for (int half = kRowsAtOnce / 2; half > 0; half /= 2) {
    __syncthreads();
    if (first < half) shared[threadIdx.x] += shared[threadIdx.x + half * kLanes];
  }
  if (first == 0 && c < channels)
    parts[static_cast<std::int64_t>(blockIdx.y) * channels + c] = shared[threadIdx.x];
}

/// final(c, sum of term(row, c) over the rows) for every channel; parts: parts_of(rows) * channels.
template <class Term, class Final>
void sum_channels(Stream stream, const char* name, std::int64_t rows, std::int64_t channels, double* parts,
                  const Term& term, const Final& final) {
  const std::int64_t blocks = parts_of(rows);
  const dim3 grid(static_cast<unsigned>((channels + kLanes - 1) / kLanes), static_cast<unsigned>(blocks));
  sum_channels_kernel<<<grid, kThreads, 0, stream>>>(rows, channels, term, parts);
  check_launch(name);
  each(stream, name, channels, [=] __device__(std::int64_t c) {
    double total = 0;
    for (std::int64_t part = 0; part < blocks; ++part) total += parts[part * channels + c];
    final(c, total);
  });
}

#else

template <class Body>
void each(Stream, const char* name, std::int64_t count, const Body& body) {
  check_launch(name);
  for (std::int64_t i = 0; i < count; ++i) body(i);
}

template <class Sum, class Term, class Final>
void sum(Stream, const char*, std::int64_t count, Sum* parts, const Term& term, const Final& final) {
  const std::int64_t blocks = parts_of(count);
  Sum total{};
  for (std::int64_t part = 0; part < blocks; ++part) {
    parts[part] = Sum{};
    for (std::int64_t i = part; i < count; i += blocks) parts[part] += term(i);
    total += parts[part];
  }
  final(total);
}

template <class Term, class Final>
void sum_channels(Stream, const char*, std::int64_t rows, std::int64_t channels, double* parts,
                  const Term& term, const Final& final) {
  const std::int64_t blocks = parts_of(rows);
  for (std::int64_t c = 0; c < channels; ++c) {
    double total = 0;
    for (std::int64_t part = 0; part < blocks; ++part) {
      double& sum = parts[part * channels + c] = 0;
      for (std::int64_t row = part; row < rows; row += blocks) sum += term(row, c);
      total += sum;
    }
    final(c, total);
  }
}

#endif

}  // namespace raincell::kernels::cuda
