// Tensors: what a backend computes on. Logical shape is ours, physical layout is the backend's.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace raincell::kernels {

enum class DType : std::uint8_t { f32, f64, bf16 };

std::size_t size_of(DType);
const char* name_of(DType);

/// Logical shape [T,N,C,H,W], always five dimensions; parameters use {1,O,I,kH,kW}, vectors {1,1,C,1,1},
/// device scalars {1,1,1,1,1}. Sizes are int64 and positive.
struct Shape {
  std::int64_t t = 1, n = 1, c = 1, h = 1, w = 1;

  /// Product of all sizes. Throws std::overflow_error when it does not fit int64.
  std::int64_t elements() const;
  std::int64_t images() const { return t * n; }
  std::int64_t pixels() const { return h * w; }
  std::string text() const;  // "[T,N,C,H,W]" with numbers
  bool operator==(const Shape&) const = default;
};

/// Physical layout in one number. Channels are stored in blocks of `channel_block`; inside an image the
/// element (c, pixel) lies at (c / block * pixels + pixel) * block + c % block.
/// block 1 = planes (NCHW), block C = channels-last (NHWC), 16 = nChw16c. The last block is padded
/// with zeros when C is not a multiple of the block.
struct Placement {
  std::int64_t channel_block = 1;
  bool operator==(const Placement&) const = default;
};

/// Elements that a tensor of this shape occupies, padding of the last channel block included.
std::int64_t stored_elements(const Shape&, const Placement&);

/// Position of one element in storage.
inline std::int64_t offset_of(const Shape& s, const Placement& p, std::int64_t t, std::int64_t n,
                              std::int64_t c, std::int64_t pixel) {
  const std::int64_t block = p.channel_block;
  const std::int64_t blocks = (s.c + block - 1) / block;
  return (((t * s.n + n) * blocks + c / block) * s.pixels() + pixel) * block + c % block;
}

/// visit(index in the plain order [T,N,C,H,W], position in storage) of every element.
template <class Visit>
void each_plain(const Shape& s, const Placement& placement, const Visit& visit) {
  std::size_t plain = 0;
  for (std::int64_t t = 0; t < s.t; ++t)
    for (std::int64_t n = 0; n < s.n; ++n)
      for (std::int64_t c = 0; c < s.c; ++c) {
        const std::int64_t first = offset_of(s, placement, t, n, c, 0);
        for (std::int64_t p = 0; p < s.pixels(); ++p) visit(plain++, first + p * placement.channel_block);
      }
}

/// Read-only description of memory; does not own it and is never stored in a class beyond a plan.
struct ConstView {
  const void* memory = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  Placement placement;

  bool empty() const { return memory == nullptr; }
  /// The steps [first, first + count) of a time-major tensor.
  ConstView steps(std::int64_t first, std::int64_t count) const;
  ConstView step(std::int64_t t) const { return steps(t, 1); }
  /// Rows [first, first + count) of one image whose rows lie side by side: channels last, or one channel.
  ConstView rows(std::int64_t first, std::int64_t count) const;
};

struct View {
  void* memory = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  Placement placement;

  bool empty() const { return memory == nullptr; }
  operator ConstView() const { return {memory, shape, dtype, placement}; }
  View steps(std::int64_t first, std::int64_t count) const;
  View step(std::int64_t t) const { return steps(t, 1); }
  View rows(std::int64_t first, std::int64_t count) const;
};

/// Owner of one allocation; move-only. The deleter belongs to the backend, which must outlive it.
class Buffer {
 public:
  using Deleter = void (*)(void* context, void* memory, std::size_t bytes) noexcept;
  Buffer() = default;
  Buffer(void* memory, std::size_t bytes, Deleter deleter, void* context)
      : memory_(memory), bytes_(bytes), deleter_(deleter), context_(context) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer moved(std::move(other));
    swap(moved);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (memory_ != nullptr) deleter_(context_, memory_, bytes_);
  }
  void* memory() const { return memory_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    std::swap(deleter_, other.deleter_);
    std::swap(context_, other.context_);
  }
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
  Deleter deleter_ = nullptr;
  void* context_ = nullptr;
};

/// Owns its memory; move-only.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Buffer buffer, Shape shape, DType dtype, Placement placement)
      : buffer_(std::move(buffer)), shape_(shape), dtype_(dtype), placement_(placement) {}
  View view() { return {buffer_.memory(), shape_, dtype_, placement_}; }
  ConstView view() const { return {buffer_.memory(), shape_, dtype_, placement_}; }
  View step(std::int64_t t) { return view().step(t); }
  ConstView step(std::int64_t t) const { return view().step(t); }
  const Shape& shape() const { return shape_; }
  bool empty() const { return buffer_.memory() == nullptr; }
  std::size_t bytes() const { return buffer_.bytes(); }

 private:
  Buffer buffer_;
  Shape shape_;
  DType dtype_ = DType::f32;
  Placement placement_;
};

}  // namespace raincell::kernels
