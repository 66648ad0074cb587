// Is it differentiable? The hand-written gradients of the reference in double against central differences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/kernels/cases.hpp"
#include "tests/support/gradients.hpp"
#include "tests/support/numbers.hpp"

namespace raincell::test {
namespace {

using namespace kernels;

/// A tensor on the reference with its host values.
struct Variable {
  Tensor tensor;
  std::vector<double> values;

  Variable() = default;
  Variable(Backend& backend, const Shape& shape, std::vector<double> start)
      : tensor(backend.allocate(shape, "variable")), values(std::move(start)) {
    backend.write(tensor.view(), values);
  }
  View view() { return tensor.view(); }
  std::vector<double> read(Backend& backend) {
    std::vector<double> now(values.size());
    backend.read(tensor.view(), now);
    return now;
  }
  void write(Backend& backend) {
    if (!values.empty()) backend.write(tensor.view(), values);
  }
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

TEST(Gradients, Convolutions) {
  const auto backend = make_backend("reference", {});
  Numbers numbers(31);
  for (const ConvSpec& s : convolution_specs()) {
    if (s.weight_shape().elements() > 3000) continue;  // the same loops as the small ones
    SCOPED_TRACE(s.text());
    const Shape y_shape{1, s.images, s.channels_out, s.out_height(), s.out_width()};
    const auto make = [&](const Shape& shape) {
      return Variable(*backend, shape, numbers.uniform(shape.elements(), -1, 1));
    };
    Variable x = make({1, s.images, s.channels_in, s.height, s.width}), w = make(s.weight_shape());
    Variable bias = s.bias ? make({1, 1, s.channels_out, 1, 1}) : Variable();
    Variable y = make(y_shape);
    const std::vector<double> dy = y.values;
    const auto plan = backend->plan_convolution(s, ConvUse::training);
    const auto objective = [&] {
      for (Variable* variable : {&x, &w, &bias}) variable->write(*backend);
      plan->load_weights(w.view(), bias.view());
      plan->forward(x.view(), y.view(), Accumulate::no);
      return dot(dy, y.read(*backend));
    };
    objective();
    Variable seed(*backend, y_shape, dy), dx = make(x.tensor.shape()), dw = make(w.tensor.shape());
    Variable db = s.bias ? make(bias.tensor.shape()) : Variable();
    plan->backward_data(seed.view(), dx.view(), Accumulate::no);
    plan->backward_weights(x.view(), seed.view(), dw.view(), db.view(), Accumulate::no);
    expect_gradient("dx", x.values, dx.read(*backend), objective, 40);
    expect_gradient("dw", w.values, dw.read(*backend), objective, 40);
    if (s.bias) expect_gradient("db", bias.values, db.read(*backend), objective, 40);
  }
}

/// Everything that a cell reads and the gradients of it, for L = sum(gh h) + sum(gc c).
struct CellSetup {
  Variable gates, recurrent, h_prev, c_prev, peephole, c, h;
  std::vector<double> gh, gc;
};

void check_cell(Backend& backend, const CellSpec& spec, bool past) {
  Numbers numbers(32);
  const Shape state{1, 2, spec.hidden, 3, 2};
  Shape gates = state;
  gates.c *= spec.gates();
  const auto make = [&](bool wanted, const Shape& shape, double bound) {
    return wanted ? Variable(backend, shape, numbers.uniform(shape.elements(), -bound, bound)) : Variable();
  };
  const bool gru = spec.separate_recurrent(), lstm = spec.has_memory(),
             eyes = spec.peephole != Peephole::none;
  CellSetup at;
  at.gates = make(true, gates, 2);
  at.recurrent = make(gru && past, gates, 1);
  at.h_prev = make(gru && past, state, 1);
  at.c_prev = make(lstm && past, state, 1);
  at.peephole = make(eyes, {1, 1, 3 * spec.hidden, 1, 1}, 1);
  at.c = make(lstm, state, 1);
  at.h = make(true, state, 1);
  at.gh = numbers.uniform(state.elements(), -1, 1);
  at.gc = lstm ? numbers.uniform(state.elements(), -1, 1) : std::vector<double>{};

  const auto objective = [&] {
    for (Variable* v : {&at.gates, &at.recurrent, &at.h_prev, &at.c_prev, &at.peephole}) v->write(backend);
    backend.cell_forward(spec, at.gates.view(), at.recurrent.view(), at.h_prev.view(), at.c_prev.view(),
                         at.peephole.view(), at.c.view(), at.h.view());
    return dot(at.gh, at.h.read(backend)) + (lstm ? dot(at.gc, at.c.read(backend)) : 0.);
  };
  objective();
  // The gradient of h arrives in two parts.
  std::vector<double> above(at.gh), later(at.gh);
  for (std::size_t i = 0; i < above.size(); ++i) above[i] *= 0.25, later[i] *= 0.75;
  Variable dh(backend, state, above), dh_recurrent(backend, state, later);
  Variable dc = lstm ? Variable(backend, state, at.gc) : Variable();
  Variable dh_prev = make(gru && past, state, 1);
  Variable d_peephole =
      eyes ? Variable(backend, at.peephole.tensor.shape(), std::vector<double>(3 * spec.hidden)) : Variable();
  backend.cell_backward(spec, at.gates.view(), at.recurrent.view(), at.h_prev.view(), at.c_prev.view(),
                        at.c.view(), at.peephole.view(), dh.view(), dh_recurrent.view(), dc.view(),
                        dh_prev.view(), d_peephole.view());
  const auto check = [&](const char* name, Variable& variable, Variable& gradient) {
    if (variable.values.empty()) return;
    expect_gradient(name, variable.values, gradient.read(backend), objective, 60);
  };
  Variable &d_gates = at.gates, &d_recurrent = at.recurrent;
  // Read before the objective overwrites them.
  const std::vector<double> gate_gradient = d_gates.read(backend);
  const std::vector<double> recurrent_gradient =
      d_recurrent.values.empty() ? std::vector<double>{} : d_recurrent.read(backend);
  expect_gradient("gates", at.gates.values, gate_gradient, objective, 60);
  if (gru && past) expect_gradient("recurrent", at.recurrent.values, recurrent_gradient, objective, 60);
  check("h_prev", at.h_prev, dh_prev);
  check("c_prev", at.c_prev, dc);
  check("peephole", at.peephole, d_peephole);
}

TEST(Gradients, Cells) {
  const auto backend = make_backend("reference", {});
  for (const CellSpec& spec : cell_specs()) {
    if (spec.hidden > 40) continue;
    for (const bool past : {true, false}) {
      SCOPED_TRACE(testing::Message()
                   << "kind " << int(spec.kind) << " hidden " << spec.hidden << " past " << past);
      check_cell(*backend, spec, past);
    }
  }
}

TEST(Gradients, Activations) {
  const auto backend = make_backend("reference", {});
  const Shape shape{2, 1, 3, 5, 4};
  for (const Activation kind :
       {Activation::identity, Activation::leaky_relu, Activation::sigmoid, Activation::tanh}) {
    SCOPED_TRACE(testing::Message() << "activation " << int(kind));
    Numbers numbers(33);
    Variable y(*backend, shape, numbers.uniform(shape.elements(), -3, 3));
    const std::vector<double> dy = numbers.uniform(shape.elements(), -1, 1);
    const auto objective = [&] {
      y.write(*backend);
      backend->activate(kind, 0.2F, y.view());
      return dot(dy, y.read(*backend));
    };
    objective();
    Variable dx(*backend, shape, dy);
    backend->activate_backward(kind, 0.2F, y.view(), dx.view());
    const Kinks kinks = [&](std::size_t i) {
      return kind == Activation::leaky_relu ? std::abs(y.values[i]) : 1.;
    };
    const int left_out = expect_gradient("x", y.values, dx.read(*backend), objective, 120, kinks);
    EXPECT_LE(left_out, 1);
  }
}

TEST(Gradients, Mix) {
  const auto backend = make_backend("reference", {});
  const Shape shape{2, 3, 2, 2, 2};
  Numbers numbers(34);
  Variable a(*backend, shape, numbers.uniform(shape.elements(), -1, 1));
  Variable b(*backend, shape, numbers.uniform(shape.elements(), -1, 1));
  Variable y(*backend, shape, numbers.uniform(shape.elements(), -1, 1));
  Variable weights(*backend, {1, 3, 1, 1, 1}, {0., 1., 0.375});
  const std::vector<double> dy = y.values, before = a.values;
  const auto objective = [&] {
    b.write(*backend);
    backend->mix(y.view(), a.view(), b.view(), weights.view());
    return dot(dy, y.read(*backend));
  };
  objective();
  Variable seed(*backend, shape, dy), db(*backend, shape, before);
  backend->mix_backward(db.view(), seed.view(), weights.view(), Accumulate::yes);
  std::vector<double> gradient = db.read(*backend);
  for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] -= before[i];
  expect_gradient("b", b.values, gradient, objective, 120);
}

/// Distance of forecast and target to the next place where the loss has a kink.
double kink_distance(const LossSpec& spec, double f, double y) {
  const double d = std::abs(f - y);
  if (spec.kind == LossKind::mae || spec.kind == LossKind::balanced) return d;
  if (spec.kind == LossKind::huber) return std::abs(d - double(spec.huber_delta));
  return 1.;
}

TEST(Gradients, Losses) {
  const auto backend = make_backend("reference", {});
  const Shape shape{3, 2, 1, 4, 5};
  for (const auto& [name, spec] : loss_specs()) {
    SCOPED_TRACE(name);
    Numbers numbers(35);
    const double bound = spec.kind == LossKind::bce ? 4 : 1;
    Variable f(*backend, shape, numbers.uniform(shape.elements(), -bound, bound));
    Variable y(*backend, shape, numbers.uniform(shape.elements(), 0, 1));
    Variable mask(*backend, shape, numbers.mask(shape.elements(), 0.7));
    Variable d_forecast(*backend, shape, numbers.uniform(shape.elements(), 1, 2));
    Variable sums(*backend, {1, 1, 2, 1, 1}, {0, 0});
    const auto objective = [&, &spec = spec] {
      f.write(*backend);
      backend->loss(spec, f.view(), y.view(), mask.view(), {}, sums.view(), 1.F);
      return sums.read(*backend)[0];
    };
    backend->loss(spec, f.view(), y.view(), mask.view(), d_forecast.view(), sums.view(), 1.F);
    EXPECT_EQ(sums.read(*backend)[1], std::count(mask.values.begin(), mask.values.end(), 1.));
    const Kinks kinks = [&, &spec = spec](std::size_t i) {
      return kink_distance(spec, f.values[i], y.values[i]);
    };
    const int left_out =
        expect_gradient("forecast", f.values, d_forecast.read(*backend), objective, 120, kinks);
    EXPECT_LE(left_out, 3);
  }
}

}  // namespace
}  // namespace raincell::test
