#include "kernels/cuda/conv.hpp"

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/im2col.hpp"
#include "kernels/cuda/pointwise.hpp"
#include "kernels/cuda/reduce.hpp"

namespace raincell::kernels::cuda {

namespace {

constexpr int kCandidates = 8;                                   // engines measured for a convolution
constexpr int kFusedCandidates = 4;                              // they take a second each to compile
constexpr std::size_t kFuseFrom = std::size_t{1} << 20;          // bytes; an addition of less costs nothing
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

std::size_t bias_bytes(const Correlation& c) {
  return static_cast<std::size_t>((c.result == Correlation::Result::a ? c.a : c.b).channels) * sizeof(float);
}

std::string image_text(const Correlation::Image& image) {
  return "c" + std::to_string(image.channels) + "h" + std::to_string(image.height) + "w" +
         std::to_string(image.width);
}

}  // namespace

std::string Correlation::text() const {
  const char* const what = result == Result::b ? "forward " : result == Result::a ? "data " : "filter ";
  return what + ("n" + std::to_string(images)) + image_text(a) + "-" + image_text(b) + "k" +
         std::to_string(kernel) + "s" + std::to_string(stride) + "p" + std::to_string(padding) + "top" +
         std::to_string(top) + "bottom" + std::to_string(bottom) +
         (then == Then::add_before ? "+"
          : then == Then::add_bias ? "+bias"
                                   : "");
}

Correlation correlation_of(const ConvSpec& spec, Correlation::Result result) {
  const Correlation::Image x{spec.channels_in, spec.height, spec.width},
      y{spec.channels_out, spec.out_height(), spec.out_width()};
  return {
      result,       spec.images, spec.transposed ? y : x, spec.transposed ? x : y,   spec.kernel, spec.stride,
      spec.padding, spec.top(),  spec.bottom(),           Correlation::Then::nothing};
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

std::vector<std::unique_ptr<Engine>> Convolutions::candidates(const Correlation& correlation) {
  const bool fused = correlation.then != Correlation::Then::nothing;
  const auto count = fused ? kFusedCandidates : kCandidates;
  std::vector<std::unique_ptr<Engine>> all;
  if (const auto product = im2col_product(correlation)) {
    for (auto& engine : cudnn_.engines(*product, arithmetic_, deterministic_, count, kWorkspaceLimit)) {
      auto made = im2col_engine(device_.stream(), correlation, type(), std::move(engine));
      if (made->workspace_bytes() <= kWorkspaceLimit) all.push_back(std::move(made));
    }
  }
  for (auto& engine : cudnn_.engines(correlation, arithmetic_, deterministic_, count, kWorkspaceLimit))
    all.push_back(std::move(engine));
  if (all.empty() && !fused) return cudnn_.engines(correlation, arithmetic_, deterministic_, 1, SIZE_MAX);
  return all;
}

Convolutions::Choice Convolutions::measure(const Correlation& correlation) {
  using Then = Correlation::Then;
  auto engines = candidates(correlation);
  const std::size_t size = size_of(type());
  const std::size_t size_a = elements(correlation.a, correlation.images),
                    size_b = elements(correlation.b, correlation.images),
                    size_result = correlation.result == Correlation::Result::a ? size_a : size_b;
  Scratch a(device_, kTrial), filter(device_, kTrial), b(device_, kTrial), bias(device_, kTrial),
      workspace(device_, kTrial);
  Choice best;
  std::string why;
  for (auto& engine : engines) {
    try {
      const Operands operands{a.reserve(size * size_a), filter.reserve(size * filter_elements(correlation)),
                              b.reserve(size * size_b),
                              correlation.then != Then::add_bias
                                  ? nullptr
                                  : static_cast<const float*>(bias.reserve(bias_bytes(correlation))),
                              workspace.reserve(engine->workspace_bytes())};
      const auto run = [&] { engine->run(operands); };
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
      if (best.engine == nullptr && &engine == &engines.back()) throw;
    } catch (const DeviceError& refusal) {  // the next one may do; an error that stays shows again below
      why = std::string(": ") + refusal.what();
    }
  }
  device_.synchronize();
  if (best.engine == nullptr && correlation.then == Then::nothing)
    throw DeviceError("cuDNN", "plan_convolution", "no engine for " + correlation.text() + why);
  if (best.engine != nullptr && correlation.then != Then::nothing && !deterministic_) {
    Correlation plain = correlation;
    plain.then = Then::nothing;
    const float apart = choose(plain).milliseconds + addition_milliseconds(correlation, size_result);
    if (apart <= best.milliseconds) best = {};
  }
  if (best.engine != nullptr) workspace_.reserve(best.engine->workspace_bytes());
  return best;
}

float Convolutions::addition_milliseconds(const Correlation& correlation, std::size_t count) {
  const bool a = correlation.result == Correlation::Result::a;
  const std::int64_t channels = (a ? correlation.a : correlation.b).channels;
  const Shape shape{1, 1, channels, static_cast<std::int64_t>(count) / channels, 1};
  Scratch x(device_, kTrial), y(device_, kTrial);
  const std::size_t bytes = count * size_of(type());
  const View to{y.reserve(bytes), shape, type(), {channels}};
  if (correlation.then == Correlation::Then::add_bias) {
    const auto* const bias = static_cast<const float*>(x.reserve(bias_bytes(correlation)));
    return time_of(device_, [&] { add_bias(device_.stream(), to, bias); });
  }
  const ConstView from{x.reserve(bytes), shape, type(), {channels}};
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
    forward_ = pass(spec.transposed ? Result::a : Result::b, spec.bias);
    if (use == ConvUse::training) backward_data_ = pass(spec.transposed ? Result::b : Result::a, false);
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
    const bool fused = forward_.with_bias != nullptr && accumulate == Accumulate::no;
    run(forward_, x, y, accumulate);
    if (spec().bias && !fused) add_bias(stream(), y, static_cast<const float*>(bias_.memory()));
  }

  void do_backward_data(ConstView dy, View dx, Accumulate accumulate) override {
    run(backward_data_, dy, dx, accumulate);
  }

  void do_backward_weights(ConstView x, ConstView dy, View d_weights, View d_bias,
                           Accumulate accumulate) override {
    const ConstView& a = spec().transposed ? dy : x;
    const ConstView& b = spec().transposed ? x : dy;
    void* const result = shared_.result_.reserve(filter_elements(plain_) * size_of(shared_.type()));
    backward_weights_->run({const_cast<void*>(a.memory), result, const_cast<void*>(b.memory), nullptr,
                            shared_.workspace_.reserve(backward_weights_->workspace_bytes())});
    unpack_filter(stream(), shared_.type(), result, d_weights, accumulate);
    if (!d_bias.empty()) sum_over_pixels(stream(), dy, d_bias, accumulate, shared_.sums_.memory());
  }

 private:
  /// One direction: the result alone, added to what is there, and with the bias of the forward pass; the
  /// latter two where cuDNN has them and they are faster than an addition of their own.
  struct Pass {
    Correlation::Result result = Correlation::Result::b;
    std::shared_ptr<Engine> plain, adding, with_bias;
  };

  Stream stream() const { return shared_.device_.stream(); }

  std::shared_ptr<Engine> engine(Correlation::Result result) {
    Correlation correlation = plain_;
    correlation.result = result;
    return shared_.choose(correlation).engine;
  }

  Pass pass(Correlation::Result result, bool bias) {
    const std::size_t count = elements(result == Correlation::Result::a ? plain_.a : plain_.b, plain_.images);
    const auto fused = [&](Correlation::Then then) -> std::shared_ptr<Engine> {
      if (count * size_of(shared_.type()) < kFuseFrom) return nullptr;
      Correlation correlation = plain_;
      correlation.result = result;
      correlation.then = then;
      return shared_.choose(correlation).engine;
    };
    Pass out{result, engine(result), fused(Correlation::Then::add_before),
             bias ? fused(Correlation::Then::add_bias) : nullptr};
    if (out.adding == nullptr) reserve_result(count);
    return out;
  }

  void reserve_result(std::size_t count) { shared_.result_.reserve(count * size_of(shared_.type())); }

  void run(const Pass& pass, ConstView from, View to, Accumulate accumulate) {
    const bool adds = accumulate == Accumulate::yes, apart = adds && pass.adding == nullptr;
    Engine& engine = adds && !apart                       ? *pass.adding
                     : !adds && pass.with_bias != nullptr ? *pass.with_bias
                                                          : *pass.plain;
    void* const target =
        apart ? shared_.result_.reserve(static_cast<std::size_t>(to.shape.elements()) * size_of(to.dtype))
              : to.memory;
    void* const source = const_cast<void*>(from.memory);
    const bool gives_a = pass.result == Correlation::Result::a;
    engine.run({gives_a ? target : source, filter_.memory(), gives_a ? source : target,
                static_cast<const float*>(bias_.memory()),
                shared_.workspace_.reserve(engine.workspace_bytes())});
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
