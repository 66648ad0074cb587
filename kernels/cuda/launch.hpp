// How a body of work reaches the elements: as kernels under nvcc, as loops elsewhere. The loops are what
// tests run on machines without a GPU, so that every index and formula is proved there; they are not a
// backend.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "kernels/cell_math.hpp"
#include "kernels/cuda/device.hpp"

namespace raincell::kernels::cuda {

constexpr int kThreads = 256;                  // of a block
constexpr int kMaximumParts = 1024;            // blocks of a sum
constexpr int kElementsPerPart = 4096;         // at least, before a sum is cut further
constexpr int kManyLanes = 32, kFewLanes = 8;  // packs of channels that a block of a channel sum covers

/// How many parts a sum over `count` elements is cut into: a matter of the size alone, so that the order of
/// additions, and with it every bit, is the same each time.
inline std::int64_t parts_of(std::int64_t count) {
  const std::int64_t parts = (count + kElementsPerPart - 1) / kElementsPerPart;
  return parts < kMaximumParts ? parts : kMaximumParts;
}

template <int kCount>
struct Doubles {
  double values[kCount];
};

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

template <int kWide, int kLanes, class Term>
__global__ void __launch_bounds__(kThreads)
    sum_channels_kernel(std::int64_t rows, std::int64_t channels, Term term, double* parts) {
  constexpr int kRowsAtOnce = kThreads / kLanes;
  __shared__ double shared[kThreads];
  const int lane = static_cast<int>(threadIdx.x) % kLanes, first = static_cast<int>(threadIdx.x) / kLanes;
  const std::int64_t c = (static_cast<std::int64_t>(blockIdx.x) * kLanes + lane) * kWide;
  Doubles<kWide> sums{};
  if (c < channels) {
    const std::int64_t stride = static_cast<std::int64_t>(gridDim.y) * kRowsAtOnce;
    for (std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * kRowsAtOnce + first; row < rows;
         row += stride) {
      const auto terms = term(row, c);
      for (int v = 0; v < kWide; ++v) sums.values[v] += terms.values[v];
    }
  }
  for (int v = 0; v < kWide; ++v) {
    __syncthreads();
    shared[threadIdx.x] = sums.values[v];
    for (int half = kRowsAtOnce / 2; half > 0; half /= 2) {
      __syncthreads();
      if (first < half) shared[threadIdx.x] += shared[threadIdx.x + half * kLanes];
    }
    if (first == 0 && c < channels)
      parts[static_cast<std::int64_t>(blockIdx.y) * channels + c + v] = shared[threadIdx.x];
  }
}

template <class Final>
__global__ void __launch_bounds__(kThreads)
    sum_channels_final_kernel(std::int64_t count, const double* parts, Final final) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += parts[i * gridDim.x + blockIdx.x];
  sum = block_sum(sum);
  if (threadIdx.x == 0) final(blockIdx.x, sum);
}

/// final(c, sum of the terms of c over the rows) for every channel; term(row, c) gives those of the channels
/// [c, c + kWide), which divide `channels`. parts: parts_of(rows) * channels.
template <int kWide, class Term, class Final>
void sum_channels(Stream stream, const char* name, std::int64_t rows, std::int64_t channels, double* parts,
                  const Term& term, const Final& final) {
  const std::int64_t blocks = parts_of(rows), packs = channels / kWide;
  const std::int64_t lanes = packs <= kFewLanes ? kFewLanes : kManyLanes;
  const dim3 grid(static_cast<unsigned>((packs + lanes - 1) / lanes), static_cast<unsigned>(blocks));
  if (lanes == kFewLanes) {
    sum_channels_kernel<kWide, kFewLanes><<<grid, kThreads, 0, stream>>>(rows, channels, term, parts);
  } else {
    sum_channels_kernel<kWide, kManyLanes><<<grid, kThreads, 0, stream>>>(rows, channels, term, parts);
  }
  check_launch(name);
  sum_channels_final_kernel<<<static_cast<unsigned>(channels), kThreads, 0, stream>>>(blocks, parts, final);
  check_launch(name);
}

#else

/// Of the stand-in for a GPU: does it at once, or keeps it while work is captured.
void queue(Stream, std::function<void()> work);

template <class Body>
void each(Stream stream, const char* name, std::int64_t count, const Body& body) {
  check_launch(name);
  queue(stream, [=] {
    for (std::int64_t i = 0; i < count; ++i) body(i);
  });
}

template <class Sum, class Term, class Final>
void sum(Stream stream, const char*, std::int64_t count, Sum* parts, const Term& term, const Final& final) {
  queue(stream, [=] {
    const std::int64_t blocks = parts_of(count);
    Sum total{};
    for (std::int64_t part = 0; part < blocks; ++part) {
      parts[part] = Sum{};
      for (std::int64_t i = part; i < count; i += blocks) parts[part] += term(i);
      total += parts[part];
    }
    final(total);
  });
}

template <int kWide, class Term, class Final>
void sum_channels(Stream stream, const char*, std::int64_t rows, std::int64_t channels, double* parts,
                  const Term& term, const Final& final) {
  queue(stream, [=] {
    const std::int64_t blocks = parts_of(rows);
    for (std::int64_t part = 0; part < blocks; ++part) {
      double* const sums = parts + part * channels;
      std::fill_n(sums, channels, 0.);
      for (std::int64_t row = part; row < rows; row += blocks)
        for (std::int64_t c = 0; c < channels; c += kWide) {
          const auto terms = term(row, c);
          for (int v = 0; v < kWide; ++v) sums[c + v] += terms.values[v];
        }
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      double total = 0;
      for (std::int64_t part = 0; part < blocks; ++part) total += parts[part * channels + c];
      final(c, total);
    }
  });
}

#endif

}  // namespace raincell::kernels::cuda
