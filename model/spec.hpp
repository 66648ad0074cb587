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
};

struct RecurrentLayer {
  std::int64_t hidden = 64, input_kernel = 3, state_kernel = 3;
};

/// One stage of the encoder: optional down-sampling convolution, then a recurrent layer.
struct Stage {
  std::optional<SamplingConv> down;
  RecurrentLayer layer;
  std::optional<SamplingConv> up;  // mirrored forecaster's transposed convolution back; default: mirrors `down`
};

enum class ForecasterKind : std::uint8_t { mirrored, same_order, shared };
enum class Feed : std::uint8_t { none, previous, advection };
enum class HeadInput : std::uint8_t { last, all };

struct ModelSpec {
  kernels::CellKind cell = kernels::CellKind::convlstm;
  kernels::Peephole peephole = kernels::Peephole::none;
  bool bias = true;
  bool flatten = false;                 // pixels become channels: plain RNN and FC-LSTM
  std::int64_t flatten_pixels = 0;      // H*W*C that flatten is built for
  std::int64_t channels = 1;            // of a frame
  bool mask_channel = false;            // the validity mask as a further input channel
  std::int64_t patch = 1;
  std::vector<Stage> stages;
  kernels::Activation sampling_activation = kernels::Activation::leaky_relu;
  float sampling_slope = 0.2F;
  ForecasterKind forecaster = ForecasterKind::mirrored;
  Feed feed = Feed::none;
  HeadInput head_input = HeadInput::last;
  std::vector<SamplingConv> head;       // convolutions before the last one (stride 1), each activated
  std::int64_t head_kernel = 1;
  bool head_bias = true;
  std::vector<double> thresholds;       // empty: rain rate; else exceedance probabilities (logits)
  std::int64_t past = 10, future = 10;

  std::int64_t out_channels() const;    // before patching
};

/// All contradictions at once, each naming the key; empty: fine.
std::vector<std::string> problems(const ModelSpec&);
std::int64_t parameter_count(const ModelSpec&);
/// Multiply-accumulates of one forecast of one sequence at H x W.
std::int64_t macs_per_forecast(const ModelSpec&, std::int64_t height, std::int64_t width);
/// JSON text form, exact round trip; written into the weights.
std::string to_text(const ModelSpec&);
ModelSpec spec_from_text(const std::string&);

}  // namespace raincell::model
