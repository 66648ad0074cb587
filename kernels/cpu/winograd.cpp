// Tiles are taken in groups that fit a core's cache, so that scratch memory does not grow with the image:
// their inputs are transformed, and then, a panel of output channels at a time, multiplied as 36 matrices
// and transformed back. Weights lie in the order in which they are read.
#include "kernels/cpu/winograd.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "kernels/cpu/channel_sums.hpp"
#include "kernels/cpu/memory.hpp"
#include "kernels/cpu/threads.hpp"

namespace raincell::kernels::cpu {

namespace {

constexpr std::int64_t kGroup = 48;  // tiles that are transformed and multiplied together at most
constexpr std::int64_t kLeastGroup = 16, kUnit = 8;
constexpr std::int64_t kCacheBytes = 1200 << 10;  // of a group's inputs: the rest of 2 MiB is for the others
// Below, the transforms cost more than they save: measured against oneDNN's direct convolution on AVX-512.
constexpr std::int64_t kLeastChannels = 16, kLeastWeights = 1024, kLeastTiles = 16;
constexpr std::int64_t kSide = 6;    // of a tile's inputs
constexpr std::int64_t kApart = 16;  // elements between matrices, so that they do not share cache sets

std::int64_t stride_of(std::int64_t rows, std::int64_t columns) {
  return rows * columns + kApart;
}

const WinogradKernels& kernels_for(std::int64_t kernel, const PointwiseKernels& kernels) {
  return kernel == 3 ? kernels.winograd_3x3 : kernels.winograd_5x5;
}

/// Those of a convolution, or of its adjoint, which leads from y to x.
WinogradTiles tiles_of(const ConvSpec& spec, bool adjoint = false) {
  const std::int64_t tile = kSide + 1 - spec.kernel, edge = spec.kernel - 1;
  const auto tiles = [&](std::int64_t size) { return (size + tile - 1) / tile; };
  const std::int64_t out_height = spec.out_height(), out_width = spec.out_width();
  return adjoint ? WinogradTiles{spec.images,         out_height,        out_width,
                                 spec.height,         spec.width,        edge - spec.top(),
                                 edge - spec.padding, tiles(spec.width), tiles(spec.height)}
                 : WinogradTiles{spec.images, spec.height,  spec.width,       out_height,       out_width,
                                 spec.top(),  spec.padding, tiles(out_width), tiles(out_height)};
}

std::int64_t count_of(const WinogradTiles& tiles) {
  return tiles.images * tiles.across * tiles.down;
}

/// Tiles of a group: as many as fit a core's cache, but no more than give every thread one, so that small
/// images are shared.
std::int64_t group_of(std::int64_t tiles, int threads, std::int64_t inner) {
  const std::int64_t fit = kCacheBytes / (kWinogradValues * inner * std::int64_t{sizeof(float)});
  return std::clamp(std::min(fit, (tiles + threads - 1) / threads), kLeastGroup, kGroup) / kUnit * kUnit;
}

std::int64_t panels_of(std::int64_t columns) {
  return (columns + kWinogradPanel - 1) / kWinogradPanel;
}
std::int64_t panel_size(std::int64_t inner) {
  return kWinogradValues * inner * kWinogradPanel;
}

struct Panel {
  std::int64_t index, first, count;  // of its channels
  std::int64_t columns;              // that are computed: whole registers
};

template <class Visit>
void each_panel(std::int64_t columns, const Visit& visit) {
  for (std::int64_t first = 0; first < columns; first += kWinogradPanel) {
    const std::int64_t count = std::min(kWinogradPanel, columns - first);
    visit(Panel{first / kWinogradPanel, first, count, (count + 15) / 16 * 16});
  }
}

}  // namespace

struct Winograd::State {
  struct Thread {
    Buffer left, right;  // values of inputs, and of outputs of a panel
  };
  int threads;
  const PointwiseKernels& kernels;
  std::vector<Thread> own;
  Buffer sums;  // of weight gradients, [thread][panel][36][inner, panel]
  ChannelSums channel_sums;

  State(int count, const PointwiseKernels& pointwise)
      : threads(count),
        kernels(pointwise),
        own(static_cast<std::size_t>(count)),
        channel_sums(count, pointwise) {}
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

  /// The product of every matrix, from the first one and the steps to the next.
  void multiply(Product product, std::int64_t a_step, std::int64_t b_step, std::int64_t c_step) const {
    for (std::int64_t matrix = 0; matrix < kWinogradValues; ++matrix) {
      kernels.multiply(product);
      product.a += a_step, product.b += b_step, product.c += c_step;
    }
  }

  /// work(first tile, tiles, thread) for groups of tiles.
  template <class Work>
  void each_group(std::int64_t tiles, std::int64_t group, const Work& work) {
    const std::int64_t groups = (tiles + group - 1) / group;
    each_in_own_thread(threads, [&](int thread) {
      const std::int64_t last = groups * (thread + 1) / threads;
      for (std::int64_t i = groups * thread / threads; i < last; ++i)
        work(i * group, std::min(group, tiles - i * group), thread);
    });
  }
};

namespace {

/// One direction: images with `inner` channels to images with `columns`.
class Direction {
 public:
  Direction(Winograd::State& state, const WinogradKernels& kernels, const WinogradTiles& tiles,
            std::int64_t inner, std::int64_t columns, bool turned)
      : state_(state),
        kernels_(kernels),
        tiles_(tiles),
        inner_(inner),
        columns_(columns),
        group_(group_of(count_of(tiles), state.threads, inner)),
        turned_(turned),
        weights_(
            allocate_host(static_cast<std::size_t>(panels_of(columns) * panel_size(inner)) * sizeof(float),
                          "transformed weights", 1)) {
    state.grow_scratch(kWinogradValues * stride_of(group_, inner),
                       kWinogradValues * stride_of(group_, kWinogradPanel));
  }
  std::size_t bytes() const { return weights_.bytes(); }

  void load_weights(const float* weights) {
    auto* const values = static_cast<float*>(weights_.memory());
    parallel_parts(state_.threads, inner_, 2, [&](std::int64_t begin, std::int64_t end, int) {
      kernels_.weights(weights, inner_, columns_, turned_, begin, end, values);
    });
  }
  void run(const float* x, const float* bias, bool adds, float* y) {
    const auto* const weights = static_cast<const float*>(weights_.memory());
    const std::int64_t left = stride_of(group_, inner_), right = stride_of(group_, kWinogradPanel);
    state_.each_group(count_of(tiles_), group_, [&](std::int64_t first, std::int64_t count, int thread) {
      float *const values = state_.left(thread), *const results = state_.right(thread);
      kernels_.input(tiles_, inner_, x, first, first + count, values, left);
      each_panel(columns_, [&](const Panel& panel) {
        state_.multiply({.rows = count,
                         .inner = inner_,
                         .columns = panel.columns,
                         .a = values,
                         .a_row = inner_,
                         .b = weights + panel.index * panel_size(inner_),
                         .b_row = kWinogradPanel,
                         .c = results,
                         .c_row = kWinogradPanel},
                        left, inner_ * kWinogradPanel, right);
        kernels_.output(tiles_, columns_, panel.first, panel.count, results, right, first, first + count,
                        bias, adds, y);
      });
    });
  }

 private:
  Winograd::State& state_;
  const WinogradKernels& kernels_;
  WinogradTiles tiles_;
  std::int64_t inner_, columns_, group_;
  bool turned_;
  Buffer weights_;  // [panel][36][inner, panel]
};

/// The gradient of the weights: F(3x3, 4x4) or F(5x5, 2x2) with the gradient of the outputs in the place of
/// weights.
class WeightGradient {
 public:
  WeightGradient(Winograd::State& state, const WinogradKernels& kernels, const WinogradTiles& tiles,
                 std::int64_t inner, std::int64_t columns)
      : state_(state),
        kernels_(kernels),
        tiles_(tiles),
        inner_(inner),
        columns_(columns),
        group_(group_of(count_of(tiles), state.threads, inner)) {
    state.grow_scratch(kWinogradValues * stride_of(group_, inner),
                       kWinogradValues * stride_of(group_, kWinogradPanel));
    Winograd::State::grow(state.sums, state.threads * size(), "sums of weight gradients", state.threads);
  }

  void run(const float* x, const float* dy, bool adds, float* d_weights) {
    const std::int64_t left = stride_of(group_, inner_), right = stride_of(group_, kWinogradPanel);
    auto* const sums = static_cast<float*>(state_.sums.memory());
    parallel_parts(
        state_.threads, state_.threads * size(), 0,
        [&](std::int64_t begin, std::int64_t end, int) { std::fill(sums + begin, sums + end, 0.F); });
    state_.each_group(count_of(tiles_), group_, [&](std::int64_t first, std::int64_t count, int thread) {
      float *const inputs = state_.left(thread), *const gradients = state_.right(thread);
      kernels_.input(tiles_, inner_, x, first, first + count, inputs, left);
      each_panel(columns_, [&](const Panel& panel) {
        kernels_.gradient(tiles_, columns_, panel.first, panel.count, dy, first, first + count, gradients,
                          right);
        state_.multiply({.rows = inner_,
                         .inner = count,
                         .columns = panel.columns,
                         .a = inputs,
                         .a_inner = inner_,
                         .b = gradients,
                         .b_row = kWinogradPanel,
                         .c = sums + thread * size() + panel.index * panel_size(inner_),
                         .c_row = kWinogradPanel,
                         .adds = true},
                        left, right, inner_ * kWinogradPanel);
      });
    });
    parallel_parts(state_.threads, inner_, 2, [&](std::int64_t begin, std::int64_t end, int) {
      kernels_.weight_gradient(sums, state_.threads, size(), inner_, columns_, adds, begin, end, d_weights);
    });
  }

 private:
  std::int64_t size() const { return panels_of(columns_) * panel_size(inner_); }

  Winograd::State& state_;
  const WinogradKernels& kernels_;
  WinogradTiles tiles_;
  std::int64_t inner_, columns_, group_;
};

class WinogradPlan : public ConvPlan {
 public:
  WinogradPlan(Winograd::State& state, const ConvSpec& spec, ConvUse use, Placement x, Placement y)
      : ConvPlan(spec, use, DType::f32, x, y),
        state_(state),
        kernels_(kernels_for(spec.kernel, state.kernels)),
        tiles_(tiles_of(spec)),
        forward_(state, kernels_, tiles_, spec.channels_in, spec.channels_out, false) {
    if (use == ConvUse::training) {
      back_.emplace(state, kernels_, tiles_of(spec, true), spec.channels_out, spec.channels_in, true);
    }
    if (use != ConvUse::inference)
      gradient_.emplace(state, kernels_, tiles_, spec.channels_in, spec.channels_out);
    if (!spec.bias) return;
    bias_ = allocate_host(static_cast<std::size_t>(spec.channels_out) * sizeof(float), "a bias", 1);
    state.channel_sums.reserve(spec.channels_out);
  }
  std::string implementation() const override {
    const std::string name = spec().kernel == 3 ? "Winograd F(4x4, 3x3)" : "Winograd F(2x2, 5x5)";
    return "forward " + name + (back_ ? ", adjoint " + name : "") + (gradient_ ? ", weights " + name : "");
  }
  std::size_t bytes() const override { return forward_.bytes() + (back_ ? back_->bytes() : 0); }

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
    if (!d_bias.empty()) state_.channel_sums.run(dy, static_cast<float*>(d_bias.memory), accumulate);
  }

 private:
  Winograd::State& state_;
  const WinogradKernels& kernels_;
  WinogradTiles tiles_;
  Direction forward_;
  std::optional<Direction> back_;
  std::optional<WeightGradient> gradient_;
  Buffer bias_;
};

}  // namespace

Winograd::Winograd(int threads, const PointwiseKernels& kernels)
    : state_(std::make_unique<State>(threads, kernels)) {}
Winograd::~Winograd() = default;

bool Winograd::suits(const ConvSpec& spec) {
  if ((spec.kernel != 3 && spec.kernel != 5) || spec.stride != 1 || spec.transposed) return false;
  if (std::max({spec.padding, spec.top(), spec.bottom()}) >= spec.kernel) return false;
  const bool enough = spec.is_band() || count_of(tiles_of(spec)) >= kLeastTiles;  // a band is like its image
  return std::min(spec.channels_in, spec.channels_out) >= kLeastChannels &&
         spec.channels_in * spec.channels_out >= kLeastWeights && enough;
}

std::unique_ptr<ConvPlan> Winograd::plan(const ConvSpec& spec, ConvUse use, Placement x, Placement y) {
  return std::make_unique<WinogradPlan>(*state_, spec, use, x, y);
}

std::size_t Winograd::bytes() const {
  std::size_t sum = state_->sums.bytes();
  for (const State::Thread& thread : state_->own) sum += thread.left.bytes() + thread.right.bytes();
  return sum;
}

}  // namespace raincell::kernels::cpu
