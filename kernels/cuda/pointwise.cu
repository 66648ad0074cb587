#include "kernels/cuda/pointwise.hpp"

#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/number.hpp"
#include "kernels/cuda/views.hpp"

namespace raincell::kernels::cuda {

namespace {

RAINCELL_HOST_DEVICE PeepholeWeights<float> peephole_of(const float* peephole, std::int64_t hidden,
                                                        std::int64_t k) {
  if (peephole == nullptr) return {};
  return {peephole[k], peephole[hidden + k], peephole[2 * hidden + k]};
}

template <class T, int kWide, bool kKeepsGates>
void lstm_forward(Stream stream, std::int64_t hidden, View gates, ConstView c_prev, ConstView peephole,
                  View c, View h) {
  using Math = typename MathOf<T>::Type;
  T* const g = data<T>(gates);
  const float *const before = data<float>(c_prev), *const weights = data<float>(peephole);
  float* const memory = data<float>(c);
  T* const state = data<T>(h);
  each(stream, "lstm_forward", h.shape.elements() / kWide, [=] RAINCELL_BODY(std::int64_t i) {
    const std::int64_t at = i * kWide, row = quotient(at, hidden), k = at - row * hidden;
    T* const sums = g + row * 4 * hidden + k;
    auto gi = load<kWide>(sums), gf = load<kWide>(sums + hidden), go = load<kWide>(sums + 2 * hidden),
         gg = load<kWide>(sums + 3 * hidden);
    const auto c0 = load_or_zero<kWide>(before, at);
    Floats<kWide> c1, h1;
    for (int v = 0; v < kWide; ++v) {
      LstmGates<float> one{gi[v], gf[v], go[v], gg[v]};
      const LstmState<float> now =
          kernels::lstm_forward<Math>(one, c0[v], peephole_of(weights, hidden, k + v));
      gi[v] = one.i, gf[v] = one.f, go[v] = one.o, gg[v] = one.g;
      c1[v] = now.c, h1[v] = now.h;
    }
    if constexpr (kKeepsGates)
      store(sums, gi), store(sums + hidden, gf), store(sums + 2 * hidden, go), store(sums + 3 * hidden, gg);
    store(memory + at, c1);
    store(state + at, h1);
  });
}

template <class T, int kWide>
void lstm_backward(Stream stream, std::int64_t hidden, View gates, ConstView c_prev, ConstView c,
                   ConstView peephole, ConstView dh_above, ConstView dh_recurrent, View dc) {
  using Math = typename MathOf<T>::Type;
  T* const g = data<T>(gates);
  const float *const before = data<float>(c_prev), *const now = data<float>(c),
                     *const weights = data<float>(peephole);
  const T *const above = data<T>(dh_above), *const later = data<T>(dh_recurrent);
  float* const d_memory = data<float>(dc);
  each(stream, "lstm_backward", dc.shape.elements() / kWide, [=] RAINCELL_BODY(std::int64_t i) {
    const std::int64_t at = i * kWide, row = quotient(at, hidden), k = at - row * hidden;
    T* const sums = g + row * 4 * hidden + k;
    auto gi = load<kWide>(sums), gf = load<kWide>(sums + hidden), go = load<kWide>(sums + 2 * hidden),
         gg = load<kWide>(sums + 3 * hidden);
    const auto c0 = load_or_zero<kWide>(before, at), c1 = load<kWide>(now + at);
    const auto dh0 = load_or_zero<kWide>(above, at), dh1 = load_or_zero<kWide>(later, at);
    auto d_c = load<kWide>(d_memory + at);
    for (int v = 0; v < kWide; ++v) {
      LstmGates<float> one{gi[v], gf[v], go[v], gg[v]};
      d_c[v] = kernels::lstm_backward<Math>(one, c0[v], c1[v], dh0[v] + dh1[v], d_c[v],
                                            peephole_of(weights, hidden, k + v));
      gi[v] = one.i, gf[v] = one.f, go[v] = one.o, gg[v] = one.g;
    }
    store(sums, gi), store(sums + hidden, gf), store(sums + 2 * hidden, go), store(sums + 3 * hidden, gg);
    store(d_memory + at, d_c);
  });
}

/// From the gradients of the sums, which lie where the gates were.
template <class T>
void peephole_gradient(Stream stream, std::int64_t hidden, View gates, ConstView c_prev, ConstView c,
                       View d_peephole, double* parts) {
  const T* const g = data<T>(gates);
  const float *const before = data<float>(c_prev), *const now = data<float>(c);
  float* const out = data<float>(d_peephole);
  const std::int64_t rows = gates.shape.images() * gates.shape.pixels();
  sum_channels<1>(
      stream, "peephole_gradient", rows, 3 * hidden, parts,
      [=] RAINCELL_BODY(std::int64_t row, std::int64_t plane) {
        const std::int64_t k = plane % hidden;
        const float* const memory = plane < 2 * hidden ? before : now;
        if (memory == nullptr) return Doubles<1>{0.};
        return Doubles<1>{static_cast<double>(to_float(g[row * 4 * hidden + plane])) *
                          memory[row * hidden + k]};
      },
      [=] RAINCELL_BODY(std::int64_t plane, double total) { out[plane] += static_cast<float>(total); });
}

template <class T, int kWide, bool kKeepsGates>
void gru_forward(Stream stream, std::int64_t hidden, View gates, ConstView recurrent, ConstView h_prev,
                 View h) {
  using Math = typename MathOf<T>::Type;
  T* const g = data<T>(gates);
  const T *const r = data<T>(recurrent), *const before = data<T>(h_prev);
  T* const state = data<T>(h);
  each(stream, "gru_forward", h.shape.elements() / kWide, [=] RAINCELL_BODY(std::int64_t i) {
    const std::int64_t at = i * kWide, row = quotient(at, hidden), first = row * 2 * hidden + at;
    auto gz = load<kWide>(g + first), gr = load<kWide>(g + first + hidden),
         gn = load<kWide>(g + first + 2 * hidden);
    const auto rz = load_or_zero<kWide>(r, first), rr = load_or_zero<kWide>(r, first + hidden),
               rn = load_or_zero<kWide>(r, first + 2 * hidden), h0 = load_or_zero<kWide>(before, at);
    Floats<kWide> h1;
    for (int v = 0; v < kWide; ++v) {
      GruGates<float> one{gz[v], gr[v], gn[v]};
      h1[v] = kernels::gru_forward<Math>(one, GruGates<float>{rz[v], rr[v], rn[v]}, h0[v]);
      gz[v] = one.z, gr[v] = one.r, gn[v] = one.n;
    }
    if constexpr (kKeepsGates)
      store(g + first, gz), store(g + first + hidden, gr), store(g + first + 2 * hidden, gn);
    store(state + at, h1);
  });
}

template <class T, int kWide>
void gru_backward(Stream stream, std::int64_t hidden, View gates, View recurrent, ConstView h_prev,
                  ConstView dh_above, ConstView dh_recurrent, View dh_prev) {
  T *const g = data<T>(gates), *const r = data<T>(recurrent), *const d_before = data<T>(dh_prev);
  const T *const before = data<T>(h_prev), *const above = data<T>(dh_above),
                 *const later = data<T>(dh_recurrent);
  const std::int64_t states = gates.shape.elements() / 3;
  each(stream, "gru_backward", states / kWide, [=] RAINCELL_BODY(std::int64_t i) {
    const std::int64_t at = i * kWide, row = quotient(at, hidden), first = row * 2 * hidden + at;
    auto gz = load<kWide>(g + first), gr = load<kWide>(g + first + hidden),
         gn = load<kWide>(g + first + 2 * hidden);
    auto rn = load_or_zero<kWide>(r, first + 2 * hidden);
    const auto h0 = load_or_zero<kWide>(before, at), dh0 = load_or_zero<kWide>(above, at),
               dh1 = load_or_zero<kWide>(later, at);
    Floats<kWide> d_h;
    for (int v = 0; v < kWide; ++v) {
      GruGates<float> one{gz[v], gr[v], gn[v]};
      const float dh = dh0[v] + dh1[v];
      d_h[v] = dh * one.z;
      rn[v] = kernels::gru_backward(one, rn[v], h0[v], dh);
      gz[v] = one.z, gr[v] = one.r, gn[v] = one.n;
    }
    store(g + first, gz), store(g + first + hidden, gr), store(g + first + 2 * hidden, gn);
    if (r != nullptr) store(r + first, gz), store(r + first + hidden, gr), store(r + first + 2 * hidden, rn);
    if (d_before != nullptr) store(d_before + at, d_h);
  });
}

template <class T>
void rnn_forward(Stream stream, View gates, View h) {
  using Math = typename MathOf<T>::Type;
  T *const g = data<T>(gates), *const state = data<T>(h);
  each(stream, "rnn_forward", h.shape.elements(),
       [=] RAINCELL_BODY(std::int64_t i) { g[i] = state[i] = from_float<T>(Math::tanh(to_float(g[i]))); });
}

template <class T>
void rnn_backward(Stream stream, View gates, ConstView dh_above, ConstView dh_recurrent) {
  T* const g = data<T>(gates);
  const T *const above = data<T>(dh_above), *const later = data<T>(dh_recurrent);
  each(stream, "rnn_backward", gates.shape.elements(), [=] RAINCELL_BODY(std::int64_t i) {
    const float dh = load_or_zero<1>(above, i)[0] + load_or_zero<1>(later, i)[0];
    g[i] = from_float<T>(kernels::rnn_backward(to_float(g[i]), dh));
  });
}

/// One pack of y at a time: change(first element, its values).
template <class T, int kWide, class Change>
struct ChangePack {
  T* y;
  Change change;
  RAINCELL_HOST_DEVICE void operator()(std::int64_t i) const {
    auto values = load<kWide>(y + i * kWide);
    change(i * kWide, values);
    store(y + i * kWide, values);
  }
};

template <class T, class Change>
void change_each(Stream stream, const char* name, View y, const Change& change) {
  // By the size of an image: a view may begin at any of them.
  with_width<T>(y.shape.c * y.shape.pixels(), [&](auto width) {
    constexpr int kWide = decltype(width)::value;
    each(stream, name, y.shape.elements() / kWide, ChangePack<T, kWide, Change>{data<T>(y), change});
  });
}

template <class T>
struct Activate {
  Activation activation;
  float slope;
  template <int kWide>
  RAINCELL_HOST_DEVICE void operator()(std::int64_t, Floats<kWide>& values) const {
    using Math = typename MathOf<T>::Type;
    for (int v = 0; v < kWide; ++v) {
      float& value = values[v];
      if (activation == Activation::leaky_relu && value < 0) value *= slope;
      if (activation == Activation::sigmoid) value = Math::sigmoid(value);
      if (activation == Activation::tanh) value = Math::tanh(value);
    }
  }
};

template <class T>
struct ActivateBackward {
  const T* y;
  Activation activation;
  float slope;
  template <int kWide>
  RAINCELL_HOST_DEVICE void operator()(std::int64_t first, Floats<kWide>& values) const {
    const auto outs = load<kWide>(y + first);
    for (int v = 0; v < kWide; ++v) {
      const float out = outs[v];
      if (activation == Activation::leaky_relu && out <= 0) values[v] *= slope;
      if (activation == Activation::sigmoid) values[v] *= out * (1 - out);
      if (activation == Activation::tanh) values[v] *= 1 - out * out;
    }
  }
};

template <class T>
struct AddScaled {
  const T* x;
  float a;
  template <int kWide>
  RAINCELL_HOST_DEVICE void operator()(std::int64_t first, Floats<kWide>& values) const {
    const auto added = load<kWide>(x + first);
    for (int v = 0; v < kWide; ++v) values[v] += a * added[v];
  }
};

template <class T>
struct Lerp {
  const T* x;
  float a;
  template <int kWide>
  RAINCELL_HOST_DEVICE void operator()(std::int64_t first, Floats<kWide>& values) const {
    const auto towards = load<kWide>(x + first);
    for (int v = 0; v < kWide; ++v) values[v] += a * (towards[v] - values[v]);
  }
};

template <class T>
struct AddBias {
  const float* bias;
  std::int64_t channels;  // a multiple of the pack, or the pack is 1
  template <int kWide>
  RAINCELL_HOST_DEVICE void operator()(std::int64_t first, Floats<kWide>& values) const {
    const std::int64_t c = first - quotient(first, channels) * channels;
    for (int v = 0; v < kWide; ++v) values[v] += bias[c + v];
  }
};

template <class T>
void fill_with(Stream stream, View view, float value) {
  T* const out = data<T>(view);
  each(stream, "fill", view.shape.elements(),
       [=] RAINCELL_BODY(std::int64_t i) { out[i] = from_float<T>(value); });
}

template <class T>
void mix_images(Stream stream, View y, ConstView a, ConstView b, ConstView weights) {
  T* const out = data<T>(y);
  const T *const one = data<T>(a), *const other = data<T>(b);
  const float* const w = data<float>(weights);
  const std::int64_t image = y.shape.c * y.shape.pixels(), images = y.shape.n;
  each(stream, "mix", y.shape.elements(), [=] RAINCELL_BODY(std::int64_t i) {
    const float weight = w[quotient(i, image) % images];
    out[i] = from_float<T>(weight * to_float(one[i]) + (1 - weight) * to_float(other[i]));
  });
}

template <class T>
void mix_images_backward(Stream stream, View y, ConstView x, ConstView weights, bool adds) {
  T* const out = data<T>(y);
  const T* const in = data<T>(x);
  const float* const w = data<float>(weights);
  const std::int64_t image = y.shape.c * y.shape.pixels(), images = y.shape.n;
  each(stream, "mix_backward", y.shape.elements(), [=] RAINCELL_BODY(std::int64_t i) {
    const float weight = 1 - w[quotient(i, image) % images];
    out[i] = from_float<T>((adds ? to_float(out[i]) : 0.F) + weight * to_float(in[i]));
  });
}

/// Where a pixel of the frames [N,T,C,H,W] lies in a channels-last tensor [T,N,C*p*p,H/p,W/p].
struct FramePlace {
  std::int64_t steps, channels, height, width, patch;  // of the frames
  std::int64_t images, planes, rows, columns;          // of a step of the tensor
  RAINCELL_HOST_DEVICE std::int64_t operator()(std::int64_t host) const {
    std::int64_t rest = quotient(host, width);
    const std::int64_t column = host - rest * width;
    const std::int64_t lines = quotient(rest, height), row = rest - lines * height;
    rest = quotient(lines, channels);
    const std::int64_t c = lines - rest * channels, n = quotient(rest, steps), t = rest - n * steps;
    const std::int64_t channel = (c * patch + row % patch) * patch + column % patch;
    const std::int64_t pixel = row / patch * columns + column / patch;
    return ((t * images + n) * rows * columns + pixel) * planes + channel;
  }
};

FramePlace place_of(const FrameLayout& layout, const Shape& shape) {
  return {layout.steps, layout.channels, layout.height, layout.width, layout.patch,
          shape.n,      shape.c,         shape.h,       shape.w};
}

/// Filter element [a, p, q, b] of parameters {1,A,B,k,k}.
struct FilterPlace {
  std::int64_t inner, taps;  // B and k k
  RAINCELL_HOST_DEVICE std::int64_t operator()(std::int64_t filter) const {
    const std::int64_t rest = quotient(filter, inner), b = filter - rest * inner;
    const std::int64_t a = quotient(rest, taps), tap = rest - a * taps;
    return (a * inner + b) * taps + tap;
  }
};

template <class T>
void gather_frames(Stream stream, const float* ntchw, const FrameLayout& layout, View tnchw) {
  const FramePlace place = place_of(layout, tnchw.shape);
  T* const out = data<T>(tnchw);
  each(stream, "import_frames", layout.elements(),
       [=] RAINCELL_BODY(std::int64_t i) { out[place(i)] = from_float<T>(ntchw[i]); });
}

template <class T>
void scatter_frames(Stream stream, ConstView tnchw, const FrameLayout& layout, float* ntchw) {
  const FramePlace place = place_of(layout, tnchw.shape);
  const T* const in = data<T>(tnchw);
  each(stream, "export_frames", layout.elements(),
       [=] RAINCELL_BODY(std::int64_t i) { ntchw[i] = to_float(in[place(i)]); });
}

template <class T>
void planes_to_filter(Stream stream, ConstView weights, void* filter) {
  const FilterPlace place{weights.shape.c, weights.shape.pixels()};
  const float* const in = data<float>(weights);
  T* const out = static_cast<T*>(filter);
  each(stream, "pack_filter", weights.shape.elements(),
       [=] RAINCELL_BODY(std::int64_t i) { out[i] = from_float<T>(in[place(i)]); });
}

template <class T>
void filter_to_planes(Stream stream, const void* filter, View weights, bool adds) {
  const FilterPlace place{weights.shape.c, weights.shape.pixels()};
  const T* const in = static_cast<const T*>(filter);
  float* const out = data<float>(weights);
  each(stream, "unpack_filter", weights.shape.elements(), [=] RAINCELL_BODY(std::int64_t i) {
    float& to = out[place(i)];
    to = (adds ? to : 0.F) + to_float(in[i]);
  });
}

template <class T>
void image_to_columns(Stream stream, const Correlation& c, const T* image, std::int64_t row, T* columns) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  const std::int64_t channels = c.a.channels, height = c.a.height, width = c.a.width, out_height = c.b.height,
                     out_width = c.b.width, kernel = c.kernel, stride = c.stride, padding = c.padding,
                     top = c.top, packs = row / kWide;
  each(stream, "im2col", c.images * out_height * out_width * packs, [=] RAINCELL_BODY(std::int64_t i) {
    const std::int64_t pixel = quotient(i, packs), first = (i - pixel * packs) * kWide;
    const std::int64_t line = quotient(pixel, out_width), x = pixel - line * out_width;
    const std::int64_t n = quotient(line, out_height), y = line - n * out_height;
    Floats<kWide> values;
    for (int v = 0; v < kWide; ++v) {
      const std::int64_t tap = quotient(first + v, channels), channel = first + v - tap * channels;
      const std::int64_t p = quotient(tap, kernel), q = tap - p * kernel;
      const std::int64_t at_y = y * stride + p - top, at_x = x * stride + q - padding;
      const bool inside = p < kernel && at_y >= 0 && at_y < height && at_x >= 0 && at_x < width;
      values[v] = inside ? to_float(image[((n * height + at_y) * width + at_x) * channels + channel]) : 0.F;
    }
    store(columns + i * kWide, values);
  });
}

template <class T>
void columns_to_image(Stream stream, const Correlation& c, const T* columns, std::int64_t row,
                      const float* bias, T* image) {
  const std::int64_t channels = c.a.channels, height = c.a.height, width = c.a.width, out_height = c.b.height,
                     out_width = c.b.width, kernel = c.kernel, stride = c.stride, padding = c.padding,
                     top = c.top;
  const bool adds = c.then == Correlation::Then::add_before, biased = c.then == Correlation::Then::add_bias;
  each(stream, "col2im", c.images * height * width * channels, [=] RAINCELL_BODY(std::int64_t i) {
    const std::int64_t pixel = quotient(i, channels), channel = i - pixel * channels;
    const std::int64_t line = quotient(pixel, width), x = pixel - line * width;
    const std::int64_t n = quotient(line, height), y = line - n * height;
    float sum = adds ? to_float(image[i]) : biased ? bias[channel] : 0.F;
    for (std::int64_t p = 0; p < kernel; ++p) {
      const std::int64_t shifted_y = y + top - p;
      if (shifted_y < 0) break;
      const std::int64_t at_y = quotient(shifted_y, stride);
      if (at_y * stride != shifted_y || at_y >= out_height) continue;
      for (std::int64_t q = 0; q < kernel; ++q) {
        const std::int64_t shifted_x = x + padding - q;
        if (shifted_x < 0) break;
        const std::int64_t at_x = quotient(shifted_x, stride);
        if (at_x * stride != shifted_x || at_x >= out_width) continue;
        sum += to_float(columns[((n * out_height + at_y) * out_width + at_x) * row +
                                (p * kernel + q) * channels + channel]);
      }
    }
    image[i] = from_float<T>(sum);
  });
}

template <class T>
void rows_to_rows(Stream stream, std::int64_t rows, const T* from, std::int64_t length, T* to,
                  std::int64_t new_length) {
  each(stream, "copy_rows", rows * new_length, [=] RAINCELL_BODY(std::int64_t i) {
    const std::int64_t row = quotient(i, new_length), at = i - row * new_length;
    to[i] = at < length ? from[row * length + at] : from_float<T>(0.F);
  });
}

}  // namespace

void cell_forward(Stream stream, const CellSpec& spec, View gates, ConstView recurrent, ConstView h_prev,
                  ConstView c_prev, ConstView peephole, View c, View h) {
  with_type(gates.dtype, [&](auto type) {
    using T = decltype(type);
    if (spec.kind == CellKind::rnn) return rnn_forward<T>(stream, gates, h);
    with_width<T>(spec.hidden, [&](auto width) {
      constexpr int kWide = decltype(width)::value;
      const auto forward = [&](auto keeps_gates) {
        if (spec.kind == CellKind::convlstm) {
          lstm_forward<T, kWide, keeps_gates>(stream, spec.hidden, gates, c_prev, peephole, c, h);
        } else {
          gru_forward<T, kWide, keeps_gates>(stream, spec.hidden, gates, recurrent, h_prev, h);
        }
      };
      spec.keeps_gates ? forward(std::true_type()) : forward(std::false_type());
    });
  });
}

void cell_backward(Stream stream, const CellSpec& spec, View gates, View recurrent, ConstView h_prev,
                   ConstView c_prev, ConstView c, ConstView peephole, ConstView dh, ConstView dh_recurrent,
                   View dc, View dh_prev, View d_peephole, double* parts) {
  with_type(gates.dtype, [&](auto type) {
    using T = decltype(type);
    if (spec.kind == CellKind::rnn) return rnn_backward<T>(stream, gates, dh, dh_recurrent);
    with_width<T>(spec.hidden, [&](auto width) {
      constexpr int kWide = decltype(width)::value;
      if (spec.kind == CellKind::convlstm) {
        lstm_backward<T, kWide>(stream, spec.hidden, gates, c_prev, c, peephole, dh, dh_recurrent, dc);
      } else {
        gru_backward<T, kWide>(stream, spec.hidden, gates, recurrent, h_prev, dh, dh_recurrent, dh_prev);
      }
    });
    if (!d_peephole.empty()) peephole_gradient<T>(stream, spec.hidden, gates, c_prev, c, d_peephole, parts);
  });
}

std::size_t peephole_scratch(const CellSpec& spec, const Shape& gates) {
  return static_cast<std::size_t>(parts_of(gates.images() * gates.pixels()) * 3 * spec.hidden) *
         sizeof(double);
}

void activate(Stream stream, Activation activation, float slope, View x) {
  if (activation == Activation::identity) return;
  with_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    change_each<T>(stream, "activate", x, Activate<T>{activation, slope});
  });
}

void activate_backward(Stream stream, Activation activation, float slope, ConstView y, View dy) {
  if (activation == Activation::identity) return;
  with_type(dy.dtype, [&](auto type) {
    using T = decltype(type);
    change_each<T>(stream, "activate_backward", dy, ActivateBackward<T>{data<T>(y), activation, slope});
  });
}

void fill(Stream stream, View view, float value) {
  with_type(view.dtype, [&](auto type) { fill_with<decltype(type)>(stream, view, value); });
}

void add_scaled(Stream stream, View y, float a, ConstView x) {
  with_type(y.dtype, [&](auto type) {
    using T = decltype(type);
    change_each<T>(stream, "add_scaled", y, AddScaled<T>{data<T>(x), a});
  });
}

void lerp(Stream stream, View y, float a, ConstView x) {
  with_type(y.dtype, [&](auto type) {
    using T = decltype(type);
    change_each<T>(stream, "lerp", y, Lerp<T>{data<T>(x), a});
  });
}

void mix(Stream stream, View y, ConstView a, ConstView b, ConstView weights) {
  with_type(y.dtype, [&](auto type) { mix_images<decltype(type)>(stream, y, a, b, weights); });
}

void mix_backward(Stream stream, View y, ConstView x, ConstView weights, Accumulate accumulate) {
  with_type(y.dtype, [&](auto type) {
    mix_images_backward<decltype(type)>(stream, y, x, weights, accumulate == Accumulate::yes);
  });
}

void import_frames(Stream stream, const float* ntchw, const FrameLayout& layout, View tnchw) {
  if (tnchw.shape.elements() != layout.elements()) fill(stream, tnchw, 0.F);
  with_type(tnchw.dtype, [&](auto type) { gather_frames<decltype(type)>(stream, ntchw, layout, tnchw); });
}

void export_frames(Stream stream, ConstView tnchw, const FrameLayout& layout, float* ntchw) {
  with_type(tnchw.dtype, [&](auto type) { scatter_frames<decltype(type)>(stream, tnchw, layout, ntchw); });
}

void pack_filter(Stream stream, ConstView weights, DType type, void* filter) {
  with_type(type, [&](auto value) { planes_to_filter<decltype(value)>(stream, weights, filter); });
}

void unpack_filter(Stream stream, DType type, const void* filter, View weights, Accumulate accumulate) {
  with_type(type, [&](auto value) {
    filter_to_planes<decltype(value)>(stream, filter, weights, accumulate == Accumulate::yes);
  });
}

void add_bias(Stream stream, View y, const float* bias) {
  with_type(y.dtype, [&](auto type) {
    using T = decltype(type);
    const AddBias<T> change{bias, y.shape.c};
    if (y.shape.c % (16 / static_cast<std::int64_t>(sizeof(T))) == 0) {
      change_each<T>(stream, "add_bias", y, change);
    } else {
      each(stream, "add_bias", y.shape.elements(), ChangePack<T, 1, AddBias<T>>{data<T>(y), change});
    }
  });
}

void im2col(Stream stream, const Correlation& correlation, DType type, const void* a, std::int64_t row,
            void* columns) {
  with_type(type, [&](auto value) {
    using T = decltype(value);
    image_to_columns(stream, correlation, static_cast<const T*>(a), row, static_cast<T*>(columns));
  });
}

void col2im(Stream stream, const Correlation& correlation, DType type, const void* columns, std::int64_t row,
            const float* bias, void* a) {
  with_type(type, [&](auto value) {
    using T = decltype(value);
    columns_to_image(stream, correlation, static_cast<const T*>(columns), row, bias, static_cast<T*>(a));
  });
}

void sum_rows(Stream stream, std::int64_t rows, std::int64_t columns, const float* values, float* sums) {
  each(stream, "sum_rows", columns, [=] RAINCELL_BODY(std::int64_t column) {
    double sum = 0;
    for (std::int64_t row = 0; row < rows; ++row) sum += static_cast<double>(values[row * columns + column]);
    sums[column] = static_cast<float>(sum);
  });
}

void copy_rows(Stream stream, DType type, std::int64_t rows, const void* from, std::int64_t length, void* to,
               std::int64_t new_length) {
  with_type(type, [&](auto value) {
    using T = decltype(value);
    rows_to_rows(stream, rows, static_cast<const T*>(from), length, static_cast<T*>(to), new_length);
  });
}

}  // namespace raincell::kernels::cuda
