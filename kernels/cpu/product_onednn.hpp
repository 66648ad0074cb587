// Products of many small matrices by oneDNN. Internal to the cpu backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace raincell::kernels::cpu {

/// c[p] (+)= a[p] b[p] for `count` products of one shape. Matrices lie row by row; strides are elements from
/// one matrix to the next.
struct ProductShape {
  std::int64_t count = 1, rows = 1, inner = 1, columns = 1;
  std::int64_t a_stride = 0, b_stride = 0, c_stride = 0;
  bool a_turned = false;  // a is [inner, rows]
  bool packed = false;    // b is given to pack() before, [count, inner, columns] without gaps
  bool adds = false;      // to what is in c
};

/// Every product is one thread's; up to `threads` of them run at once.
class Products {
 public:
  /// Throws DeviceError when oneDNN has no such product.
  Products(const ProductShape&, int threads);
  ~Products();
  Products(Products&&) noexcept;

  void pack(const float* b);
  /// b: null when packed. thread: in [0, threads), one at a time each.
  void run(int thread, const float* a, const float* b, float* c);
  const std::string& name() const;  // "brg:avx512_core"
  std::size_t bytes() const;        // of packed matrices and scratch

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace raincell::kernels::cpu
