// A convolution in bands of rows equals that of the whole image.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/backends.hpp"
#include "tests/support/numbers.hpp"
#include "tests/support/sum_order.hpp"

namespace raincell::test {
namespace {

using namespace kernels;

class Bands : public OnEveryBackend {
 protected:
  Tensor filled(const Shape& shape, const std::vector<double>& values) {
    Tensor tensor = backend_->allocate(shape, "x");
    backend_->write(tensor.view(), values);
    return tensor;
  }
  std::vector<double> values_of(const Tensor& tensor) {
    std::vector<double> values(static_cast<std::size_t>(tensor.shape().elements()));
    backend_->read(tensor.view(), values);
    return values;
  }
  bool rows_lie_side_by_side(const Shape& shape) { return backend_->place(shape).channel_block >= shape.c; }
  bool by_winograd(const ConvPlan& plan) {
    return plan.implementation().find("Winograd") != std::string::npos;
  }

  bool ordered_by_size(const ConvSpec& spec) {
    return sums_follow_size(backend_->info()) ||
           (spec.transposed && adjoint_sums_follow_size(backend_->info()));
  }

  /// The largest difference, of the largest value; exact where sums have the same order.
  void compare(const ConvSpec& spec, std::int64_t rows, Accumulate accumulate) {
    SCOPED_TRACE(spec.text() + " in bands of " + std::to_string(rows));
    const Shape from{1, 1, spec.channels_in, spec.height, spec.width},
        to{1, 1, spec.channels_out, spec.out_height(), spec.out_width()};
    if (!rows_lie_side_by_side(from) || !rows_lie_side_by_side(to)) return;
    Numbers numbers(23);
    const Tensor x = filled(from, numbers.uniform(from.elements(), -1, 1));
    const auto before = numbers.uniform(to.elements(), -1, 1);
    Tensor whole = filled(to, before), banded = filled(to, before);
    Tensor weights = backend_->allocate_plain(spec.weight_shape(), "weights"),
           bias = backend_->allocate_plain({1, 1, spec.channels_out, 1, 1}, "bias");
    backend_->write(weights.view(), numbers.uniform(spec.weight_shape().elements(), -1, 1));
    backend_->write(bias.view(), numbers.uniform(spec.channels_out, -1, 1));
    const auto run = [&](const ConvSpec& part, ConstView in, View out) {
      const auto plan = backend_->plan_convolution(part, ConvUse::inference);
      plan->load_weights(weights.view(), bias.view());
      plan->forward(in, out, accumulate);
      return by_winograd(*plan);
    };
    const bool winograd = run(spec, x.view(), whole.view());
    for (std::int64_t row = 0; row < to.h; row += rows) {
      const std::int64_t count = std::min(rows, to.h - row);
      const ConvBand band = band_of(spec, row, count);
      EXPECT_EQ(band.spec.out_height(), count);
      run(band.spec, x.view().rows(band.input_row, band.spec.height), banded.view().rows(row, count));
    }
    const auto want = values_of(whole), have = values_of(banded);
    double largest = 0., difference = 0.;
    for (std::size_t i = 0; i < want.size(); ++i) {
      largest = std::max(largest, std::abs(want[i]));
      difference = std::max(difference, std::abs(have[i] - want[i]));
    }
    EXPECT_LE(difference, winograd || ordered_by_size(spec) ? 1e-6 * largest : 0.);
    EXPECT_GT(largest, 0.1);
    ++compared_;
  }
  int compared_ = 0;
};

std::vector<ConvSpec> whole_images() {
  const auto of = [](std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                     std::int64_t padding, std::int64_t height,
                     bool transposed) {  // some by Winograd's tiles
    return ConvSpec{.images = 1,
                    .channels_in = in,
                    .channels_out = out,
                    .height = height,
                    .width = 23,
                    .kernel = kernel,
                    .stride = stride,
                    .padding = padding,
                    .transposed = transposed,
                    .bias = true};
  };
  return {of(1, 1, 3, 1, 1, 29, false), of(2, 24, 3, 1, 1, 32, false),  of(16, 64, 3, 1, 1, 46, false),
          of(5, 7, 5, 1, 2, 31, false), of(8, 16, 3, 2, 1, 32, false),  of(3, 8, 5, 4, 2, 64, false),
          of(1, 8, 7, 5, 1, 60, false), of(6, 4, 1, 1, 0, 24, false),   of(5, 3, 4, 2, 1, 16, true),
          of(8, 8, 8, 4, 2, 12, true),  of(8, 16, 7, 5, 1, 12, true),   of(7, 5, 5, 3, 1, 15, true),
          of(5, 4, 3, 1, 1, 24, true),  of(16, 70, 3, 1, 1, 131, false)};
}

TEST_P(Bands, EqualTheWhole) {
  for (const ConvSpec& spec : whole_images()) {
    for (const std::int64_t rows : {4, 8, 20}) {
      if (spec.transposed && rows < spec.stride) continue;
      compare(spec, rows, Accumulate::no);
      compare(spec, rows, Accumulate::yes);
    }
  }
  EXPECT_GE(compared_, 6);
}

TEST(BandOf, RefusesRowsThatAreNotThere) {
  const ConvSpec spec{.height = 8, .width = 8};
  EXPECT_THROW(band_of(spec, 5, 4), std::invalid_argument);
  EXPECT_THROW(band_of(spec, -1, 4), std::invalid_argument);
  EXPECT_THROW(band_of(spec, 0, 0), std::invalid_argument);
  // Output rows between the strides of a smaller kernel.
  const ConvSpec apart{.height = 8, .width = 8, .kernel = 1, .stride = 3, .padding = 0, .transposed = true};
  EXPECT_THROW(band_of(apart, 1, 2), std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(Backends, Bands, testing::ValuesIn(tested_backends()), name_of_backend);

}  // namespace
}  // namespace raincell::test
