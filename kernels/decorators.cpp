#include "kernels/decorators.hpp"

#include <algorithm>
#include <cmath>

namespace raincell::kernels {

namespace {

/// Read-only for the operation; a View only so that all arguments have one type.
Argument in(const char* name, const ConstView& view) {
  return {name, View{const_cast<void*>(view.memory), view.shape, view.dtype, view.placement}, Access::in};
}
Argument out(const char* name, const View& view) {
  return {name, view, Access::out};
}
Argument inout(const char* name, const View& view) {
  return {name, view, Access::inout};
}
Argument result(const char* name, const View& view, Accumulate accumulate) {
  return {name, view, accumulate == Accumulate::yes ? Access::inout : Access::out};
}

using Views = std::span<const View>;

class ForwardingConvPlan : public ConvPlan {
 public:
  ForwardingConvPlan(ForwardingBackend& owner, const ConvSpec& spec, ConvUse use, Placement x, Placement y,
                     std::unique_ptr<ConvPlan> plan, std::unique_ptr<ConvPlan> twin)
      : ConvPlan(spec, use, owner.activation_dtype(), x, y),
        owner_(owner),
        plan_(std::move(plan)),
        twin_(std::move(twin)) {}
  std::string implementation() const override { return plan_->implementation(); }
  std::size_t bytes() const override { return plan_->bytes(); }

 protected:
  void do_load_weights(ConstView weights, ConstView bias) override {
    perform({"load_weights",
             {in("weights", weights), in("bias", bias)},
             [](Backend&, ConvPlan* plan, Views v) { plan->load_weights(v[0], v[1]); }});
  }
  void do_forward(ConstView x, View y, Accumulate accumulate) override {
    perform({"convolution forward",
             {in("x", x), result("y", y, accumulate)},
             [=](Backend&, ConvPlan* plan, Views v) { plan->forward(v[0], v[1], accumulate); }});
  }
  void do_backward_data(ConstView dy, View dx, Accumulate accumulate) override {
    perform({"convolution backward_data",
             {in("dy", dy), result("dx", dx, accumulate)},
             [=](Backend&, ConvPlan* plan, Views v) { plan->backward_data(v[0], v[1], accumulate); }});
  }
  void do_backward_weights(ConstView x, ConstView dy, View d_weights, View d_bias,
                           Accumulate accumulate) override {
    perform({"convolution backward_weights",
             {in("x", x), in("dy", dy), result("d_weights", d_weights, accumulate),
              result("d_bias", d_bias, accumulate)},
             [=](Backend&, ConvPlan* plan, Views v) {
               plan->backward_weights(v[0], v[1], v[2], v[3], accumulate);
             }});
  }

 private:
  void perform(const Operation& operation) { owner_.perform(operation, plan_.get(), twin_.get()); }

  ForwardingBackend& owner_;
  std::unique_ptr<ConvPlan> plan_, twin_;
};

}  // namespace

// --- forwarding ------------------------------------------------------------------------------------------

void ForwardingBackend::perform(const Operation& operation, ConvPlan* plan, ConvPlan*) {
  std::vector<View> views;
  for (const Argument& argument : operation.arguments) views.push_back(argument.view);
  operation.run(inner_, plan, views);
}

void ForwardingBackend::synchronize() {
  inner_.synchronize();
}

Placement ForwardingBackend::do_place(const Shape& shape, DType type) const {
  return inner_.do_place(shape, type);
}

Buffer ForwardingBackend::do_allocate(std::size_t bytes, std::string_view what) {
  return inner_.do_allocate(bytes, what);
}

void ForwardingBackend::do_write(View view, std::span<const double> values) {
  perform({"write", {out("tensor", view)}, [=](Backend& b, ConvPlan*, Views v) { b.write(v[0], values); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_write(View view, std::span<const float> values) {
  perform({"write", {out("tensor", view)}, [=](Backend& b, ConvPlan*, Views v) { b.write(v[0], values); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_read(ConstView view, std::span<double> values) {
  perform({"read", {in("tensor", view)}, [=](Backend& b, ConvPlan*, Views v) { b.read(v[0], values); }, true},
          nullptr, nullptr);
}
void ForwardingBackend::do_read(ConstView view, std::span<float> values) {
  perform({"read", {in("tensor", view)}, [=](Backend& b, ConvPlan*, Views v) { b.read(v[0], values); }, true},
          nullptr, nullptr);
}

void ForwardingBackend::do_import_frames(std::span<const float> ntchw, const FrameLayout& layout,
                                         View tnchw) {
  perform({"import_frames",
           {out("tnchw", tnchw)},
           [=](Backend& b, ConvPlan*, Views v) { b.import_frames(ntchw, layout, v[0]); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_export_frames(ConstView tnchw, const FrameLayout& layout, std::span<float> ntchw) {
  perform({"export_frames",
           {in("tnchw", tnchw)},
           [=](Backend& b, ConvPlan*, Views v) { b.export_frames(v[0], layout, ntchw); },
           true},
          nullptr, nullptr);
}

std::unique_ptr<ConvPlan> ForwardingBackend::do_plan_convolution(const ConvSpec& spec, ConvUse use) {
  const Placement x = place({1, spec.images, spec.channels_in, spec.height, spec.width});
  const Placement y = place({1, spec.images, spec.channels_out, spec.out_height(), spec.out_width()});
  return std::make_unique<ForwardingConvPlan>(*this, spec, use, x, y, inner_.plan_convolution(spec, use),
                                              twin_plan(spec, use));
}

void ForwardingBackend::do_cell_forward(const CellSpec& spec, View gates, ConstView recurrent,
                                        ConstView h_prev, ConstView c_prev, ConstView peephole, View c,
                                        View h) {
  perform({"cell_forward",
           {spec.keeps_gates ? inout("gates", gates) : in("gates", gates), in("recurrent", recurrent),
            in("h_prev", h_prev), in("c_prev", c_prev), in("peephole", peephole), out("c", c), out("h", h)},
           [&](Backend& b, ConvPlan*, Views v) {
             b.cell_forward(spec, v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
           }},
          nullptr, nullptr);
}

void ForwardingBackend::do_cell_backward(const CellSpec& spec, View gates, View recurrent, ConstView h_prev,
                                         ConstView c_prev, ConstView c, ConstView peephole, ConstView dh,
                                         ConstView dh_recurrent, View dc, View dh_prev, View d_peephole) {
  perform({"cell_backward",
           {inout("gates", gates), inout("recurrent", recurrent), in("h_prev", h_prev), in("c_prev", c_prev),
            in("c", c), in("peephole", peephole), in("dh", dh), in("dh_recurrent", dh_recurrent),
            inout("dc", dc), out("dh_prev", dh_prev), inout("d_peephole", d_peephole)},
           [&](Backend& b, ConvPlan*, Views v) {
             b.cell_backward(spec, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10]);
           }},
          nullptr, nullptr);
}

void ForwardingBackend::do_activate(Activation activation, float slope, View x) {
  perform({"activate",
           {inout("x", x)},
           [=](Backend& b, ConvPlan*, Views v) { b.activate(activation, slope, v[0]); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_activate_backward(Activation activation, float slope, ConstView y, View dy) {
  perform({"activate_backward",
           {in("y", y), inout("dy", dy)},
           [=](Backend& b, ConvPlan*, Views v) { b.activate_backward(activation, slope, v[0], v[1]); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_fill(View view, float value) {
  perform({"fill", {out("tensor", view)}, [=](Backend& b, ConvPlan*, Views v) { b.fill(v[0], value); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_copy(ConstView x, View y) {
  perform({"copy", {in("x", x), out("y", y)}, [](Backend& b, ConvPlan*, Views v) { b.copy(v[0], v[1]); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_add_scaled(View y, float a, ConstView x) {
  perform({"add_scaled",
           {inout("y", y), in("x", x)},
           [=](Backend& b, ConvPlan*, Views v) { b.add_scaled(v[0], a, v[1]); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_lerp(View y, float a, ConstView x) {
  perform(
      {"lerp", {inout("y", y), in("x", x)}, [=](Backend& b, ConvPlan*, Views v) { b.lerp(v[0], a, v[1]); }},
      nullptr, nullptr);
}
void ForwardingBackend::do_mix(View y, ConstView a, ConstView b, ConstView weights) {
  perform({"mix",
           {out("y", y), in("a", a), in("b", b), in("weights", weights)},
           [](Backend& target, ConvPlan*, Views v) { target.mix(v[0], v[1], v[2], v[3]); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_mix_backward(View y, ConstView x, ConstView weights, Accumulate accumulate) {
  perform({"mix_backward",
           {result("y", y, accumulate), in("x", x), in("weights", weights)},
           [=](Backend& b, ConvPlan*, Views v) { b.mix_backward(v[0], v[1], v[2], accumulate); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_loss(const LossSpec& spec, ConstView forecast, ConstView target, ConstView mask,
                                View d_forecast, View sums, float scale) {
  perform({"loss",
           {in("forecast", forecast), in("target", target), in("mask", mask), out("d_forecast", d_forecast),
            out("sums", sums)},
           [&, scale](Backend& b, ConvPlan*, Views v) { b.loss(spec, v[0], v[1], v[2], v[3], v[4], scale); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_add_sum_of_squares(ConstView x, View sum) {
  perform({"add_sum_of_squares",
           {in("x", x), inout("sum", sum)},
           [](Backend& b, ConvPlan*, Views v) { b.add_sum_of_squares(v[0], v[1]); }},
          nullptr, nullptr);
}
void ForwardingBackend::do_optimizer_step(const OptimizerSpec& spec, View value, ConstView gradient, View m,
                                          View v, ConstView gradient_sum_of_squares, View skipped) {
  perform(
      {"optimizer_step",
       {inout("value", value), in("gradient", gradient), inout("first_moment", m), inout("second_moment", v),
        in("gradient_sum_of_squares", gradient_sum_of_squares), inout("skipped", skipped)},
       [&](Backend& b, ConvPlan*, Views a) { b.optimizer_step(spec, a[0], a[1], a[2], a[3], a[4], a[5]); }},
      nullptr, nullptr);
}

// --- guarded ---------------------------------------------------------------------------------------------

namespace {

constexpr std::size_t kGuardBytes = 256;  // a multiple of every alignment that a backend relies on
constexpr double kCanary = 7411.0625;     // exact in every type

struct Canaries {
  View front, back;
};

Canaries canaries_of(void* base, std::size_t bytes, DType type) {
  const Shape shape{1, 1, static_cast<std::int64_t>(kGuardBytes / size_of(type)), 1, 1};
  auto* const first = static_cast<std::byte*>(base);
  return {{first, shape, type, {}}, {first + kGuardBytes + bytes, shape, type, {}}};
}

}  // namespace

Buffer GuardedBackend::do_allocate(std::size_t bytes, std::string_view what) {
  Buffer whole = allocate_inside(bytes + 2 * kGuardBytes, what);
  const Canaries canaries = canaries_of(whole.memory(), bytes, dtype());
  const std::vector<double> pattern(static_cast<std::size_t>(canaries.front.shape.c), kCanary);
  inner().write(canaries.front, pattern);
  inner().write(canaries.back, pattern);
  void* const memory = static_cast<std::byte*>(whole.memory()) + kGuardBytes;
  live_.emplace(memory, Record{std::move(whole), bytes, std::string(what)});
  return {memory, bytes, release, this};
}

void GuardedBackend::release(void* context, void* memory, std::size_t) noexcept {
  auto& self = *static_cast<GuardedBackend*>(context);
  const auto found = self.live_.find(memory);
  if (found == self.live_.end()) return;
  try {
    const std::string damage = self.damage(found->second);
    if (!damage.empty()) self.damaged_.push_back(damage);
  } catch (...) {  // a device that fails here says so at the next call
  }
  self.live_.erase(found);
}

std::string GuardedBackend::damage(const Record& record) {
  const Canaries canaries = canaries_of(record.whole.memory(), record.bytes, dtype());
  std::vector<double> found(static_cast<std::size_t>(canaries.front.shape.c));
  for (const View& side : {canaries.front, canaries.back}) {
    inner().read(side, found);
    if (std::all_of(found.begin(), found.end(), [](double value) { return value == kCanary; })) continue;
    return std::string(side.memory == canaries.front.memory ? "before" : "behind") + " '" + record.what + "'";
  }
  return {};
}

void GuardedBackend::verify(const char* after) {
  for (const auto& [memory, record] : live_) {
    std::string found = damage(record);
    if (!found.empty()) damaged_.push_back(std::move(found));
  }
  if (damaged_.empty()) return;
  const std::string first = damaged_.front();
  damaged_.clear();
  throw std::logic_error("kernels: memory " + first + " was written to" + (*after == '\0' ? "" : " by ") +
                         after);
}

void GuardedBackend::perform(const Operation& operation, ConvPlan* plan, ConvPlan* twin) {
  ForwardingBackend::perform(operation, plan, twin);
  verify(operation.name);
}

// --- counting --------------------------------------------------------------------------------------------

void CountingBackend::count(std::int64_t& counter, const std::string& what) {
  ++counter;
  if (armed_) throw std::logic_error("kernels: " + what + " inside a step");
}

Buffer CountingBackend::do_allocate(std::size_t bytes, std::string_view what) {
  count(counts_.allocations, "allocation of '" + std::string(what) + "'");
  return ForwardingBackend::do_allocate(bytes, what);
}

std::unique_ptr<ConvPlan> CountingBackend::do_plan_convolution(const ConvSpec& spec, ConvUse use) {
  count(counts_.plans, "plan of the convolution " + spec.text());
  return ForwardingBackend::do_plan_convolution(spec, use);
}

void CountingBackend::synchronize() {
  count(counts_.synchronizations, "synchronisation");
  ForwardingBackend::synchronize();
}

void CountingBackend::count_work(const Operation& operation, const ConvPlan* plan) {
  double bytes = 0., flop = 0.;
  std::string name = operation.name;
  for (const Argument& argument : operation.arguments) {
    if (argument.view.empty()) continue;
    const double once = static_cast<double>(argument.view.shape.elements()) *
                        static_cast<double>(size_of(argument.view.dtype));
    bytes += argument.access == Access::inout ? 2. * once : once;
  }
  if (plan == nullptr) {
    name += " " + operation.arguments[0].view.shape.text();
  } else {
    name += " " + plan->spec().text();
    if (std::string_view(operation.name) != "load_weights") {
      flop = 2. * static_cast<double>(plan->spec().macs());
      bytes += static_cast<double>(plan->spec().weight_shape().elements()) *
               static_cast<double>(size_of(activation_dtype()));  // packed, or about to be unpacked
    }
  }
  Work& work = work_[name];
  ++work.calls;
  work.flop += flop;
  work.bytes += bytes;
}

void CountingBackend::perform(const Operation& operation, ConvPlan* plan, ConvPlan* twin) {
  const std::string name = operation.name;
  ++counts_.operations;
  if (name == "import_frames") ++counts_.imports;
  if (name == "export_frames") ++counts_.exports;
  if (name == "write") count(counts_.writes, "copy from the host");
  if (name == "read") count(counts_.reads, "copy to the host");
  if (name != "import_frames" && name != "export_frames" && name != "write" && name != "read")
    count_work(operation, plan);
  ForwardingBackend::perform(operation, plan, twin);
}

// --- checking --------------------------------------------------------------------------------------------

CheckingBackend::CheckingBackend(Backend& inner, Backend& truth, double tolerance)
    : ForwardingBackend(inner), truth_(truth), tolerance_(tolerance) {}

std::string CheckingBackend::Divergence::text() const {
  char number[32];
  std::snprintf(number, sizeof number, "%.3g", error);
  return operation + ": " + tensor + " differs by " + number + " of its largest value";
}

std::unique_ptr<ConvPlan> CheckingBackend::twin_plan(const ConvSpec& spec, ConvUse use) {
  return truth_.plan_convolution(spec, use);
}

void CheckingBackend::perform(const Operation& operation, ConvPlan* plan, ConvPlan* twin) {
  if (operation.fills_host) return ForwardingBackend::perform(operation, plan, twin);
  std::vector<Tensor> copies;
  std::vector<View> views;
  for (const Argument& argument : operation.arguments) {
    const View& view = argument.view;
    if (view.empty()) {
      copies.emplace_back();
      views.push_back({});
      continue;
    }
    // What has the placement of an activation is one, unless only plain order was possible anyway.
    const bool plain = view.placement == Placement{} && place(view.shape) != Placement{};
    copies.push_back(plain ? truth_.allocate_plain(view.shape, argument.name)
                           : truth_.allocate(view.shape, argument.name));
    views.push_back(copies.back().view());
    if (argument.access == Access::out) continue;
    std::vector<double> values(static_cast<std::size_t>(view.shape.elements()));
    inner().read(view, values);
    truth_.write(views.back(), values);
  }
  ForwardingBackend::perform(operation, plan, twin);
  operation.run(truth_, twin, views);
  ++operations_;
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (operation.arguments[i].access == Access::in || views[i].empty()) continue;
    compare(operation, operation.arguments[i], views[i]);
  }
}

void CheckingBackend::compare(const Operation& operation, const Argument& argument, ConstView truth) {
  std::vector<double> have(static_cast<std::size_t>(truth.shape.elements())), want(have.size());
  inner().read(argument.view, have);
  truth_.read(truth, want);
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < have.size(); ++i) {
    if (!std::isfinite(have[i]) && !std::isfinite(want[i])) continue;
    if (!std::isfinite(have[i]) || !std::isfinite(want[i])) {
      difference = HUGE_VAL;
      break;
    }
    largest = std::max(largest, std::abs(want[i]));
    difference = std::max(difference, std::abs(have[i] - want[i]));
  }
  const double error = difference == 0 ? 0 : largest == 0 ? difference : difference / largest;
  const Divergence found{operation.name, argument.name, error};
  if (error > worst_.error) worst_ = found;
  if (error > tolerance_ && !first_) first_ = found;
}

// --- failing ---------------------------------------------------------------------------------------------

void FailingBackend::count_down(const std::string& call) {
  if (remaining_ == 0 || --remaining_ > 0) return;
  if (fault_ == Fault::out_of_memory) throw OutOfMemory("test", 1 << 20, 1 << 10, call);
  throw DeviceError("test", call, "a fault on demand");
}

Buffer FailingBackend::do_allocate(std::size_t bytes, std::string_view what) {
  count_down(std::string(what));
  return ForwardingBackend::do_allocate(bytes, what);
}

std::unique_ptr<ConvPlan> FailingBackend::do_plan_convolution(const ConvSpec& spec, ConvUse use) {
  count_down("plan_convolution " + spec.text());
  return ForwardingBackend::do_plan_convolution(spec, use);
}

void FailingBackend::perform(const Operation& operation, ConvPlan* plan, ConvPlan* twin) {
  count_down(operation.name);
  ForwardingBackend::perform(operation, plan, twin);
}

}  // namespace raincell::kernels
