#include "kernels/cuda/conv.hpp"

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/pointwise.hpp"
#include "kernels/cuda/reduce.hpp"

namespace raincell::kernels::cuda {

namespace {

constexpr int kCandidates = 8;                                   // engines measured for a convolution
constexpr int kAddingCandidates = 2;                             // they take a second each to compile
constexpr std::size_t kAddingFrom = std::size_t{1} << 20;        // bytes; an addition of less costs nothing
constexpr int kRounds = 3;                                       // of each: the best counts
constexpr float kRoundMilliseconds = 1.F;                        // least time of a round
constexpr int kMostRuns = 64;                                    // in a round
constexpr std::size_t kWorkspaceLimit = std::size_t{512} << 20;  // bytes; a faster engine may not take more
constexpr const char* kTrial = "trial of convolutions";

/// Milliseconds of one run: the best of some rounds.
template <class Run>
float time_of(Device& device, const Run& run) {
  Stopwatch watch(device);
  watch.start();
  run();  // makes what the first run makes
  const float first = watch.stop();
  const int runs = std::clamp(static_cast<int>(kRoundMilliseconds / std::max(first, 1e-3F)), 1, kMostRuns);
  float best = 0;
  for (int round = 0; round < kRounds; ++round) {
    watch.start();
    for (int i = 0; i < runs; ++i) run();
    const float milliseconds = watch.stop() / static_cast<float>(runs);
    if (round == 0 || milliseconds < best) best = milliseconds;
  }
  return best;
}

std::size_t elements(const Correlation::Image& image, std::int64_t images) {
  return static_cast<std::size_t>(images * image.channels * image.height * image.width);
}

std::size_t filter_elements(const Correlation& c) {
  return static_cast<std::size_t>(c.a.channels * c.b.channels * c.kernel * c.kernel);
}

std::string image_text(const Correlation::Image& image) {
  return "c" + std::to_string(image.channels) + "h" + std::to_string(image.height) + "w" +
         std::to_string(image.width);
}

}  // namespace

std::string Correlation::text() const {
  const char* const what = result == Result::b ? "forward " : result == Result::a ? "data " : "filter ";
  return what + ("n" + std::to_string(images)) + image_text(a) + "-" + image_text(b) + "k" +
         std::to_string(kernel) + "s" + std::to_string(stride) + "p" + std::to_string(padding) +
         (adds ? "+" : "");
}

Correlation correlation_of(const ConvSpec& spec, Correlation::Result result) {
  const Correlation::Image x{spec.channels_in, spec.height, spec.width},
      y{spec.channels_out, spec.out_height(), spec.out_width()};
  return {
      result,       spec.images, spec.transposed ? y : x, spec.transposed ? x : y, spec.kernel, spec.stride,
      spec.padding, false};
}

Convolutions::Convolutions(Device& device, Arithmetic arithmetic, bool deterministic)
    : device_(device),
      cudnn_(device.stream()),
      arithmetic_(arithmetic),
      deterministic_(deterministic),
      workspace_(device, "workspace of cuDNN"),
      result_(device, "scratch of convolutions"),
      sums_(device, "scratch of bias gradients") {}

const Convolutions::Choice& Convolutions::choose(const Correlation& correlation) {
  const std::string question = correlation.text();
  const auto known = choices_.find(question);
  return known != choices_.end() ? known->second
                                 : choices_.emplace(question, measure(correlation)).first->second;
}

Convolutions::Choice Convolutions::measure(const Correlation& correlation) {
  auto candidates = cudnn_.engines(correlation, arithmetic_, deterministic_,
                                   correlation.adds ? kAddingCandidates : kCandidates, kWorkspaceLimit);
  if (candidates.empty() && !correlation.adds)
    candidates = cudnn_.engines(correlation, arithmetic_, deterministic_, 1, SIZE_MAX);
  const std::size_t size = size_of(type());
  const std::size_t size_a = elements(correlation.a, correlation.images),
                    size_b = elements(correlation.b, correlation.images);
  Scratch a(device_, kTrial), filter(device_, kTrial), b(device_, kTrial), workspace(device_, kTrial);
  Choice best;
  std::string why;
  for (auto& engine : candidates) {
    try {
      a.reserve(size * size_a), filter.reserve(size * filter_elements(correlation)), b.reserve(size * size_b);
      workspace.reserve(engine->workspace_bytes());
      const auto run = [&] { engine->run(a.memory(), filter.memory(), b.memory(), workspace.memory()); };
      if (deterministic_) {
        run();
        device_.synchronize();
        best = {std::move(engine), 0};
        break;
      }
      const float milliseconds = time_of(device_, run);
      if (best.engine == nullptr || milliseconds < best.milliseconds)
        best = {std::move(engine), milliseconds};
    } catch (const OutOfMemory&) {
      if (best.engine == nullptr && &engine == &candidates.back()) throw;
    } catch (const DeviceError& refusal) {  // the next one may do; an error that stays shows again below
      why = std::string(": ") + refusal.what();
    }
  }
  device_.synchronize();
  if (best.engine == nullptr && !correlation.adds)
    throw DeviceError("cuDNN", "plan_convolution", "no engine for " + correlation.text() + why);
  if (best.engine != nullptr && correlation.adds && !deterministic_) {
    Correlation plain = correlation;
    plain.adds = false;
    const std::size_t count = correlation.result == Correlation::Result::a ? size_a : size_b;
    const float apart = choose(plain).milliseconds + addition_milliseconds(count);
    if (apart <= best.milliseconds) best = {};
  }
  if (best.engine != nullptr) workspace_.reserve(best.engine->workspace_bytes());
  return best;
}

float Convolutions::addition_milliseconds(std::size_t count) {
  const Shape shape{1, 1, 1, 1, static_cast<std::int64_t>(count)};
  Scratch x(device_, kTrial), y(device_, kTrial);
  const std::size_t bytes = count * size_of(type());
  const ConstView from{x.reserve(bytes), shape, type(), {}};
  const View to{y.reserve(bytes), shape, type(), {}};
  return time_of(device_, [&] { add_scaled(device_.stream(), to, 1.F, from); });
}

class Convolution : public ConvPlan {
 public:
  Convolution(Convolutions& shared, const ConvSpec& spec, ConvUse use, Placement x, Placement y)
      : ConvPlan(spec, use, shared.type(), x, y),
        shared_(shared),
        plain_(correlation_of(spec, Correlation::Result::b)),
        filter_(shared.device_, "packed weights"),
        bias_(shared.device_, "packed weights") {
    filter_.reserve(filter_elements(plain_) * size_of(shared.type()));
    if (spec.bias) bias_.reserve(static_cast<std::size_t>(spec.channels_out) * sizeof(float));
    using Result = Correlation::Result;
    forward_ = pass(spec.transposed ? Result::a : Result::b);
    if (use == ConvUse::training) backward_data_ = pass(spec.transposed ? Result::b : Result::a);
    if (use == ConvUse::inference) return;
    backward_weights_ = engine(Result::filter);
    reserve_result(filter_elements(plain_));
    if (spec.bias) {
      shared.sums_.reserve(
          channel_sum_scratch({1, spec.images, spec.channels_out, spec.out_height(), spec.out_width()}));
    }
  }

  std::string implementation() const override {
    std::string text = "forward cuDNN " + forward_.plain->name();
    if (backward_data_.plain != nullptr) text += ", data " + backward_data_.plain->name();
    if (backward_weights_ != nullptr) text += ", weights " + backward_weights_->name();
    return text;
  }
  std::size_t bytes() const override { return filter_.bytes() + bias_.bytes(); }

 protected:
  void do_load_weights(ConstView weights, ConstView bias) override {
    pack_filter(stream(), weights, shared_.type(), filter_.memory());
    if (!bias.empty())
      shared_.device_.copy(bias_.memory(), bias.memory,
                           static_cast<std::size_t>(bias.shape.c) * sizeof(float));
  }

  void do_forward(ConstView x, View y, Accumulate accumulate) override {
    run(forward_, x, y, accumulate);
    if (spec().bias) add_bias(stream(), y, static_cast<const float*>(bias_.memory()));
  }

  void do_backward_data(ConstView dy, View dx, Accumulate accumulate) override {
    run(backward_data_, dy, dx, accumulate);
  }

  void do_backward_weights(ConstView x, ConstView dy, View d_weights, View d_bias,
                           Accumulate accumulate) override {
    const ConstView& a = spec().transposed ? dy : x;
    const ConstView& b = spec().transposed ? x : dy;
    void* const result = shared_.result_.reserve(filter_elements(plain_) * size_of(shared_.type()));
    backward_weights_->run(const_cast<void*>(a.memory), result, const_cast<void*>(b.memory),
                           shared_.workspace_.reserve(backward_weights_->workspace_bytes()));
    unpack_filter(stream(), shared_.type(), result, d_weights, accumulate);
    if (!d_bias.empty()) sum_over_pixels(stream(), dy, d_bias, accumulate, shared_.sums_.memory());
  }

 private:
  /// One direction: the result alone, and added to what is there where cuDNN has that and it is faster than
  /// an addition of its own.
  struct Pass {
    Correlation::Result result = Correlation::Result::b;
    std::shared_ptr<Engine> plain, adding;
  };

  Stream stream() const { return shared_.device_.stream(); }

  std::shared_ptr<Engine> engine(Correlation::Result result) {
    Correlation correlation = plain_;
    correlation.result = result;
    return shared_.choose(correlation).engine;
  }

  Pass pass(Correlation::Result result) {
    Correlation adding = plain_;
    adding.result = result;
    adding.adds = true;
    const std::size_t count = elements(result == Correlation::Result::a ? plain_.a : plain_.b, plain_.images);
    Pass out{result, engine(result), nullptr};
    if (count * size_of(shared_.type()) >= kAddingFrom) out.adding = shared_.choose(adding).engine;
    if (out.adding == nullptr) reserve_result(count);
    return out;
  }

  void reserve_result(std::size_t count) { shared_.result_.reserve(count * size_of(shared_.type())); }

  void run(const Pass& pass, ConstView from, View to, Accumulate accumulate) {
    const bool adds = accumulate == Accumulate::yes, apart = adds && pass.adding == nullptr;
    Engine& engine = adds && !apart ? *pass.adding : *pass.plain;
    void* const target =
        apart ? shared_.result_.reserve(static_cast<std::size_t>(to.shape.elements()) * size_of(to.dtype))
              : to.memory;
    void* const source = const_cast<void*>(from.memory);
    const bool gives_a = pass.result == Correlation::Result::a;
    engine.run(gives_a ? target : source, filter_.memory(), gives_a ? source : target,
               shared_.workspace_.reserve(engine.workspace_bytes()));
    if (apart) add_scaled(stream(), to, 1.F, {target, to.shape, to.dtype, to.placement});
  }

  Convolutions& shared_;
  Correlation plain_;
  Scratch filter_, bias_;
  Pass forward_, backward_data_;
  std::shared_ptr<Engine> backward_weights_;
};

std::unique_ptr<ConvPlan> Convolutions::plan(const ConvSpec& spec, ConvUse use, Placement x, Placement y) {
  return std::make_unique<Convolution>(*this, spec, use, x, y);
}

}  // namespace raincell::kernels::cuda
