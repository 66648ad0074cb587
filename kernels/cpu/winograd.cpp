// Tiles are taken in groups that fit a core's cache: transformed, multiplied by the library as 36 matrices,
// and transformed back, so that scratch memory does not grow with the image. Every tile is computed alone:
// the bits do not depend on the number of threads, but for the gradient of the weights, whose sums are cut
// into parts.
#include "kernels/cpu/winograd.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>

#include "kernels/cpu/memory.hpp"
#include "kernels/cpu/product_onednn.hpp"
#include "kernels/cpu/threads.hpp"

namespace raincell::kernels::cpu {

namespace {

constexpr std::int64_t kGroup = 64;           // tiles that are transformed and multiplied together
constexpr std::int64_t kGradientGroup = 128;  // more, because their products add to all weights
constexpr std::int64_t kLeastChannels = 16;   // below, the transforms cost more than they save
constexpr std::int64_t kLeastPixels = 64;
constexpr std::int64_t kApart = 16;  // elements between matrices, so that they do not share cache sets

std::int64_t stride_of(std::int64_t rows, std::int64_t columns) {
  return rows * columns + kApart;
}

WinogradTiles tiles_of(std::int64_t images, std::int64_t height, std::int64_t width, std::int64_t out_height,
                       std::int64_t out_width, std::int64_t padding) {
  const auto tiles = [](std::int64_t size) { return (size + kWinogradTile - 1) / kWinogradTile; };
  return {images,           height,           width, out_height, out_width, padding, padding,
          tiles(out_width), tiles(out_height)};
}

}  // namespace

struct Winograd::State {
  struct Thread {
    Buffer left, right;  // values of inputs and of outputs
  };
  int threads;
  const PointwiseKernels& kernels;
  std::vector<Thread> own;
  Buffer weights;  // transformed, on their way to a layout of the library
  Buffer sums;     // of weight gradients, [thread][36][inner, columns]

  State(int count, const PointwiseKernels& pointwise)
      : threads(count), kernels(pointwise), own(static_cast<std::size_t>(count)) {}
  static void grow(Buffer& buffer, std::int64_t elements, const char* what, int threads) {
    const auto bytes = static_cast<std::size_t>(elements) * sizeof(float);
    if (bytes > buffer.bytes()) buffer = allocate_host(bytes, what, threads);
  }
  void grow_scratch(std::int64_t left, std::int64_t right) {
    for (Thread& thread : own) {
      grow(thread.left, left, "values of Winograd's convolution", 1);
      grow(thread.right, right, "values of Winograd's convolution", 1);
    }
  }
  float* left(int thread) { return static_cast<float*>(own[static_cast<std::size_t>(thread)].left.memory()); }
  float* right(int thread) {
    return static_cast<float*>(own[static_cast<std::size_t>(thread)].right.memory());
  }

  /// work(first tile, tiles, thread) for groups of tiles. What fails in a thread is thrown once all are done.
  template <class Work>
  void each_group(std::int64_t tiles, std::int64_t group, const Work& work) {
    std::atomic<bool> failed{false};
    const std::int64_t groups = (tiles + group - 1) / group;
#pragma omp parallel num_threads(threads)
    {
      for (int part = omp_get_thread_num(); part < threads; part += omp_get_num_threads()) {
        const std::int64_t last = groups * (part + 1) / threads;
        for (std::int64_t i = groups * part / threads; i < last; ++i) {
          try {
            work(i * group, std::min(group, tiles - i * group), part);
          } catch (const DeviceError&) {
            failed = true;
          }
        }
      }
    }
    if (failed) throw DeviceError("oneDNN", "matmul", "a product of Winograd's convolution failed");
  }
};

namespace {

/// One direction: images with `inner` channels to images with `columns`.
class Direction {
 public:
  Direction(Winograd::State& state, const WinogradTiles& tiles, std::int64_t inner, std::int64_t columns,
            bool turned)
      : state_(state),
        tiles_(tiles),
        count_(tiles.images * tiles.across * tiles.down),
        inner_(inner),
        columns_(columns),
        turned_(turned),
        products_({.count = kWinogradValues,
                   .rows = kGroup,
                   .inner = inner,
                   .columns = columns,
                   .a_stride = stride_of(kGroup, inner),
                   .c_stride = stride_of(kGroup, columns),
                   .packed = true},
                  state.threads) {
    state.grow_scratch(kWinogradValues * stride_of(kGroup, inner),
                       kWinogradValues * stride_of(kGroup, columns));
    Winograd::State::grow(state.weights, kWinogradValues * inner * columns, "transformed weights", 1);
  }
  std::size_t bytes() const { return products_.bytes(); }
  const std::string& name() const { return products_.name(); }

  void load_weights(const float* weights) {
    auto* const values = static_cast<float*>(state_.weights.memory());
    parallel_parts(state_.threads, inner_, 2, [&](std::int64_t begin, std::int64_t end, int) {
      state_.kernels.winograd_weights(weights, inner_, columns_, turned_, begin, end, values);
    });
    products_.pack(values);
  }
  void run(const float* x, const float* bias, bool adds, float* y) {
    const std::int64_t left = stride_of(kGroup, inner_), right = stride_of(kGroup, columns_);
    state_.each_group(count_, kGroup, [&](std::int64_t first, std::int64_t count, int thread) {
      float *const values = state_.left(thread), *const sums = state_.right(thread);
      state_.kernels.winograd_input(tiles_, inner_, x, first, first + count, values, left);
      products_.run(thread, values, nullptr, sums);
      state_.kernels.winograd_output(tiles_, columns_, sums, right, first, first + count, bias, adds, y);
    });
  }

 private:
  Winograd::State& state_;
  WinogradTiles tiles_;
  std::int64_t count_, inner_, columns_;
  bool turned_;
  Products products_;
};

/// The gradient of the weights: F(3x3, 4x4) with the gradient of the outputs in the place of weights.
class WeightGradient {
 public:
  WeightGradient(Winograd::State& state, const WinogradTiles& tiles, std::int64_t inner, std::int64_t columns)
      : state_(state),
        tiles_(tiles),
        count_(tiles.images * tiles.across * tiles.down),
        inner_(inner),
        columns_(columns),
        products_({.count = kWinogradValues,
                   .rows = inner,
                   .inner = kGradientGroup,
                   .columns = columns,
                   .a_stride = stride_of(kGradientGroup, inner),
                   .b_stride = stride_of(kGradientGroup, columns),
                   .c_stride = inner * columns,
                   .a_turned = true,
                   .adds = true},
                  state.threads) {
    state.grow_scratch(kWinogradValues * stride_of(kGradientGroup, inner),
                       kWinogradValues * stride_of(kGradientGroup, columns));
    Winograd::State::grow(state.sums, state.threads * size(), "sums of weight gradients", state.threads);
  }
  std::size_t bytes() const { return products_.bytes(); }
  const std::string& name() const { return products_.name(); }

  void run(const float* x, const float* dy, bool adds, float* d_weights) {
    const std::int64_t left = stride_of(kGradientGroup, inner_), right = stride_of(kGradientGroup, columns_);
    auto* const sums = static_cast<float*>(state_.sums.memory());
    parallel_parts(
        state_.threads, state_.threads * size(), 0,
        [&](std::int64_t begin, std::int64_t end, int) { std::fill(sums + begin, sums + end, 0.F); });
    state_.each_group(count_, kGradientGroup, [&](std::int64_t first, std::int64_t count, int thread) {
      float *const inputs = state_.left(thread), *const gradients = state_.right(thread);
      state_.kernels.winograd_input(tiles_, inner_, x, first, first + count, inputs, left);
      state_.kernels.winograd_gradient(tiles_, columns_, dy, first, first + count, gradients, right);
      clear_rest(inputs, left, inner_, count);
      clear_rest(gradients, right, columns_, count);
      products_.run(thread, inputs, gradients, sums + thread * size());
    });
    parallel_parts(state_.threads, inner_, 2, [&](std::int64_t begin, std::int64_t end, int) {
      state_.kernels.winograd_weight_gradient(sums, state_.threads, inner_, columns_, adds, begin, end,
                                              d_weights);
    });
  }

 private:
  std::int64_t size() const { return kWinogradValues * inner_ * columns_; }
  /// The last group has fewer tiles: the rows of the others, left from before, must not count.
  static void clear_rest(float* values, std::int64_t stride, std::int64_t channels, std::int64_t count) {
    if (count == kGradientGroup) return;
    for (std::int64_t matrix = 0; matrix < kWinogradValues; ++matrix)
      std::fill(values + matrix * stride + count * channels,
                values + matrix * stride + kGradientGroup * channels, 0.F);
  }

  Winograd::State& state_;
  WinogradTiles tiles_;
  std::int64_t count_, inner_, columns_;
  Products products_;
};

class WinogradPlan : public ConvPlan {
 public:
  WinogradPlan(Winograd::State& state, const ConvSpec& spec, ConvUse use, Placement x, Placement y)
      : ConvPlan(spec, use, DType::f32, x, y),
        state_(state),
        tiles_(tiles_of(spec.images, spec.height, spec.width, spec.out_height(), spec.out_width(),
                        spec.padding)),
        forward_(state, tiles_, spec.channels_in, spec.channels_out, false) {
    if (use == ConvUse::training) {
      back_.emplace(state,
                    tiles_of(spec.images, spec.out_height(), spec.out_width(), spec.height, spec.width,
                             spec.kernel - 1 - spec.padding),
                    spec.channels_out, spec.channels_in, true);
    }
    if (use != ConvUse::inference) gradient_.emplace(state, tiles_, spec.channels_in, spec.channels_out);
    if (!spec.bias) return;
    bias_ = allocate_host(static_cast<std::size_t>(spec.channels_out) * sizeof(float), "a bias", 1);
    bias_sums_.resize(static_cast<std::size_t>(spec.channels_out * state.threads));
  }
  std::string implementation() const override {
    std::string text = "forward Winograd with " + forward_.name();
    if (back_) text += ", adjoint Winograd with " + back_->name();
    if (gradient_) text += ", weights Winograd with " + gradient_->name();
    return text;
  }
  std::size_t bytes() const override {
    return forward_.bytes() + (back_ ? back_->bytes() : 0) + (gradient_ ? gradient_->bytes() : 0);
  }

 protected:
  void do_load_weights(ConstView weights, ConstView bias) override {
    forward_.load_weights(static_cast<const float*>(weights.memory));
    if (back_) back_->load_weights(static_cast<const float*>(weights.memory));
    if (!bias.empty()) std::memcpy(bias_.memory(), bias.memory, bias_.bytes());
  }
  void do_forward(ConstView x, View y, Accumulate accumulate) override {
    forward_.run(static_cast<const float*>(x.memory), static_cast<const float*>(bias_.memory()),
                 accumulate == Accumulate::yes, static_cast<float*>(y.memory));
  }
  void do_backward_data(ConstView dy, View dx, Accumulate accumulate) override {
    back_->run(static_cast<const float*>(dy.memory), nullptr, accumulate == Accumulate::yes,
               static_cast<float*>(dx.memory));
  }
  void do_backward_weights(ConstView x, ConstView dy, View d_weights, View d_bias,
                           Accumulate accumulate) override {
    const bool adds = accumulate == Accumulate::yes;
    gradient_->run(static_cast<const float*>(x.memory), static_cast<const float*>(dy.memory), adds,
                   static_cast<float*>(d_weights.memory));
    if (!d_bias.empty()) sum_bias_gradient(dy, d_bias, adds);
  }

 private:
  /// Sums of dy over images and pixels, in fixed parts.
  void sum_bias_gradient(ConstView dy, View d_bias, bool adds) {
    const std::int64_t channels = spec().channels_out;
    std::fill(bias_sums_.begin(), bias_sums_.end(), 0.);
    parallel_parts(state_.threads, dy.shape.images() * dy.shape.pixels(), kSerialElements / channels,
                   [&](std::int64_t begin, std::int64_t end, int part) {
                     state_.kernels.sum_rows(static_cast<const float*>(dy.memory),
                                             bias_sums_.data() + part * channels, channels, begin, end);
                   });
    auto* const out = static_cast<float*>(d_bias.memory);
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0;
      for (int part = 0; part < state_.threads; ++part)
        sum += bias_sums_[static_cast<std::size_t>(part * channels + c)];
      out[c] = (adds ? out[c] : 0.F) + static_cast<float>(sum);
    }
  }

  Winograd::State& state_;
  WinogradTiles tiles_;
  Direction forward_;
  std::optional<Direction> back_;
  std::optional<WeightGradient> gradient_;
  Buffer bias_;
  std::vector<double> bias_sums_;
};

}  // namespace

Winograd::Winograd(int threads, const PointwiseKernels& kernels)
    : state_(std::make_unique<State>(threads, kernels)) {}
Winograd::~Winograd() = default;

bool Winograd::suits(const ConvSpec& spec) {
  return spec.kernel == 3 && spec.stride == 1 && !spec.transposed && spec.padding <= 2 &&
         spec.channels_in >= kLeastChannels && spec.channels_out >= kLeastChannels &&
         spec.height * spec.width >= kLeastPixels;
}

std::unique_ptr<ConvPlan> Winograd::plan(const ConvSpec& spec, ConvUse use, Placement x, Placement y) {
  return std::make_unique<WinogradPlan>(*state_, spec, use, x, y);
}

std::size_t Winograd::bytes() const {
  std::size_t sum = state_->weights.bytes() + state_->sums.bytes();
  for (const State::Thread& thread : state_->own) sum += thread.left.bytes() + thread.right.bytes();
  return sum;
}

}  // namespace raincell::kernels::cpu
