// Every operation of the seam in the plainest form: planes, one element at a time, no fusion.
#include "kernels/reference/reference.hpp"

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <new>

#include "kernels/reference/conv.hpp"

namespace raincell::kernels {

namespace {

using std::int64_t;

void release(void*, void* memory, std::size_t) noexcept {
  ::operator delete(memory);
}

template <class Real>
const Real* data(const ConstView& view) {
  return static_cast<const Real*>(view.memory);
}
template <class Real>
Real* data(const View& view) {
  return static_cast<Real*>(view.memory);
}

template <class Real>
Real sigmoid(Real x) {
  return Real(1) / (Real(1) + std::exp(-x));
}

/// Element (n, c, pixel) of a step; 0 when the tensor is empty.
template <class Real>
Real at(const ConstView& view, int64_t n, int64_t c, int64_t pixel) {
  return view.empty() ? Real(0) : data<Real>(view)[(n * view.shape.c + c) * view.shape.pixels() + pixel];
}
template <class Real>
Real& at(const View& view, int64_t n, int64_t c, int64_t pixel) {
  return data<Real>(view)[(n * view.shape.c + c) * view.shape.pixels() + pixel];
}

template <class Real>
struct LossTerm {
  Real value, derivative;
};

/// Loss and derivative by the forecast f of one pixel, weights by target and lead aside.
template <class Real>
LossTerm<Real> pixel_loss(const LossSpec& spec, Real f, Real y) {
  const Real d = f - y, sign = d > 0 ? Real(1) : d < 0 ? Real(-1) : Real(0);
  switch (spec.kind) {
    case LossKind::mse:
      return {d * d, 2 * d};
    case LossKind::mae:
      return {std::abs(d), sign};
    case LossKind::huber: {
      const Real delta = spec.huber_delta;
      if (std::abs(d) <= delta) return {d * d / 2, d};
      return {delta * (std::abs(d) - delta / 2), delta * sign};
    }
    case LossKind::bce:
      return {std::max(f, Real(0)) - f * y + std::log1p(std::exp(-std::abs(f))), sigmoid(f) - y};
    case LossKind::balanced: {
      std::size_t rain_class = 0;
      for (const float bound : spec.class_bounds) rain_class += y >= Real(bound) ? 1 : 0;
      const Real weight = spec.class_weights[rain_class];
      return {weight * (d * d + std::abs(d)), weight * (2 * d + sign)};
    }
    case LossKind::mse_rate: {
      const Real growth = spec.rate_growth, rate = std::exp(growth * f),
                 e = (rate - std::exp(growth * y)) / growth;
      return {e * e, 2 * e * rate};
    }
  }
  return {0, 0};
}

template <class Real>
class ReferenceBackend : public Backend {
 public:
  ReferenceBackend() {
    info_.name = sizeof(Real) == 8 ? "reference" : "reference-f32";
    info_.device = "one thread";
    info_.libraries = "none";
  }
  const BackendInfo& info() const override { return info_; }
  DType dtype() const override { return sizeof(Real) == 8 ? DType::f64 : DType::f32; }
  void synchronize() override {}

 protected:
  Placement do_place(const Shape&, DType) const override { return Placement{}; }

  Buffer do_allocate(std::size_t bytes, std::string_view what) override {
    // Linux grants more memory than there is and kills on use: refuse what cannot fit before that.
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const bool fits = pages <= 0 || page <= 0 || bytes / static_cast<std::size_t>(page) < std::size_t(pages);
    void* const memory = fits ? ::operator new(bytes, std::nothrow) : nullptr;
    if (memory == nullptr) throw OutOfMemory("host", bytes, 0, std::string(what));
    std::memset(memory, 0, bytes);
    return {memory, bytes, release, nullptr};
  }

  void do_write(View view, std::span<const double> values) override { write_values(view, values); }
  void do_write(View view, std::span<const float> values) override { write_values(view, values); }
  void do_read(ConstView view, std::span<double> values) override { read_values(view, values); }
  void do_read(ConstView view, std::span<float> values) override { read_values(view, values); }

  void do_import_frames(std::span<const float> ntchw, const FrameLayout& layout, View tnchw) override {
    std::fill_n(data<Real>(tnchw), tnchw.shape.elements(), Real(0));
    each_frame_pixel(layout, tnchw.shape, [&](int64_t host, int64_t device) {
      data<Real>(tnchw)[device] = ntchw[static_cast<std::size_t>(host)];
    });
  }

  void do_export_frames(ConstView tnchw, const FrameLayout& layout, std::span<float> ntchw) override {
    each_frame_pixel(layout, tnchw.shape, [&](int64_t host, int64_t device) {
      ntchw[static_cast<std::size_t>(host)] = static_cast<float>(data<Real>(tnchw)[device]);
    });
  }

  std::unique_ptr<ConvPlan> do_plan_convolution(const ConvSpec& spec, ConvUse use) override {
    return std::make_unique<reference::Plan<Real>>(spec, use);
  }

  void do_cell_forward(const CellSpec& spec, View gates, ConstView recurrent, ConstView h_prev,
                       ConstView c_prev, ConstView peephole, View c, View h) override {
    each_state(h.shape, [&](int64_t n, int64_t k, int64_t p) {
      switch (spec.kind) {
        case CellKind::convlstm:
          lstm_forward(spec, gates, c_prev, peephole, c, h, n, k, p);
          break;
        case CellKind::convgru:
          gru_forward(spec, gates, recurrent, h_prev, h, n, k, p);
          break;
        case CellKind::rnn:
          at<Real>(h, n, k, p) = at<Real>(gates, n, k, p) = std::tanh(at<Real>(gates, n, k, p));
      }
    });
  }

  void do_cell_backward(const CellSpec& spec, View gates, View recurrent, ConstView h_prev, ConstView c_prev,
                        ConstView c, ConstView peephole, ConstView dh_above, ConstView dh_recurrent, View dc,
                        View dh_prev, View d_peephole) override {
    const Shape state{1, gates.shape.n, spec.hidden, gates.shape.h, gates.shape.w};
    each_state(state, [&](int64_t n, int64_t k, int64_t p) {
      const Real dh = at<Real>(dh_above, n, k, p) + at<Real>(dh_recurrent, n, k, p);
      switch (spec.kind) {
        case CellKind::convlstm:
          lstm_backward(spec, gates, c_prev, c, peephole, dh, dc, d_peephole, n, k, p);
          break;
        case CellKind::convgru:
          gru_backward(spec, gates, recurrent, h_prev, dh, dh_prev, n, k, p);
          break;
        case CellKind::rnn: {
          Real& gate = at<Real>(gates, n, k, p);
          gate = dh * (1 - gate * gate);
        }
      }
    });
  }

  void do_activate(Activation activation, float slope, View x) override {
    each(x, [&](int64_t i) {
      Real& value = data<Real>(x)[i];
      if (activation == Activation::leaky_relu && value < 0) value *= Real(slope);
      if (activation == Activation::sigmoid) value = sigmoid(value);
      if (activation == Activation::tanh) value = std::tanh(value);
    });
  }

  void do_activate_backward(Activation activation, float slope, ConstView y, View dy) override {
    each(y, [&](int64_t i) {
      const Real out = data<Real>(y)[i];
      Real& gradient = data<Real>(dy)[i];
      if (activation == Activation::leaky_relu && out <= 0) gradient *= Real(slope);
      if (activation == Activation::sigmoid) gradient *= out * (1 - out);
      if (activation == Activation::tanh) gradient *= 1 - out * out;
    });
  }

  void do_fill(View view, float value) override {
    each(view, [&](int64_t i) { data<Real>(view)[i] = value; });
  }
  void do_copy(ConstView x, View y) override {
    each(y, [&](int64_t i) { data<Real>(y)[i] = data<Real>(x)[i]; });
  }
  void do_add_scaled(View y, float a, ConstView x) override {
    each(y, [&](int64_t i) { data<Real>(y)[i] += Real(a) * data<Real>(x)[i]; });
  }
  void do_lerp(View y, float a, ConstView x) override {
    each(y, [&](int64_t i) { data<Real>(y)[i] += Real(a) * (data<Real>(x)[i] - data<Real>(y)[i]); });
  }
  void do_mix(View y, ConstView a, ConstView b, ConstView weights) override {
    const int64_t image = y.shape.c * y.shape.pixels();
    each(y, [&](int64_t i) {
      const Real w = data<Real>(weights)[i / image % y.shape.n];
      data<Real>(y)[i] = w * data<Real>(a)[i] + (1 - w) * data<Real>(b)[i];
    });
  }
  void do_mix_backward(View y, ConstView x, ConstView weights, Accumulate accumulate) override {
    const int64_t image = y.shape.c * y.shape.pixels();
    each(y, [&](int64_t i) {
      const Real w = data<Real>(weights)[i / image % y.shape.n];
      const Real before = accumulate == Accumulate::yes ? data<Real>(y)[i] : Real(0);
      data<Real>(y)[i] = before + (1 - w) * data<Real>(x)[i];
    });
  }

  void do_loss(const LossSpec& spec, ConstView forecast, ConstView target, ConstView mask, View d_forecast,
               View sums, float scale) override {
    const int64_t step = forecast.shape.elements() / forecast.shape.t;
    double sum = 0, valid = 0;
    each(forecast, [&](int64_t i) { valid += data<Real>(mask)[i] != 0 ? 1 : 0; });
    each(forecast, [&](int64_t i) {
      if (!d_forecast.empty()) data<Real>(d_forecast)[i] = 0;
      if (data<Real>(mask)[i] == 0) return;
      const Real f = data<Real>(forecast)[i], y = data<Real>(target)[i];
      const LossTerm<Real> term = pixel_loss(spec, f, y);
      Real weight = 1 + Real(spec.target_weight) * y;
      if (!spec.lead_weights.empty()) weight *= Real(spec.lead_weights[static_cast<std::size_t>(i / step)]);
      sum += weight * term.value;
      if (!d_forecast.empty()) data<Real>(d_forecast)[i] = Real(weight * term.derivative / valid * scale);
    });
    if (spec.texture_weight > 0) {
      for (const int64_t size : {4, 8, 16}) {
        const double weight = spec.texture_weight / 3.;
        for (int64_t row = 0; row < forecast.shape.h; row += size)
          for (int64_t column = 0; column < forecast.shape.w; column += size)
            sum += weight * tile_textures(spec, forecast, target, mask, d_forecast, row, column, size,
                                          weight / valid * double(scale));
      }
    }
    data<Real>(sums)[0] = Real(valid > 0 ? sum / valid : 0);
    data<Real>(sums)[1] = Real(valid);
  }

  void do_add_sum_of_squares(ConstView x, View sum) override {
    double squares = 0;
    each(x, [&](int64_t i) { squares += double(data<Real>(x)[i]) * double(data<Real>(x)[i]); });
    *data<Real>(sum) += Real(squares);
  }

  void do_optimizer_step(const OptimizerSpec& spec, View value, ConstView gradient, View m, View v,
                         ConstView gradient_sum_of_squares, View skipped) override {
    const double squares = *data<Real>(gradient_sum_of_squares);
    if (!std::isfinite(squares)) {
      *data<Real>(skipped) += 1;
      return;
    }
    const double norm = std::sqrt(squares);
    const double clip = spec.clip_norm > 0 && norm > spec.clip_norm ? spec.clip_norm / norm : 1.;
    OptimizerSpec applied = spec;
    applied.step = std::max<int64_t>(1, spec.step - static_cast<int64_t>(*data<Real>(skipped)));
    each(value, [&](int64_t i) {
      update_one(applied, clip * data<Real>(gradient)[i], data<Real>(value)[i], data<Real>(m)[i],
                 v.empty() ? nullptr : data<Real>(v) + i);
    });
  }

 private:
  /// Sum over images and channels of n (s_f - s_y)^2 of one tile; adds factor times its derivative.
  static double tile_textures(const LossSpec& spec, ConstView forecast, ConstView target, ConstView mask,
                              View d_forecast, int64_t row, int64_t column, int64_t size, double factor) {
    const Shape& shape = forecast.shape;
    double sum = 0;
    for (int64_t plane = 0; plane < shape.t * shape.n * shape.c; ++plane) {
      std::vector<int64_t> tile;
      for (int64_t r = row; r < std::min(row + size, shape.h); ++r)
        for (int64_t c = column; c < std::min(column + size, shape.w); ++c) {
          const int64_t at = (plane * shape.h + r) * shape.w + c;
          if (data<Real>(mask)[at] != 0) tile.push_back(at);
        }
      const auto n = static_cast<double>(tile.size());
      if (n < 2) continue;
      const auto mean = [&](const ConstView& field) {
        double total = 0;
        for (const int64_t at : tile) total += double(data<Real>(field)[at]);
        return total / n;
      };
      const auto deviation = [&](const ConstView& field, double about) {
        double squares = 0;
        for (const int64_t at : tile) squares += std::pow(double(data<Real>(field)[at]) - about, 2);
        return std::sqrt(squares / n + 1e-6);
      };
      const double mean_f = mean(forecast), s_f = deviation(forecast, mean_f),
                   s_y = deviation(target, mean(target));
      const double lead = spec.lead_weights.empty()
                              ? 1.
                              : spec.lead_weights[static_cast<std::size_t>(plane / (shape.n * shape.c))];
      sum += lead * n * (s_f - s_y) * (s_f - s_y);
      if (d_forecast.empty()) continue;
      for (const int64_t at : tile)
        data<Real>(d_forecast)[at] +=
            Real(factor * lead * 2 * (s_f - s_y) * (double(data<Real>(forecast)[at]) - mean_f) / s_f);
    }
    return sum;
  }

  template <class Visit>
  static void each(const ConstView& view, Visit visit) {
    const int64_t count = view.shape.elements();
    for (int64_t i = 0; i < count; ++i) visit(i);
  }

  template <class Visit>
  static void each_state(const Shape& state, Visit visit) {
    for (int64_t n = 0; n < state.n; ++n)
      for (int64_t k = 0; k < state.c; ++k)
        for (int64_t p = 0; p < state.pixels(); ++p) visit(n, k, p);
  }

  /// Calls visit(index in ntchw, index in the planes of tnchw) for every pixel of the frames.
  template <class Visit>
  static void each_frame_pixel(const FrameLayout& layout, const Shape& shape, Visit visit) {
    const int64_t p = layout.patch;
    int64_t host = 0;
    for (int64_t n = 0; n < layout.batch; ++n)
      for (int64_t t = 0; t < layout.steps; ++t)
        for (int64_t c = 0; c < layout.channels; ++c)
          for (int64_t row = 0; row < layout.height; ++row)
            for (int64_t column = 0; column < layout.width; ++column, ++host) {
              const int64_t channel = (c * p + row % p) * p + column % p;
              visit(host, offset_of(shape, Placement{}, t, n, channel, row / p * shape.w + column / p));
            }
  }

  template <class Value>
  static void write_values(View view, std::span<const Value> values) {
    each(view,
         [&](int64_t i) { data<Real>(view)[i] = static_cast<Real>(values[static_cast<std::size_t>(i)]); });
  }
  template <class Value>
  static void read_values(ConstView view, std::span<Value> values) {
    each(view,
         [&](int64_t i) { values[static_cast<std::size_t>(i)] = static_cast<Value>(data<Real>(view)[i]); });
  }

  static void lstm_forward(const CellSpec& spec, View gates, ConstView c_prev, ConstView peephole, View c,
                           View h, int64_t n, int64_t k, int64_t p) {
    const int64_t hidden = spec.hidden;
    Real &i = at<Real>(gates, n, k, p), &f = at<Real>(gates, n, hidden + k, p);
    Real &o = at<Real>(gates, n, 2 * hidden + k, p), &g = at<Real>(gates, n, 3 * hidden + k, p);
    const Real before = at<Real>(c_prev, n, k, p);
    i = sigmoid(i + at<Real>(peephole, 0, k, 0) * before);
    f = sigmoid(f + at<Real>(peephole, 0, hidden + k, 0) * before);
    g = std::tanh(g);
    const Real now = f * before + i * g;
    o = sigmoid(o + at<Real>(peephole, 0, 2 * hidden + k, 0) * now);
    at<Real>(c, n, k, p) = now;
    at<Real>(h, n, k, p) = o * std::tanh(now);
  }

  static void lstm_backward(const CellSpec& spec, View gates, ConstView c_prev, ConstView c,
                            ConstView peephole, Real dh, View dc, View d_peephole, int64_t n, int64_t k,
                            int64_t p) {
    const int64_t hidden = spec.hidden;
    Real &i = at<Real>(gates, n, k, p), &f = at<Real>(gates, n, hidden + k, p);
    Real &o = at<Real>(gates, n, 2 * hidden + k, p), &g = at<Real>(gates, n, 3 * hidden + k, p);
    const Real before = at<Real>(c_prev, n, k, p), now = at<Real>(c, n, k, p), squashed = std::tanh(now);
    const Real d_o = dh * squashed * o * (1 - o);
    const Real d_now = at<Real>(dc, n, k, p) + dh * o * (1 - squashed * squashed) +
                       d_o * at<Real>(peephole, 0, 2 * hidden + k, 0);
    const Real d_i = d_now * g * i * (1 - i), d_f = d_now * before * f * (1 - f),
               d_g = d_now * i * (1 - g * g);
    at<Real>(dc, n, k, p) =
        d_now * f + d_i * at<Real>(peephole, 0, k, 0) + d_f * at<Real>(peephole, 0, hidden + k, 0);
    if (!d_peephole.empty()) {
      at<Real>(d_peephole, 0, k, 0) += d_i * before;
      at<Real>(d_peephole, 0, hidden + k, 0) += d_f * before;
      at<Real>(d_peephole, 0, 2 * hidden + k, 0) += d_o * now;
    }
    i = d_i, f = d_f, o = d_o, g = d_g;
  }

  static void gru_forward(const CellSpec& spec, View gates, ConstView recurrent, ConstView h_prev, View h,
                          int64_t n, int64_t k, int64_t p) {
    const int64_t hidden = spec.hidden;
    Real &z = at<Real>(gates, n, k, p), &r = at<Real>(gates, n, hidden + k, p);
    Real& candidate = at<Real>(gates, n, 2 * hidden + k, p);
    z = sigmoid(z + at<Real>(recurrent, n, k, p));
    r = sigmoid(r + at<Real>(recurrent, n, hidden + k, p));
    candidate = std::tanh(candidate + r * at<Real>(recurrent, n, 2 * hidden + k, p));
    at<Real>(h, n, k, p) = (1 - z) * candidate + z * at<Real>(h_prev, n, k, p);
  }

  static void gru_backward(const CellSpec& spec, View gates, View recurrent, ConstView h_prev, Real dh,
                           View dh_prev, int64_t n, int64_t k, int64_t p) {
    const int64_t hidden = spec.hidden;
    Real &z = at<Real>(gates, n, k, p), &r = at<Real>(gates, n, hidden + k, p);
    Real& candidate = at<Real>(gates, n, 2 * hidden + k, p);
    const Real from_h = recurrent.empty() ? Real(0) : at<Real>(recurrent, n, 2 * hidden + k, p);
    const Real d_n = dh * (1 - z) * (1 - candidate * candidate);
    const Real d_z = dh * (at<Real>(h_prev, n, k, p) - candidate) * z * (1 - z);
    const Real d_r = d_n * from_h * r * (1 - r);
    if (!dh_prev.empty()) at<Real>(dh_prev, n, k, p) = dh * z;
    if (!recurrent.empty()) {
      at<Real>(recurrent, n, k, p) = d_z;
      at<Real>(recurrent, n, hidden + k, p) = d_r;
      at<Real>(recurrent, n, 2 * hidden + k, p) = d_n * r;
    }
    z = d_z, r = d_r, candidate = d_n;
  }

  static void update_one(const OptimizerSpec& spec, double gradient, Real& value, Real& m, Real* v) {
    const double rate = spec.learning_rate, decay = spec.weight_decay, step = static_cast<double>(spec.step);
    if (spec.kind != OptimizerKind::adamw) gradient += decay * value;
    switch (spec.kind) {
      case OptimizerKind::adam:
      case OptimizerKind::adamw: {
        if (spec.kind == OptimizerKind::adamw) value = Real(value - rate * decay * value);
        m = Real(spec.beta1 * m + (1 - spec.beta1) * gradient);
        *v = Real(spec.beta2 * *v + (1 - spec.beta2) * gradient * gradient);
        const double m_hat = m / (1 - std::pow(spec.beta1, step)),
                     v_hat = *v / (1 - std::pow(spec.beta2, step));
        value = Real(value - rate * m_hat / (std::sqrt(v_hat) + spec.epsilon));
        return;
      }
      case OptimizerKind::rmsprop:
        *v = Real(spec.beta2 * *v + (1 - spec.beta2) * gradient * gradient);
        value = Real(value - rate * gradient / (std::sqrt(double(*v)) + spec.epsilon));
        return;
      case OptimizerKind::sgd:
        m = Real(spec.beta1 * m + gradient);
        value = Real(value - rate * m);
        return;
    }
  }

  BackendInfo info_;
};

}  // namespace

std::unique_ptr<Backend> make_reference(DType type, const BackendOptions&) {
  if (type == DType::f64) return std::make_unique<ReferenceBackend<double>>();
  return std::make_unique<ReferenceBackend<float>>();
}

}  // namespace raincell::kernels
