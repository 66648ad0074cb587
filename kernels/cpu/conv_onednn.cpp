// Convolutions by oneDNN: y = w * x + b, and its two adjoints.
//
// An ordinary convolution runs oneDNN's forward, backward_data and backward_weights. A transposed one is the
// adjoint of the ordinary one that leads from y back to x: its forward is that one's backward_data, its
// backward_data that one's forward, and its weight gradient that one's with x and dy exchanged.
// Without a stride the adjoint is itself a convolution, with the weights turned by 180 degrees and the
// channels exchanged; oneDNN's forward is a quarter faster than its backward_data and can add to what is
// there. Nothing is created after the constructor: primitives, packed weights, argument lists and scratch
// wait there.
//
// Where every thread gets as many images, each computes its own: oneDNN's threads wait for each other, and
// two of them took 90 ms for a weight gradient in bf16 (40 images, 64->256) that one took 104 for. So it
// halves.
#include "kernels/cpu/conv_onednn.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "kernels/cpu/channel_sums.hpp"
#include "kernels/cpu/memory.hpp"
#include "kernels/cpu/onednn.hpp"
#include "kernels/cpu/threads.hpp"

namespace raincell::kernels::cpu {

namespace {

using Tag = dnnl::memory::format_tag;
using Desc = dnnl::memory::desc;
using dnnl::memory;

// --- the one difference between oneDNN 2 and 3: operation descriptors --------------------------------------

struct ConvShape {
  Desc x, weights, bias, y;            // bias: empty when there is none
  memory::dims stride, before, after;  // paddings above and left, below and right
};

#if DNNL_VERSION_MAJOR >= 3
template <class Primitive, class... Rest>
typename Primitive::primitive_desc describe(const dnnl::engine& engine, const ConvShape& s, const Desc& first,
                                            const Desc& second, const Desc* bias, const Desc& last,
                                            const dnnl::primitive_attr& attributes, const Rest&... hint) {
  using Made = typename Primitive::primitive_desc;
  const auto direct = dnnl::algorithm::convolution_direct;
  if constexpr (sizeof...(Rest) == 0) {
    return Made(engine, dnnl::prop_kind::forward_training, direct, first, second, bias ? *bias : Desc(), last,
                s.stride, s.before, s.after, attributes);
  } else if (bias != nullptr) {
    if constexpr (std::is_same_v<Primitive, dnnl::convolution_backward_weights>) {
      return Made(engine, direct, first, second, *bias, last, s.stride, s.before, s.after, hint...,
                  attributes);
    }
  }
  if constexpr (sizeof...(Rest) > 0) {
    return Made(engine, direct, first, second, last, s.stride, s.before, s.after, hint..., attributes);
  }
}
#else
template <class Primitive, class... Rest>
typename Primitive::primitive_desc describe(const dnnl::engine& engine, const ConvShape& s, const Desc& first,
                                            const Desc& second, const Desc* bias, const Desc& last,
                                            const dnnl::primitive_attr& attributes, const Rest&... hint) {
  using Made = typename Primitive::primitive_desc;
  using Wanted = typename Primitive::desc;
  const auto direct = dnnl::algorithm::convolution_direct;
  if constexpr (sizeof...(Rest) == 0) {
    return Made(Wanted(dnnl::prop_kind::forward_training, direct, first, second, bias ? *bias : Desc(), last,
                       s.stride, s.before, s.after),
                attributes, engine);
  } else if constexpr (std::is_same_v<Primitive, dnnl::convolution_backward_weights>) {
    return Made(Wanted(direct, first, second, bias ? *bias : Desc(), last, s.stride, s.before, s.after),
                attributes, engine, hint...);
  } else {
    return Made(Wanted(direct, first, second, last, s.stride, s.before, s.after), attributes, engine,
                hint...);
  }
}
#endif

}  // namespace

struct Onednn::State {
  int threads;
  const PointwiseKernels& kernels;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  std::vector<dnnl::stream> streams;  // one a thread
  Buffer scratch;                     // oneDNN's own, shared by all plans
  Buffer temporary;                   // results that are added to something
  ChannelSums channel_sums;

  State(int thread_count, const PointwiseKernels& pointwise)
      : threads(thread_count), kernels(pointwise), channel_sums(thread_count, pointwise) {
    for (int i = 0; i < threads; ++i) streams.emplace_back(engine);
  }
  void grow(Buffer& buffer, std::size_t bytes, const char* what) {
    if (bytes > buffer.bytes()) buffer = allocate_host(bytes, what, threads);
  }
};

namespace {

/// Weights in the layout that one primitive prefers, with the reorder that fills them.
struct Packed {
  memory value;
  Call reorder;  // from plain, or from turned weights
  bool turned;
};

/// One primitive for every share of the images.
struct SharedCall {
  std::vector<Call> shares;
  std::size_t steps[2] = {0, 0};  // bytes from one share to the next of the first two arguments
};

class OnednnPlan : public ConvPlan {
 public:
  OnednnPlan(Onednn::State& state, const ConvSpec& spec, ConvUse use, DType type, Placement x, Placement y)
      : ConvPlan(spec, use, type, x, y),
        state_(state),
        shares_(spec.images % state.threads == 0 ? state.threads : 1),
        bf16_(type == DType::bf16),
        type_(bf16_ ? memory::data_type::bf16 : memory::data_type::f32) {
    checked("convolution", spec.text(), [&] { build(x, y); });
    state_.grow(state_.scratch, static_cast<std::size_t>(shares_) * scratch_bytes_,
                "the scratch memory of convolutions");
    state_.grow(state_.temporary, temporary_bytes_, "the temporary of convolutions");
  }

  std::string implementation() const override { return implementation_; }
  std::size_t bytes() const override { return packed_bytes_; }

 protected:
  void do_load_weights(ConstView weights, ConstView bias) override {
    omp_set_num_threads(threads_of_a_call());
    if (turned_.memory() != nullptr) turn(static_cast<const float*>(weights.memory));
    for (Packed& packed : packed_) {
      packed.reorder.place(0, packed.turned ? turned_.memory() : weights.memory);
      run_whole(packed.reorder, "reorder of weights");
    }
    if (bias.empty()) return;
    std::memcpy(bias_.memory(), bias.memory, static_cast<std::size_t>(spec().channels_out) * sizeof(float));
  }

  void do_forward(ConstView x, View y, Accumulate accumulate) override {
    if (spec().transposed) {
      adjoint(x.memory, y, accumulate);
    } else {
      direct(x.memory, y.memory, accumulate);
    }
  }

  void do_backward_data(ConstView dy, View dx, Accumulate accumulate) override {
    if (spec().transposed) {
      direct(dy.memory, dx.memory, accumulate);
    } else {
      adjoint(dy.memory, dx, accumulate);
    }
  }

  void do_backward_weights(ConstView x, ConstView dy, View d_weights, View d_bias,
                           Accumulate accumulate) override {
    run(weights_gradient_, spec().transposed ? dy.memory : x.memory, spec().transposed ? x.memory : dy.memory,
        "convolution_backward_weights");
    for (int share = 1; share < shares_; ++share) add_gradient(share);
    unpack_gradient(static_cast<float*>(d_weights.memory), d_weights.shape.elements(), accumulate);
    if (d_bias.empty()) return;
    auto* sum = static_cast<float*>(d_bias.memory);
    if (spec().transposed) return state_.channel_sums.run(dy, sum, accumulate);
    const auto* gradient = static_cast<const float*>(bias_gradient_.memory());
    if (accumulate == Accumulate::yes) {
      state_.kernels.f32.add_scaled(sum, 1.F, gradient, 0, spec().channels_out);
    } else {
      std::memcpy(sum, gradient, static_cast<std::size_t>(spec().channels_out) * sizeof(float));
    }
  }

 private:
  // --- construction ---------------------------------------------------------------------------------------

  /// The layout of an activation as oneDNN calls it: planes, channels last or blocks of channels.
  Desc activation(std::int64_t images, std::int64_t channels, std::int64_t height, std::int64_t width,
                  Placement placement) const {
    const memory::dims sizes{images, channels, height, width};
    // One block of 16 is channels-last too; beside channels-last oneDNN has only a slow kernel for nChw16c.
    if (placement.channel_block == channels) return {sizes, type_, Tag::nhwc};
    if (placement.channel_block == 16 && channels % 16 == 0) return {sizes, type_, Tag::nChw16c};
    if (placement.channel_block == 1) return {sizes, type_, Tag::nchw};
    throw std::logic_error("kernels: cpu convolution: channel block " +
                           std::to_string(placement.channel_block));
  }

  dnnl::primitive_attr attributes(bool sum) const {
    dnnl::primitive_attr made;
    made.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (sum) {
      dnnl::post_ops post;
      post.append_sum(1.F);
      made.set_post_ops(post);
    }
    return made;
  }

  void build(Placement x_placement, Placement y_placement) {
    omp_set_num_threads(threads_of_a_call());
    const ConvSpec& s = spec();
    const std::int64_t images = s.images / shares_;
    const Desc x = activation(images, s.channels_in, s.height, s.width, x_placement);
    const Desc y = activation(images, s.channels_out, s.out_height(), s.out_width(), y_placement);
    const Shape w = s.weight_shape();
    const memory::dims sizes{w.n, w.c, w.h, w.w};
    plain_ = Desc(sizes, memory::data_type::f32, Tag::oihw);
    if (s.bias) {
      bias_ = allocate_host(static_cast<std::size_t>(s.channels_out) * sizeof(float), "a bias", 1);
      const auto sums = static_cast<std::size_t>(s.channels_out * shares_);
      bias_gradient_ = allocate_host(sums * sizeof(float), "a bias gradient", 1);
    }
    const bool library_bias = s.bias && !s.transposed;
    const ConvShape shape{s.transposed ? y : x,
                          Desc(sizes, type_, Tag::any),
                          library_bias ? Desc({s.channels_out}, memory::data_type::f32, Tag::x) : Desc(),
                          s.transposed ? x : y,
                          {s.stride, s.stride},
                          {s.top(), s.padding},
                          {s.bottom(), s.padding}};
    const Desc* bias = library_bias ? &shape.bias : nullptr;
    const auto hint = describe<dnnl::convolution_forward>(state_.engine, shape, shape.x, shape.weights, bias,
                                                          shape.y, attributes(false));
    const bool inference = use() == ConvUse::inference, all = use() == ConvUse::training;
    if (!s.transposed || all) build_direct(shape, bias, hint);
    const bool unstrided = s.stride == 1 && s.kernel > std::max({s.padding, s.top(), s.bottom()});
    if ((s.transposed || all) && unstrided) build_turned_adjoint(shape);
    if ((s.transposed || all) && !unstrided) build_adjoint(shape, hint);
    if (!inference) build_weights_gradient(shape, bias, hint);
  }

  void build_direct(const ConvShape& shape, const Desc* bias,
                    const dnnl::convolution_forward::primitive_desc& plain) {
    direct_[0] = forward_call(shape, plain, bias, false);
    const auto adding = describe<dnnl::convolution_forward>(state_.engine, shape, shape.x, shape.weights,
                                                            bias, shape.y, attributes(true));
    direct_[1] = forward_call(shape, adding, bias, false);
    note("forward", plain.impl_info_str());
  }

  /// add(call, share) gives the arguments after the first two and the scratch memory.
  template <class Add>
  SharedCall shared(const dnnl::primitive& primitive, int first, const Desc& first_desc, int second,
                    const Desc& second_desc, const Desc& scratch, const Add& add) {
    SharedCall made;
    made.steps[0] = first_desc.get_size();
    made.steps[1] = second_desc.get_size();
    for (int share = 0; share < shares_; ++share) {
      Call& call = made.shares.emplace_back(primitive);
      call.add_moving(first, first_desc, state_.engine);
      call.add_moving(second, second_desc, state_.engine);
      add_scratch(call, scratch);
      add(call, share);
    }
    return made;
  }

  SharedCall forward_call(const ConvShape& shape, const dnnl::convolution_forward::primitive_desc& made,
                          const Desc* bias, bool turned) {
    return shared(dnnl::convolution_forward(made), DNNL_ARG_SRC, shape.x, DNNL_ARG_DST, shape.y,
                  made.scratchpad_desc(), [&](Call& call, int) {
                    call.add(DNNL_ARG_WEIGHTS, packed(made.weights_desc(), turned));
                    if (bias != nullptr)
                      call.add(DNNL_ARG_BIAS, memory(*bias, state_.engine, bias_.memory()));
                  });
  }

  /// x = y convolved with the turned weights {O,I} -> {I,O}; padding is what the ordinary one left out.
  void build_turned_adjoint(const ConvShape& ordinary) {
    const Shape w = spec().weight_shape();
    turned_plain_ = Desc({w.c, w.n, w.h, w.w}, memory::data_type::f32, Tag::oihw);
    turned_ = allocate_host(turned_plain_.get_size(), "turned weights", 1);
    packed_bytes_ += turned_plain_.get_size();
    const std::int64_t most = spec().kernel - 1, across = most - spec().padding;
    const ConvShape shape{ordinary.y,
                          Desc({w.c, w.n, w.h, w.w}, type_, Tag::any),
                          Desc(),
                          ordinary.x,
                          {1, 1},
                          {most - spec().top(), across},
                          {most - spec().bottom(), across}};
    for (const bool sum : {false, true}) {
      const auto made = describe<dnnl::convolution_forward>(state_.engine, shape, shape.x, shape.weights,
                                                            nullptr, shape.y, attributes(sum));
      (sum ? adding_adjoint_ : adjoint_) = forward_call(shape, made, nullptr, true);
      if (!sum) note("adjoint", std::string("turned ") + made.impl_info_str());
    }
  }

  void build_adjoint(const ConvShape& shape, const dnnl::convolution_forward::primitive_desc& hint) {
    const auto made = describe<dnnl::convolution_backward_data>(state_.engine, shape, shape.x, shape.weights,
                                                                nullptr, shape.y, attributes(false), hint);
    adjoint_ = shared(dnnl::convolution_backward_data(made), DNNL_ARG_DIFF_DST, shape.y, DNNL_ARG_DIFF_SRC,
                      shape.x, made.scratchpad_desc(), [&](Call& call, int) {
                        call.add(DNNL_ARG_WEIGHTS, packed(made.weights_desc(), false));
                      });
    temporary_bytes_ = std::max(temporary_bytes_, static_cast<std::size_t>(shares_) * shape.x.get_size());
    note("adjoint", made.impl_info_str());
  }

  void build_weights_gradient(const ConvShape& shape, const Desc* bias,
                              const dnnl::convolution_forward::primitive_desc& hint) {
    const Shape w = spec().weight_shape();
    const Desc gradient_of_weights({w.n, w.c, w.h, w.w}, memory::data_type::f32, Tag::any);
    const auto made = describe<dnnl::convolution_backward_weights>(
        state_.engine, shape, shape.x, gradient_of_weights, bias, shape.y, attributes(false), hint);
    weights_gradient_ =
        shared(dnnl::convolution_backward_weights(made), DNNL_ARG_SRC, shape.x, DNNL_ARG_DIFF_DST, shape.y,
               made.scratchpad_desc(), [&](Call& call, int share) {
                 gradients_.emplace_back(made.diff_weights_desc(), state_.engine);
                 packed_bytes_ += made.diff_weights_desc().get_size();
                 call.add(DNNL_ARG_DIFF_WEIGHTS, gradients_.back());
                 if (bias != nullptr)
                   call.add(DNNL_ARG_DIFF_BIAS, memory(*bias, state_.engine, bias_gradient_of(share)));
               });
    // Back into the plain order of the parameters.
    const dnnl::reorder::primitive_desc back(state_.engine, made.diff_weights_desc(), state_.engine, plain_,
                                             attributes(false));
    unpack_ = Call(dnnl::reorder(back));
    unpack_.add(DNNL_ARG_FROM, gradients_.front());
    unpack_.add_moving(DNNL_ARG_TO, plain_, state_.engine);
    add_scratch(unpack_, back.scratchpad_desc());
    temporary_bytes_ = std::max(temporary_bytes_, plain_.get_size());
    if (spec().transposed && spec().bias) state_.channel_sums.reserve(spec().channels_out);
    note("weights", made.impl_info_str());
  }

  /// Scratch is always the third argument.
  void add_scratch(Call& call, const Desc& desc) {
    constexpr std::size_t kAlign = 4096;
    scratch_bytes_ = std::max(scratch_bytes_, (desc.get_size() + kAlign - 1) / kAlign * kAlign);
    call.add_moving(DNNL_ARG_SCRATCHPAD, desc, state_.engine);
  }

  /// Weights in this layout; primitives that prefer the same one share them.
  memory packed(const Desc& desc, bool turned) {
    for (const Packed& have : packed_) {
      if (have.turned == turned && have.value.get_desc() == desc) return have.value;
    }
    const Desc& plain = turned ? turned_plain_ : plain_;
    Packed made{memory(desc, state_.engine), Call(), turned};
    const dnnl::reorder::primitive_desc order(state_.engine, plain, state_.engine, desc, attributes(false));
    made.reorder = Call(dnnl::reorder(order));
    made.reorder.add_moving(DNNL_ARG_FROM, plain, state_.engine);
    made.reorder.add(DNNL_ARG_TO, made.value);
    add_scratch(made.reorder, order.scratchpad_desc());
    packed_bytes_ += desc.get_size();
    packed_.push_back(std::move(made));
    return packed_.back().value;
  }

  void note(const std::string& use, const std::string& name) {
    implementation_ += (implementation_.empty() ? "" : ", ") + use + " " + name;
  }

  // --- running --------------------------------------------------------------------------------------------

  int threads_of_a_call() const { return shares_ > 1 ? 1 : state_.threads; }
  static std::byte* moved(const void* memory, std::size_t bytes) {
    return static_cast<std::byte*>(const_cast<void*>(memory)) + bytes;
  }

  void run_whole(Call& call, const char* name) {
    call.place(kScratchPosition, state_.scratch.memory());
    call.run(state_.streams.front(), name);
  }
  /// All shares, from where the first two arguments begin.
  void run(SharedCall& shared, const void* first, const void* second, const char* name) {
    omp_set_num_threads(threads_of_a_call());
    each_in_own_thread(shares_, [&](int share) {
      const auto index = static_cast<std::size_t>(share);
      Call& call = shared.shares[index];
      call.place(0, moved(first, index * shared.steps[0]));
      call.place(1, moved(second, index * shared.steps[1]));
      call.place(kScratchPosition, moved(state_.scratch.memory(), index * scratch_bytes_));
      call.run(state_.streams[index], name);
    });
  }

  /// y (+)= ordinary convolution of x (+ bias)
  void direct(const void* x, void* y, Accumulate accumulate) {
    run(direct_[accumulate == Accumulate::yes ? 1 : 0], x, y, "convolution_forward");
  }

  float* bias_gradient_of(int share) const {
    return static_cast<float*>(bias_gradient_.memory()) + share * spec().channels_out;
  }
  /// Adds what a share has found to the first share's.
  void add_gradient(int share) {
    const memory& from = gradients_[static_cast<std::size_t>(share)];
    auto* const sum = static_cast<float*>(gradients_.front().get_data_handle());
    const auto* const gradient = static_cast<const float*>(from.get_data_handle());
    const auto count = static_cast<std::int64_t>(from.get_desc().get_size() / sizeof(float));
    parallel_parts(state_.threads, count, kSerialElements, [&](std::int64_t begin, std::int64_t end, int) {
      state_.kernels.f32.add_scaled(sum, 1.F, gradient, begin, end);
    });
    if (spec().bias && !spec().transposed)
      state_.kernels.f32.add_scaled(bias_gradient_of(0), 1.F, bias_gradient_of(share), 0,
                                    spec().channels_out);
  }

  /// x (+)= adjoint of the ordinary convolution at y (+ bias of a transposed forward)
  void adjoint(const void* y, View x, Accumulate accumulate) {
    const bool adds = accumulate == Accumulate::yes;
    const bool biased = spec().transposed && spec().bias, by_temporary = adds && turned_.memory() == nullptr;
    run(adds && !by_temporary ? adding_adjoint_ : adjoint_, y,
        by_temporary ? state_.temporary.memory() : x.memory, "convolution_backward_data");
    if (!by_temporary && !biased) return;
    const void* addend = by_temporary ? state_.temporary.memory() : nullptr;
    const auto* bias = biased ? static_cast<const float*>(bias_.memory()) : nullptr;
    if (bf16_) {
      add_rows<Bf16>(x, addend, bias);
    } else {
      add_rows<float>(x, addend, bias);
    }
  }

  /// turned[i,o,p,q] = w[o,i,k-1-p,k-1-q]
  void turn(const float* weights) {
    const Shape w = spec().weight_shape();
    const std::int64_t area = w.pixels();
    auto* const turned = static_cast<float*>(turned_.memory());
    for (std::int64_t o = 0; o < w.n; ++o) {
      for (std::int64_t i = 0; i < w.c; ++i) {
        const float* const from = weights + (o * w.c + i) * area;
        std::reverse_copy(from, from + area, turned + (i * w.n + o) * area);
      }
    }
  }

  /// Rows are pixels of one channel block, in any placement.
  template <class T>
  void add_rows(View to, const void* added, const float* bias) {
    const Shape& shape = to.shape;
    auto* const x = static_cast<T*>(to.memory);
    const auto* const addend = static_cast<const T*>(added);
    const auto& kernels = activation_kernels<T>(state_.kernels);
    const std::int64_t lanes = to.placement.channel_block, blocks = shape.c / lanes, pixels = shape.pixels();
    if (blocks == 1 || bias == nullptr) {
      const std::int64_t rows = shape.elements() / lanes;
      parallel_parts(state_.threads, rows, kSerialElements / lanes,
                     [&](std::int64_t begin, std::int64_t end, int) {
                       kernels.add_rows(x, addend, bias, lanes, begin, end);
                     });
      return;
    }
    parallel_parts(state_.threads, shape.images() * blocks, 2,
                   [&](std::int64_t begin, std::int64_t end, int) {
                     for (std::int64_t plane = begin; plane < end; ++plane) {
                       kernels.add_rows(x, addend, bias + plane % blocks * lanes, lanes, plane * pixels,
                                        (plane + 1) * pixels);
                     }
                   });
  }

  void unpack_gradient(float* d_weights, std::int64_t count, Accumulate accumulate) {
    const bool adds = accumulate == Accumulate::yes;
    unpack_.place(1, adds ? state_.temporary.memory() : d_weights);
    omp_set_num_threads(threads_of_a_call());
    run_whole(unpack_, "reorder of a weight gradient");
    if (!adds) return;
    const auto* gradient = static_cast<const float*>(state_.temporary.memory());
    parallel_parts(state_.threads, count, kSerialElements, [&](std::int64_t begin, std::int64_t end, int) {
      state_.kernels.f32.add_scaled(d_weights, 1.F, gradient, begin, end);
    });
  }

  static constexpr std::size_t kScratchPosition = 2;

  Onednn::State& state_;
  int shares_;  // of the images, each a thread's; 1: the library's threads share all
  bool bf16_;
  memory::data_type type_;  // of activations
  Desc plain_, turned_plain_;
  std::vector<Packed> packed_;
  Buffer bias_, bias_gradient_, turned_;
  std::vector<memory> gradients_;  // of the weights, one a share
  SharedCall direct_[2];           // overwriting, adding
  SharedCall adjoint_, adding_adjoint_, weights_gradient_;
  Call unpack_;
  std::size_t packed_bytes_ = 0, scratch_bytes_ = 0, temporary_bytes_ = 0;
  std::string implementation_;
};

}  // namespace

Onednn::Onednn(int threads, const PointwiseKernels& kernels)
    : state_(checked("engine", "this processor", [&] { return std::make_unique<State>(threads, kernels); })) {
}

Onednn::~Onednn() = default;

std::unique_ptr<ConvPlan> Onednn::plan(const ConvSpec& spec, ConvUse use, DType type, Placement x,
                                       Placement y) {
  return std::make_unique<OnednnPlan>(*state_, spec, use, type, x, y);
}

bool Onednn::has(InstructionSet set) {
  const auto bits = [&] {
    switch (set) {
      case InstructionSet::avx2:
        return dnnl::cpu_isa::avx2;
      case InstructionSet::avx512:
        return dnnl::cpu_isa::avx512_core;
      case InstructionSet::avx512_bf16:
        break;
    }
    return dnnl::cpu_isa::avx512_core_bf16;
  };
  // An instruction set's number has the bits of all that it includes.
  const auto have = static_cast<unsigned>(dnnl::get_effective_cpu_isa()),
             wanted = static_cast<unsigned>(bits());
  return (have & wanted) == wanted;
}

std::size_t Onednn::bytes() const {
  return state_->scratch.bytes() + state_->temporary.bytes();
}

std::string Onednn::version() {
  const dnnl::version_t* const version = dnnl::version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

}  // namespace raincell::kernels::cpu
