// Every layer alone, in double: outputs against the formulas of model/README.md written out once more,
// gradients of inputs, start state and every parameter against central differences.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "model/recurrent_layer.hpp"
#include "tests/support/gradients.hpp"
#include "tests/support/numbers.hpp"

namespace raincell::model {
namespace {

using kernels::Accumulate;
using kernels::Activation;
using kernels::CellKind;
using kernels::ConvSpec;
using kernels::Peephole;
using kernels::Shape;
using std::int64_t;
using Values = std::vector<double>;

constexpr int64_t kBatch = 2;
constexpr std::size_t kEntries = 25;  // differentiated numerically, a tensor
constexpr double kKink = 1e-3, kSlope = 0.2F;

struct LayerCase {
  std::vector<int64_t> inputs = {2};         // channels of each
  int64_t steps = 1, height = 4, width = 6;  // of the larger side
  int64_t kernel = 3, stride = 1, padding = 1;
  bool transposed = false, bias = true;
  Activation activation = Activation::identity;
  bool recurrent = false, start = false;  // start: from a given state instead of zero
  CellKind cell = CellKind::convlstm;
  Peephole peephole = Peephole::none;
};

double sigmoid(double x) {
  return 1. / (1. + std::exp(-x));
}

double dot(const Values& a, const Values& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.);
}

/// y += convolution of x by definition: pixel r of the smaller side meets r * stride - padding + tap of the
/// larger.
void convolve(const ConvSpec& s, const double* x, const Values& weights, double* y) {
  const int64_t oh = s.out_height(), ow = s.out_width(), k = s.kernel;
  const int64_t rows = s.transposed ? s.height : oh, columns = s.transposed ? s.width : ow;
  const int64_t most_rows = s.transposed ? oh : s.height, most_columns = s.transposed ? ow : s.width;
  for (int64_t n = 0; n < s.images; ++n)
    for (int64_t o = 0; o < s.channels_out; ++o)
      for (int64_t i = 0; i < s.channels_in; ++i)
        for (int64_t tap = 0; tap < k * k; ++tap)
          for (int64_t p = 0; p < rows * columns; ++p) {
            const int64_t row = p / columns * s.stride - s.padding + tap / k,
                          column = p % columns * s.stride - s.padding + tap % k;
            if (row < 0 || row >= most_rows || column < 0 || column >= most_columns) continue;
            const int64_t large = row * most_columns + column;
            const int64_t pair = s.transposed ? i * s.channels_out + o : o * s.channels_in + i;
            y[(n * s.channels_out + o) * oh * ow + (s.transposed ? large : p)] +=
                weights[static_cast<std::size_t>(pair * k * k + tap)] *
                x[(n * s.channels_in + i) * s.height * s.width + (s.transposed ? p : large)];
          }
}

/// A layer with its flows and parameters, and the values that the objective reads.
class Rig {
 public:
  explicit Rig(const LayerCase& which) : case_(which), backend_(kernels::make_backend("reference", {})) {
    describe();
    allocate();
  }
  /// Outputs, then all gradients of sum(d_output . output) + sum(d_last . last state).
  void check();
  int points() const { return points_; }
  int left_out() const { return left_out_; }

 private:
  /// Channels of the sum; those of the output are kHidden.
  int64_t planes() const { return kHidden * (case_.recurrent ? node_.cell.gates() : 1); }
  ConvSpec spec(int64_t channels_in) const {
    const int64_t shrink = case_.transposed ? case_.stride : 1;
    return {.images = kBatch,
            .channels_in = channels_in,
            .channels_out = planes(),
            .height = case_.height / shrink,
            .width = case_.width / shrink,
            .kernel = case_.kernel,
            .stride = case_.stride,
            .padding = case_.padding,
            .transposed = case_.transposed};
  }
  Shape output_shape() const {
    const ConvSpec s = spec(1);
    return {case_.steps, kBatch, kHidden, s.out_height(), s.out_width()};
  }
  int parameter(const std::string& name, const Shape& shape) {
    values_.push_back(numbers_.uniform(shape.elements(), -0.6, 0.6));
    return layout_.add(name, shape, {});
  }
  Values& value(int slice) { return values_[static_cast<std::size_t>(slice)]; }
  Values read(kernels::ConstView view) {
    if (view.empty()) return {};
    Values values(static_cast<std::size_t>(view.shape.elements()));
    backend_->read(view, std::span<double>(values));
    return values;
  }
  void describe();
  void allocate();
  void forward();
  double objective();
  Values sums(int64_t t) const;  // of the input path, with the bias where it belongs
  void expect_convolution();
  void expect_cell();
  void expect_step(int64_t t, Values& h, Values& c);
  void compare(const std::string& name, Values& x, const Values& analytic) {
    points_ += static_cast<int>(std::min(kEntries, x.size()));
    test::expect_gradient(
        name, x, analytic, [this] { return objective(); }, kEntries);
  }

  static constexpr int64_t kHidden = 2;
  LayerCase case_;
  std::unique_ptr<kernels::Backend> backend_;
  test::Numbers numbers_{17};
  Graph graph_;
  Node node_;
  ParameterLayout layout_;
  std::unique_ptr<Parameters> parameters_;
  std::vector<FlowStore> flows_;
  Carry carry_;
  std::unique_ptr<Layer> layer_;
  CellLayer* cell_ = nullptr;
  std::vector<Values> values_, inputs_;  // parameters, inputs [T,N,C,H,W]
  Values start_h_, start_c_, d_output_, d_last_h_, d_last_c_;
  int points_ = 0, left_out_ = 0;
};

void Rig::describe() {
  node_.name = "layer";
  node_.kernel = case_.kernel;
  node_.stride = case_.stride;
  node_.padding = case_.padding;
  node_.transposed = case_.transposed;
  node_.activation = case_.activation;
  node_.slope = static_cast<float>(kSlope);
  node_.recurrent = case_.recurrent;
  node_.cell = {case_.cell, kHidden, case_.peephole};
  for (std::size_t i = 0; i < case_.inputs.size(); ++i) {
    const std::string name = "input" + std::to_string(i);
    graph_.flows.push_back({name, case_.inputs[i], case_.transposed ? case_.stride : 1, i == 1});
    node_.inputs.push_back(static_cast<int>(i));
    node_.weights.push_back(parameter(name + ".weight", spec(case_.inputs[i]).weight_shape()));
  }
  if (case_.bias) node_.bias = parameter("bias", {1, 1, planes(), 1, 1});
  if (case_.recurrent) {
    node_.state_kernel = 3;
    node_.state_weight = parameter("state.weight", {1, planes(), kHidden, 3, 3});
    if (case_.peephole != Peephole::none) node_.peephole = parameter("peephole", {1, 1, 3 * kHidden, 1, 1});
  }
  node_.output = static_cast<int>(graph_.flows.size());
  graph_.flows.push_back({"output", kHidden, case_.transposed ? 1 : case_.stride, false});
}

void Rig::allocate() {
  parameters_ = std::make_unique<Parameters>(layout_, *backend_, 1);
  parameters_->need_gradients();
  Workspace workspace(*backend_);
  LayerContext context{workspace,   *parameters_, kBatch, case_.height,
                       case_.width, case_.steps,  true,   case_.start};
  flows_.resize(graph_.flows.size());
  for (std::size_t i = 0; i < flows_.size(); ++i) {
    const Flow& flow = graph_.flows[i];
    const int64_t offset = case_.start && static_cast<int>(i) == node_.output ? 1 : 0;
    Shape shape{case_.steps + offset, kBatch, flow.channels, case_.height / flow.divisor,
                case_.width / flow.divisor};
    flows_[i].value = StepStore(workspace.activation(shape, "value"), shape.t, offset);
    shape.t = case_.steps;
    flows_[i].gradient = StepStore(workspace.activation(shape, "gradient"), shape.t, 0);
    flows_[i].has_gradient = true;
    if (static_cast<int>(i) != node_.output) inputs_.push_back(numbers_.uniform(shape.elements(), -1, 1));
  }
  const StepCounts counts{{case_.steps}, case_.steps, true};
  // The second input has another consumer, which has written its gradient already.
  const std::vector<Accumulate> accumulate = {Accumulate::no, Accumulate::yes};
  if (case_.recurrent) {
    carry_ = Carry::make(context, node_.cell, case_.height, case_.width);
    auto cell = std::make_unique<CellLayer>(context, graph_, node_, flows_, counts, accumulate, &carry_);
    cell_ = cell.get();
    layer_ = std::move(cell);
  } else {
    layer_ = std::make_unique<ConvLayer>(context, graph_, node_, flows_, counts, accumulate);
  }
  const int64_t one = output_shape().elements() / case_.steps;
  d_output_ = numbers_.uniform(output_shape().elements(), -1, 1);
  if (!case_.recurrent) return;
  d_last_h_ = numbers_.uniform(one, -1, 1);
  if (node_.cell.has_memory()) d_last_c_ = numbers_.uniform(one, -1, 1);
  if (!case_.start) return;
  start_h_ = numbers_.uniform(one, -1, 1);
  if (node_.cell.has_memory()) start_c_ = numbers_.uniform(one, -1, 1);
}

void Rig::forward() {
  for (std::size_t s = 0; s < values_.size(); ++s) parameters_->write(static_cast<int>(s), values_[s]);
  for (std::size_t i = 0; i < inputs_.size(); ++i) backend_->write(flows_[i].value.all(), inputs_[i]);
  layer_->load_weights();
  if (case_.start) {
    const Shape state{1, kBatch, kHidden, case_.height, case_.width};
    kernels::Tensor h = backend_->allocate(state, "start"), c = backend_->allocate_memory(state, "start");
    backend_->write(h.view(), start_h_);
    if (!start_c_.empty()) backend_->write(c.view(), start_c_);
    cell_->start(h.view(), start_c_.empty() ? kernels::View{} : c.view());
  }
  layer_->forward(0, case_.steps);
}

double Rig::objective() {
  forward();
  double sum = dot(d_output_, read(flows_.back().value.at(0, case_.steps)));
  if (case_.recurrent) sum += dot(d_last_h_, read(cell_->h(case_.steps - 1)));
  if (!d_last_c_.empty()) sum += dot(d_last_c_, read(cell_->c(case_.steps - 1)));
  return sum;
}

Values Rig::sums(int64_t t) const {
  const Shape out = output_shape();
  Values y(static_cast<std::size_t>(kBatch * planes() * out.pixels()));
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto channel = static_cast<std::size_t>(static_cast<int64_t>(i) / out.pixels() % planes());
    if (case_.bias && !inputs_.empty()) y[i] = values_[static_cast<std::size_t>(node_.bias)][channel];
  }
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const std::size_t size = inputs_[i].size() / static_cast<std::size_t>(case_.steps);
    convolve(spec(case_.inputs[i]), inputs_[i].data() + size * static_cast<std::size_t>(t), values_[i],
             y.data());
  }
  return y;
}

void Rig::expect_convolution() {
  const Values got = read(flows_.back().value.all());
  for (int64_t t = 0; t < case_.steps; ++t) {
    const Values y = sums(t);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const std::size_t at = y.size() * static_cast<std::size_t>(t) + i;
      double expected = y[i];
      if (case_.activation == Activation::leaky_relu && y[i] < 0) expected *= kSlope;
      if (case_.activation == Activation::sigmoid) expected = sigmoid(y[i]);
      if (case_.activation == Activation::tanh) expected = std::tanh(y[i]);
      EXPECT_NEAR(got[at], expected, 1e-12) << at;
      if (case_.activation != Activation::leaky_relu || std::abs(y[i]) > kKink) continue;
      d_output_[at] = 0.;  // nothing that comes through this point counts
      ++left_out_;
    }
  }
}

/// h and c of the step before become those of step t.
void Rig::expect_step(int64_t t, Values& h, Values& c) {
  const bool previous = t > 0 || case_.start;
  const auto pixels = static_cast<std::size_t>(output_shape().pixels());
  const Values x = sums(t);
  Values u(x.size());
  if (previous) {
    for (std::size_t i = 0; i < u.size() && case_.bias && inputs_.empty(); ++i)
      u[i] = value(node_.bias)[i / pixels % static_cast<std::size_t>(planes())];
    ConvSpec state = spec(kHidden);
    state.kernel = 3, state.padding = 1;
    convolve(state, h.data(), value(node_.state_weight), u.data());
  }
  for (std::size_t i = 0; i < h.size(); ++i) {
    const std::size_t n = i / (kHidden * pixels), k = i / pixels % kHidden, p = i % pixels;
    const auto at = [&](const Values& v, std::size_t gate) {
      return v[(n * static_cast<std::size_t>(planes()) + gate * kHidden + k) * pixels + p];
    };
    const auto a = [&](std::size_t gate) { return at(x, gate) + at(u, gate); };
    const auto eye = [&](std::size_t gate, double state) {
      return node_.peephole < 0 ? 0. : value(node_.peephole)[gate * kHidden + k] * state;
    };
    if (case_.cell == CellKind::convlstm) {
      const double before = c[i];
      c[i] = sigmoid(a(1) + eye(1, before)) * before + sigmoid(a(0) + eye(0, before)) * std::tanh(a(3));
      h[i] = sigmoid(a(2) + eye(2, c[i])) * std::tanh(c[i]);
    } else if (case_.cell == CellKind::convgru) {
      const double z = sigmoid(a(0)), candidate = std::tanh(at(x, 2) + sigmoid(a(1)) * at(u, 2));
      h[i] = (1. - z) * candidate + z * h[i];
    } else {
      h[i] = std::tanh(a(0));
    }
  }
}

void Rig::expect_cell() {
  const auto one = static_cast<std::size_t>(output_shape().elements() / case_.steps);
  Values h(one), c(one);
  if (case_.start) h = start_h_;
  if (!start_c_.empty()) c = start_c_;
  for (int64_t t = 0; t < case_.steps; ++t) {
    expect_step(t, h, c);
    const Values got_h = read(cell_->h(t)), got_c = read(cell_->c(t));
    for (std::size_t i = 0; i < one; ++i) EXPECT_NEAR(got_h[i], h[i], 1e-12) << "h of step " << t;
    for (std::size_t i = 0; i < got_c.size(); ++i) EXPECT_NEAR(got_c[i], c[i], 1e-12) << "c of step " << t;
  }
}

void Rig::check() {
  forward();
  case_.recurrent ? expect_cell() : expect_convolution();
  // Gradients are added to what is there, where they have to be: 1 here.
  backend_->fill(parameters_->gradients(), 1.F);
  for (std::size_t i = 0; i < inputs_.size(); ++i) backend_->fill(flows_[i].gradient.all(), 1.F);
  backend_->write(flows_.back().gradient.all(), d_output_);
  if (case_.recurrent) {
    carry_.valid = true;
    backend_->write(carry_.dh.view(), d_last_h_);
    if (!d_last_c_.empty()) backend_->write(carry_.dc.view(), d_last_c_);
  }
  layer_->backward(0, case_.steps, true);
  layer_->backward_weights(0, case_.steps);

  const auto without = [](Values values, double offset) {
    for (double& v : values) v -= offset;
    return values;
  };
  std::vector<Values> gradients, input_gradients;
  for (std::size_t s = 0; s < values_.size(); ++s)
    gradients.push_back(without(read(parameters_->gradient(static_cast<int>(s))), 1.));
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    input_gradients.push_back(without(read(flows_[i].gradient.all()), i == 1 ? 1. : 0.));
  Values start_h, start_c;
  if (case_.recurrent) {
    EXPECT_EQ(carry_.valid, case_.start);
  }
  if (!start_h_.empty()) start_h = read(carry_.dh.view());
  if (!start_c_.empty()) start_c = read(carry_.dc.view());

  for (std::size_t s = 0; s < values_.size(); ++s) {
    const bool unused = static_cast<int>(s) == node_.state_weight && !case_.start && case_.steps == 1;
    if (unused) {
      for (const double gradient : gradients[s]) EXPECT_EQ(gradient, 0.) << "no state before";
    } else {
      compare(layout_.slice(static_cast<int>(s)).name, values_[s], gradients[s]);
    }
  }
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    compare(graph_.flows[i].name, inputs_[i], input_gradients[i]);
  if (!start_h_.empty()) compare("start h", start_h_, start_h);
  if (!start_c_.empty()) compare("start c", start_c_, start_c);
}

TEST(ConvLayer, EveryActivationStrideAndDirection) {
  const LayerCase shapes[] = {
      {},
      {.inputs = {2, 1}, .bias = false},
      {.inputs = {1}, .kernel = 1, .padding = 0},
      {.inputs = {2, 1}, .stride = 2},
      {.kernel = 4, .stride = 2},
      {.height = 6, .width = 9, .kernel = 5, .stride = 3},
      {.kernel = 4, .stride = 2, .transposed = true},
      {.inputs = {2, 1}, .height = 6, .kernel = 5, .stride = 3, .transposed = true},
      {.kernel = 3, .transposed = true, .bias = false},
  };
  int points = 0, left_out = 0;
  for (LayerCase which : shapes) {
    for (const Activation activation :
         {Activation::identity, Activation::leaky_relu, Activation::sigmoid, Activation::tanh}) {
      for (const int64_t steps : {1, 3}) {
        which.activation = activation;
        which.steps = steps;
        Rig rig(which);
        SCOPED_TRACE("kernel " + std::to_string(which.kernel) + ", stride " + std::to_string(which.stride) +
                     (which.transposed ? ", transposed" : "") + ", activation " +
                     std::to_string(static_cast<int>(activation)) + ", steps " + std::to_string(steps));
        rig.check();
        points += rig.points();
        left_out += rig.left_out();
      }
    }
  }
  RecordProperty("points", points);
  RecordProperty("left_out", left_out);
  EXPECT_GT(points, 1000);
  EXPECT_LE(left_out * 100, points) << "too many outputs at a kink";
}

class CellLayers : public ::testing::TestWithParam<std::tuple<CellKind, Peephole>> {};

TEST_P(CellLayers, OutputsAndGradients) {
  for (const bool start : {false, true})
    for (const int64_t steps : {1, 3})
      for (const bool bias : {true, false})
        for (const std::vector<int64_t>& inputs :
             {std::vector<int64_t>{}, std::vector<int64_t>{2}, std::vector<int64_t>{2, 1}}) {
          if (inputs.empty() && !start) continue;  // nothing to see: no network has such a layer
          LayerCase which{.inputs = inputs, .steps = steps, .height = 3, .bias = bias};
          which.kernel = inputs.size() == 1 ? 1 : 3;
          which.padding = which.kernel / 2;
          which.recurrent = true;
          which.start = start;
          std::tie(which.cell, which.peephole) = GetParam();
          SCOPED_TRACE(std::to_string(inputs.size()) + " inputs, " + std::to_string(steps) + " steps, " +
                       (start ? "given start, " : "zero start, ") + (bias ? "bias" : "no bias"));
          Rig(which).check();
        }
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<CellKind, Peephole>>& info) {
  const auto [cell, peephole] = info.param;
  const std::string name = cell == CellKind::convlstm  ? "convlstm"
                           : cell == CellKind::convgru ? "convgru"
                                                       : "rnn";
  return name + (peephole == Peephole::none ? "" : "_peephole");
}

INSTANTIATE_TEST_SUITE_P(Cells, CellLayers,
                         ::testing::Values(std::tuple(CellKind::convlstm, Peephole::none),
                                           std::tuple(CellKind::convlstm, Peephole::per_channel),
                                           std::tuple(CellKind::convgru, Peephole::none),
                                           std::tuple(CellKind::rnn, Peephole::none)),
                         name_of);

}  // namespace
}  // namespace raincell::model
