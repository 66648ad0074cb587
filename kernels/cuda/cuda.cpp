#include "kernels/cuda/cuda.hpp"

#include <cstring>
#include <vector>

#include "kernels/cuda/conv.hpp"
#include "kernels/cuda/device.hpp"
#include "kernels/cuda/group.hpp"
#include "kernels/cuda/number.hpp"
#include "kernels/cuda/pointwise.hpp"
#include "kernels/cuda/reduce.hpp"

namespace raincell::kernels {

namespace {

using std::int64_t;

/// Lists of a LossSpec in device memory, sent again only when they change.
class LossTables {
 public:
  explicit LossTables(cuda::Device& device) : device_(device), memory_(device, "loss weights") {}

  cuda::LossLists of(const LossSpec& spec) {
    std::vector<float> all = spec.class_bounds;
    all.insert(all.end(), spec.class_weights.begin(), spec.class_weights.end());
    all.insert(all.end(), spec.lead_weights.begin(), spec.lead_weights.end());
    if (all != sent_) {
      if (!all.empty()) {
        const std::size_t bytes = all.size() * sizeof(float);
        device_.upload(memory_.reserve(bytes), all.data(), bytes);
      }
      sent_ = std::move(all);
    }
    const auto* const first = static_cast<const float*>(memory_.memory());
    const std::size_t bounds = spec.class_bounds.size(), weights = bounds + spec.class_weights.size();
    return {spec.class_bounds.empty() ? nullptr : first,
            spec.class_weights.empty() ? nullptr : first + bounds,
            spec.lead_weights.empty() ? nullptr : first + weights};
  }

 private:
  cuda::Device& device_;
  cuda::Scratch memory_;
  std::vector<float> sent_;
};

cuda::Arithmetic arithmetic_of(Precision precision) {
  return precision == Precision::bf16   ? cuda::Arithmetic::bf16
         : precision == Precision::tf32 ? cuda::Arithmetic::tf32
                                        : cuda::Arithmetic::f32;
}

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(const BackendOptions& options)
      : device_(options.device),
        convolutions_(device_, arithmetic_of(options.precision), options.deterministic),
        tables_(device_),
        frames_(device_, "frames on their way"),
        sums_(device_, "scratch of sums"),
        factors_(device_, "scratch of the optimizer") {
    info_.name = "cuda";
    info_.own_memory = true;
    info_.device = device_.name();
    info_.identity = device_.identity();
    info_.libraries = convolutions_.version() + ", " + device_.versions();
    factors_.reserve(sizeof(cuda::OptimizerFactors));
    try_a_kernel();
  }
  const BackendInfo& info() const override { return info_; }
  DType dtype() const override { return DType::f32; }
  DType activation_dtype() const override { return convolutions_.type(); }
  void synchronize() override { device_.synchronize(); }
  std::unique_ptr<Recording> record(const std::function<void()>& work) override {
    return device_.capture(work);
  }
  double seconds_of(const std::function<void()>& work) override {
    cuda::Stopwatch watch(device_);
    watch.start();
    work();
    return 1e-3 * static_cast<double>(watch.stop());
  }
  std::string no_group() const override { return cuda::Nccl::missing(); }
  std::string draw_group_id() override { return cuda::Nccl::draw_id(); }
  std::unique_ptr<DeviceGroup> join_group(const std::string& id, int rank, int size,
                                          std::int64_t count) override {
    return std::make_unique<cuda::Group>(device_, id, rank, size, count);
  }
  std::size_t free_memory() const override { return device_.free_memory(); }
  std::size_t shared_bytes() const override { return convolutions_.bytes(); }

 protected:
  Placement do_place(const Shape& shape, DType) const override { return {shape.c}; }

  Buffer do_allocate(std::size_t bytes, std::string_view what) override {
    return {device_.allocate(bytes, what), bytes,
            [](void* context, void* memory, std::size_t) noexcept {
              static_cast<cuda::Device*>(context)->release(memory);
            },
            &device_};
  }

  void do_write(View view, std::span<const double> values) override { write_values(view, values); }
  void do_write(View view, std::span<const float> values) override { write_values(view, values); }
  void do_read(ConstView view, std::span<double> values) override { read_values(view, values); }
  void do_read(ConstView view, std::span<float> values) override { read_values(view, values); }

  void do_import_frames(std::span<const float> ntchw, const FrameLayout& layout, View tnchw) override {
    auto* const frames = static_cast<float*>(frames_.reserve(ntchw.size_bytes()));
    device_.upload(frames, ntchw.data(), ntchw.size_bytes());
    cuda::import_frames(stream(), frames, layout, tnchw);
  }
  void do_export_frames(ConstView tnchw, const FrameLayout& layout, std::span<float> ntchw) override {
    auto* const frames = static_cast<float*>(frames_.reserve(ntchw.size_bytes()));
    cuda::export_frames(stream(), tnchw, layout, frames);
    device_.download(ntchw.data(), frames, ntchw.size_bytes());
  }

  std::unique_ptr<ConvPlan> do_plan_convolution(const ConvSpec& spec, ConvUse use) override {
    return convolutions_.plan(spec, use, {spec.channels_in}, {spec.channels_out});
  }

  void do_cell_forward(const CellSpec& spec, View gates, ConstView recurrent, ConstView h_prev,
                       ConstView c_prev, ConstView peephole, View c, View h) override {
    cuda::cell_forward(stream(), spec, gates, recurrent, h_prev, c_prev, peephole, c, h);
  }
  void do_cell_backward(const CellSpec& spec, View gates, View recurrent, ConstView h_prev, ConstView c_prev,
                        ConstView c, ConstView peephole, ConstView dh, ConstView dh_recurrent, View dc,
                        View dh_prev, View d_peephole) override {
    void* const parts =
        d_peephole.empty() ? nullptr : sums_.reserve(cuda::peephole_scratch(spec, gates.shape));
    cuda::cell_backward(stream(), spec, gates, recurrent, h_prev, c_prev, c, peephole, dh, dh_recurrent, dc,
                        dh_prev, d_peephole, static_cast<double*>(parts));
  }

  void do_activate(Activation activation, float slope, View x) override {
    cuda::activate(stream(), activation, slope, x);
  }
  void do_activate_backward(Activation activation, float slope, ConstView y, View dy) override {
    cuda::activate_backward(stream(), activation, slope, y, dy);
  }
  void do_fill(View view, float value) override { cuda::fill(stream(), view, value); }
  void do_copy(ConstView x, View y) override {
    device_.copy(y.memory, x.memory, static_cast<std::size_t>(y.shape.elements()) * size_of(y.dtype));
  }
  void do_add_scaled(View y, float a, ConstView x) override { cuda::add_scaled(stream(), y, a, x); }
  void do_lerp(View y, float a, ConstView x) override { cuda::lerp(stream(), y, a, x); }
  void do_mix(View y, ConstView a, ConstView b, ConstView weights) override {
    cuda::mix(stream(), y, a, b, weights);
  }
  void do_mix_backward(View y, ConstView x, ConstView weights, Accumulate accumulate) override {
    cuda::mix_backward(stream(), y, x, weights, accumulate);
  }

  void do_loss(const LossSpec& spec, ConstView forecast, ConstView target, ConstView mask, View d_forecast,
               View sums, float scale) override {
    void* const scratch = sums_.reserve(cuda::sum_scratch(forecast.shape.elements()));
    cuda::loss(stream(), spec, tables_.of(spec), forecast, target, mask, d_forecast, sums, scale, scratch);
  }
  void do_add_sum_of_squares(ConstView x, View sum) override {
    cuda::add_sum_of_squares(stream(), x, sum, sums_.reserve(cuda::sum_scratch(x.shape.elements())));
  }
  void do_optimizer_step(const OptimizerSpec& spec, View value, ConstView gradient, View m, View v,
                         ConstView gradient_sum_of_squares, View skipped) override {
    cuda::optimizer_step(stream(), spec, value, gradient, m, v, gradient_sum_of_squares, skipped,
                         static_cast<cuda::OptimizerFactors*>(factors_.memory()));
  }

 private:
  cuda::Stream stream() const { return device_.stream(); }

  /// A GPU for which this build has no code takes memory, but no work.
  void try_a_kernel() {
    try {
      cuda::fill(stream(), {factors_.memory(), {}, DType::f32, {}}, 0.F);
      device_.synchronize();
    } catch (const DeviceError& refusal) {
      if (std::string_view(refusal.what()).find("cudaErrorNoKernelImageForDevice") == std::string_view::npos)
        throw;
      throw BackendUnavailable("this build has no code for " + device_.name() +
                               "; build with its number in -DCMAKE_CUDA_ARCHITECTURES");
    }
  }

  /// Host memory in the order of the view: activations channels-last, parameters in planes.
  template <class Value>
  void write_values(View view, std::span<const Value> values) {
    if (view.dtype == DType::bf16) return write_as<Bf16>(view, values);
    write_as<float>(view, values);
  }
  template <class Stored, class Value>
  void write_as(View view, std::span<const Value> values) {
    std::vector<Stored> stored(values.size());
    each_plain(view.shape, view.placement, [&](std::size_t plain, std::int64_t at) {
      stored[static_cast<std::size_t>(at)] = from_float<Stored>(static_cast<float>(values[plain]));
    });
    device_.upload(view.memory, stored.data(), stored.size() * sizeof(Stored));
  }
  template <class Value>
  void read_values(ConstView view, std::span<Value> values) {
    if (view.dtype == DType::bf16) return read_as<Bf16>(view, values);
    read_as<float>(view, values);
  }
  template <class Stored, class Value>
  void read_as(ConstView view, std::span<Value> values) {
    std::vector<Stored> stored(values.size());
    device_.download(stored.data(), view.memory, stored.size() * sizeof(Stored));
    each_plain(view.shape, view.placement, [&](std::size_t plain, std::int64_t at) {
      values[plain] = static_cast<Value>(to_float(stored[static_cast<std::size_t>(at)]));
    });
  }

  cuda::Device device_;  // first in, last out
  cuda::Convolutions convolutions_;
  LossTables tables_;
  cuda::Scratch frames_, sums_, factors_;
  BackendInfo info_;
};

}  // namespace

std::unique_ptr<Backend> make_cuda(const BackendOptions& options) {
  return std::make_unique<CudaBackend>(options);
}

}  // namespace raincell::kernels
