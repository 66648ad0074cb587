#include "kernels/specs.hpp"

namespace raincell::kernels {

namespace {

std::int64_t out_size(const ConvSpec& spec, std::int64_t size) {
  return spec.transposed ? (size - 1) * spec.stride - 2 * spec.padding + spec.kernel
                         : (size + 2 * spec.padding - spec.kernel) / spec.stride + 1;
}

}  // namespace

std::int64_t ConvSpec::out_height() const {
  return out_size(*this, height);
}
std::int64_t ConvSpec::out_width() const {
  return out_size(*this, width);
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
  if (transposed) name += "t";
  if (bias) name += "b";
  return name;
}

}  // namespace raincell::kernels
