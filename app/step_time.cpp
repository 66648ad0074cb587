#include "app/step_time.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "app/noise_batch.hpp"
#include "app/train.hpp"
#include "kernels/decorators.hpp"
#include "model/trainer.hpp"

namespace raincell::app {

namespace {

using kernels::Access;
using kernels::Accumulate;
using kernels::ConstView;
using kernels::ConvSpec;
using kernels::ConvUse;
using kernels::View;
using std::int64_t;

constexpr double kTrialSeconds = 0.006;  // what a call is cut to, and what the calls of a trial last at least
constexpr double kLongCall = 0.02;       // longer ones are repeated less often
constexpr int kLeastCalls = 3, kMostCalls = 50;
constexpr double kLargestTrial = 96. * (1 << 20);  // bytes of all tensors of an operation
constexpr double kTrialMacs = 2e9;                 // of a call, however fast the device is
constexpr int64_t kLeastRows = 8;

/// Addresses without memory: nothing ever looks there, so the system gives no page.
kernels::Buffer nowhere(std::size_t bytes) {
  const std::size_t size = std::max<std::size_t>(bytes, 1);
  void* const address =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) throw kernels::OutOfMemory("host", size, 0, "addresses of a trial");
  return {address, size, [](void*, void* memory, std::size_t length) noexcept { ::munmap(memory, length); },
          nullptr};
}

double bytes_of(const View& view) {
  return static_cast<double>(kernels::stored_elements(view.shape, view.placement)) *
         static_cast<double>(kernels::size_of(view.dtype));
}

/// Stands between a network and a backend: tensors lie nowhere, and in the place of an operation on them the
/// seconds that it takes are added up.
class TrialBackend : public kernels::ForwardingBackend {
 public:
  explicit TrialBackend(Backend& inner) : ForwardingBackend(inner) { macs_a_second_ = rate(); }
  double seconds() const { return seconds_; }
  void reset() { seconds_ = 0.; }
  void synchronize() override {}

  void perform(const kernels::Operation& operation, kernels::ConvPlan*, kernels::ConvPlan*) override {
    const std::string name = operation.name;
    if (name == "write" || name == "read" || name == "export_frames") return;
    std::vector<View> views;
    for (const kernels::Argument& argument : operation.arguments) views.push_back(argument.view);
    const bool whole = name == "import_frames";  // the host's frames are of one size
    const double scale = whole ? 1. : cut(views, name != "loss");
    std::string key = name;
    for (const View& view : views) key += view.empty() ? " -" : " " + view.shape.text();
    seconds_ += scale * once(key, [&] {
                  std::vector<kernels::Buffer> owners;
                  for (View& view : views) own(view, owners);
                  return fastest([&] { operation.run(inner(), nullptr, views); });
                });
  }

  /// One call of a plan: which of its four, and whether it adds to what is there.
  enum class Call : std::uint8_t { load_weights, forward, backward_data, backward_weights };
  void convolve(const ConvSpec& spec, ConvUse use, Call call, Accumulate accumulate) {
    const ConvSpec cut = this->cut(spec);
    const std::string key = cut.text() + (cut.bias ? "b" : "") + std::to_string(static_cast<int>(call)) +
                            (accumulate == Accumulate::yes ? "+" : "");
    const double scale =
        call == Call::load_weights ? 1. : static_cast<double>(spec.macs()) / static_cast<double>(cut.macs());
    seconds_ += scale * once(key, [&] { return time_of(cut, use, call, accumulate); });
  }

 protected:
  kernels::Buffer do_allocate(std::size_t bytes, std::string_view) override { return nowhere(bytes); }
  std::unique_ptr<kernels::ConvPlan> do_plan_convolution(const ConvSpec&, ConvUse) override;

 private:
  template <class Trial>
  double once(const std::string& key, const Trial& trial) {
    const auto found = tried_.find(key);
    return found != tried_.end() ? found->second : tried_[key] = trial();
  }

  /// Median of a few calls.
  template <class Work>
  double fastest(const Work& work) {
    work();  // the first call is slower
    std::vector<double> times;
    double total = 0.;
    while ((static_cast<int>(times.size()) < kLeastCalls && total < kLeastCalls * kLongCall) ||
           (total < kTrialSeconds && static_cast<int>(times.size()) < kMostCalls)) {
      times.push_back(inner().seconds_of(work));
      total += times.back();
    }
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                     times.end());
    return times[times.size() / 2];
  }

  void own(View& view, std::vector<kernels::Buffer>& owners) {
    if (view.empty()) return;
    owners.push_back(allocate_inside(static_cast<std::size_t>(bytes_of(view)), "a trial"));
    view.memory = owners.back().memory();
  }

  /// Takes steps, then images, then rows away, from every tensor that has as many, until a trial is small
  /// enough. The factor that makes its time the whole one again.
  static double cut(std::vector<View>& views, bool any_steps) {
    const auto total = [&] {
      double sum = 0.;
      for (const View& view : views) sum += view.empty() ? 0. : bytes_of(view);
      return sum;
    };
    const double before = total();
    const auto shrink = [&](int64_t kernels::Shape::*size, int64_t least) {
      int64_t most = 1;
      for (const View& view : views) most = std::max(most, view.empty() ? 1 : view.shape.*size);
      const double wanted = static_cast<double>(most) * kLargestTrial / total();
      const int64_t to = std::clamp(static_cast<int64_t>(wanted), std::min(least, most), most);
      for (View& view : views) {
        if (!view.empty() && view.shape.*size == most) view.shape.*size = to;
      }
    };
    if (any_steps) shrink(&kernels::Shape::t, 1);
    shrink(&kernels::Shape::n, 1);
    shrink(&kernels::Shape::h, kLeastRows);
    return before / std::max(1., total());
  }

  ConvSpec cut(ConvSpec spec) const {
    const double most =
        inner().info().own_memory ? kTrialMacs * 1e3 : std::min(kTrialMacs, macs_a_second_ * kTrialSeconds);
    const auto fits = [&](double macs, double bytes) { return std::min(most / macs, kLargestTrial / bytes); };
    const auto bytes = [](const ConvSpec& s) {
      return 4. * static_cast<double>(s.images * (s.channels_in * s.height * s.width +
                                                  s.channels_out * s.out_height() * s.out_width()));
    };
    const auto shrink = [&](int64_t& size, int64_t least) {
      const double part = fits(static_cast<double>(spec.macs()), bytes(spec));
      size = std::clamp(static_cast<int64_t>(static_cast<double>(size) * part), std::min(size, least), size);
    };
    shrink(spec.images, 1);
    shrink(spec.height, spec.kernel + kLeastRows);
    return spec;
  }

  double time_of(const ConvSpec& spec, ConvUse use, Call call, Accumulate accumulate) {
    kernels::Backend& device = inner();
    const auto plan = device.plan_convolution(spec, use);
    kernels::Tensor weights = device.allocate_plain(spec.weight_shape(), "a trial"), bias;
    if (spec.bias) bias = device.allocate_plain({1, 1, spec.channels_out, 1, 1}, "a trial");
    const auto load = [&] { plan->load_weights(weights.view(), spec.bias ? bias.view() : View{}); };
    load();
    if (call == Call::load_weights) return fastest(load);
    kernels::Tensor x =
        device.allocate({1, spec.images, spec.channels_in, spec.height, spec.width}, "a trial");
    kernels::Tensor y =
        device.allocate({1, spec.images, spec.channels_out, spec.out_height(), spec.out_width()}, "a trial");
    if (call == Call::forward) return fastest([&] { plan->forward(x.view(), y.view(), accumulate); });
    if (call == Call::backward_data)
      return fastest([&] { plan->backward_data(y.view(), x.view(), accumulate); });
    return fastest([&] {
      plan->backward_weights(x.view(), y.view(), weights.view(), spec.bias ? bias.view() : View{},
                             accumulate);
    });
  }

  /// Multiply-accumulates a second of a small convolution: what calls are cut by.
  double rate() {
    const ConvSpec spec{.images = 1, .channels_in = 64, .channels_out = 64, .height = 16, .width = 16};
    macs_a_second_ = kTrialMacs;  // so that this one is not cut
    return static_cast<double>(spec.macs()) /
           time_of(spec, ConvUse::inference, Call::forward, Accumulate::no);
  }

  const Backend& inner() const { return ForwardingBackend::inner(); }
  Backend& inner() { return ForwardingBackend::inner(); }

  std::map<std::string, double> tried_;  // seconds of a call, by operation and sizes
  double seconds_ = 0., macs_a_second_ = 0.;
};

class TrialPlan : public kernels::ConvPlan {
 public:
  TrialPlan(TrialBackend& owner, const ConvSpec& spec, ConvUse use, kernels::Placement x,
            kernels::Placement y)
      : ConvPlan(spec, use, owner.activation_dtype(), x, y), owner_(owner) {}
  std::string implementation() const override { return ""; }
  std::size_t bytes() const override { return 0; }

 protected:
  using Call = TrialBackend::Call;
  void do_load_weights(ConstView, ConstView) override {
    owner_.convolve(spec(), use(), Call::load_weights, Accumulate::no);
  }
  void do_forward(ConstView, View, Accumulate accumulate) override {
    owner_.convolve(spec(), use(), Call::forward, accumulate);
  }
  void do_backward_data(ConstView, View, Accumulate accumulate) override {
    owner_.convolve(spec(), use(), Call::backward_data, accumulate);
  }
  void do_backward_weights(ConstView, ConstView, View, View, Accumulate accumulate) override {
    owner_.convolve(spec(), use(), Call::backward_weights, accumulate);
  }

 private:
  TrialBackend& owner_;
};

std::unique_ptr<kernels::ConvPlan> TrialBackend::do_plan_convolution(const ConvSpec& spec, ConvUse use) {
  return std::make_unique<TrialPlan>(
      *this, spec, use, place({1, spec.images, spec.channels_in, spec.height, spec.width}),
      place({1, spec.images, spec.channels_out, spec.out_height(), spec.out_width()}));
}

}  // namespace

double tried_step_seconds(const Config& config, kernels::Backend& backend, int64_t rows, int64_t columns) {
  TrialBackend trial(backend);
  model::Network network(config.model, trial, config.seed);
  network.plan({.batch = config.training.batch,
                .height = rows,
                .width = columns,
                .training = true,
                .predict_input = config.training.predict_input});
  model::Trainer trainer(network, training_spec(config));
  const NoiseBatch noise(config.model, config.training.batch, rows, columns, true);
  trial.reset();
  while (!trainer.step(noise.view())) {
  }
  return trial.seconds();
}

}  // namespace raincell::app
