#include "kernels/tensor.hpp"

namespace raincell::kernels {

std::size_t size_of(DType type) {
  switch (type) {
    case DType::f32:
      return 4;
    case DType::f64:
      return 8;
    case DType::bf16:
      return 2;
  }
  return 0;
}

const char* name_of(DType type) {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
  }
  return "?";
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t size : {t, n, c, h, w}) {
    if (__builtin_mul_overflow(product, size, &product)) {
      throw std::overflow_error("tensor " + text() + " has more elements than 64 bits can count");
    }
  }
  return product;
}

std::string Shape::text() const {
  return "[" + std::to_string(t) + "," + std::to_string(n) + "," + std::to_string(c) + "," +
         std::to_string(h) + "," + std::to_string(w) + "]";
}

std::int64_t stored_elements(const Shape& shape, const Placement& placement) {
  Shape padded = shape;
  padded.c = (shape.c + placement.channel_block - 1) / placement.channel_block * placement.channel_block;
  return padded.elements();
}

namespace {

/// The view from `elements` on.
template <class AnyView>
AnyView moved(const AnyView& view, std::int64_t elements) {
  AnyView part = view;
  using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(view.memory)>>,
                                  const std::byte, std::byte>;
  part.memory = static_cast<Byte*>(view.memory) + static_cast<std::size_t>(elements) * size_of(view.dtype);
  return part;
}

template <class AnyView>
AnyView cut_steps(const AnyView& view, std::int64_t first, std::int64_t count) {
  if (first < 0 || count < 1 || first + count > view.shape.t) {
    throw std::out_of_range("steps " + std::to_string(first) + " to " + std::to_string(first + count) +
                            " of a tensor " + view.shape.text());
  }
  Shape one = view.shape;
  one.t = 1;
  AnyView part = moved(view, stored_elements(one, view.placement) * first);
  part.shape.t = count;
  return part;
}

template <class AnyView>
AnyView cut_rows(const AnyView& view, std::int64_t first, std::int64_t count) {
  const Shape& shape = view.shape;
  const bool side_by_side = shape.images() == 1 && view.placement.channel_block >= shape.c;
  if (first < 0 || count < 1 || first + count > shape.h || !side_by_side) {
    throw std::out_of_range("rows " + std::to_string(first) + " to " + std::to_string(first + count) +
                            " of a tensor " + shape.text() + " in blocks of " +
                            std::to_string(view.placement.channel_block) + " channels");
  }
  AnyView part = moved(view, first * shape.w * view.placement.channel_block);
  part.shape.h = count;
  return part;
}

}  // namespace

ConstView ConstView::steps(std::int64_t first, std::int64_t count) const {
  return cut_steps(*this, first, count);
}
View View::steps(std::int64_t first, std::int64_t count) const {
  return cut_steps(*this, first, count);
}
ConstView ConstView::rows(std::int64_t first, std::int64_t count) const {
  return cut_rows(*this, first, count);
}
View View::rows(std::int64_t first, std::int64_t count) const {
  return cut_rows(*this, first, count);
}

}  // namespace raincell::kernels
