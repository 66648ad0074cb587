// Work cut in fixed parts, so that sums come out the same in every run with the same number of threads.
#pragma once

#include <omp.h>

#include <cstdint>
#include <exception>

namespace raincell::kernels::cpu {

/// Part `index` of `parts` of [0, count), in units of 16 so that no two threads write one cache line.
struct Part {
  std::int64_t begin, end;
};

inline Part part_of(std::int64_t count, int index, int parts) {
  constexpr std::int64_t kUnit = 16;
  const std::int64_t units = (count + kUnit - 1) / kUnit;
  const std::int64_t begin = units * index / parts * kUnit, end = units * (index + 1) / parts * kUnit;
  return {begin < count ? begin : count, end < count ? end : count};
}

/// Calls work(begin, end, part) for `threads` parts of [0, count); in this thread when the whole is below
/// `serial_below`, as waking the others would take longer.
template <class Work>
void parallel_parts(int threads, std::int64_t count, std::int64_t serial_below, const Work& work) {
  if (threads == 1 || count < serial_below) {
    work(std::int64_t{0}, count, 0);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    // The runtime may give fewer threads than asked for; the parts stay the same.
    for (int part = omp_get_thread_num(); part < threads; part += omp_get_num_threads()) {
      const Part range = part_of(count, part, threads);
      if (range.begin < range.end) work(range.begin, range.end, part);
    }
  }
}

/// Calls work(index) for `count` indices, each in a thread of its own; the first failure is thrown once all
/// are done. In this thread when there is one.
template <class Work>
void each_in_own_thread(int count, const Work& work) {
  if (count == 1) return work(0);
  std::exception_ptr failure;
#pragma omp parallel num_threads(count)
  {
    for (int index = omp_get_thread_num(); index < count; index += omp_get_num_threads()) {
      try {
        work(index);
      } catch (...) {
#pragma omp critical(raincell_failure)
        if (!failure) failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

/// Elements below which one thread is faster.
constexpr std::int64_t kSerialElements = 8192;

}  // namespace raincell::kernels::cpu
