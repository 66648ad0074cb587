#include "tests/kernels/cases.hpp"

#include <cmath>
#include <limits>

#include "tests/support/numbers.hpp"

namespace raincell::test {

using namespace kernels;

namespace {

using Views = std::vector<View>;

void mark_memory(Case& made) {
  for (Slot& slot : made.slots) slot.memory = slot.name == "c" || slot.name == "c_prev" || slot.name == "dc";
}

Slot absent(const std::string& name) {
  return {name, {}, Access::in, false, {}};
}

std::string indexed(const std::string& name, std::size_t index) {
  return name + "_" + std::to_string(index);
}

Case forward_case(const ConvSpec& s, bool integers, Accumulate accumulate, std::int64_t steps) {
  Numbers numbers(17);
  const Shape x{steps, s.images / steps, s.channels_in, s.height, s.width};
  const Shape y{steps, s.images / steps, s.channels_out, s.out_height(), s.out_width()};
  const Shape w = s.weight_shape(), b{1, 1, s.channels_out, 1, 1};
  const auto some = [&](const Shape& shape) {
    return integers ? numbers.integers(shape.elements(), 3) : numbers.uniform(shape.elements(), -1, 1);
  };
  Case made;
  made.name =
      "conv_forward_" + s.text() + (accumulate == Accumulate::yes ? "_add" : "") + (integers ? "_int" : "");
  made.slots = {{"x", x, Access::in, false, some(x)},
                {"weights", w, Access::in, true, some(w)},
                s.bias ? Slot{"bias", b, Access::in, true, some(b)} : absent("bias"),
                {"y", y, Access::inout, false, some(y)}};
  made.exact = integers;
  made.convolution = s;
  made.run = [s, accumulate](Backend& backend, const Views& v) {
    const auto plan = backend.plan_convolution(s, ConvUse::inference);
    plan->load_weights(v[1], v[2]);
    plan->forward(v[0], v[3], accumulate);
  };
  return made;
}

Case backward_case(const ConvSpec& s, bool integers, Accumulate accumulate, bool input_gradient) {
  Numbers numbers(18);
  const Shape x{1, s.images, s.channels_in, s.height, s.width};
  const Shape y{1, s.images, s.channels_out, s.out_height(), s.out_width()};
  const Shape w = s.weight_shape(), b{1, 1, s.channels_out, 1, 1};
  const auto some = [&](const Shape& shape) {
    return integers ? numbers.integers(shape.elements(), 3) : numbers.uniform(shape.elements(), -1, 1);
  };
  Case made;
  made.name = "conv_backward_" + s.text() + (accumulate == Accumulate::yes ? "_add" : "") +
              (integers ? "_int" : "") + (input_gradient ? "" : "_first");
  made.slots = {{"x", x, Access::in, false, some(x)},
                {"dy", y, Access::in, false, some(y)},
                {"weights", w, Access::in, true, some(w)},
                s.bias ? Slot{"bias", b, Access::in, true, some(b)} : absent("bias"),
                input_gradient ? Slot{"dx", x, Access::inout, false, some(x)} : absent("dx"),
                {"d_weights", w, Access::inout, true, some(w)},
                s.bias ? Slot{"d_bias", b, Access::inout, true, some(b)} : absent("d_bias")};
  made.exact = integers;
  made.convolution = s;
  made.run = [s, accumulate, input_gradient](Backend& backend, const Views& v) {
    const auto plan =
        backend.plan_convolution(s, input_gradient ? ConvUse::training : ConvUse::training_no_input_gradient);
    plan->load_weights(v[2], v[3]);
    if (input_gradient) plan->backward_data(v[1], v[4], accumulate);
    plan->backward_weights(v[0], v[1], v[5], v[6], accumulate);
  };
  return made;
}

struct CellSize {
  std::int64_t images, height, width;
};

/// Gates before activation; the states of a first step (start) are absent.
Case cell_forward_case(const CellSpec& spec, CellSize size, bool start, const std::string& suffix) {
  Numbers numbers(19);
  const Shape state{1, size.images, spec.hidden, size.height, size.width};
  Shape gates = state;
  gates.c *= spec.gates();
  const Shape peephole{1, 1, 3 * spec.hidden, 1, 1};
  const auto given = [&](bool wanted, const char* name, const Shape& shape, bool plain, double bound) {
    return wanted ? Slot{name, shape, Access::in, plain, numbers.uniform(shape.elements(), -bound, bound)}
                  : absent(name);
  };
  Case made;
  made.name = "cell_forward_" + suffix;
  const Access access = spec.keeps_gates ? Access::inout : Access::in;
  made.slots = {{"gates", gates, access, false, numbers.uniform(gates.elements(), -4, 4)},
                given(spec.separate_recurrent() && !start, "recurrent", gates, false, 3),
                given(spec.separate_recurrent() && !start, "h_prev", state, false, 1),
                given(spec.has_memory() && !start, "c_prev", state, false, 2),
                given(spec.peephole != Peephole::none, "peephole", peephole, true, 1),
                spec.has_memory() ? Slot{"c", state, Access::out, false, {}} : absent("c"),
                {"h", state, Access::out, false, {}}};
  if (spec.has_memory())
    made.slots[5].values = std::vector<double>(static_cast<std::size_t>(state.elements()), 9.);
  made.slots[6].values = std::vector<double>(static_cast<std::size_t>(state.elements()), 9.);
  mark_memory(made);
  made.run = [spec](Backend& backend, const Views& v) {
    backend.cell_forward(spec, v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
  };
  return made;
}

enum class Ends : std::uint8_t {
  middle,
  first,
  last
};  // which step of the sequence: first has no past, last no future

Case cell_backward_case(const CellSpec& spec, CellSize size, Ends end, const std::string& suffix) {
  Numbers numbers(20);
  const bool past = end != Ends::first, future = end != Ends::last;
  const Shape state{1, size.images, spec.hidden, size.height, size.width};
  Shape gates = state;
  gates.c *= spec.gates();
  const Shape peephole{1, 1, 3 * spec.hidden, 1, 1};
  const auto given = [&](bool wanted, const char* name, const Shape& shape, Access access, bool plain) {
    return wanted ? Slot{name, shape, access, plain, numbers.uniform(shape.elements(), -1, 1)} : absent(name);
  };
  const bool gru = spec.separate_recurrent(), lstm = spec.has_memory(),
             eyes = spec.peephole != Peephole::none;
  Case made;
  made.name = "cell_backward_" + suffix;
  made.slots = {{"gates", gates, Access::inout, false, numbers.uniform(gates.elements(), 0.05, 0.95)},
                given(gru && past, "recurrent", gates, Access::inout, false),
                given(gru && past, "h_prev", state, Access::in, false),
                given(lstm && past, "c_prev", state, Access::in, false),
                given(lstm, "c", state, Access::in, false),
                given(eyes, "peephole", peephole, Access::in, true),
                given(true, "dh", state, Access::in, false),
                given(future, "dh_recurrent", state, Access::in, false),
                given(lstm, "dc", state, Access::inout, false),
                given(gru && past, "dh_prev", state, Access::out, false),
                given(eyes, "d_peephole", peephole, Access::inout, true)};
  mark_memory(made);
  made.run = [spec](Backend& backend, const Views& v) {
    backend.cell_backward(spec, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10]);
  };
  return made;
}

Case loss_case(const std::string& name, const LossSpec& spec, const Shape& shape, double valid,
               bool gradient) {
  Numbers numbers(21);
  const bool logits = spec.kind == LossKind::bce;
  Case made;
  made.name = name;
  made.slots = {{"forecast", shape, Access::in, false,
                 numbers.uniform(shape.elements(), logits ? -6 : 0, logits ? 6 : 1)},
                {"target", shape, Access::in, false, numbers.uniform(shape.elements(), 0, 1)},
                {"mask", shape, Access::in, false, numbers.mask(shape.elements(), valid)},
                gradient
                    ? Slot{"d_forecast", shape, Access::out, false, numbers.uniform(shape.elements(), 5, 6)}
                    : absent("d_forecast"),
                {"sums", {1, 1, 2, 1, 1}, Access::out, true, {7., 7.}}};
  // Missing truth is NaN and must not come through the mask.
  for (std::size_t i = 0; i < made.slots[1].values.size(); ++i) {
    if (made.slots[2].values[i] == 0) made.slots[1].values[i] = std::numeric_limits<double>::quiet_NaN();
  }
  made.run = [spec](Backend& backend, const Views& v) {
    backend.loss(spec, v[0], v[1], v[2], v[3], v[4], 0.5F);
  };
  return made;
}

Case optimizer_case(const std::string& name, const OptimizerSpec& spec, double sum_of_squares,
                    std::int64_t count) {
  Numbers numbers(22);
  const Shape shape{1, 1, count, 1, 1}, scalar{};
  Case made;
  made.name = "optimizer_" + name;
  made.slots = {{"value", shape, Access::inout, true, numbers.uniform(count, -1, 1)},
                {"gradient", shape, Access::in, true, numbers.uniform(count, -1, 1)},
                {"first_moment", shape, Access::inout, true, numbers.uniform(count, -0.1, 0.1)},
                {"second_moment", shape, Access::inout, true, numbers.uniform(count, 0, 0.1)},
                {"gradient_sum_of_squares", scalar, Access::in, true, {sum_of_squares}},
                {"skipped", scalar, Access::inout, true, {2.}}};
  made.run = [spec](Backend& backend, const Views& v) {
    backend.optimizer_step(spec, v[0], v[1], v[2], v[3], v[4], v[5]);
  };
  return made;
}

std::vector<float> frame_values(const FrameLayout& layout) {
  Numbers numbers(23);
  std::vector<float> values(static_cast<std::size_t>(layout.elements()));
  for (float& value : values) value = static_cast<float>(numbers.uniform(0, 1));
  return values;
}

/// Frames in, frames out through a padded tensor; the second slot takes the exported frames.
Case border_case(const FrameLayout& layout, std::int64_t rows, std::int64_t columns) {
  const std::int64_t p = layout.patch;
  const Shape shape{layout.steps, layout.batch, layout.channels * p * p, rows / p, columns / p};
  const Shape frames{1, 1, layout.elements(), 1, 1};
  Case made;
  made.name = "frames_n" + std::to_string(layout.batch) + "t" + std::to_string(layout.steps) + "c" +
              std::to_string(layout.channels) + "h" + std::to_string(layout.height) + "w" +
              std::to_string(layout.width) + "p" + std::to_string(p);
  made.exact = true;
  made.slots = {{"tensor", shape, Access::inout, false,
                 std::vector<double>(static_cast<std::size_t>(shape.elements()), 9.)},
                {"frames", frames, Access::inout, true,
                 std::vector<double>(static_cast<std::size_t>(layout.elements()), 9.)}};
  made.run = [layout](Backend& backend, const Views& v) {
    const std::vector<float> values = frame_values(layout);
    backend.import_frames(values, layout, v[0]);
    std::vector<float> back(values.size());
    backend.export_frames(v[0], layout, back);
    backend.write(v[1], back);
  };
  return made;
}

}  // namespace

std::vector<std::vector<double>> run_case(Backend& backend, const Case& item) {
  std::vector<Tensor> tensors;
  std::vector<View> views;
  for (const Slot& slot : item.slots) {
    if (slot.values.empty()) {
      tensors.emplace_back();
      views.push_back({});
      continue;
    }
    tensors.push_back(slot.plain    ? backend.allocate_plain(slot.shape, slot.name)
                      : slot.memory ? backend.allocate_memory(slot.shape, slot.name)
                                    : backend.allocate(slot.shape, slot.name));
    views.push_back(tensors.back().view());
    backend.write(views.back(), slot.values);
  }
  item.run(backend, views);
  std::vector<std::vector<double>> outputs;
  for (std::size_t i = 0; i < item.slots.size(); ++i) {
    outputs.emplace_back();
    if (item.slots[i].access == Access::in || views[i].empty()) continue;
    outputs.back().resize(item.slots[i].values.size());
    backend.read(views[i], outputs.back());
  }
  return outputs;
}

std::vector<CellSpec> cell_specs() {
  return {{CellKind::convlstm, 1, Peephole::none},
          {CellKind::convlstm, 24, Peephole::none},
          {CellKind::convlstm, 7, Peephole::per_channel},
          {CellKind::convlstm, 33, Peephole::per_channel},
          {CellKind::convlstm, 16, Peephole::per_channel},
          {CellKind::convlstm, 600, Peephole::per_channel},
          {CellKind::convgru, 1, Peephole::none},
          {CellKind::convgru, 20, Peephole::none},
          {CellKind::rnn, 1, Peephole::none},
          {CellKind::rnn, 19, Peephole::none}};
}

std::vector<std::pair<std::string, LossSpec>> loss_specs() {
  std::vector<std::pair<std::string, LossSpec>> specs;
  const auto add = [&](const char* name, LossKind kind, float target_weight,
                       std::vector<float> lead_weights) {
    LossSpec spec;
    spec.kind = kind;
    spec.huber_delta = 0.25F;
    spec.rate_growth = 2.5F;
    spec.target_weight = target_weight;
    spec.lead_weights = std::move(lead_weights);
    if (kind == LossKind::balanced) {
      spec.class_bounds = {0.1F, 0.3F, 0.7F};
      spec.class_weights = {1.F, 2.F, 5.F, 10.F};
    }
    specs.emplace_back(name, spec);
  };
  add("mse", LossKind::mse, 0.F, {});
  add("mse_weighted", LossKind::mse, 4.F, {1.F, 0.5F, 2.F});
  add("mae", LossKind::mae, 0.F, {});
  add("huber", LossKind::huber, 1.F, {});
  add("bce", LossKind::bce, 0.F, {0.F, 1.F, 3.F});
  add("balanced", LossKind::balanced, 0.F, {});
  add("mse_rate", LossKind::mse_rate, 0.F, {1.F, 0.5F, 2.F});
  add("mse_texture", LossKind::mse, 0.F, {});
  specs.back().second.texture_weight = 0.7F;
  add("mae_texture", LossKind::mae, 0.F, {1.F, 0.5F, 2.F});
  specs.back().second.texture_weight = 2.F;
  return specs;
}

std::vector<Case> convolution_cases() {
  std::vector<Case> cases;
  for (const ConvSpec& spec : convolution_specs()) {
    for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
      cases.push_back(forward_case(spec, true, accumulate, 1));
      cases.push_back(backward_case(spec, true, accumulate, true));
    }
    cases.push_back(backward_case(spec, true, Accumulate::no, false));
    cases.push_back(forward_case(spec, false, Accumulate::no, spec.images));
    cases.push_back(backward_case(spec, false, Accumulate::no, true));
  }
  return cases;
}

std::vector<Case> cell_cases() {
  std::vector<Case> cases;
  std::size_t index = 0;
  for (const CellSpec& spec : cell_specs()) {
    const CellSize size = index % 2 == 0 ? CellSize{2, 5, 7} : CellSize{1, 3, 1};
    const std::string name = indexed(spec.kind == CellKind::convlstm  ? "lstm"
                                     : spec.kind == CellKind::convgru ? "gru"
                                                                      : "rnn",
                                     index++);
    cases.push_back(cell_forward_case(spec, size, false, name));
    cases.push_back(cell_forward_case(spec, size, true, name + "_start"));
    CellSpec forgetful = spec;
    forgetful.keeps_gates = false;
    cases.push_back(cell_forward_case(forgetful, size, false, name + "_forgets"));
    cases.push_back(cell_backward_case(spec, size, Ends::middle, name));
    cases.push_back(cell_backward_case(spec, size, Ends::first, name + "_first"));
    cases.push_back(cell_backward_case(spec, size, Ends::last, name + "_last"));
  }
  // Large enough for several threads.
  const CellSpec large{CellKind::convlstm, 24, Peephole::per_channel};
  cases.push_back(cell_forward_case(large, {3, 24, 23}, false, "lstm_large"));
  cases.push_back(cell_backward_case(large, {3, 24, 23}, Ends::middle, "lstm_large"));
  return cases;
}

namespace {

Case pointwise_case(const std::string& name, const Shape& shape, double bound, std::size_t tensors,
                    std::function<void(Backend&, const Views&)> run) {
  Numbers numbers(24);
  Case made;
  made.name = name + "_" + std::to_string(shape.elements());
  for (std::size_t i = 0; i < tensors; ++i) {
    made.slots.push_back({indexed("tensor", i), shape, i == 0 ? Access::inout : Access::in, false,
                          numbers.uniform(shape.elements(), -bound, bound)});
  }
  made.slots.push_back({"weights", {1, shape.n, 1, 1, 1}, Access::in, true, numbers.uniform(shape.n, 0, 1)});
  made.slots.push_back({"sum", {}, Access::inout, true, {3.}});
  made.run = std::move(run);
  return made;
}

void add_activations(std::vector<Case>& cases, const Shape& shape) {
  const std::pair<const char*, Activation> kinds[] = {{"identity", Activation::identity},
                                                      {"leaky_relu", Activation::leaky_relu},
                                                      {"sigmoid", Activation::sigmoid},
                                                      {"tanh", Activation::tanh}};
  for (const auto& [name, kind] : kinds) {
    cases.push_back(
        pointwise_case(std::string("activate_") + name, shape, 12, 1,
                       [kind = kind](Backend& b, const Views& v) { b.activate(kind, 0.2F, v[0]); }));
    cases.push_back(pointwise_case(
        std::string("activate_backward_") + name, shape, 1, 2,
        [kind = kind](Backend& b, const Views& v) { b.activate_backward(kind, 0.2F, v[1], v[0]); }));
  }
}

}  // namespace

std::vector<Case> pointwise_cases() {
  std::vector<Case> cases;
  for (const Shape& shape : {Shape{1, 1, 1, 1, 1}, Shape{2, 3, 5, 3, 7}, Shape{3, 2, 24, 13, 11}}) {
    add_activations(cases, shape);
    cases.push_back(
        pointwise_case("fill", shape, 1, 1, [](Backend& b, const Views& v) { b.fill(v[0], 2.5F); }));
    cases.push_back(
        pointwise_case("copy", shape, 1, 2, [](Backend& b, const Views& v) { b.copy(v[1], v[0]); }));
    cases.push_back(pointwise_case("add_scaled", shape, 1, 2,
                                   [](Backend& b, const Views& v) { b.add_scaled(v[0], -1.5F, v[1]); }));
    cases.push_back(
        pointwise_case("lerp", shape, 1, 2, [](Backend& b, const Views& v) { b.lerp(v[0], 0.25F, v[1]); }));
    cases.push_back(pointwise_case("mix", shape, 1, 3,
                                   [](Backend& b, const Views& v) { b.mix(v[0], v[1], v[2], v[3]); }));
    for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
      cases.push_back(pointwise_case(
          accumulate == Accumulate::no ? "mix_backward" : "mix_backward_add", shape, 1, 2,
          [accumulate](Backend& b, const Views& v) { b.mix_backward(v[0], v[1], v[2], accumulate); }));
    }
    cases.push_back(pointwise_case("sum_of_squares", shape, 1, 1,
                                   [](Backend& b, const Views& v) { b.add_sum_of_squares(v[0], v[2]); }));
  }
  cases.push_back(
      border_case({.batch = 2, .steps = 3, .channels = 1, .height = 5, .width = 7, .patch = 1}, 5, 7));
  cases.push_back(
      border_case({.batch = 2, .steps = 1, .channels = 2, .height = 5, .width = 7, .patch = 1}, 8, 8));
  cases.push_back(
      border_case({.batch = 1, .steps = 2, .channels = 1, .height = 8, .width = 12, .patch = 4}, 8, 12));
  cases.push_back(
      border_case({.batch = 2, .steps = 2, .channels = 3, .height = 7, .width = 5, .patch = 2}, 10, 8));
  return cases;
}

std::vector<Case> loss_cases() {
  std::vector<Case> cases;
  for (const auto& [name, spec] : loss_specs()) {
    cases.push_back(loss_case("loss_" + name, spec, {3, 2, 1, 9, 7}, 0.7, true));
    cases.push_back(loss_case("loss_large_" + name, spec, {3, 2, 5, 31, 29}, 0.7, true));
    cases.push_back(loss_case("loss_empty_" + name, spec, {3, 1, 1, 4, 4}, 0., true));
    cases.push_back(loss_case("loss_value_" + name, spec, {3, 1, 2, 4, 4}, 1., false));
  }
  return cases;
}

std::vector<Case> optimizer_cases() {
  std::vector<Case> cases;
  const std::pair<const char*, OptimizerKind> kinds[] = {{"adam", OptimizerKind::adam},
                                                         {"adamw", OptimizerKind::adamw},
                                                         {"rmsprop", OptimizerKind::rmsprop},
                                                         {"sgd", OptimizerKind::sgd}};
  for (const auto& [name, kind] : kinds) {
    OptimizerSpec spec;
    spec.kind = kind;
    spec.learning_rate = 0.01;
    spec.step = 3;
    cases.push_back(optimizer_case(name, spec, 4., 37));
    spec.weight_decay = 0.1;
    cases.push_back(optimizer_case(std::string(name) + "_decay", spec, 4., 20011));
    spec.clip_norm = 1.;
    cases.push_back(optimizer_case(std::string(name) + "_clipped", spec, 4., 37));
    spec.clip_norm = 3.;
    cases.push_back(optimizer_case(std::string(name) + "_unclipped", spec, 4., 37));
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      cases.push_back(optimizer_case(std::string(name) + (std::isnan(bad) ? "_nan" : "_inf"), spec, bad, 37));
    }
  }
  return cases;
}

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (auto make : {convolution_cases, cell_cases, pointwise_cases, loss_cases, optimizer_cases}) {
    for (Case& made : make()) all.push_back(std::move(made));
  }
  return all;
}

}  // namespace raincell::test
