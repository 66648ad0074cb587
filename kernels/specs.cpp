#include "kernels/specs.hpp"

#include <algorithm>
#include <stdexcept>

namespace raincell::kernels {

namespace {

/// `padding` on both sides together.
std::int64_t out_size(const ConvSpec& spec, std::int64_t size, std::int64_t padding) {
  return spec.transposed ? (size - 1) * spec.stride - padding + spec.kernel
                         : (size + padding - spec.kernel) / spec.stride + 1;
}

}  // namespace

std::int64_t ConvSpec::out_height() const {
  return out_size(*this, height, top() + bottom());
}
std::int64_t ConvSpec::out_width() const {
  return out_size(*this, width, 2 * padding);
}

Shape ConvSpec::weight_shape() const {
  return transposed ? Shape{1, channels_in, channels_out, kernel, kernel}
                    : Shape{1, channels_out, channels_in, kernel, kernel};
}

std::int64_t ConvSpec::macs() const {
  const std::int64_t pixels = transposed ? height * width : out_height() * out_width();
  return images * pixels * channels_in * channels_out * kernel * kernel;
}

std::string ConvSpec::text() const {
  std::string name = "n" + std::to_string(images) + "c" + std::to_string(channels_in) + "h" +
                     std::to_string(height) + "w" + std::to_string(width) + "o" +
                     std::to_string(channels_out) + "k" + std::to_string(kernel) + "s" +
                     std::to_string(stride) + "p" + std::to_string(padding);
  if (top() != padding || bottom() != padding)
    name += "top" + std::to_string(top()) + "bottom" + std::to_string(bottom());
  if (transposed) name += "t";
  if (bias) name += "b";
  return name;
}

ConvBand band_of(const ConvSpec& whole, std::int64_t first_row, std::int64_t rows) {
  const std::int64_t end = first_row + rows, top = whole.top(), stride = whole.stride, kernel = whole.kernel;
  const auto refuse = [&](const char* why) {
    throw std::invalid_argument("rows " + std::to_string(first_row) + " to " + std::to_string(end) + " of " +
                                whole.text() + " " + why);
  };
  if (first_row < 0 || rows < 1 || end > whole.out_height()) refuse("are not there");
  ConvBand band{whole, 0};
  if (rows == whole.out_height()) return band;
  std::int64_t input_end = 0;
  if (whole.transposed) {  // input row i adds to output rows i stride - top and the kernel - 1 after it
    const std::int64_t past_kernel = first_row + top - kernel + 1;
    band.input_row = past_kernel <= 0 ? 0 : (past_kernel + stride - 1) / stride;
    input_end = std::min(whole.height, (end - 1 + top) / stride + 1);
    band.spec.padding_top = first_row + top - band.input_row * stride;
    band.spec.padding_bottom =
        (input_end - 1 - band.input_row) * stride + kernel - band.spec.padding_top - rows;
  } else {  // output row o reads input rows o stride - top and the kernel - 1 after it
    const std::int64_t begin = first_row * stride - top, reads_to = (end - 1) * stride - top + kernel;
    band.input_row = std::max<std::int64_t>(0, begin);
    input_end = std::min(whole.height, reads_to);
    band.spec.padding_top = band.input_row - begin;
    band.spec.padding_bottom = reads_to - input_end;
  }
  if (input_end <= band.input_row || band.spec.padding_bottom < 0) refuse("owe nothing to the input");
  band.spec.height = input_end - band.input_row;
  return band;
}

}  // namespace raincell::kernels
