// The network described: what YAML says and what the weights carry.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/specs.hpp"

namespace raincell::model {

/// The description contradicts itself or the data; what() names the key.
class ModelError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct SamplingConv {  // down- or up-sampling before / after a recurrent layer
  std::int64_t channels = 8, kernel = 5, stride = 4, padding = 2;
  bool bias = true;
  bool operator==(const SamplingConv&) const = default;
};

struct RecurrentLayer {
  std::int64_t hidden = 64, input_kernel = 3, state_kernel = 3;
  bool operator==(const RecurrentLayer&) const = default;
};

/// One stage of the encoder: optional down-sampling convolution, then a recurrent layer.
struct Stage {
  std::optional<SamplingConv> down;
  RecurrentLayer layer;
  std::optional<SamplingConv> up;  // transposed convolution back to the stage below; default: mirrors `down`
  bool operator==(const Stage&) const = default;
};

enum class ForecasterKind : std::uint8_t { mirrored, same_order, shared };
enum class Feed : std::uint8_t { none, previous, advection };
enum class HeadInput : std::uint8_t { last, all };
/// What the head's sum becomes: the value itself, or its logistic function, an intensity in (0, 1) that is
/// trained with cross-entropy.
enum class OutputKind : std::uint8_t { linear, sigmoid };

struct ModelSpec {
  kernels::CellKind cell = kernels::CellKind::convlstm;
  kernels::Peephole peephole = kernels::Peephole::none;
  bool bias = true;
  bool flatten = false;             // pixels become channels: plain RNN and FC-LSTM
  std::int64_t flatten_pixels = 0;  // H*W*C that flatten is built for
  std::int64_t channels = 1;        // of a frame
  bool mask_channel = false;        // the validity mask as a further input
  std::int64_t patch = 1;
  std::vector<Stage> stages;
  kernels::Activation sampling_activation = kernels::Activation::leaky_relu;
  float sampling_slope = 0.2F;
  ForecasterKind forecaster = ForecasterKind::mirrored;
  Feed feed = Feed::none;
  HeadInput head_input = HeadInput::last;
  bool head_skip = false;  // the head also looks at the frame it adds to, at full resolution
  bool tendency = false;   // the forecaster also sees what changed along the motion over the past frames
  std::vector<SamplingConv> head;  // convolutions before the last one (stride 1), each activated
  std::int64_t head_kernel = 1;
  bool head_bias = true;
  OutputKind output = OutputKind::linear;  // of intensities; thresholds always give probabilities
  std::vector<double> thresholds;          // empty: rain rate; else exceedance probabilities, physical units
  std::int64_t past = 10, future = 10;

  /// Channels of the output before patching: `channels`, or one per threshold.
  std::int64_t out_channels() const;
  /// Channels of a frame on the device: patched or flattened.
  std::int64_t frame_planes() const;
  /// Channels of the output on the device: patched or flattened.
  std::int64_t out_planes() const;
  /// Height and width are padded to a multiple of this: patch times all strides.
  std::int64_t size_multiple() const;
  /// True when the sampled output is the forecast itself, so that a guide frame can be added to it.
  bool adds_guide() const { return feed == Feed::advection && !logits(); }
  /// True when the device computes logits: the loss is bce, and forecasts are their logistic function.
  bool logits() const { return !thresholds.empty() || output == OutputKind::sigmoid; }
  bool operator==(const ModelSpec&) const = default;
};

/// The transposed convolution that undoes stage `index`'s down-sampling: `up` when given, else the kernel of
/// `down` (one more where kernel - stride is odd), padding (kernel - stride) / 2, and the hidden channels of
/// the stage below (the lowest stage: the channels of its own `down`). Needs a `down`.
SamplingConv up_sampling(const ModelSpec&, std::size_t index);

/// All contradictions at once, each naming the key; empty: fine.
std::vector<std::string> problems(const ModelSpec&);
/// Throws ModelError with all problems, one a line, when there are any.
void check(const ModelSpec&);
/// Number of parameters, from the construction the network itself uses.
std::int64_t parameter_count(const ModelSpec&);
/// Multiply-accumulates of the convolutions of one forecast of one sequence at H x W.
std::int64_t macs_per_forecast(const ModelSpec&, std::int64_t height, std::int64_t width);
/// Of one training step of one sequence: forward, weight gradients, and gradients of all inputs but those that
/// come from outside.
std::int64_t macs_per_step(const ModelSpec&, std::int64_t height, std::int64_t width);
/// JSON text form, exact round trip; written into the weights.
std::string to_text(const ModelSpec&);
/// Throws ModelError on malformed text, unknown keys or contradictions.
ModelSpec spec_from_text(const std::string&);

}  // namespace raincell::model
