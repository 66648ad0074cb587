// Ranges of pointwise work, single-threaded and vectorised. One source is compiled for several instruction
// sets; the best one of the machine is chosen at run time. Internal to the cpu backend.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/bf16.hpp"
#include "kernels/specs.hpp"

namespace raincell::kernels::cpu {

/// Where the gates of a state element lie. A "row" is one pixel of one channel block of one image:
/// h: row * lanes + lane. gates: image * gate_image + block * gate_block + pixel * gate_pixel + g *
/// gate_plane + lane.
struct CellGeometry {
  std::int64_t rows = 0, lanes = 0, blocks = 0, pixels = 0;
  std::int64_t gate_image = 0, gate_block = 0, gate_pixel = 0, gate_plane = 0;
};

/// Null pointers mean zeros for inputs and "not wanted" for outputs, as in Backend::cell_forward and
/// cell_backward. T: float or Bf16, of activations.
template <class T>
struct CellForward {
  CellGeometry geometry;
  std::int64_t hidden = 0;
  T* gates = nullptr;
  const T *recurrent = nullptr, *h_prev = nullptr;
  const float *c_prev = nullptr, *peephole = nullptr;
  float* c = nullptr;
  T* h = nullptr;
  bool keeps_gates = true;
};

template <class T>
struct CellBackward {
  CellGeometry geometry;
  std::int64_t hidden = 0;
  T *gates = nullptr, *recurrent = nullptr;
  const T* h_prev = nullptr;
  const float *c_prev = nullptr, *c = nullptr, *peephole = nullptr;
  const T *dh = nullptr, *dh_recurrent = nullptr;
  float* dc = nullptr;
  T* dh_prev = nullptr;
};

/// Scalars of LossSpec as the range kernels take them; class pointers have `classes` bounds and one weight
/// more.
struct LossRange {
  LossKind kind = LossKind::mse;
  float huber_delta = 0, target_weight = 0, rate_growth = 1, lead_weight = 1;
  const float *class_bounds = nullptr, *class_weights = nullptr;
  std::int64_t classes = 0;
};

struct LossSums {
  double loss = 0, valid = 0;
};

/// One update with everything that is the same for all parameters worked out before.
struct OptimizerRange {
  OptimizerKind kind = OptimizerKind::adam;
  float clip = 1, rate = 0;  // rate: learning rate, for adam over 1 - beta1^step
  float beta1 = 0, one_minus_beta1 = 1, beta2 = 0, one_minus_beta2 = 1, epsilon = 0;
  float second_scale = 1;  // 1 / sqrt(1 - beta2^step)
  float decay = 0;         // added to the gradient; for adamw learning rate times decay
};

/// Outputs of a convolution in square tiles, each made of 6x6 inputs; channels-last images.
constexpr std::int64_t kWinogradValues = 36;
struct WinogradTiles {
  std::int64_t images = 1, height = 1, width = 1, out_height = 1, out_width = 1;
  std::int64_t padding_top = 1, padding_left = 1;
  std::int64_t across = 1, down = 1;  // tiles of an image
};

/// [begin, end) are rows for cells, tiles or inner channels for Winograd's transforms, and elements for the
/// rest. T: float or Bf16.
template <class T>
struct ActivationKernels {
  void (*lstm_forward)(const CellForward<T>&, std::int64_t begin, std::int64_t end);
  /// d_peephole: 3 * hidden partial sums of this range, added to; null without.
  void (*lstm_backward)(const CellBackward<T>&, double* d_peephole, std::int64_t begin, std::int64_t end);
  void (*gru_forward)(const CellForward<T>&, std::int64_t begin, std::int64_t end);
  void (*gru_backward)(const CellBackward<T>&, std::int64_t begin, std::int64_t end);
  void (*rnn_forward)(const CellForward<T>&, std::int64_t begin, std::int64_t end);
  void (*rnn_backward)(const CellBackward<T>&, std::int64_t begin, std::int64_t end);
  void (*activate)(Activation, float slope, T* x, std::int64_t begin, std::int64_t end);
  void (*activate_backward)(Activation, float slope, const T* y, T* dy, std::int64_t begin, std::int64_t end);
  void (*add_scaled)(T* y, float a, const T* x, std::int64_t begin, std::int64_t end);
  void (*lerp)(T* y, float a, const T* x, std::int64_t begin, std::int64_t end);
  /// y = a wa + b wb
  void (*combine)(T* y, float wa, const T* a, float wb, const T* b, std::int64_t begin, std::int64_t end);
  /// y[row, c] += addend[row, c] (when not null) + bias[c] (when not null), rows of `channels`.
  void (*add_rows)(T* y, const T* addend, const float* bias, std::int64_t channels, std::int64_t begin,
                   std::int64_t end);
  /// sums[c] += x[row, c]
  void (*sum_rows)(const T* x, double* sums, std::int64_t channels, std::int64_t begin, std::int64_t end);
  double (*sum_of_squares)(const T* x, std::int64_t begin, std::int64_t end);
  LossSums (*loss_sums)(const LossRange&, const T* forecast, const T* target, const T* mask,
                        std::int64_t begin, std::int64_t end);
  /// gradient = factor * d loss / d forecast, 0 where the mask is 0
  void (*loss_gradient)(const LossRange&, float factor, const T* forecast, const T* target, const T* mask,
                        T* gradient, std::int64_t begin, std::int64_t end);
};

/// c (+)= a b for a[rows, inner], b[inner, columns] and c[rows, columns] in f32; columns are a multiple
/// of 16.
struct Product {
  std::int64_t rows = 1, inner = 1, columns = 16;
  const float* a = nullptr;
  std::int64_t a_row = 1, a_inner = 1;  // elements from one row to the next, and along a row
  const float* b = nullptr;
  std::int64_t b_row = 16;
  float* c = nullptr;
  std::int64_t c_row = 16;
  bool adds = false;
};

/// The right-hand sides and the results of Winograd's products lie in panels of so many channels: 32 were 6 %
/// slower, and 128 no faster.
constexpr std::int64_t kWinogradPanel = 64;

/// Of convolutions with one size of kernel. A panel's values are those of its channels [first, first +
/// count).
struct WinogradKernels {
  std::int64_t tile;  // outputs of a tile, a side
  /// Tiles of x to values: 36 matrices [tile, channels], `stride` elements apart.
  void (*input)(const WinogradTiles&, std::int64_t channels, const float* x, std::int64_t begin,
                std::int64_t end, float* values, std::int64_t stride);
  /// 36 matrices [tile, panel] to tiles of y, with a bias (or null), written or added.
  void (*output)(const WinogradTiles&, std::int64_t channels, std::int64_t first, std::int64_t count,
                 const float* values, std::int64_t stride, std::int64_t begin, std::int64_t end,
                 const float* bias, bool adds, float* y);
  /// Tiles of dy to 36 matrices [tile, panel].
  void (*gradient)(const WinogradTiles&, std::int64_t channels, std::int64_t first, std::int64_t count,
                   const float* dy, std::int64_t begin, std::int64_t end, float* values, std::int64_t stride);
  /// Weights in plain order to [panel][36][inner, panel]; turned: of the adjoint.
  void (*weights)(const float* weights, std::int64_t inner, std::int64_t columns, bool turned,
                  std::int64_t begin, std::int64_t end, float* values);
  /// The sum of `parts` such values, `part_size` apart, to the gradient of the weights, written or added.
  void (*weight_gradient)(const float* values, std::int64_t parts, std::int64_t part_size, std::int64_t inner,
                          std::int64_t columns, bool adds, std::int64_t begin, std::int64_t end,
                          float* d_weights);
};

struct PointwiseKernels {
  const char* name;
  ActivationKernels<float> f32;
  ActivationKernels<Bf16> bf16;
  void (*optimizer)(const OptimizerRange&, float* value, const float* gradient, float* m, float* v,
                    std::int64_t begin, std::int64_t end);
  WinogradKernels winograd_3x3, winograd_5x5;
  void (*multiply)(const Product&);
};

/// The same source compiled for any machine, for AVX2 with FMA, and for AVX-512.
extern const PointwiseKernels kPointwisePortable;
extern const PointwiseKernels kPointwiseAvx2;
extern const PointwiseKernels kPointwiseAvx512;

/// Those for activations of a type.
template <class T>
const ActivationKernels<T>& activation_kernels(const PointwiseKernels& kernels) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return kernels.bf16;
  } else {
    return kernels.f32;
  }
}

/// The best that this processor runs and ONEDNN_MAX_CPU_ISA allows.
const PointwiseKernels& pointwise_kernels();

}  // namespace raincell::kernels::cpu
