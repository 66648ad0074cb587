// Convolution by its definition. Internal to the reference backend.
#pragma once

#include <algorithm>
#include <memory>

#include "kernels/backend.hpp"

namespace raincell::kernels::reference {

/// y[n,o,i,j] = bias[o] + sum over c,p,q of w[o,c,p,q] x[n,c,i*s+p-pad,j*s+q-pad], zeros outside.
/// pad is top() for rows. The transposed one is the same sum with the roles of x and y exchanged, w[c,o,p,q].
template <class Real>
class Plan : public ConvPlan {
 public:
  Plan(const ConvSpec& spec, ConvUse use)
      : ConvPlan(spec, use, sizeof(Real) == 8 ? DType::f64 : DType::f32, Placement{}, Placement{}) {}
  std::string implementation() const override { return "plain loops"; }
  std::size_t bytes() const override { return (weights_.size() + bias_.size()) * sizeof(Real); }

 protected:
  void do_load_weights(ConstView weights, ConstView bias) override {
    const auto* w = static_cast<const Real*>(weights.memory);
    weights_.assign(w, w + weights.shape.elements());
    bias_.clear();
    if (bias.empty()) return;
    const auto* b = static_cast<const Real*>(bias.memory);
    bias_.assign(b, b + bias.shape.elements());
  }

  void do_forward(ConstView x, View y, Accumulate accumulate) override {
    Real* const out = static_cast<Real*>(y.memory);
    const std::int64_t pixels = y.shape.pixels();
    for (std::int64_t plane = 0; plane < y.shape.images() * y.shape.c; ++plane) {
      const Real start = bias_.empty() ? Real(0) : bias_[static_cast<std::size_t>(plane % y.shape.c)];
      for (std::int64_t p = 0; p < pixels; ++p) {
        Real& value = out[plane * pixels + p];
        value = (accumulate == Accumulate::yes ? value : Real(0)) + start;
      }
    }
    const auto* in = static_cast<const Real*>(x.memory);
    const Real* w = weights_.data();
    each_product([=](std::int64_t xi, std::int64_t yi, std::int64_t wi) { out[yi] += w[wi] * in[xi]; });
  }

  void do_backward_data(ConstView dy, View dx, Accumulate accumulate) override {
    Real* const d_in = static_cast<Real*>(dx.memory);
    if (accumulate == Accumulate::no) std::fill_n(d_in, dx.shape.elements(), Real(0));
    const auto* d_out = static_cast<const Real*>(dy.memory);
    const Real* w = weights_.data();
    each_product([=](std::int64_t xi, std::int64_t yi, std::int64_t wi) { d_in[xi] += w[wi] * d_out[yi]; });
  }

  void do_backward_weights(ConstView x, ConstView dy, View d_weights, View d_bias,
                           Accumulate accumulate) override {
    Real* const dw = static_cast<Real*>(d_weights.memory);
    if (accumulate == Accumulate::no) std::fill_n(dw, d_weights.shape.elements(), Real(0));
    const auto* in = static_cast<const Real*>(x.memory);
    const auto* d_out = static_cast<const Real*>(dy.memory);
    each_product([=](std::int64_t xi, std::int64_t yi, std::int64_t wi) { dw[wi] += in[xi] * d_out[yi]; });
    if (d_bias.empty()) return;
    Real* const db = static_cast<Real*>(d_bias.memory);
    if (accumulate == Accumulate::no) std::fill_n(db, dy.shape.c, Real(0));
    const std::int64_t pixels = dy.shape.pixels();
    for (std::int64_t plane = 0; plane < dy.shape.images() * dy.shape.c; ++plane) {
      for (std::int64_t p = 0; p < pixels; ++p) db[plane % dy.shape.c] += d_out[plane * pixels + p];
    }
  }

 private:
  /// Calls product(index in x, index in y, index in weights) for every term of the sum.
  template <class Product>
  void each_product(Product product) const {
    const ConvSpec& s = spec();
    const std::int64_t k = s.kernel;
    // "fine" is the larger side, x of an ordinary convolution; "coarse" is strided over.
    const std::int64_t fine_c = s.transposed ? s.channels_out : s.channels_in;
    const std::int64_t fine_h = s.transposed ? s.out_height() : s.height;
    const std::int64_t fine_w = s.transposed ? s.out_width() : s.width;
    const std::int64_t coarse_c = s.transposed ? s.channels_in : s.channels_out;
    const std::int64_t coarse_h = s.transposed ? s.height : s.out_height();
    const std::int64_t coarse_w = s.transposed ? s.width : s.out_width();
    for (std::int64_t n = 0; n < s.images; ++n)
      for (std::int64_t cc = 0; cc < coarse_c; ++cc)
        for (std::int64_t fc = 0; fc < fine_c; ++fc)
          for (std::int64_t p = 0; p < k; ++p)
            for (std::int64_t q = 0; q < k; ++q) {
              const std::int64_t wi = ((cc * fine_c + fc) * k + p) * k + q;
              for (std::int64_t i = 0; i < coarse_h; ++i) {
                const std::int64_t row = i * s.stride + p - s.top();
                if (row < 0 || row >= fine_h) continue;
                const std::int64_t coarse_row = ((n * coarse_c + cc) * coarse_h + i) * coarse_w;
                const std::int64_t fine_row = ((n * fine_c + fc) * fine_h + row) * fine_w;
                for (std::int64_t j = 0; j < coarse_w; ++j) {
                  const std::int64_t column = j * s.stride + q - s.padding;
                  if (column < 0 || column >= fine_w) continue;
                  const std::int64_t fine = fine_row + column, coarse = coarse_row + j;
                  if (s.transposed) {
                    product(coarse, fine, wi);
                  } else {
                    product(fine, coarse, wi);
                  }
                }
              }
            }
  }

  std::vector<Real> weights_, bias_;
};

}  // namespace raincell::kernels::reference
