// The non-virtual shell of the seam: every check of shape, type and placement, once. Kernels assume.
#include "kernels/backend.hpp"

#include <chrono>
#include <cmath>

namespace raincell::kernels {

namespace {

std::string located(const CodePlace& place) {
  const std::string_view file = place.file;
  const std::size_t slash = file.rfind('/');
  return std::string(slash == std::string_view::npos ? file : file.substr(slash + 1)) + ":" +
         std::to_string(place.line);
}

/// A broken contract of the seam: a bug of the caller, never reachable by what a user types.
[[noreturn]] void broken(const char* call, const std::string& why, CodePlace place = CodePlace::current()) {
  throw std::logic_error(std::string("kernels: ") + call + ": " + why + " (" + located(place) +
                         "); this is a bug of raincell, please report it");
}

std::string described(const ConstView& view) {
  return view.shape.text() + " " + name_of(view.dtype) + " block " +
         std::to_string(view.placement.channel_block);
}

void expect_exactly(const ConstView& view, const Shape& shape, DType dtype, Placement placement,
                    const char* call, const char* tensor) {
  if (view.empty()) broken(call, std::string(tensor) + " is empty, wanted " + shape.text());
  if (view.shape == shape && view.dtype == dtype && view.placement == placement) return;
  broken(call, std::string(tensor) + " is " + described(view) + ", wanted " +
                   described({nullptr, shape, dtype, placement}));
}

void expect_size(std::size_t have, std::int64_t want, const char* call, const char* values) {
  if (have == static_cast<std::size_t>(want)) return;
  broken(call,
         std::string(values) + " has " + std::to_string(have) + " elements, wanted " + std::to_string(want));
}

void expect_positive(const Shape& shape, const char* call) {
  for (const std::int64_t size : {shape.t, shape.n, shape.c, shape.h, shape.w}) {
    if (size < 1) broken(call, "shape " + shape.text() + " has a size below 1");
  }
}

std::string memory_message(const std::string& what, std::size_t wanted, std::size_t free) {
  std::string text = "no memory for " + what + ": wanted " + std::to_string(wanted) + " bytes";
  text += free == 0 ? "" : ", " + std::to_string(free) + " are free";
  return text + "; use a smaller batch, crop or domain";
}

constexpr Shape kScalar{1, 1, 1, 1, 1};

Shape vector_shape(std::int64_t size) {
  return {1, 1, size, 1, 1};
}

}  // namespace

DeviceError::DeviceError(std::string library, std::string call, std::string why, CodePlace place)
    : std::runtime_error(library + ": " + call + " failed: " + why + " (" + located(place) + ")"),
      library_(std::move(library)),
      call_(std::move(call)) {}

OutOfMemory::OutOfMemory(std::string library, std::size_t wanted_bytes, std::size_t free_bytes,
                         std::string what)
    : DeviceError(std::move(library), "allocate", memory_message(what, wanted_bytes, free_bytes)),
      wanted_bytes_(wanted_bytes),
      free_bytes_(free_bytes) {}

// --- convolution plans -------------------------------------------------------------------------------

void ConvPlan::expect_activation(const ConstView& view, bool output, const char* call,
                                 const char* tensor) const {
  const std::int64_t channels = output ? spec_.channels_out : spec_.channels_in;
  const std::int64_t height = output ? spec_.out_height() : spec_.height;
  const std::int64_t width = output ? spec_.out_width() : spec_.width;
  if (view.empty()) broken(call, std::string(tensor) + " is empty");
  if (view.shape.images() == spec_.images && view.shape.c == channels && view.shape.h == height &&
      view.shape.w == width && view.dtype == activations_ &&
      view.placement == (output ? y_placement_ : x_placement_)) {
    return;
  }
  broken(call, std::string(tensor) + " is " + described(view) + ", which the plan " + spec_.text() +
                   " does not take");
}

void ConvPlan::expect_parameter(const ConstView& view, const Shape& shape, const char* call,
                                const char* tensor) const {
  const DType parameters = activations_ == DType::bf16 ? DType::f32 : activations_;
  expect_exactly(view, shape, parameters, Placement{}, call, tensor);
}

void ConvPlan::load_weights(ConstView weights, ConstView bias) {
  expect_parameter(weights, spec_.weight_shape(), "load_weights", "weights");
  if (spec_.bias) {
    expect_parameter(bias, vector_shape(spec_.channels_out), "load_weights", "bias");
  } else if (!bias.empty()) {
    broken("load_weights", "a bias for the plan " + spec_.text() + ", which has none");
  }
  do_load_weights(weights, bias);
  loaded_ = true;
}

void ConvPlan::forward(ConstView x, View y, Accumulate accumulate) {
  if (!loaded_) broken("forward", "the plan " + spec_.text() + " has no weights yet");
  expect_activation(x, false, "forward", "x");
  expect_activation(y, true, "forward", "y");
  do_forward(x, y, accumulate);
}

void ConvPlan::backward_data(ConstView dy, View dx, Accumulate accumulate) {
  if (!loaded_) broken("backward_data", "the plan " + spec_.text() + " has no weights yet");
  if (use_ != ConvUse::training) broken("backward_data", "the plan " + spec_.text() + " was made without it");
  expect_activation(dy, true, "backward_data", "dy");
  expect_activation(dx, false, "backward_data", "dx");
  do_backward_data(dy, dx, accumulate);
}

void ConvPlan::backward_weights(ConstView x, ConstView dy, View d_weights, View d_bias,
                                Accumulate accumulate) {
  if (use_ == ConvUse::inference)
    broken("backward_weights", "the plan " + spec_.text() + " was made for inference");
  expect_activation(x, false, "backward_weights", "x");
  expect_activation(dy, true, "backward_weights", "dy");
  expect_parameter(d_weights, spec_.weight_shape(), "backward_weights", "d_weights");
  if (!d_bias.empty()) {
    if (!spec_.bias)
      broken("backward_weights", "d_bias for the plan " + spec_.text() + ", which has no bias");
    expect_parameter(d_bias, vector_shape(spec_.channels_out), "backward_weights", "d_bias");
  }
  do_backward_weights(x, dy, d_weights, d_bias, accumulate);
}

std::unique_ptr<ConvPlan> Backend::plan_convolution(const ConvSpec& spec, ConvUse use) {
  for (const std::int64_t size : {spec.images, spec.channels_in, spec.channels_out, spec.height, spec.width,
                                  spec.kernel, spec.stride}) {
    if (size < 1) broken("plan_convolution", spec.text() + " has a size below 1");
  }
  if (spec.padding < 0) broken("plan_convolution", spec.text() + " has a negative padding");
  if (!spec.transposed && (spec.height + spec.top() + spec.bottom() < spec.kernel ||
                           spec.width + 2 * spec.padding < spec.kernel)) {
    broken("plan_convolution", spec.text() + ": the kernel is larger than the padded image");
  }
  if (spec.out_height() < 1 || spec.out_width() < 1)
    broken("plan_convolution", spec.text() + " has no output");
  return do_plan_convolution(spec, use);
}

// --- expectations of the backend ---------------------------------------------------------------------

void Backend::expect_activation(const ConstView& view, const Shape& shape, const char* call,
                                const char* tensor) const {
  expect_exactly(view, shape, activation_dtype(), do_place(shape, activation_dtype()), call, tensor);
}

void Backend::expect_memory(const ConstView& view, const Shape& shape, const char* call,
                            const char* tensor) const {
  expect_exactly(view, shape, dtype(), do_place(shape, dtype()), call, tensor);
}

void Backend::expect_plain(const ConstView& view, const Shape& shape, const char* call,
                           const char* tensor) const {
  expect_exactly(view, shape, dtype(), Placement{}, call, tensor);
}

void Backend::expect_like(const ConstView& view, const ConstView& model, const char* call,
                          const char* tensor) const {
  expect_exactly(view, model.shape, model.dtype, model.placement, call, tensor);
}

void Backend::expect_some(const ConstView& view, const char* call, const char* tensor) const {
  if (view.empty()) broken(call, std::string(tensor) + " is empty");
  if (view.dtype != dtype() && view.dtype != activation_dtype())
    broken(call, std::string(tensor) + " is " + described(view));
}

// --- memory and borders --------------------------------------------------------------------------------

namespace {

/// Throws std::overflow_error when the tensor cannot be addressed at all.
std::size_t bytes_of(const Shape& shape, Placement placement, DType type) {
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(stored_elements(shape, placement), static_cast<std::int64_t>(size_of(type)),
                             &bytes)) {
    throw std::overflow_error("tensor " + shape.text() + " has more bytes than 64 bits can count");
  }
  return static_cast<std::size_t>(bytes);
}

}  // namespace

std::unique_ptr<Recording> Backend::record(const std::function<void()>&) {
  return nullptr;
}

double Backend::seconds_of(const std::function<void()>& work) {
  synchronize();
  const auto begin = std::chrono::steady_clock::now();
  work();
  synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Tensor Backend::allocate(const Shape& shape, std::string_view what) {
  expect_positive(shape, "allocate");
  const Placement placement = do_place(shape, activation_dtype());
  const std::size_t bytes = bytes_of(shape, placement, activation_dtype());
  return {do_allocate(bytes, what), shape, activation_dtype(), placement};
}

Tensor Backend::allocate_memory(const Shape& shape, std::string_view what) {
  expect_positive(shape, "allocate_memory");
  const Placement placement = do_place(shape, dtype());
  const std::size_t bytes = bytes_of(shape, placement, dtype());
  return {do_allocate(bytes, what), shape, dtype(), placement};
}

Tensor Backend::allocate_plain(const Shape& shape, std::string_view what) {
  expect_positive(shape, "allocate_plain");
  const std::size_t bytes = bytes_of(shape, Placement{}, dtype());
  return {do_allocate(bytes, what), shape, dtype(), Placement{}};
}

void Backend::write(View view, std::span<const double> values) {
  expect_some(view, "write", "the tensor");
  expect_size(values.size(), view.shape.elements(), "write", "values");
  do_write(view, values);
}

void Backend::write(View view, std::span<const float> values) {
  expect_some(view, "write", "the tensor");
  expect_size(values.size(), view.shape.elements(), "write", "values");
  do_write(view, values);
}

void Backend::read(ConstView view, std::span<double> values) {
  expect_some(view, "read", "the tensor");
  expect_size(values.size(), view.shape.elements(), "read", "values");
  do_read(view, values);
}

void Backend::read(ConstView view, std::span<float> values) {
  expect_some(view, "read", "the tensor");
  expect_size(values.size(), view.shape.elements(), "read", "values");
  do_read(view, values);
}

namespace {

void expect_layout(const FrameLayout& layout, const ConstView& view, std::size_t values, const char* call) {
  expect_positive({layout.steps, layout.batch, layout.channels, layout.height, layout.width}, call);
  if (layout.patch < 1) broken(call, "patch " + std::to_string(layout.patch));
  expect_size(values, layout.elements(), call, "ntchw");
  const Shape& shape = view.shape;
  if (shape.t == layout.steps && shape.n == layout.batch &&
      shape.c == layout.channels * layout.patch * layout.patch && shape.h * layout.patch >= layout.height &&
      shape.w * layout.patch >= layout.width) {
    return;
  }
  broken(call, "a tensor " + shape.text() + " does not hold frames [N,T,C,H,W] = " +
                   Shape{layout.batch, layout.steps, layout.channels, layout.height, layout.width}.text() +
                   " in patches of " + std::to_string(layout.patch));
}

}  // namespace

std::string Backend::draw_group_id() {
  throw std::logic_error("Backend::draw_group_id: " + no_group());
}

std::unique_ptr<DeviceGroup> Backend::join_group(const std::string&, int, int, std::int64_t) {
  throw std::logic_error("Backend::join_group: " + no_group());
}

void Backend::import_frames(std::span<const float> ntchw, const FrameLayout& layout, View tnchw) {
  expect_some(tnchw, "import_frames", "tnchw");
  expect_layout(layout, tnchw, ntchw.size(), "import_frames");
  do_import_frames(ntchw, layout, tnchw);
}

void Backend::export_frames(ConstView tnchw, const FrameLayout& layout, std::span<float> ntchw) {
  expect_some(tnchw, "export_frames", "tnchw");
  expect_layout(layout, tnchw, ntchw.size(), "export_frames");
  do_export_frames(tnchw, layout, ntchw);
}

// --- recurrent cells -----------------------------------------------------------------------------------

namespace {

struct CellShapes {
  Shape gates, state, peephole;
};

CellShapes cell_shapes(const CellSpec& spec, const ConstView& gates, const char* call) {
  if (gates.empty()) broken(call, "gates is empty");
  if (spec.hidden < 1 || gates.shape.t != 1 || gates.shape.c != spec.gates() * spec.hidden) {
    broken(call, "gates is " + described(gates) + " for " + std::to_string(spec.hidden) + " hidden channels");
  }
  if (spec.peephole != Peephole::none && spec.kind != CellKind::convlstm) {
    broken(call, "only convlstm has peepholes");
  }
  CellShapes shapes{gates.shape, gates.shape, vector_shape(3 * spec.hidden)};
  shapes.state.c = spec.hidden;
  return shapes;
}

void expect_absent(const ConstView& view, bool used, const char* call, const char* tensor) {
  if (!used && !view.empty()) broken(call, std::string(tensor) + " given to a cell that has none");
}

}  // namespace

void Backend::cell_forward(const CellSpec& spec, View gates, ConstView recurrent, ConstView h_prev,
                           ConstView c_prev, ConstView peephole, View c, View h) {
  const char* const call = "cell_forward";
  const CellShapes shapes = cell_shapes(spec, gates, call);
  expect_activation(gates, shapes.gates, call, "gates");
  expect_absent(recurrent, spec.separate_recurrent(), call, "recurrent");
  expect_absent(h_prev, spec.separate_recurrent(), call, "h_prev");
  expect_absent(c_prev, spec.has_memory(), call, "c_prev");
  expect_absent(c, spec.has_memory(), call, "c");
  expect_absent(peephole, spec.peephole != Peephole::none, call, "peephole");
  if (!recurrent.empty()) expect_activation(recurrent, shapes.gates, call, "recurrent");
  if (!h_prev.empty()) expect_activation(h_prev, shapes.state, call, "h_prev");
  if (!c_prev.empty()) expect_memory(c_prev, shapes.state, call, "c_prev");
  if (spec.has_memory()) expect_memory(c, shapes.state, call, "c");
  if (spec.peephole != Peephole::none) expect_plain(peephole, shapes.peephole, call, "peephole");
  expect_activation(h, shapes.state, call, "h");
  do_cell_forward(spec, gates, recurrent, h_prev, c_prev, peephole, c, h);
}

void Backend::cell_backward(const CellSpec& spec, View gates, View recurrent, ConstView h_prev,
                            ConstView c_prev, ConstView c, ConstView peephole, ConstView dh,
                            ConstView dh_recurrent, View dc, View dh_prev, View d_peephole) {
  const char* const call = "cell_backward";
  const CellShapes shapes = cell_shapes(spec, gates, call);
  expect_activation(gates, shapes.gates, call, "gates");
  expect_absent(recurrent, spec.separate_recurrent(), call, "recurrent");
  expect_absent(h_prev, spec.separate_recurrent() || spec.kind == CellKind::rnn, call, "h_prev");
  expect_absent(c_prev, spec.has_memory(), call, "c_prev");
  expect_absent(c, spec.has_memory() || spec.kind == CellKind::rnn, call, "c");
  expect_absent(peephole, spec.peephole != Peephole::none, call, "peephole");
  expect_absent(dc, spec.has_memory(), call, "dc");
  expect_absent(dh_prev, spec.separate_recurrent(), call, "dh_prev");
  expect_absent(d_peephole, spec.peephole != Peephole::none, call, "d_peephole");
  if (!recurrent.empty()) expect_activation(recurrent, shapes.gates, call, "recurrent");
  for (const auto& [view, name] : {std::pair{h_prev, "h_prev"},
                                   {dh, "dh"},
                                   {dh_recurrent, "dh_recurrent"},
                                   {ConstView(dh_prev), "dh_prev"}}) {
    if (!view.empty()) expect_activation(view, shapes.state, call, name);
  }
  if (spec.has_memory()) {
    if (!c_prev.empty()) expect_memory(c_prev, shapes.state, call, "c_prev");
    expect_memory(c, shapes.state, call, "c");
    expect_memory(dc, shapes.state, call, "dc");
  }
  if (spec.peephole != Peephole::none) {
    expect_plain(peephole, shapes.peephole, call, "peephole");
    if (!d_peephole.empty()) expect_plain(d_peephole, shapes.peephole, call, "d_peephole");
  }
  do_cell_backward(spec, gates, recurrent, h_prev, c_prev, c, peephole, dh, dh_recurrent, dc, dh_prev,
                   d_peephole);
}

// --- pointwise -------------------------------------------------------------------------------------------

void Backend::activate(Activation activation, float slope, View x_to_y) {
  expect_some(x_to_y, "activate", "x");
  if (activation == Activation::leaky_relu && !(slope >= 0.F)) {
    broken("activate",
           "slope " + std::to_string(slope) + ": the derivative is taken from y, so it must be >= 0");
  }
  do_activate(activation, slope, x_to_y);
}

void Backend::activate_backward(Activation activation, float slope, ConstView y, View dy_to_dx) {
  expect_some(y, "activate_backward", "y");
  expect_like(dy_to_dx, y, "activate_backward", "dy");
  do_activate_backward(activation, slope, y, dy_to_dx);
}

void Backend::fill(View view, float value) {
  expect_some(view, "fill", "the tensor");
  do_fill(view, value);
}

void Backend::copy(ConstView x, View y) {
  expect_some(x, "copy", "x");
  expect_like(y, x, "copy", "y");
  do_copy(x, y);
}

void Backend::add_scaled(View y, float a, ConstView x) {
  expect_some(y, "add_scaled", "y");
  expect_like(x, y, "add_scaled", "x");
  do_add_scaled(y, a, x);
}

void Backend::lerp(View y, float a, ConstView x) {
  expect_some(y, "lerp", "y");
  expect_like(x, y, "lerp", "x");
  do_lerp(y, a, x);
}

void Backend::mix(View y, ConstView a, ConstView b, ConstView weights) {
  expect_some(y, "mix", "y");
  expect_like(a, y, "mix", "a");
  expect_like(b, y, "mix", "b");
  expect_plain(weights, {1, y.shape.n, 1, 1, 1}, "mix", "weights");
  do_mix(y, a, b, weights);
}

void Backend::mix_backward(View y, ConstView x, ConstView weights, Accumulate accumulate) {
  expect_some(y, "mix_backward", "y");
  expect_like(x, y, "mix_backward", "x");
  expect_plain(weights, {1, y.shape.n, 1, 1, 1}, "mix_backward", "weights");
  do_mix_backward(y, x, weights, accumulate);
}

// --- loss, norms, update ---------------------------------------------------------------------------------

void Backend::loss(const LossSpec& spec, ConstView forecast, ConstView target, ConstView mask,
                   View d_forecast, View sums, float scale) {
  expect_some(forecast, "loss", "forecast");
  expect_like(target, forecast, "loss", "target");
  expect_like(mask, forecast, "loss", "mask");
  if (!d_forecast.empty()) expect_like(d_forecast, forecast, "loss", "d_forecast");
  expect_plain(sums, vector_shape(2), "loss", "sums");
  if (!spec.lead_weights.empty()) {
    expect_size(spec.lead_weights.size(), forecast.shape.t, "loss", "lead_weights");
  }
  if (spec.kind == LossKind::balanced) {
    expect_size(spec.class_weights.size(), static_cast<std::int64_t>(spec.class_bounds.size()) + 1, "loss",
                "class_weights");
  }
  if (!(spec.texture_weight >= 0.F)) broken("loss", "a negative texture_weight");
  do_loss(spec, forecast, target, mask, d_forecast, sums, scale);
}

void Backend::add_sum_of_squares(ConstView x, View sum) {
  expect_some(x, "add_sum_of_squares", "x");
  expect_plain(sum, kScalar, "add_sum_of_squares", "sum");
  do_add_sum_of_squares(x, sum);
}

void Backend::optimizer_step(const OptimizerSpec& spec, View value, ConstView gradient, View first_moment,
                             View second_moment, ConstView gradient_sum_of_squares, View skipped) {
  const char* const call = "optimizer_step";
  expect_some(value, call, "value");
  expect_like(gradient, value, call, "gradient");
  expect_like(first_moment, value, call, "first_moment");
  if (spec.kind != OptimizerKind::sgd) expect_like(second_moment, value, call, "second_moment");
  expect_plain(gradient_sum_of_squares, kScalar, call, "gradient_sum_of_squares");
  expect_plain(skipped, kScalar, call, "skipped");
  if (spec.step < 1) broken(call, "step " + std::to_string(spec.step) + ": the first is 1");
  do_optimizer_step(spec, value, gradient, first_moment, second_moment, gradient_sum_of_squares, skipped);
}

}  // namespace raincell::kernels
