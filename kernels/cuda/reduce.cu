#include "kernels/cuda/reduce.hpp"

#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/number.hpp"
#include "kernels/cuda/views.hpp"
#include "kernels/texture.hpp"

namespace raincell::kernels::cuda {

namespace {

struct Totals {
  double loss, valid;
  RAINCELL_HOST_DEVICE void operator+=(const Totals& other) {
    loss += other.loss;
    valid += other.valid;
  }
};

/// The scalars of a LossSpec and its lists.
struct LossRule {
  LossKind kind;
  float huber_delta, target_weight, rate_growth;
  std::int64_t classes;  // bounds
  LossLists lists;

  RAINCELL_HOST_DEVICE float class_weight(float y) const {
    std::int64_t rain_class = 0;
    while (rain_class < classes && y >= lists.class_bounds[rain_class]) ++rain_class;
    return lists.class_weights[rain_class];
  }
  /// Weight by target and lead.
  RAINCELL_HOST_DEVICE float weight(float y, std::int64_t lead) const {
    const float by_target = 1 + target_weight * y;
    return lists.lead_weights == nullptr ? by_target : by_target * lists.lead_weights[lead];
  }
  RAINCELL_HOST_DEVICE float value(float f, float y) const {
    const float d = f - y, size = fabsf(d);
    switch (kind) {
      case LossKind::mse:
        return d * d;
      case LossKind::mae:
        return size;
      case LossKind::huber:
        return size <= huber_delta ? d * d / 2 : huber_delta * (size - huber_delta / 2);
      case LossKind::bce:
        return (f > 0 ? f : 0) - f * y + log1pf(expf(-fabsf(f)));
      case LossKind::balanced:
        return class_weight(y) * (d * d + size);
      case LossKind::mse_rate: {
        const float e = (expf(rate_growth * f) - expf(rate_growth * y)) / rate_growth;
        return e * e;
      }
    }
    return 0;
  }
  RAINCELL_HOST_DEVICE float derivative(float f, float y) const {
    const float d = f - y, sign = d > 0 ? 1.F : d < 0 ? -1.F : d - d;  // NaN stays NaN
    switch (kind) {
      case LossKind::mse:
        return 2 * d;
      case LossKind::mae:
        return sign;
      case LossKind::huber:
        return fabsf(d) <= huber_delta ? d : huber_delta * sign;
      case LossKind::bce:
        return AccurateMath::sigmoid(f) - y;
      case LossKind::balanced:
        return class_weight(y) * (2 * d + sign);
      case LossKind::mse_rate: {
        const float rate = expf(rate_growth * f);
        return 2 * rate * (rate - expf(rate_growth * y)) / rate_growth;
      }
    }
    return 0;
  }
};

template <class T, int kWide>
void sum_losses(Stream stream, const LossRule& rule, ConstView forecast, ConstView target, ConstView mask,
                View sums, Totals* parts) {
  const std::int64_t count = forecast.shape.elements(), lead = count / forecast.shape.t;
  const T *const f = data<T>(forecast), *const y = data<T>(target), *const valid = data<T>(mask);
  float* const out = data<float>(sums);
  sum(
      stream, "loss_sums", count / kWide, parts,
      [=] RAINCELL_BODY(std::int64_t i) {
        const std::int64_t at = i * kWide, step = quotient(at, lead);
        const auto forecasts = load<kWide>(f + at), truths = load<kWide>(y + at),
                   counts = load<kWide>(valid + at);
        Totals totals{0, 0};
        for (int v = 0; v < kWide; ++v) {
          if (counts[v] == 0) continue;
          totals +=
              {static_cast<double>(rule.weight(truths[v], step) * rule.value(forecasts[v], truths[v])), 1};
        }
        return totals;
      },
      [=] RAINCELL_BODY(const Totals& total) {
        out[0] = static_cast<float>(total.valid > 0 ? total.loss / total.valid : 0.);
        out[1] = static_cast<float>(total.valid);
      });
}

template <class T, int kWide>
void loss_gradient(Stream stream, const LossRule& rule, ConstView forecast, ConstView target, ConstView mask,
                   View d_forecast, View sums, float scale) {
  const std::int64_t count = forecast.shape.elements(), lead = count / forecast.shape.t;
  const T *const f = data<T>(forecast), *const y = data<T>(target), *const valid = data<T>(mask);
  const float* const total = data<float>(sums);
  T* const gradient = data<T>(d_forecast);
  each(stream, "loss_gradient", count / kWide, [=] RAINCELL_BODY(std::int64_t i) {
    const std::int64_t at = i * kWide, step = quotient(at, lead);
    const auto forecasts = load<kWide>(f + at), truths = load<kWide>(y + at),
               counts = load<kWide>(valid + at);
    Floats<kWide> out;
    for (int v = 0; v < kWide; ++v) {
      const float derivative = rule.weight(truths[v], step) * rule.derivative(forecasts[v], truths[v]);
      out[v] = counts[v] == 0 ? 0.F : scale / total[1] * derivative;
    }
    store(gradient + at, out);
  });
}

template <class T>
void add_textures(Stream stream, const LossSpec& spec, const LossLists& lists, ConstView forecast,
                  ConstView target, ConstView mask, View d_forecast, View sums, float scale, double* parts) {
  const T *const f = data<T>(forecast), *const y = data<T>(target), *const valid = data<T>(mask);
  T* const gradient = data<T>(d_forecast);
  float* const out = data<float>(sums);
  const std::int64_t image = forecast.shape.c * forecast.shape.pixels(), images = forecast.shape.n;
  const double base = spec.texture_weight;
  const float* const leads = lists.lead_weights;
  for (const std::int64_t size : kTextureTiles) {
    const TextureGrid grid(forecast.shape, size);
    const std::int64_t tiles = grid.tiles(), count = forecast.shape.images() * tiles;
    sum(
        stream, "texture_sums", count, parts,
        [=] RAINCELL_BODY(std::int64_t i) {
          const std::int64_t of = quotient(i, tiles), at = of * image;
          const double weight = leads == nullptr ? base : base * leads[quotient(of, images)];
          return weight * texture_of(grid, i - of * tiles, f + at, y + at, valid + at).term();
        },
        [=] RAINCELL_BODY(double total) {
          if (out[1] > 0) out[0] += static_cast<float>(total / out[1]);
        });
    if (gradient == nullptr) continue;
    each(stream, "texture_gradient", count, [=] RAINCELL_BODY(std::int64_t i) {
      if (!(out[1] > 0)) return;
      const std::int64_t of = quotient(i, tiles), at = of * image;
      const double weight = leads == nullptr ? base : base * leads[quotient(of, images)];
      add_texture_gradient(grid, i - of * tiles, weight * scale / out[1], f + at, y + at, valid + at,
                           gradient + at);
    });
  }
}

template <class T>
void sum_squares(Stream stream, ConstView x, View total, double* parts) {
  const T* const in = data<T>(x);
  float* const out = data<float>(total);
  sum(
      stream, "sum_of_squares", x.shape.elements(), parts,
      [=] RAINCELL_BODY(std::int64_t i) {
        const double value = to_float(in[i]);
        return value * value;
      },
      [=] RAINCELL_BODY(double squares) { out[0] += static_cast<float>(squares); });
}

template <class T, int kWide>
void sum_pixels(Stream stream, ConstView x, View sums, bool adds, double* parts) {
  const std::int64_t channels = x.shape.c;
  const T* const in = data<T>(x);
  float* const out = data<float>(sums);
  sum_channels<kWide>(
      stream, "sum_over_pixels", x.shape.images() * x.shape.pixels(), channels, parts,
      [=] RAINCELL_BODY(std::int64_t row, std::int64_t c) {
        const auto values = load<kWide>(in + row * channels + c);
        Doubles<kWide> terms;
        for (int v = 0; v < kWide; ++v) terms.values[v] = static_cast<double>(values[v]);
        return terms;
      },
      [=] RAINCELL_BODY(std::int64_t c, double total) {
        out[c] = (adds ? out[c] : 0.F) + static_cast<float>(total);
      });
}

template <OptimizerKind kKind>
RAINCELL_HOST_DEVICE void update(const OptimizerFactors& by, float beta1, float beta2, float rest1,
                                 float rest2, float epsilon, float decay, float gradient, float& value,
                                 float& m, float* v) {
  float g = by.clip * gradient, w = value;
  if (kKind == OptimizerKind::adamw) {
    w -= decay * w;
  } else {
    g += decay * w;
  }
  if (kKind == OptimizerKind::sgd) {
    m = beta1 * m + g;
    value = w - by.rate * m;
    return;
  }
  *v = beta2 * *v + rest2 * g * g;
  const float root = sqrtf(*v) * by.second_scale + epsilon;
  if (kKind == OptimizerKind::rmsprop) {
    value = w - by.rate * g / root;
    return;
  }
  m = beta1 * m + rest1 * g;
  value = w - by.rate * m / root;
}

template <OptimizerKind kKind>
void update_each(Stream stream, const OptimizerSpec& spec, View value, ConstView gradient, View m, View v,
                 const OptimizerFactors* factors) {
  const auto beta1 = static_cast<float>(spec.beta1), beta2 = static_cast<float>(spec.beta2),
             rest1 = static_cast<float>(1. - spec.beta1), rest2 = static_cast<float>(1. - spec.beta2),
             epsilon = static_cast<float>(spec.epsilon);
  const auto decay = static_cast<float>(kKind == OptimizerKind::adamw ? spec.learning_rate * spec.weight_decay
                                                                      : spec.weight_decay);
  float *const w = data<float>(value), *const first = data<float>(m), *const second = data<float>(v);
  const float* const g = data<float>(gradient);
  each(stream, "optimizer_step", value.shape.elements(), [=] RAINCELL_BODY(std::int64_t i) {
    if (!factors->apply) return;
    update<kKind>(*factors, beta1, beta2, rest1, rest2, epsilon, decay, g[i], w[i], first[i],
                  second == nullptr ? nullptr : second + i);
  });
}

}  // namespace

std::size_t sum_scratch(std::int64_t elements) {
  return static_cast<std::size_t>(parts_of(elements)) * sizeof(Totals);
}

std::size_t channel_sum_scratch(const Shape& shape) {
  return static_cast<std::size_t>(parts_of(shape.images() * shape.pixels()) * shape.c) * sizeof(double);
}

void loss(Stream stream, const LossSpec& spec, const LossLists& lists, ConstView forecast, ConstView target,
          ConstView mask, View d_forecast, View sums, float scale, void* scratch) {
  const LossRule rule{spec.kind,
                      spec.huber_delta,
                      spec.target_weight,
                      spec.rate_growth,
                      static_cast<std::int64_t>(spec.class_bounds.size()),
                      lists};
  with_type(forecast.dtype, [&](auto type) {
    using T = decltype(type);
    // By the size of a lead: a pack has one weight, and a view may begin at any lead.
    with_width<T>(forecast.shape.elements() / forecast.shape.t, [&](auto width) {
      constexpr int kWide = decltype(width)::value;
      sum_losses<T, kWide>(stream, rule, forecast, target, mask, sums, static_cast<Totals*>(scratch));
      if (!d_forecast.empty())
        loss_gradient<T, kWide>(stream, rule, forecast, target, mask, d_forecast, sums, scale);
    });
    if (spec.texture_weight > 0.F)
      add_textures<T>(stream, spec, lists, forecast, target, mask, d_forecast, sums, scale,
                      static_cast<double*>(scratch));
  });
}

void add_sum_of_squares(Stream stream, ConstView x, View sum, void* scratch) {
  with_type(x.dtype,
            [&](auto type) { sum_squares<decltype(type)>(stream, x, sum, static_cast<double*>(scratch)); });
}

void sum_over_pixels(Stream stream, ConstView x, View sums, Accumulate accumulate, void* scratch) {
  with_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    with_width<T>(x.shape.c, [&](auto width) {
      sum_pixels<T, decltype(width)::value>(stream, x, sums, accumulate == Accumulate::yes,
                                            static_cast<double*>(scratch));
    });
  });
}

void optimizer_step(Stream stream, const OptimizerSpec& spec, View value, ConstView gradient, View m, View v,
                    ConstView gradient_sum_of_squares, View skipped_view, OptimizerFactors* factors) {
  const float* const squares = data<float>(gradient_sum_of_squares);
  float* const skipped = data<float>(skipped_view);
  const bool adam = spec.kind == OptimizerKind::adam || spec.kind == OptimizerKind::adamw;
  const double rate = spec.learning_rate, beta1 = spec.beta1, beta2 = spec.beta2, clip_norm = spec.clip_norm;
  const std::int64_t step = spec.step;
  each(stream, "optimizer_factors", 1, [=] RAINCELL_BODY(std::int64_t) {
    const double sum_of_squares = *squares;
    factors->apply = std::isfinite(sum_of_squares);
    if (!factors->apply) {
      *skipped += 1;
      return;
    }
    const double norm = sqrt(sum_of_squares);
    const std::int64_t taken = step - static_cast<std::int64_t>(*skipped);
    const double number = static_cast<double>(taken < 1 ? 1 : taken);
    factors->clip = static_cast<float>(clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1.);
    factors->rate = static_cast<float>(adam ? rate / (1. - pow(beta1, number)) : rate);
    factors->second_scale = static_cast<float>(adam ? 1. / sqrt(1. - pow(beta2, number)) : 1.);
  });
  switch (spec.kind) {
    case OptimizerKind::adam:
      return update_each<OptimizerKind::adam>(stream, spec, value, gradient, m, v, factors);
    case OptimizerKind::adamw:
      return update_each<OptimizerKind::adamw>(stream, spec, value, gradient, m, v, factors);
    case OptimizerKind::rmsprop:
      return update_each<OptimizerKind::rmsprop>(stream, spec, value, gradient, m, v, factors);
    case OptimizerKind::sgd:
      return update_each<OptimizerKind::sgd>(stream, spec, value, gradient, m, v, factors);
  }
}

}  // namespace raincell::kernels::cuda
