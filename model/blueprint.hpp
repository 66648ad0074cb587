// The network as a list of layers: the one place where a ModelSpec turns into convolutions and cells.
//
// A graph is a list of nodes in the order of the forward pass. Values between nodes ("flows") are
// [steps,N,channels,height,width]. A node can run over many steps at once (layer by layer) or one step at a
// time (all layers, then the next step): the order is the network's choice, the mathematics is the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/parameters.hpp"
#include "model/spec.hpp"

namespace raincell::model {

/// A value that nodes exchange: [steps,N,channels,H/divisor,W/divisor], H and W after patching.
struct Flow {
  std::string name;
  std::int64_t channels = 1;
  std::int64_t divisor = 1;
  bool external = false;  // filled from outside: frames, masks, tendencies
};

/// A sum of convolutions of several inputs, then an activation or a recurrent cell.
struct Node {
  std::string name;
  std::vector<int> inputs;   // flows
  int output = -1;           // flow: the activated sum, or the hidden state
  std::vector<int> weights;  // slices, one an input
  int bias = -1;             // slice; belongs to the first input, to the state where there is no input
  std::int64_t kernel = 1, stride = 1, padding = 0;
  bool transposed = false;
  kernels::Activation activation = kernels::Activation::identity;
  float slope = 0.F;
  // recurrent nodes:
  bool recurrent = false;
  kernels::CellSpec cell;
  std::int64_t state_kernel = 1;
  int state_weight = -1;
  int peephole = -1;
  std::size_t stage = 0;  // whose state starts, or started, the forecaster's
};

struct Graph {
  std::vector<Flow> flows;
  std::vector<Node> nodes;
  std::size_t head_begin = 0;  // nodes from here on turn states into frames
  int frames = -1;             // flows; -1: not there
  int mask = -1;
  int tendency = -1;
  int output = -1;
};

/// The whole network. With forecaster: shared, `encoder` carries the head and `forecaster` is empty.
struct Blueprint {
  ParameterLayout parameters;
  Graph encoder, forecaster;
};

/// Height and width of flows with divisor 1: frames padded to a multiple of all strides and cut into patches.
struct InnerSize {
  std::int64_t height, width;
};
InnerSize inner_size(const ModelSpec&, std::int64_t height, std::int64_t width);

/// Throws ModelError when the description has problems.
Blueprint blueprint(const ModelSpec&);

/// The convolution of one input of a node, and that of its state, over `images` images; height and width are
/// those of flows with divisor 1. Without the bias.
kernels::ConvSpec input_convolution(const Graph&, const Node&, std::size_t input, std::int64_t images,
                                    std::int64_t height, std::int64_t width);
kernels::ConvSpec state_convolution(const Graph&, const Node&, std::int64_t images, std::int64_t height,
                                    std::int64_t width);

/// Multiply-accumulates of one step of one image at full size (after patching) height x width.
std::int64_t macs(const Blueprint&, const Graph&, const Node&, std::int64_t height, std::int64_t width,
                  bool with_state);

}  // namespace raincell::model
