#include "kernels/cpu/product_onednn.hpp"

#include <omp.h>

#include "kernels/cpu/memory.hpp"
#include "kernels/cpu/onednn.hpp"

namespace raincell::kernels::cpu {

namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
constexpr auto kType = dnnl::memory::data_type::f32;

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const Desc& a, const Desc& b, const Desc& c,
                                      const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, c, attributes};
#else
  return {dnnl::matmul::desc(a, b, c), attributes, engine};
#endif
}

}  // namespace

struct Products::State {
  /// What one thread needs to run beside the others.
  struct Thread {
    dnnl::stream stream;
    Call call;  // a, c, scratch, b
    Buffer scratch;
  };
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  Desc plain_b;
  dnnl::memory packed;  // of b
  Call pack;
  Buffer pack_scratch;
  std::vector<Thread> threads;
  std::string name;
  std::size_t bytes = 0;

  State(const ProductShape& s, int thread_count) {
    omp_set_num_threads(1);  // what is made here runs in one thread
    const Desc a(
        {s.count, s.rows, s.inner}, kType,
        s.a_turned ? dnnl::memory::dims{s.a_stride, 1, s.rows} : dnnl::memory::dims{s.a_stride, s.inner, 1});
    const dnnl::memory::dims b_sizes{s.count, s.inner, s.columns};
    plain_b = Desc(b_sizes, kType, Tag::abc);
    const Desc b = s.packed ? Desc(b_sizes, kType, Tag::any)
                            : Desc(b_sizes, kType, dnnl::memory::dims{s.b_stride, s.columns, 1});
    const Desc c({s.count, s.rows, s.columns}, kType, dnnl::memory::dims{s.c_stride, s.columns, 1});
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    dnnl::primitive_attr adding = attributes;
    if (s.adds) {
      dnnl::post_ops post;
      post.append_sum(1.F);
      adding.set_post_ops(post);
    }
    const auto made = describe(engine, a, b, c, adding);
    name = made.impl_info_str();
    if (s.packed) {
      packed = dnnl::memory(made.weights_desc(), engine);
      const dnnl::reorder::primitive_desc order(engine, plain_b, engine, made.weights_desc(), attributes);
      pack = Call(dnnl::reorder(order));
      pack.add_moving(DNNL_ARG_FROM, plain_b, engine);
      pack.add(DNNL_ARG_TO, packed);
      pack.add_moving(DNNL_ARG_SCRATCHPAD, order.scratchpad_desc(), engine);
      pack_scratch = scratch(order.scratchpad_desc());
      bytes += made.weights_desc().get_size();
    }
    for (int thread = 0; thread < thread_count; ++thread) {
      Thread own{dnnl::stream(engine), Call(dnnl::matmul(made)), scratch(made.scratchpad_desc())};
      own.call.add_moving(DNNL_ARG_SRC, a, engine);
      own.call.add_moving(DNNL_ARG_DST, c, engine);
      own.call.add_moving(DNNL_ARG_SCRATCHPAD, made.scratchpad_desc(), engine);
      if (s.packed) {
        own.call.add(DNNL_ARG_WEIGHTS, packed);
      } else {
        own.call.add_moving(DNNL_ARG_WEIGHTS, b, engine);
      }
      threads.push_back(std::move(own));
    }
  }

  Buffer scratch(const Desc& desc) {
    bytes += desc.get_size();
    return desc.get_size() == 0 ? Buffer{} : allocate_host(desc.get_size(), "scratch of products", 1);
  }
};

Products::Products(const ProductShape& shape, int threads)
    : state_(checked("matmul",
                     std::to_string(shape.rows) + "x" + std::to_string(shape.inner) + "x" +
                         std::to_string(shape.columns),
                     [&] { return std::make_unique<State>(shape, threads); })) {}
Products::~Products() = default;
Products::Products(Products&&) noexcept = default;

void Products::pack(const float* b) {
  omp_set_num_threads(1);
  state_->pack.place(0, b);
  state_->pack.place(2, state_->pack_scratch.memory());
  state_->pack.run(state_->threads[0].stream, "reorder of matrices");
}

void Products::run(int thread, const float* a, const float* b, float* c) {
  State::Thread& own = state_->threads[static_cast<std::size_t>(thread)];
  own.call.place(0, a);
  own.call.place(1, c);
  own.call.place(2, own.scratch.memory());
  if (b != nullptr) own.call.place(3, b);
  own.call.run(own.stream, "matmul");
}

const std::string& Products::name() const {
  return state_->name;
}
std::size_t Products::bytes() const {
  return state_->bytes;
}

}  // namespace raincell::kernels::cpu
