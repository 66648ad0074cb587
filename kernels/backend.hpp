// The seam: what a device can do for the model. Public functions check shapes once, then call do_*().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/code_place.hpp"
#include "kernels/device_group.hpp"
#include "kernels/specs.hpp"
#include "kernels/tensor.hpp"

namespace raincell::kernels {

/// A device or library call failed.
class DeviceError : public std::runtime_error {
 public:
  DeviceError(std::string library, std::string call, std::string why, CodePlace place = CodePlace::current());
  const std::string& library() const { return library_; }
  const std::string& call() const { return call_; }

 private:
  std::string library_, call_;
};

/// Memory could not be had: how much was wanted, and what was free (0: unknown).
class OutOfMemory : public DeviceError {
 public:
  OutOfMemory(std::string library, std::size_t wanted_bytes, std::size_t free_bytes, std::string what);
  std::size_t wanted_bytes() const { return wanted_bytes_; }
  std::size_t free_bytes() const { return free_bytes_; }

 private:
  std::size_t wanted_bytes_, free_bytes_;
};

/// This build or this machine cannot do it (no CUDA in the build, no driver, unknown backend name).
class BackendUnavailable : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// This build was made without it, on purpose.
class BackendNotBuilt : public BackendUnavailable {
  using BackendUnavailable::BackendUnavailable;
};

struct BackendInfo {
  std::string name;       // "reference", "cpu", "cuda"
  std::string device;     // "AMD EPYC ..., 2 threads"
  std::string libraries;  // "oneDNN 2.6.3"
  int threads = 1;
  bool own_memory = false;  // tensors lie in memory of the device, not in the host's
  std::string identity;     // of the device, in the whole world; empty: it has none
  std::string passed_over;  // by "auto": what this build has and this machine cannot run, and why; or empty
};

/// What a plan will be used for; the rest is not built, and asking for it is a std::logic_error.
enum class ConvUse : std::uint8_t { inference, training_no_input_gradient, training };

/// One convolution for one shape: descriptors, workspace, packed weights and the chosen kernel live here.
/// Images of every tensor are T*N: any split of `images` into T and N is accepted.
class ConvPlan {
 public:
  virtual ~ConvPlan() = default;
  const ConvSpec& spec() const { return spec_; }

  /// Packs weights for this plan; call after every change of the parameters, not at every use.
  /// bias {1,1,channels_out,1,1}, or empty when the spec has none.
  void load_weights(ConstView weights, ConstView bias);
  /// y (+)= conv(x) + bias
  void forward(ConstView x, View y, Accumulate);
  /// dx (+)= gradient of the input
  void backward_data(ConstView dy, View dx, Accumulate);
  /// d_weights (+)=, d_bias (+)= gradient of the parameters, in the plain order of the spec. d_bias may be
  /// empty.
  void backward_weights(ConstView x, ConstView dy, View d_weights, View d_bias, Accumulate);
  /// The kernels that were chosen, e.g. "forward brgconv:avx512_core, ...".
  virtual std::string implementation() const = 0;
  /// Bytes of packed weights and workspace, but for what Backend::shared_bytes() counts.
  virtual std::size_t bytes() const = 0;

 protected:
  /// x and y of every call must have this type and these placements.
  /// bf16 activations have f32 parameters.
  ConvPlan(const ConvSpec& spec, ConvUse use, DType activations, Placement x, Placement y)
      : spec_(spec), use_(use), activations_(activations), x_placement_(x), y_placement_(y) {}
  ConvUse use() const { return use_; }
  virtual void do_load_weights(ConstView weights, ConstView bias) = 0;
  virtual void do_forward(ConstView x, View y, Accumulate) = 0;
  virtual void do_backward_data(ConstView dy, View dx, Accumulate) = 0;
  virtual void do_backward_weights(ConstView x, ConstView dy, View d_weights, View d_bias, Accumulate) = 0;

 private:
  void expect_activation(const ConstView&, bool output, const char* call, const char* tensor) const;
  void expect_parameter(const ConstView&, const Shape&, const char* call, const char* tensor) const;

  ConvSpec spec_;
  ConvUse use_;
  DType activations_;
  Placement x_placement_, y_placement_;
  bool loaded_ = false;
};

/// Operations of a backend, kept to be asked for again as a whole. Must not outlive its backend.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Asks for them again, with the same tensors and numbers. False, and nothing done, when memory of the
  /// device has been given back since they were kept: keep them anew.
  virtual bool replay() = 0;
};

/// A device. Wrong shapes, types or placements are bugs of the caller: std::logic_error naming operation and
/// tensor. One thread at a time; tensors and plans must not outlive their backend.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const BackendInfo& info() const = 0;
  /// Type of parameters, scalars and the memory of cells: f32, or f64 on the reference.
  virtual DType dtype() const = 0;
  /// Type of all other tensors: the same, or bf16 in mixed precision.
  virtual DType activation_dtype() const { return dtype(); }

  // --- memory ---------------------------------------------------------------------------------------
  /// Zero-filled, placed as the backend likes it. `what` names the tensor in out-of-memory messages.
  Tensor allocate(const Shape&, std::string_view what);
  /// As allocate(), but of dtype(): the memory of cells and its gradient.
  Tensor allocate_memory(const Shape&, std::string_view what);
  /// Zero-filled with channel_block 1: parameters, gradients, moments, scalars.
  Tensor allocate_plain(const Shape&, std::string_view what);
  /// Where allocate() would put the channels; lets a plan be sized without allocating.
  Placement place(const Shape& shape) const { return do_place(shape, activation_dtype()); }
  /// Plain host values [T,N,C,H,W] into a tensor of any placement, and back. Named acts: never inside a step.
  void write(View, std::span<const double> values);
  void write(View, std::span<const float> values);
  void read(ConstView, std::span<double> values);
  void read(ConstView, std::span<float> values);
  virtual void synchronize() = 0;
  /// Keeps the operations that `work` asks for instead of doing them. They must have been done once before,
  /// neither allocate nor touch host memory, and stay the same at every call. Null, and nothing done, when
  /// the device keeps none; those of the host never do.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work);
  /// Seconds from the first to the last operation that `work` asks for, by the device's clock where it has
  /// one. Waits for the end.
  virtual double seconds_of(const std::function<void()>& work);
  /// Bytes that the device's own memory has free; 0 when it has none.
  virtual std::size_t free_memory() const { return 0; }
  /// Bytes of scratch that all plans share and ConvPlan::bytes() leaves out. Grows as plans are made.
  virtual std::size_t shared_bytes() const { return 0; }

  // --- devices of several processes -------------------------------------------------------------------
  /// Why devices of this backend cannot sum among themselves; empty when they can.
  virtual std::string no_group() const { return "tensors of this backend lie in the memory of the host"; }
  /// Drawn by one process, given to all.
  virtual std::string draw_group_id();
  /// Returns when ranks 0 to size - 1 have joined; each has a device of its own. For sums of at most `count`
  /// numbers, which three times as many are held for. The group must not outlive this backend.
  virtual std::unique_ptr<DeviceGroup> join_group(const std::string& id, int rank, int size,
                                                  std::int64_t count);

  // --- borders: the only code that knows [N,T,C,H,W] -------------------------------------------------
  void import_frames(std::span<const float> ntchw, const FrameLayout&, View tnchw);
  void export_frames(ConstView tnchw, const FrameLayout&, std::span<float> ntchw);

  // --- convolution ----------------------------------------------------------------------------------
  std::unique_ptr<ConvPlan> plan_convolution(const ConvSpec&, ConvUse);

  // --- recurrent cells, one step; tensors have t == 1 --------------------------------------------------
  /// gates: in, the pre-activation sums; out, the activated gates. [1,N,gates*hidden,H,W]
  /// recurrent: convgru only, the recurrent sums [1,N,3*hidden,H,W]; read only. Empty: zeros.
  /// h_prev: convgru only. c_prev: convlstm only. Empty: zeros.
  /// c: convlstm only. h: the new hidden state. [1,N,hidden,H,W]
  void cell_forward(const CellSpec&, View gates, ConstView recurrent, ConstView h_prev, ConstView c_prev,
                    ConstView peephole, View c, View h);
  /// gates: in, the activated gates; out, the gradient of the input sums.
  /// recurrent: convgru only; in, as saved; out, the gradient of the recurrent sums. Empty at a zero start.
  /// dh: gradient that reaches h from above; dh_recurrent: from the next step, added to it; either may be
  /// empty. dc: convlstm; in, gradient of c from the next step (zeros at the last); out, gradient of c_prev.
  /// dh_prev: convgru only; out, the pointwise part of the gradient of h_prev (may be empty).
  /// d_peephole: added to; empty without peepholes.
  void cell_backward(const CellSpec&, View gates, View recurrent, ConstView h_prev, ConstView c_prev,
                     ConstView c, ConstView peephole, ConstView dh, ConstView dh_recurrent, View dc,
                     View dh_prev, View d_peephole);

  // --- pointwise --------------------------------------------------------------------------------------
  void activate(Activation, float slope, View x_to_y);
  /// dy is multiplied by the derivative, taken from the activated value y.
  void activate_backward(Activation, float slope, ConstView y, View dy_to_dx);
  void fill(View, float);
  void copy(ConstView x, View y);                 // same shape and placement
  void add_scaled(View y, float a, ConstView x);  // y += a x
  void lerp(View y, float a, ConstView x);        // y += a (x - y)
  /// y = w a + (1 - w) b with one weight an image: weights {1,N,1,1,1}; scheduled sampling.
  void mix(View y, ConstView a, ConstView b, ConstView weights);
  /// y (+)= (1 - w) x, image by image: the backward pass of mix towards b.
  void mix_backward(View y, ConstView x, ConstView weights, Accumulate);

  // --- loss, norms, update; sums are device scalars -----------------------------------------------------
  /// sums {1,1,2,1,1}: [0] = sum of weighted losses / valid pixels, [1] = valid pixels. d_forecast may be
  /// empty. mask is 1 for valid and 0 for not, of the forecast's shape. No valid pixel: loss 0, gradient 0.
  /// `scale` multiplies the gradient only (gradient accumulation).
  void loss(const LossSpec&, ConstView forecast, ConstView target, ConstView mask, View d_forecast, View sums,
            float scale);
  /// sum[0] += sum of squares of x.
  void add_sum_of_squares(ConstView x, View sum);
  /// Updates value from gradient and the two moments (second unused by sgd), clipping by
  /// gradient_sum_of_squares {1,1,1,1,1}. When that is not finite nothing changes and skipped[0] grows by
  /// one.
  void optimizer_step(const OptimizerSpec&, View value, ConstView gradient, View first_moment,
                      View second_moment, ConstView gradient_sum_of_squares, View skipped);

 protected:
  virtual Placement do_place(const Shape&, DType) const = 0;
  virtual Buffer do_allocate(std::size_t bytes, std::string_view what) = 0;
  virtual void do_write(View, std::span<const double>) = 0;
  virtual void do_write(View, std::span<const float>) = 0;
  virtual void do_read(ConstView, std::span<double>) = 0;
  virtual void do_read(ConstView, std::span<float>) = 0;
  virtual void do_import_frames(std::span<const float>, const FrameLayout&, View) = 0;
  virtual void do_export_frames(ConstView, const FrameLayout&, std::span<float>) = 0;
  virtual std::unique_ptr<ConvPlan> do_plan_convolution(const ConvSpec&, ConvUse) = 0;
  virtual void do_cell_forward(const CellSpec&, View gates, ConstView recurrent, ConstView h_prev,
                               ConstView c_prev, ConstView peephole, View c, View h) = 0;
  virtual void do_cell_backward(const CellSpec&, View gates, View recurrent, ConstView h_prev,
                                ConstView c_prev, ConstView c, ConstView peephole, ConstView dh,
                                ConstView dh_recurrent, View dc, View dh_prev, View d_peephole) = 0;
  virtual void do_activate(Activation, float slope, View) = 0;
  virtual void do_activate_backward(Activation, float slope, ConstView y, View dy) = 0;
  virtual void do_fill(View, float) = 0;
  virtual void do_copy(ConstView, View) = 0;
  virtual void do_add_scaled(View y, float a, ConstView x) = 0;
  virtual void do_lerp(View y, float a, ConstView x) = 0;
  virtual void do_mix(View y, ConstView a, ConstView b, ConstView weights) = 0;
  virtual void do_mix_backward(View y, ConstView x, ConstView weights, Accumulate) = 0;
  virtual void do_loss(const LossSpec&, ConstView forecast, ConstView target, ConstView mask, View d_forecast,
                       View sums, float scale) = 0;
  virtual void do_add_sum_of_squares(ConstView x, View sum) = 0;
  virtual void do_optimizer_step(const OptimizerSpec&, View value, ConstView gradient, View m, View v,
                                 ConstView gradient_sum_of_squares, View skipped) = 0;

 private:
  friend class ForwardingBackend;  // decorators reach do_place and do_allocate of what they wrap
  void expect_activation(const ConstView&, const Shape&, const char* call, const char* tensor) const;
  void expect_memory(const ConstView&, const Shape&, const char* call, const char* tensor) const;
  void expect_plain(const ConstView&, const Shape&, const char* call, const char* tensor) const;
  void expect_like(const ConstView&, const ConstView& model, const char* call, const char* tensor) const;
  void expect_some(const ConstView&, const char* call, const char* tensor) const;
};

struct BackendOptions {
  int threads = 0;  // 0: as many as the machine offers
  bool deterministic = false;
  Precision precision = Precision::f32;
  int device = 0;                // of several; counted anew from the first where there are not so many
  std::string passed_over = {};  // for BackendInfo, set by "auto"
};

/// "reference" (double), "reference-f32", "cpu", "cuda" or "auto" (the first that is available, cuda before
/// cpu). Throws BackendUnavailable, which lists the names.
std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions&);
/// The visible list, in the order that "auto" tries.
std::vector<std::string> backend_names();
/// What a backend of the list can be asked to compute in; f32 always.
std::vector<Precision> precisions_of(std::string_view backend);

}  // namespace raincell::kernels
