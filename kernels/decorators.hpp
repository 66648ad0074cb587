// Backends that wrap another one and watch it: for tests and for `raincell check`. Same interface, any depth.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.hpp"

namespace raincell::kernels {

enum class Access : std::uint8_t { in, out, inout };

/// A tensor of one operation; the view may be empty.
struct Argument {
  const char* name;
  View view;  // of an `in` argument never written to
  Access access;
};

/// One call of the seam, as something that can be watched, refused, or run a second time elsewhere.
struct Operation {
  const char* name;
  std::vector<Argument> arguments;
  /// Runs it on a backend, or on a plan for those of a plan, with these views in the order of `arguments`.
  std::function<void(Backend&, ConvPlan*, std::span<const View>)> run;
  bool fills_host = false;  // writes host memory, so it must run once only
};

/// Passes everything on. Decorators override what they watch.
class ForwardingBackend : public Backend {
 public:
  /// Borrows `inner`, which must outlive it.
  explicit ForwardingBackend(Backend& inner) : inner_(inner) {}
  const BackendInfo& info() const override { return inner_.info(); }
  DType dtype() const override { return inner_.dtype(); }
  DType activation_dtype() const override { return inner_.activation_dtype(); }
  void synchronize() override;
  std::size_t free_memory() const override { return inner_.free_memory(); }
  std::size_t shared_bytes() const override { return inner_.shared_bytes(); }

  /// Every operation comes through here. `plan` and `twin` are null unless the operation belongs to a plan.
  virtual void perform(const Operation&, ConvPlan* plan, ConvPlan* twin);

 protected:
  Backend& inner() { return inner_; }
  const Backend& inner() const { return inner_; }
  Buffer allocate_inside(std::size_t bytes, std::string_view what) { return inner_.do_allocate(bytes, what); }
  /// A second plan that perform() gets beside the first; null: none.
  virtual std::unique_ptr<ConvPlan> twin_plan(const ConvSpec&, ConvUse) { return nullptr; }

  Placement do_place(const Shape&, DType) const override;
  Buffer do_allocate(std::size_t bytes, std::string_view what) override;
  void do_write(View, std::span<const double>) override;
  void do_write(View, std::span<const float>) override;
  void do_read(ConstView, std::span<double>) override;
  void do_read(ConstView, std::span<float>) override;
  void do_import_frames(std::span<const float>, const FrameLayout&, View) override;
  void do_export_frames(ConstView, const FrameLayout&, std::span<float>) override;
  std::unique_ptr<ConvPlan> do_plan_convolution(const ConvSpec&, ConvUse) override;
  void do_cell_forward(const CellSpec&, View gates, ConstView recurrent, ConstView h_prev, ConstView c_prev,
                       ConstView peephole, View c, View h) override;
  void do_cell_backward(const CellSpec&, View gates, View recurrent, ConstView h_prev, ConstView c_prev,
                        ConstView c, ConstView peephole, ConstView dh, ConstView dh_recurrent, View dc,
                        View dh_prev, View d_peephole) override;
  void do_activate(Activation, float slope, View) override;
  void do_activate_backward(Activation, float slope, ConstView y, View dy) override;
  void do_fill(View, float) override;
  void do_copy(ConstView, View) override;
  void do_add_scaled(View y, float a, ConstView x) override;
  void do_lerp(View y, float a, ConstView x) override;
  void do_mix(View y, ConstView a, ConstView b, ConstView weights) override;
  void do_mix_backward(View y, ConstView x, ConstView weights, Accumulate) override;
  void do_loss(const LossSpec&, ConstView forecast, ConstView target, ConstView mask, View d_forecast,
               View sums, float scale) override;
  void do_add_sum_of_squares(ConstView x, View sum) override;
  void do_optimizer_step(const OptimizerSpec&, View value, ConstView gradient, View m, View v,
                         ConstView gradient_sum_of_squares, View skipped) override;

 private:
  Backend& inner_;
};

/// Canaries before and behind every allocation, verified after every operation, on free and on demand.
class GuardedBackend : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  /// Throws std::logic_error naming the tensor (and the operation, when known) whose surroundings were
  /// written to.
  void verify(const char* after = "");
  void perform(const Operation&, ConvPlan* plan, ConvPlan* twin) override;

 protected:
  Buffer do_allocate(std::size_t bytes, std::string_view what) override;

 private:
  struct Record {
    Buffer whole;
    std::size_t bytes;
    std::string what;
  };
  static void release(void* context, void* memory, std::size_t bytes) noexcept;
  std::string damage(const Record&);

  std::map<void*, Record> live_;
  std::vector<std::string> damaged_;  // found on free, when nothing may be thrown
};

/// Counts what must not happen inside a training step, and throws there once armed; and the work done.
class CountingBackend : public ForwardingBackend {
 public:
  /// Of all calls of one operation on one size. A multiply-accumulate is two floating-point operations, of
  /// convolutions alone; bytes: every tensor read and written once a call.
  struct Work {
    std::int64_t calls = 0;
    double flop = 0., bytes = 0.;
  };
  struct Counts {
    std::int64_t allocations = 0, plans = 0, writes = 0, reads = 0, synchronizations = 0;
    std::int64_t imports = 0, exports = 0, operations = 0;  // allowed in a step
  };
  using ForwardingBackend::ForwardingBackend;
  const Counts& counts() const { return counts_; }
  /// By operation and size, but for frames that come and go.
  const std::map<std::string, Work>& work() const { return work_; }
  void reset() { counts_ = {}, work_.clear(); }
  /// From now on an allocation, plan, host copy or synchronisation is a std::logic_error that names it.
  void arm(bool armed) { armed_ = armed; }
  void synchronize() override;
  void perform(const Operation&, ConvPlan* plan, ConvPlan* twin) override;

 protected:
  Buffer do_allocate(std::size_t bytes, std::string_view what) override;
  std::unique_ptr<ConvPlan> do_plan_convolution(const ConvSpec&, ConvUse) override;

 private:
  void count(std::int64_t& counter, const std::string& what);
  void count_work(const Operation&, const ConvPlan* plan);

  Counts counts_;
  std::map<std::string, Work> work_;
  bool armed_ = false;
};

/// Runs every operation on a second backend too, from the same inputs, and compares what comes out.
class CheckingBackend : public ForwardingBackend {
 public:
  struct Divergence {
    std::string operation, tensor;
    double error = 0;  // largest |a - b| over the largest |b| of the tensor
    std::string text() const;
  };
  /// Both are borrowed. `tolerance` bounds Divergence::error.
  CheckingBackend(Backend& inner, Backend& truth, double tolerance);
  /// The first operation whose outputs differ by more than the tolerance, or are finite in one backend only.
  const std::optional<Divergence>& first_divergence() const { return first_; }
  /// The largest error met, within the tolerance or not.
  const Divergence& worst() const { return worst_; }
  std::int64_t operations() const { return operations_; }
  void perform(const Operation&, ConvPlan* plan, ConvPlan* twin) override;

 protected:
  std::unique_ptr<ConvPlan> twin_plan(const ConvSpec&, ConvUse) override;

 private:
  void compare(const Operation&, const Argument&, ConstView truth);

  Backend& truth_;
  double tolerance_;
  std::optional<Divergence> first_;
  Divergence worst_;
  std::int64_t operations_ = 0;
};

/// Fails at the n-th call from now, once, as a device would.
class FailingBackend : public ForwardingBackend {
 public:
  enum class Fault : std::uint8_t { device_error, out_of_memory };
  using ForwardingBackend::ForwardingBackend;
  /// 1: the very next call (operation, allocation or plan). 0: never.
  void fail_at(std::int64_t call, Fault fault) { remaining_ = call, fault_ = fault; }
  void perform(const Operation&, ConvPlan* plan, ConvPlan* twin) override;

 protected:
  Buffer do_allocate(std::size_t bytes, std::string_view what) override;
  std::unique_ptr<ConvPlan> do_plan_convolution(const ConvSpec&, ConvUse) override;

 private:
  void count_down(const std::string& call);

  std::int64_t remaining_ = 0;
  Fault fault_ = Fault::device_error;
};

}  // namespace raincell::kernels
