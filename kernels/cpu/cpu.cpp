// The seam on the CPU: fixed parts of vectorised range kernels over threads, convolutions by oneDNN.
#include "kernels/cpu/cpu.hpp"

#include <cmath>
#include <cstring>
#include <fstream>

#include "kernels/cpu/conv_onednn.hpp"
#include "kernels/cpu/memory.hpp"
#include "kernels/cpu/pointwise.hpp"
#include "kernels/cpu/threads.hpp"
#include "kernels/cpu/winograd.hpp"
#include "kernels/texture.hpp"
#include "kernels/typed_view.hpp"

namespace raincell::kernels {

namespace {

using namespace cpu;
using std::int64_t;

int64_t stored(const ConstView& view) {
  return stored_elements(view.shape, view.placement);
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "processor";
}

CellGeometry geometry_of(const CellSpec& spec, const ConstView& gates, const Placement& state) {
  CellGeometry g;
  const int64_t hidden = spec.hidden, all = spec.gates() * hidden;
  g.lanes = state.channel_block;
  g.blocks = hidden / g.lanes;
  g.pixels = gates.shape.pixels();
  g.rows = gates.shape.n * g.blocks * g.pixels;
  g.gate_image = all * g.pixels;
  if (gates.placement.channel_block == all) {  // channels last
    g.gate_block = g.lanes;
    g.gate_pixel = all;
    g.gate_plane = hidden;
  } else if (gates.placement.channel_block == g.lanes) {
    g.gate_block = g.pixels * g.lanes;
    g.gate_pixel = g.lanes;
    g.gate_plane = hidden * g.pixels;
  } else {
    throw std::logic_error("kernels: cpu cell: gates in blocks of " +
                           std::to_string(gates.placement.channel_block) + ", states of " +
                           std::to_string(g.lanes));
  }
  return g;
}

LossRange loss_range_of(const LossSpec& spec) {
  LossRange range;
  range.kind = spec.kind;
  range.huber_delta = spec.huber_delta;
  range.target_weight = spec.target_weight;
  range.rate_growth = spec.rate_growth;
  range.class_bounds = spec.class_bounds.data();
  range.class_weights = spec.class_weights.data();
  range.classes = static_cast<int64_t>(spec.class_bounds.size());
  return range;
}

OptimizerRange optimizer_range_of(const OptimizerSpec& spec, double sum_of_squares) {
  OptimizerRange range;
  const double norm = std::sqrt(sum_of_squares), step = static_cast<double>(spec.step);
  range.kind = spec.kind;
  range.clip = static_cast<float>(spec.clip_norm > 0 && norm > spec.clip_norm ? spec.clip_norm / norm : 1.);
  range.beta1 = static_cast<float>(spec.beta1);
  range.one_minus_beta1 = static_cast<float>(1. - spec.beta1);
  range.beta2 = static_cast<float>(spec.beta2);
  range.one_minus_beta2 = static_cast<float>(1. - spec.beta2);
  range.epsilon = static_cast<float>(spec.epsilon);
  const bool adam = spec.kind == OptimizerKind::adam || spec.kind == OptimizerKind::adamw;
  range.rate =
      static_cast<float>(adam ? spec.learning_rate / (1. - std::pow(spec.beta1, step)) : spec.learning_rate);
  range.second_scale = static_cast<float>(adam ? 1. / std::sqrt(1. - std::pow(spec.beta2, step)) : 1.);
  const bool decoupled = spec.kind == OptimizerKind::adamw;
  range.decay = static_cast<float>(decoupled ? spec.learning_rate * spec.weight_decay : spec.weight_decay);
  return range;
}

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options)
      : threads_(options.threads > 0 ? options.threads : omp_get_num_procs()),
        kernels_(pointwise_kernels()),
        activations_(options.precision == Precision::bf16 ? DType::bf16 : DType::f32),
        onednn_(threads_, kernels_),
        winograd_(threads_, kernels_),
        partial_(static_cast<std::size_t>(threads_)) {
    if (activations_ == DType::bf16 && !Onednn::has(InstructionSet::avx512_bf16))
      throw BackendUnavailable(
          "this processor does not multiply bf16 numbers (AVX-512 BF16 or AMX): leave precision at f32");
    info_.name = "cpu";
    info_.passed_over = options.passed_over;
    info_.device = processor_name() + ", " + std::to_string(threads_) +
                   (threads_ == 1 ? " thread" : " threads") + ", " + kernels_.name;
    info_.libraries = Onednn::version();
    info_.threads = threads_;
  }

  const BackendInfo& info() const override { return info_; }
  DType dtype() const override { return DType::f32; }
  DType activation_dtype() const override { return activations_; }
  void synchronize() override {}
  std::size_t shared_bytes() const override { return onednn_.bytes() + winograd_.bytes(); }

 protected:
  /// Channels last: the cell reads all gates of a pixel from one place, and any number of channels fits.
  Placement do_place(const Shape& shape, DType) const override { return {shape.c}; }

  Buffer do_allocate(std::size_t bytes, std::string_view what) override {
    return allocate_host(bytes, what, threads_);
  }

  void do_write(View view, std::span<const double> values) override { write_values(view, values); }
  void do_write(View view, std::span<const float> values) override { write_values(view, values); }
  void do_read(ConstView view, std::span<double> values) override { read_values(view, values); }
  void do_read(ConstView view, std::span<float> values) override { read_values(view, values); }

  void do_import_frames(std::span<const float> ntchw, const FrameLayout& layout, View tnchw) override {
    const bool padded =
        tnchw.shape.h * layout.patch != layout.height || tnchw.shape.w * layout.patch != layout.width;
    if (padded) do_fill(tnchw, 0.F);
    with_type(tnchw.dtype, [&](auto type) {
      using T = decltype(type);
      each_frame_row(layout, tnchw,
                     [&](int64_t host, int64_t device, int64_t channel_step, int64_t pixel_step) {
                       T* const out = data<T>(tnchw) + device;
                       const float* const in = ntchw.data() + host;
                       each_column(layout, channel_step, pixel_step,
                                   [=](int64_t column, int64_t at) { out[at] = from_float<T>(in[column]); });
                     });
    });
  }

  void do_export_frames(ConstView tnchw, const FrameLayout& layout, std::span<float> ntchw) override {
    with_type(tnchw.dtype, [&](auto type) {
      using T = decltype(type);
      each_frame_row(layout, tnchw,
                     [&](int64_t host, int64_t device, int64_t channel_step, int64_t pixel_step) {
                       const T* const in = data<T>(tnchw) + device;
                       float* const out = ntchw.data() + host;
                       each_column(layout, channel_step, pixel_step,
                                   [=](int64_t column, int64_t at) { out[column] = to_float(in[at]); });
                     });
    });
  }

  std::unique_ptr<ConvPlan> do_plan_convolution(const ConvSpec& spec, ConvUse use) override {
    const Shape x{1, spec.images, spec.channels_in, spec.height, spec.width};
    const Shape y{1, spec.images, spec.channels_out, spec.out_height(), spec.out_width()};
    const Placement x_placement = do_place(x, activations_), y_placement = do_place(y, activations_);
    if (activations_ == DType::f32 && Winograd::suits(spec))
      return winograd_.plan(spec, use, x_placement, y_placement);
    return onednn_.plan(spec, use, activations_, x_placement, y_placement);
  }

  void do_cell_forward(const CellSpec& spec, View gates, ConstView recurrent, ConstView h_prev,
                       ConstView c_prev, ConstView peephole, View c, View h) override {
    with_type(gates.dtype, [&](auto type) {
      using T = decltype(type);
      const CellForward<T> cell{geometry_of(spec, gates, h.placement),
                                spec.hidden,
                                data<T>(gates),
                                data<T>(recurrent),
                                data<T>(h_prev),
                                data(c_prev),
                                data(peephole),
                                data(c),
                                data<T>(h),
                                spec.keeps_gates};
      const auto& kernels = activation_kernels<T>(kernels_);
      auto* const kernel = spec.kind == CellKind::convlstm  ? kernels.lstm_forward
                           : spec.kind == CellKind::convgru ? kernels.gru_forward
                                                            : kernels.rnn_forward;
      parallel_parts(threads_, cell.geometry.rows, kSerialElements / 8 / cell.geometry.lanes,
                     [&](int64_t begin, int64_t end, int) { kernel(cell, begin, end); });
    });
  }

  void do_cell_backward(const CellSpec& spec, View gates, View recurrent, ConstView h_prev, ConstView c_prev,
                        ConstView c, ConstView peephole, ConstView dh, ConstView dh_recurrent, View dc,
                        View dh_prev, View d_peephole) override {
    Shape state = gates.shape;
    state.c = spec.hidden;
    with_type(gates.dtype, [&](auto type) {
      using T = decltype(type);
      const CellBackward<T> cell{geometry_of(spec, gates, do_place(state, gates.dtype)),
                                 spec.hidden,
                                 data<T>(gates),
                                 data<T>(recurrent),
                                 data<T>(h_prev),
                                 data(c_prev),
                                 data(c),
                                 data(peephole),
                                 data<T>(dh),
                                 data<T>(dh_recurrent),
                                 data(dc),
                                 data<T>(dh_prev)};
      const auto& kernels = activation_kernels<T>(kernels_);
      const int64_t serial_below = kSerialElements / 8 / cell.geometry.lanes;
      if (spec.kind == CellKind::convlstm) {
        double* const sums = d_peephole.empty() ? nullptr : peephole_sums(3 * spec.hidden);
        parallel_parts(threads_, cell.geometry.rows, serial_below, [&](int64_t begin, int64_t end, int part) {
          kernels.lstm_backward(cell, sums == nullptr ? nullptr : sums + part * 3 * spec.hidden, begin, end);
        });
        if (sums != nullptr) add_peephole_sums(data(d_peephole), sums, 3 * spec.hidden);
        return;
      }
      auto* const kernel = spec.kind == CellKind::convgru ? kernels.gru_backward : kernels.rnn_backward;
      parallel_parts(threads_, cell.geometry.rows, serial_below,
                     [&](int64_t begin, int64_t end, int) { kernel(cell, begin, end); });
    });
  }

  void do_activate(Activation activation, float slope, View x) override {
    each_part(x, [&](auto type, const auto& kernels, int64_t begin, int64_t end) {
      kernels.activate(activation, slope, data<decltype(type)>(x), begin, end);
    });
  }
  void do_activate_backward(Activation activation, float slope, ConstView y, View dy) override {
    each_part(y, [&](auto type, const auto& kernels, int64_t begin, int64_t end) {
      using T = decltype(type);
      kernels.activate_backward(activation, slope, data<T>(y), data<T>(dy), begin, end);
    });
  }
  void do_fill(View view, float value) override {
    each_part(view, [&](auto type, const auto&, int64_t begin, int64_t end) {
      using T = decltype(type);
      std::fill(data<T>(view) + begin, data<T>(view) + end, from_float<T>(value));
    });
  }
  void do_copy(ConstView x, View y) override {
    each_part(y, [&](auto type, const auto&, int64_t begin, int64_t end) {
      using T = decltype(type);
      std::memcpy(data<T>(y) + begin, data<T>(x) + begin, static_cast<std::size_t>(end - begin) * sizeof(T));
    });
  }
  void do_add_scaled(View y, float a, ConstView x) override {
    each_part(y, [&](auto type, const auto& kernels, int64_t begin, int64_t end) {
      using T = decltype(type);
      kernels.add_scaled(data<T>(y), a, data<T>(x), begin, end);
    });
  }
  void do_lerp(View y, float a, ConstView x) override {
    each_part(y, [&](auto type, const auto& kernels, int64_t begin, int64_t end) {
      using T = decltype(type);
      kernels.lerp(data<T>(y), a, data<T>(x), begin, end);
    });
  }

  void do_mix(View y, ConstView a, ConstView b, ConstView weights) override {
    each_image(y, [&](auto type, const auto& kernels, int64_t image, int64_t begin, int64_t end) {
      using T = decltype(type);
      const float w = data(weights)[image % y.shape.n];
      kernels.combine(data<T>(y), w, data<T>(a), 1.F - w, data<T>(b), begin, end);
    });
  }
  void do_mix_backward(View y, ConstView x, ConstView weights, Accumulate accumulate) override {
    each_image(y, [&](auto type, const auto& kernels, int64_t image, int64_t begin, int64_t end) {
      using T = decltype(type);
      const float w = 1.F - data(weights)[image % y.shape.n];
      if (accumulate == Accumulate::yes) {
        kernels.add_scaled(data<T>(y), w, data<T>(x), begin, end);
      } else {
        kernels.combine(data<T>(y), w, data<T>(x), 0.F, data<T>(x), begin, end);
      }
    });
  }

  void do_loss(const LossSpec& spec, ConstView forecast, ConstView target, ConstView mask, View d_forecast,
               View sums, float scale) override {
    for (LossSums& part : partial_) part = {};
    const LossRange range = loss_range_of(spec);
    each_lead(spec, forecast, range,
              [&](auto type, const LossRange& lead, int64_t begin, int64_t end, int part) {
                using T = decltype(type);
                const LossSums some = activation_kernels<T>(kernels_).loss_sums(
                    lead, data<T>(forecast), data<T>(target), data<T>(mask), begin, end);
                partial_[static_cast<std::size_t>(part)].loss += some.loss;
                partial_[static_cast<std::size_t>(part)].valid += some.valid;
              });
    LossSums total;
    for (const LossSums& part : partial_) total.loss += part.loss, total.valid += part.valid;
    if (spec.texture_weight > 0.F) total.loss += texture_sum(spec, forecast, target, mask);
    data(sums)[0] = static_cast<float>(total.valid > 0 ? total.loss / total.valid : 0.);
    data(sums)[1] = static_cast<float>(total.valid);
    if (d_forecast.empty()) return;
    const auto factor = static_cast<float>(total.valid > 0 ? scale / total.valid : 0.);
    each_lead(spec, forecast, range, [&](auto type, const LossRange& lead, int64_t begin, int64_t end, int) {
      using T = decltype(type);
      activation_kernels<T>(kernels_).loss_gradient(lead, factor, data<T>(forecast), data<T>(target),
                                                    data<T>(mask), data<T>(d_forecast), begin, end);
    });
    if (spec.texture_weight > 0.F && total.valid > 0)
      add_texture_gradients(spec, forecast, target, mask, d_forecast, scale / total.valid);
  }

  void do_add_sum_of_squares(ConstView x, View sum) override {
    for (LossSums& part : partial_) part = {};
    with_type(x.dtype, [&](auto type) {
      using T = decltype(type);
      parallel_parts(threads_, stored(x), kSerialElements, [&](int64_t begin, int64_t end, int part) {
        partial_[static_cast<std::size_t>(part)].loss =
            activation_kernels<T>(kernels_).sum_of_squares(data<T>(x), begin, end);
      });
    });
    double total = 0;
    for (const LossSums& part : partial_) total += part.loss;
    *data(sum) += static_cast<float>(total);
  }

  void do_optimizer_step(const OptimizerSpec& spec, View value, ConstView gradient, View m, View v,
                         ConstView gradient_sum_of_squares, View skipped) override {
    const double squares = *data(gradient_sum_of_squares);
    if (!std::isfinite(squares)) {
      *data(skipped) += 1.F;
      return;
    }
    OptimizerSpec applied = spec;
    applied.step = std::max<int64_t>(1, spec.step - static_cast<int64_t>(*data(skipped)));
    const OptimizerRange range = optimizer_range_of(applied, squares);
    parallel_parts(threads_, stored(value), kSerialElements, [&](int64_t begin, int64_t end, int) {
      kernels_.optimizer(range, data(value), data(gradient), data(m), data(v), begin, end);
    });
  }

 private:
  /// work(T{}, kernels of T, begin, end) over the elements of a tensor of T, in parts.
  template <class Work>
  void each_part(const ConstView& view, const Work& work) {
    with_type(view.dtype, [&](auto type) {
      const auto& kernels = activation_kernels<decltype(type)>(kernels_);
      parallel_parts(threads_, stored(view), kSerialElements,
                     [&](int64_t begin, int64_t end, int) { work(type, kernels, begin, end); });
    });
  }

  /// work(T{}, kernels of T, image, begin, end) over the elements of whole or partial images.
  template <class Work>
  void each_image(const ConstView& view, const Work& work) {
    const int64_t size = stored(view) / view.shape.images();
    each_part(view, [&](auto type, const auto& kernels, int64_t begin, int64_t end) {
      for (int64_t image = begin / size; image * size < end; ++image) {
        work(type, kernels, image, std::max(begin, image * size), std::min(end, (image + 1) * size));
      }
    });
  }

  /// work(T{}, grid, tile, offset of its image, weight, part) of every tile of every scale, scale by scale.
  template <class Work>
  void each_texture_tile(const LossSpec& spec, const ConstView& view, const Work& work) {
    for (const int64_t size : kTextureTiles) {
      const TextureGrid grid(view.shape, size);
      const int64_t image_size = view.shape.c * view.shape.pixels();
      with_type(view.dtype, [&](auto type) {
        parallel_parts(
            threads_, view.shape.images() * grid.tiles(), 64, [&](int64_t begin, int64_t end, int part) {
              for (int64_t i = begin; i < end; ++i) {
                const int64_t image = i / grid.tiles();
                const auto lead = static_cast<std::size_t>(image / view.shape.n);
                const double weight =
                    spec.texture_weight * (spec.lead_weights.empty() ? 1.F : spec.lead_weights[lead]);
                work(type, grid, i % grid.tiles(), image * image_size, weight, part);
              }
            });
      });
    }
  }

  double texture_sum(const LossSpec& spec, ConstView forecast, ConstView target, ConstView mask) {
    for (LossSums& part : partial_) part = {};
    each_texture_tile(
        spec, forecast,
        [&](auto type, const TextureGrid& grid, int64_t tile, int64_t image, double weight, int part) {
          using T = decltype(type);
          partial_[static_cast<std::size_t>(part)].loss +=
              weight * texture_of(grid, tile, data<T>(forecast) + image, data<T>(target) + image,
                                  data<T>(mask) + image)
                           .term();
        });
    double total = 0;
    for (const LossSums& part : partial_) total += part.loss;
    return total;
  }

  void add_texture_gradients(const LossSpec& spec, ConstView forecast, ConstView target, ConstView mask,
                             View d_forecast, double factor) {
    each_texture_tile(
        spec, forecast,
        [&](auto type, const TextureGrid& grid, int64_t tile, int64_t image, double weight, int) {
          using T = decltype(type);
          add_texture_gradient(grid, tile, factor * weight, data<T>(forecast) + image,
                               data<T>(target) + image, data<T>(mask) + image, data<T>(d_forecast) + image);
        });
  }

  /// work(T{}, scalars of the lead, begin, end, part) over the elements of whole or partial leads.
  template <class Work>
  void each_lead(const LossSpec& spec, const ConstView& view, const LossRange& range, const Work& work) {
    const int64_t size = stored(view) / view.shape.t;
    with_type(view.dtype, [&](auto type) {
      parallel_parts(threads_, stored(view), kSerialElements, [&](int64_t begin, int64_t end, int part) {
        for (int64_t t = begin / size; t * size < end; ++t) {
          LossRange lead = range;
          if (!spec.lead_weights.empty()) lead.lead_weight = spec.lead_weights[static_cast<std::size_t>(t)];
          work(type, lead, std::max(begin, t * size), std::min(end, (t + 1) * size), part);
        }
      });
    });
  }

  template <class Value>
  static void write_values(View view, std::span<const Value> values) {
    with_type(view.dtype, [&](auto type) {
      using T = decltype(type);
      each_plain(view.shape, view.placement, [&](std::size_t plain, int64_t at) {
        data<T>(view)[at] = from_float<T>(static_cast<float>(values[plain]));
      });
    });
  }
  template <class Value>
  static void read_values(ConstView view, std::span<Value> values) {
    with_type(view.dtype, [&](auto type) {
      using T = decltype(type);
      each_plain(view.shape, view.placement, [&](std::size_t plain, int64_t at) {
        values[plain] = static_cast<Value>(to_float(data<T>(view)[at]));
      });
    });
  }
  /// visit(host offset, device offset, step to the next channel of a patch row, step to the next pixel).
  template <class Visit>
  void each_frame_row(const FrameLayout& layout, const ConstView& view, const Visit& visit) {
    const int64_t p = layout.patch, rows = layout.batch * layout.steps * layout.channels * layout.height;
    const Shape& s = view.shape;
    parallel_parts(threads_, rows, kSerialElements / layout.width, [&](int64_t begin, int64_t end, int) {
      for (int64_t index = begin; index < end; ++index) {
        const int64_t row = index % layout.height, c = index / layout.height % layout.channels;
        const int64_t frame = index / layout.height / layout.channels;
        const int64_t t = frame % layout.steps, n = frame / layout.steps, channel = (c * p + row % p) * p;
        const int64_t pixel = row / p * s.w;
        const int64_t device = offset_of(s, view.placement, t, n, channel, pixel);
        // Columns of a patch are neighbouring channels, in one block or in neighbouring planes.
        const int64_t next = p > 1 ? offset_of(s, view.placement, t, n, channel + 1, pixel) - device : 0;
        visit(index * layout.width, device, next, view.placement.channel_block);
      }
    });
  }

  template <class Visit>
  static void each_column(const FrameLayout& layout, int64_t channel_step, int64_t pixel_step,
                          const Visit& visit) {
    for (int64_t column = 0, pixel = 0; column < layout.width; ++pixel) {
      for (int64_t q = 0; q < layout.patch && column < layout.width; ++q, ++column) {
        visit(column, pixel * pixel_step + q * channel_step);
      }
    }
  }

  double* peephole_sums(int64_t count) {
    const auto wanted = static_cast<std::size_t>(count) * static_cast<std::size_t>(threads_);
    if (peephole_sums_.size() < wanted) peephole_sums_.resize(wanted);  // once, in the first step
    std::fill_n(peephole_sums_.begin(), wanted, 0.);
    return peephole_sums_.data();
  }
  void add_peephole_sums(float* d_peephole, const double* sums, int64_t count) const {
    for (int64_t k = 0; k < count; ++k) {
      double sum = 0;
      for (int part = 0; part < threads_; ++part) sum += sums[part * count + k];
      d_peephole[k] += static_cast<float>(sum);
    }
  }

  int threads_;
  const PointwiseKernels& kernels_;
  DType activations_;
  Onednn onednn_;
  Winograd winograd_;
  BackendInfo info_;
  std::vector<LossSums> partial_;  // one a part
  std::vector<double> peephole_sums_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu(const BackendOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace raincell::kernels
