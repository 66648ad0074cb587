// Against PyTorch 2.11 in double: the numbers below were printed by torch.nn.functional.conv2d and
// conv_transpose2d, LSTMCell, GRUCell, the losses and torch.optim.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/backends.hpp"

namespace raincell::test {
namespace {

using namespace kernels;

class Peers : public OnEveryBackend {
 protected:
  Tensor plain(const Shape& shape, const std::vector<double>& values) {
    return filled(backend_->allocate_plain(shape, "x"), values);
  }
  Tensor placed(const Shape& shape, const std::vector<double>& values) {
    return filled(backend_->allocate(shape, "x"), values);
  }
  Tensor memory(const std::vector<double>& values) {
    return filled(backend_->allocate_memory({}, "c"), values);
  }
  void expect(const Tensor& tensor, const std::vector<double>& want) {
    const double tolerance =
        backend_->dtype() == DType::f64 ? 1e-7 : GetParam().tolerance;  // LossSpec holds floats
    std::vector<double> have(want.size());
    backend_->read(tensor.view(), have);
    for (std::size_t i = 0; i < want.size(); ++i)
      EXPECT_NEAR(have[i], want[i], tolerance * (1 + std::abs(want[i])));
  }

 private:
  Tensor filled(Tensor tensor, const std::vector<double>& values) {
    backend_->write(tensor.view(), values);
    return tensor;
  }
};

std::vector<double> counted(int count, int modulus) {
  std::vector<double> values;
  for (int i = 1; i <= count; ++i) values.push_back(i % modulus);
  return values;
}

TEST_P(Peers, Convolution) {
  const ConvSpec spec{.images = 2,
                      .channels_in = 2,
                      .channels_out = 3,
                      .height = 3,
                      .width = 3,
                      .kernel = 2,
                      .stride = 2,
                      .padding = 1,
                      .bias = true};
  const Tensor x = placed({2, 1, 2, 3, 3}, counted(36, 7)), w = plain({1, 3, 2, 2, 2}, counted(24, 5));
  const Tensor b = plain({1, 1, 3, 1, 1}, {1, -2, 3});
  Tensor y = backend_->allocate({2, 1, 3, 2, 2}, "y");
  const auto plan = backend_->plan_convolution(spec, ConvUse::inference);
  plan->load_weights(w.view(), b.view());
  plan->forward(x.view(), y.view(), Accumulate::no);
  expect(y, {14, 42, 21, 48, 3, 11, 24, 31, 15, 43, 35, 62, 21, 27, 40, 56, 8, 6, 24, 56, 3, 38, 36, 54});
}

TEST_P(Peers, TransposedConvolution) {
  const ConvSpec spec{.images = 2,
                      .channels_in = 2,
                      .channels_out = 3,
                      .height = 3,
                      .width = 3,
                      .kernel = 2,
                      .stride = 2,
                      .padding = 1,
                      .transposed = true,
                      .bias = true};
  const Tensor x = placed({1, 2, 2, 3, 3}, counted(36, 7)), w = plain({1, 2, 3, 2, 2}, counted(24, 5));
  const Tensor b = plain({1, 1, 3, 1, 1}, {1, -2, 3});
  Tensor y = backend_->allocate({1, 2, 3, 4, 4}, "y");
  const auto plan = backend_->plan_convolution(spec, ConvUse::inference);
  plan->load_weights(w.view(), b.view());
  plan->forward(x.view(), y.view(), Accumulate::no);
  expect(y, {8,  7,  13, 10, 33, 6,  11, 10, 23, 16, 21, 19, 9,  11, 15, 15, 1,  18, 4,  24, 20, -2, 3,  0,
             10, 8,  13, 14, 4,  4,  8,  6,  17, 17, 23, 21, 15, 23, 3,  28, 35, 8,  13, 12, 7,  10, 9,  15,
             21, 19, 26, 1,  15, 15, 21, 19, 8,  7,  13, 10, 33, 6,  11, 10, 13, 14, 16, 6,  8,  6,  12, 8,
             1,  18, 4,  24, 20, -2, 3,  0,  13, 12, 19, 9,  9,  15, 11, 20, 17, 17, 23, 21, 15, 23, 3,  28});
}

TEST_P(Peers, LstmCell) {
  Tensor gates = placed({1, 1, 4, 1, 1}, {0.2, -0.7, 0.4, 1.1});  // i f o g
  const Tensor before = memory({0.6});
  Tensor c = memory({0}), h = placed({}, {0});
  backend_->cell_forward({CellKind::convlstm, 1, Peephole::none}, gates.view(), {}, {}, before.view(), {},
                         c.view(), h.view());
  expect(c, {0.6392289136784757});
  expect(h, {0.3378839293055794});
}

TEST_P(Peers, GruCell) {
  // x = 0.8, h = 0.4, input weights (r z n) 0.5 -0.25 0.75, recurrent 0.3 0.6 -0.9, biases 0.1 0.2 0.3, -0.1
  // 0.4 0.05.
  Tensor gates = placed({1, 1, 3, 1, 1}, {-0.25 * 0.8 + 0.2, 0.5 * 0.8 + 0.1, 0.75 * 0.8 + 0.3});
  const Tensor sums = placed({1, 1, 3, 1, 1}, {0.6 * 0.4 + 0.4, 0.3 * 0.4 - 0.1, -0.9 * 0.4 + 0.05});
  const Tensor before = placed({}, {0.4});
  Tensor h = placed({}, {0});
  backend_->cell_forward({CellKind::convgru, 1, Peephole::none}, gates.view(), sums.view(), before.view(), {},
                         {}, {}, h.view());
  expect(h, {0.4717768682278737});
}

TEST_P(Peers, Losses) {
  const Shape shape{1, 1, 1, 1, 5};
  const Tensor f = placed(shape, {0.3, -1.5, 2.0, 0.7, 5.0}), y = placed(shape, {0.1, 0.0, 1.0, 0.7, 0.25});
  const Tensor mask = placed(shape, {1, 1, 1, 1, 1});
  Tensor gradient = placed(shape, {0, 0, 0, 0, 0}), sums = plain({1, 1, 2, 1, 1}, {0, 0});
  const auto check = [&](LossKind kind, double value, const std::vector<double>& derivative) {
    LossSpec spec;
    spec.kind = kind;
    spec.huber_delta = 0.25F;
    backend_->loss(spec, f.view(), y.view(), mask.view(), gradient.view(), sums.view(), 1.F);
    expect(sums, {value, 5});
    if (!derivative.empty()) expect(gradient, derivative);
  };
  check(LossKind::mse, 5.1705, {0.08, -0.6, 0.4, 0.0, 1.9});
  check(LossKind::huber, 0.34775, {0.04, -0.05, 0.05, 0.0, 0.05});
  check(LossKind::mae, 1.49, {0.2, -0.2, 0.2, 0.0, 0.2});
  check(LossKind::bce, 1.1045195861737658, {});
  // As mse of the exponentials.
  check(LossKind::mse_rate, 4333.892302071438,
        {0.13211764109969545, -0.06933723671222636, 13.80504524398263, 0.0, 8734.359810539234});
}

TEST_P(Peers, Optimizers) {
  const std::vector<std::vector<double>> gradients{{0.1, -2.0, 0.03}, {0.5, 0.25, -1.0}, {-0.125, 4.0, 0.0}};
  const auto check = [&](OptimizerKind kind, double beta1, double decay, double clip,
                         const std::vector<double>& want) {
    OptimizerSpec spec{.kind = kind,
                       .learning_rate = 0.1,
                       .beta1 = beta1,
                       .beta2 = 0.99,
                       .weight_decay = decay,
                       .clip_norm = clip};
    const Shape shape{1, 1, 3, 1, 1};
    Tensor value = plain(shape, {0.5, -0.25, 1.0}), m = plain(shape, {0, 0, 0}), v = plain(shape, {0, 0, 0});
    Tensor skipped = plain({}, {0});
    for (const auto& gradient : gradients) {
      const Tensor g = plain(shape, gradient);
      Tensor squares = plain({}, {0});
      backend_->add_sum_of_squares(g.view(), squares.view());
      backend_->optimizer_step(spec, value.view(), g.view(), m.view(), v.view(), squares.view(),
                               skipped.view());
      ++spec.step;
    }
    expect(value, want);
    expect(skipped, {0});
  };
  check(OptimizerKind::adam, 0.9, 0, 0, {0.26465262130790507, -0.12968018715207016, 1.0281541200633066});
  check(OptimizerKind::adam, 0.9, 0.1, 1, {0.24664380868024963, -0.113930001578599, 1.0050558195334187});
  check(OptimizerKind::adamw, 0.9, 0.1, 0, {0.2526513755730315, -0.1248187319392616, 0.9997210276562901});
  check(OptimizerKind::rmsprop, 0.9, 0.1, 0, {-0.9525234020775101, -0.303572069291834, 0.8933681484940207});
  check(OptimizerKind::sgd, 0.9, 0.1, 0, {0.36346849999999997, -0.14892475, 1.1253627});
}

INSTANTIATE_TEST_SUITE_P(Backends, Peers, testing::ValuesIn(tested_backends()), name_of_backend);

}  // namespace
}  // namespace raincell::test
