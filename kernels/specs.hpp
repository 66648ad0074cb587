// Plain descriptions of the operations behind the seam. Validated once, in Backend's non-virtual shell.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/tensor.hpp"

namespace raincell::kernels {

enum class Accumulate : bool { no, yes };

/// Of activations and convolutions; parameters, the memory of cells and sums stay f32.
enum class Precision : std::uint8_t {
  f32,
  tf32,  // f32 tensors whose products keep 10 bits of the factors, on the tensor cores of a GPU
  bf16   // bf16 tensors
};

/// A 2-D convolution over `images` images, zero padding, square kernel and stride, optional bias.
/// Ordinary:   [images,channels_in,height,width] -> [images,channels_out,out_height(),out_width()],
///             out = (size + 2 padding - kernel) / stride + 1, weights {1,channels_out,channels_in,k,k}.
/// Transposed: out = (size - 1) stride - 2 padding + kernel, weights {1,channels_in,channels_out,k,k}
///             (PyTorch's ConvTranspose2d order).
/// For heights 2 padding is top() + bottom().
struct ConvSpec {
  std::int64_t images = 1, channels_in = 1, channels_out = 1, height = 1, width = 1;
  std::int64_t kernel = 3, stride = 1, padding = 1;
  std::int64_t padding_top = -1, padding_bottom = -1;  // of a band of rows; -1: as `padding`
  bool transposed = false;
  bool bias = false;

  std::int64_t top() const { return padding_top < 0 ? padding : padding_top; }
  std::int64_t bottom() const { return padding_bottom < 0 ? padding : padding_bottom; }
  bool is_band() const { return padding_top >= 0 || padding_bottom >= 0; }
  std::int64_t out_height() const;
  std::int64_t out_width() const;
  Shape weight_shape() const;
  /// Multiply-accumulates of one forward pass.
  std::int64_t macs() const;
  std::string text() const;  // "n8c64h64w64o256k3s1p1", "t" appended when transposed
  bool operator==(const ConvSpec&) const = default;
};

/// A band of rows of the output of a convolution, and the rows of the input that it is made of.
struct ConvBand {
  ConvSpec spec;               // from those rows to these
  std::int64_t input_row = 0;  // the first; there are spec.height of them
};
/// Rows [first_row, first_row + rows) of the output of a convolution of whole images. Throws
/// std::invalid_argument when they are not there, or owe nothing to the input.
ConvBand band_of(const ConvSpec& whole, std::int64_t first_row, std::int64_t rows);

enum class CellKind : std::uint8_t { convlstm, convgru, rnn };
enum class Peephole : std::uint8_t { none, per_channel };

/// The pointwise part of a recurrent cell with `hidden` channels.
/// convlstm: 4 gate planes in the order i, f, o, g (ndrplz' order); state (h, c);
///           peephole {1,1,3*hidden,1,1} in the order i, f, o (o looks at the new c).
/// convgru:  3 gate planes z, r, n with n = tanh(x_n + r * h_n), h' = (1 - z) n + z h; state h.
///           The recurrent sums are a second tensor because r multiplies h_n alone.
/// rnn:      1 plane, h' = tanh(sum); state h.
struct CellSpec {
  CellKind kind = CellKind::convlstm;
  std::int64_t hidden = 1;
  Peephole peephole = Peephole::none;
  bool keeps_gates = true;  // false: no backward pass follows, and gates are undefined after the forward one

  std::int64_t gates() const { return kind == CellKind::convlstm ? 4 : kind == CellKind::convgru ? 3 : 1; }
  bool has_memory() const { return kind == CellKind::convlstm; }         // a cell state c beside h
  bool separate_recurrent() const { return kind == CellKind::convgru; }  // recurrent sums kept apart
};

enum class Activation : std::uint8_t { identity, leaky_relu, sigmoid, tanh };

enum class LossKind : std::uint8_t { mse, mae, huber, bce, balanced, mse_rate };

/// Masked pointwise loss, in network units, of forecast f and target y:
///   mse       (f-y)^2
///   mae       |f-y|
///   huber     0.5 d^2 for |d| <= delta, delta (|d| - 0.5 delta) beyond
///   bce       binary cross-entropy of sigmoid(f) with y in [0,1] (f are logits)
///   balanced  w(y) ((f-y)^2 + |f-y|), w(y) = class_weights[number of class_bounds <= y]
///   mse_rate  ((e^(g f) - e^(g y)) / g)^2, g = rate_growth: of what f and y are logarithms of
/// times (1 + target_weight * y), times lead_weights[t] (empty: ones).
/// With texture_weight w, every tile of 4, 8 and 16 pixels adds w lead_weights[t] n (s_f - s_y)^2 / 3: n
/// valid pixels, at least two, and the deviations s of f and y there, roots of a variance and 1e-6. A
/// forecast that is blurred loses by it wherever its rain lies (texture.hpp). The sum is divided by the
/// number of valid pixels.
struct LossSpec {
  LossKind kind = LossKind::mse;
  float huber_delta = 0.1F;
  float target_weight = 0.F;
  float rate_growth = 1.F;           // above 0
  float texture_weight = 0.F;        // 0: no such term
  std::vector<float> class_bounds;   // ascending, network units
  std::vector<float> class_weights;  // class_bounds.size() + 1
  std::vector<float> lead_weights;   // T' or empty
};

enum class OptimizerKind : std::uint8_t { adam, adamw, rmsprop, sgd };

/// One update of all parameters. adam and adamw as in Kingma & Ba and Loshchilov & Hutter with bias
/// correction by `step` (1 for the first) less skipped ones; rmsprop as PyTorch (not centred, alpha = beta2,
/// no momentum: beta1 and the first moment are unused); sgd with momentum beta1. weight_decay is L2 for all
/// but adamw, where it is decoupled. The gradient is first scaled to a global norm of at most clip_norm (0:
/// no clipping).
struct OptimizerSpec {
  OptimizerKind kind = OptimizerKind::adam;
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.;
  double clip_norm = 0.;
  std::int64_t step = 1;
};

/// How host frames [N,T,C,H,W] meet device tensors [T,N,C*p*p,H'/p,W'/p]: p = patch, H' >= H and W' >= W
/// padded at the bottom and right with zeros. Channel of a patch pixel: (c * p + row) * p + column.
struct FrameLayout {
  std::int64_t batch = 1, steps = 1, channels = 1, height = 1, width = 1;
  std::int64_t patch = 1;
  std::int64_t elements() const { return batch * steps * channels * height * width; }
};

}  // namespace raincell::kernels
