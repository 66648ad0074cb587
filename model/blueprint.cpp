#include "model/blueprint.hpp"

#include <cmath>

namespace raincell::model {

namespace {

using std::int64_t;

/// Adds nodes to one graph and their parameters to the layout.
class Builder {
 public:
  Builder(const ModelSpec& spec, ParameterLayout& parameters, Graph& graph)
      : spec_(spec), parameters_(parameters), graph_(graph) {}

  /// Frames and, when wanted, their mask; returns both as inputs of a first node.
  std::vector<int> external(bool with_mask) {
    const int64_t planes = spec_.frame_planes();
    graph_.frames = flow("frames", planes, 1, true);
    if (!with_mask) return {graph_.frames};
    graph_.mask = flow("mask", planes, 1, true);
    return {graph_.frames, graph_.mask};
  }

  /// The tendency of the fed frames, as a further input.
  int tendency() { return graph_.tendency = flow("tendency", spec_.frame_planes(), 1, true); }

  int down(const std::string& name, const std::vector<int>& inputs, const SamplingConv& conv) {
    return convolution(name, inputs, conv, false, spec_.sampling_activation);
  }
  int up(const std::string& name, int input, const SamplingConv& conv) {
    return convolution(name, {input}, conv, true, spec_.sampling_activation);
  }
  /// `start` scales the initial weights.
  int convolution(const std::string& name, const std::vector<int>& inputs, const SamplingConv& conv,
                  bool transposed, kernels::Activation, double start = 1.);
  int recurrent(const std::string& name, std::size_t stage, const std::vector<int>& inputs, int64_t divisor);
  /// From the top state(s), and the fed frames where the head looks at them, to the output frames.
  void head(std::vector<int> inputs);
  void begin_head() { graph_.head_begin = graph_.nodes.size(); }
  int64_t divisor(int index) const { return graph_.flows[static_cast<std::size_t>(index)].divisor; }

 private:
  int flow(const std::string& name, int64_t channels, int64_t divisor, bool is_external) {
    graph_.flows.push_back({name, channels, divisor, is_external});
    return static_cast<int>(graph_.flows.size()) - 1;
  }
  int64_t channels(int index) const { return graph_.flows[static_cast<std::size_t>(index)].channels; }
  int64_t channels(const std::vector<int>& flows) const {
    int64_t sum = 0;
    for (const int index : flows) sum += channels(index);
    return sum;
  }
  /// One weight tensor an input; several inputs are told apart by the name of their flow.
  std::vector<int> weights(const std::string& name, const std::vector<int>& inputs, int64_t out,
                           int64_t kernel, bool transposed, double bound);

  const ModelSpec& spec_;
  ParameterLayout& parameters_;
  Graph& graph_;
};

std::vector<int> Builder::weights(const std::string& name, const std::vector<int>& inputs, int64_t out,
                                  int64_t kernel, bool transposed, double bound) {
  std::vector<int> slices;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const int64_t in = channels(inputs[i]);
    const kernels::Shape shape =
        transposed ? kernels::Shape{1, in, out, kernel, kernel} : kernels::Shape{1, out, in, kernel, kernel};
    const std::string& source = graph_.flows[static_cast<std::size_t>(inputs[i])].name;
    slices.push_back(parameters_.add(name + (i == 0 ? "" : "." + source) + ".weight", shape, {bound, false}));
  }
  return slices;
}

int Builder::convolution(const std::string& name, const std::vector<int>& inputs, const SamplingConv& conv,
                         bool transposed, kernels::Activation activation, double start) {
  Node node;
  node.name = name;
  node.inputs = inputs;
  node.kernel = conv.kernel;
  node.stride = conv.stride;
  node.padding = conv.padding;
  node.transposed = transposed;
  node.activation = activation;
  node.slope = spec_.sampling_slope;
  // He et al. 2015 for the leaky unit; every output of a transposed convolution sees kernel^2 / stride^2
  // taps.
  double taps = static_cast<double>(channels(inputs) * conv.kernel * conv.kernel);
  if (transposed) taps /= static_cast<double>(conv.stride * conv.stride);
  const double gain = activation == kernels::Activation::leaky_relu
                          ? std::sqrt(6. / (1. + spec_.sampling_slope * spec_.sampling_slope))
                          : 1.;
  const double bound = start * gain / std::sqrt(taps);
  node.weights = weights(name, inputs, conv.channels, conv.kernel, transposed, bound);
  if (conv.bias) node.bias = parameters_.add(name + ".bias", {1, 1, conv.channels, 1, 1}, {0., false});
  const int64_t before = divisor(inputs.front());
  node.output = flow(name, conv.channels, transposed ? before / conv.stride : before * conv.stride, false);
  graph_.nodes.push_back(node);
  return node.output;
}

int Builder::recurrent(const std::string& name, std::size_t stage, const std::vector<int>& inputs,
                       int64_t divisor) {
  const RecurrentLayer& layer = spec_.stages[stage].layer;
  Node node;
  node.name = name;
  node.recurrent = true;
  node.stage = stage;
  node.inputs = inputs;
  node.cell = {spec_.cell, layer.hidden, spec_.peephole};
  node.kernel = layer.input_kernel;
  node.padding = (layer.input_kernel - 1) / 2;
  node.state_kernel = layer.state_kernel;
  const int64_t gates = node.cell.gates() * layer.hidden;
  const int64_t taps = channels(inputs) * layer.input_kernel * layer.input_kernel +
                       layer.hidden * layer.state_kernel * layer.state_kernel;
  const double bound = 1. / std::sqrt(static_cast<double>(taps));
  node.weights = weights(name + ".input", inputs, gates, layer.input_kernel, false, bound);
  node.state_weight =
      parameters_.add(name + ".state.weight",
                      {1, gates, layer.hidden, layer.state_kernel, layer.state_kernel}, {bound, false});
  if (spec_.bias) {
    node.bias =
        parameters_.add(name + ".bias", {1, 1, gates, 1, 1}, {0., spec_.cell == kernels::CellKind::convlstm});
  }
  if (spec_.peephole == kernels::Peephole::per_channel) {
    node.peephole = parameters_.add(name + ".peephole", {1, 1, 3 * layer.hidden, 1, 1}, {0., false});
  }
  node.output = flow(name, layer.hidden, divisor, false);
  graph_.nodes.push_back(node);
  return node.output;
}

void Builder::head(std::vector<int> inputs) {
  if (spec_.head_skip) {
    inputs.push_back(graph_.frames);
    inputs.push_back(graph_.mask);
  }
  for (std::size_t i = 0; i < spec_.head.size(); ++i) {
    inputs = {down("head." + std::to_string(i), inputs, spec_.head[i])};
  }
  const SamplingConv last{spec_.out_planes(), spec_.head_kernel, 1, (spec_.head_kernel - 1) / 2,
                          spec_.head_bias};
  // What is added to a guide frame starts at zero: training begins at the skill of the advection.
  graph_.output = convolution("head.out", inputs, last, false, kernels::Activation::identity,
                              spec_.adds_guide() ? 0. : 1.);
}

std::string stage_name(const char* part, std::size_t index) {
  return std::string(part) + "." + std::to_string(index);
}

/// Stages in the encoder's order; the states, lowest first. No inputs: the first layer has none.
std::vector<int> ascending(Builder& builder, const ModelSpec& spec, const char* part,
                           std::vector<int> inputs) {
  std::vector<int> states;
  int64_t divisor = 1;
  for (std::size_t i = 0; i < spec.stages.size(); ++i) {
    const Stage& stage = spec.stages[i];
    if (stage.down) {
      divisor *= stage.down->stride;
      if (!inputs.empty()) inputs = {builder.down(stage_name(part, i) + ".down", inputs, *stage.down)};
    }
    states.push_back(builder.recurrent(stage_name(part, i) + ".layer", i, inputs, divisor));
    inputs = {states.back()};
  }
  return states;
}

/// The head of a network whose last state is the deepest one: up again through every stage.
void ascending_head(Builder& builder, const ModelSpec& spec, const std::vector<int>& states) {
  builder.begin_head();
  if (spec.head_input == HeadInput::all) {
    builder.head(states);
    return;
  }
  int top = states.back();
  for (std::size_t i = spec.stages.size(); i-- > 0;) {
    if (spec.stages[i].down) top = builder.up(stage_name("head.up", i), top, up_sampling(spec, i));
  }
  builder.head({top});
}

/// Features of the fed frame at the scale of every stage; empty lists when nothing is fed.
std::vector<std::vector<int>> guide_features(Builder& builder, const ModelSpec& spec,
                                             std::vector<int> inputs) {
  std::vector<std::vector<int>> features;
  for (std::size_t i = 0; i < spec.stages.size(); ++i) {
    if (!inputs.empty() && spec.stages[i].down) {
      inputs.assign(1, builder.down(stage_name("guide", i) + ".down", inputs, *spec.stages[i].down));
    }
    features.push_back(inputs);
  }
  return features;
}

void mirrored(Builder& builder, const ModelSpec& spec, const std::vector<int>& fed) {
  const std::vector<std::vector<int>> guide = guide_features(builder, spec, fed);
  int64_t divisor = 1;
  for (const Stage& stage : spec.stages) divisor *= stage.down ? stage.down->stride : 1;
  std::vector<int> states;
  int below = -1;  // what the deeper stage hands up
  for (std::size_t i = spec.stages.size(); i-- > 0;) {
    std::vector<int> inputs = below < 0 ? std::vector<int>{} : std::vector<int>{below};
    inputs.insert(inputs.end(), guide[i].begin(), guide[i].end());
    below = builder.recurrent(stage_name("forecaster", i) + ".layer", i, inputs, divisor);
    states.push_back(below);
    const bool last_all = i == 0 && spec.head_input == HeadInput::all;
    if (i == 0) builder.begin_head();
    if (spec.stages[i].down && !last_all) {
      below = builder.up(stage_name("forecaster", i) + ".up", below, up_sampling(spec, i));
      divisor /= spec.stages[i].down->stride;
    }
  }
  builder.head(spec.head_input == HeadInput::all ? states : std::vector<int>{below});
}

}  // namespace

Blueprint blueprint(const ModelSpec& spec) {
  check(spec);
  Blueprint plan;
  Builder encoder(spec, plan.parameters, plan.encoder);
  const std::vector<int> states = ascending(encoder, spec, "encoder", encoder.external(spec.mask_channel));
  encoder.begin_head();
  if (spec.forecaster == ForecasterKind::shared) {
    ascending_head(encoder, spec, states);
    return plan;
  }
  Builder forecaster(spec, plan.parameters, plan.forecaster);
  std::vector<int> fed;
  if (spec.feed != Feed::none) fed = forecaster.external(spec.mask_channel || spec.feed == Feed::advection);
  if (spec.tendency) fed.push_back(forecaster.tendency());
  if (spec.forecaster == ForecasterKind::mirrored) {
    mirrored(forecaster, spec, fed);
  } else {
    ascending_head(forecaster, spec, ascending(forecaster, spec, "forecaster", fed));
  }
  return plan;
}

kernels::ConvSpec input_convolution(const Graph& graph, const Node& node, std::size_t input, int64_t images,
                                    int64_t height, int64_t width) {
  const Flow& from = graph.flows[static_cast<std::size_t>(node.inputs[input])];
  const Flow& to = graph.flows[static_cast<std::size_t>(node.output)];
  return {.images = images,
          .channels_in = from.channels,
          .channels_out = node.recurrent ? node.cell.gates() * node.cell.hidden : to.channels,
          .height = height / from.divisor,
          .width = width / from.divisor,
          .kernel = node.kernel,
          .stride = node.stride,
          .padding = node.padding,
          .transposed = node.transposed,
          .bias = false};
}

kernels::ConvSpec state_convolution(const Graph& graph, const Node& node, int64_t images, int64_t height,
                                    int64_t width) {
  const Flow& flow = graph.flows[static_cast<std::size_t>(node.output)];
  return {.images = images,
          .channels_in = node.cell.hidden,
          .channels_out = node.cell.gates() * node.cell.hidden,
          .height = height / flow.divisor,
          .width = width / flow.divisor,
          .kernel = node.state_kernel,
          .stride = 1,
          .padding = (node.state_kernel - 1) / 2,
          .transposed = false,
          .bias = false};
}

namespace {

/// Multiply-accumulates of one step of one input of a node.
int64_t input_macs(const Blueprint& plan, const Graph& graph, const Node& node, std::size_t input,
                   int64_t height, int64_t width) {
  const auto& flows = graph.flows;
  const int64_t divisor = node.transposed ? flows[static_cast<std::size_t>(node.inputs[input])].divisor
                                          : flows[static_cast<std::size_t>(node.output)].divisor;
  return (height / divisor) * (width / divisor) * plan.parameters.slice(node.weights[input]).shape.elements();
}

/// Of the inputs that come from outside and need no gradient: frames in the first `given` steps, where they
/// are not the network's own output, everything else in all steps.
int64_t outer_macs(const Blueprint& plan, const Graph& graph, int64_t steps, int64_t given, int64_t height,
                   int64_t width) {
  int64_t sum = 0;
  for (const Node& node : graph.nodes) {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const int flow = node.inputs[i];
      if (!graph.flows[static_cast<std::size_t>(flow)].external) continue;
      sum += (flow == graph.frames ? given : steps) * input_macs(plan, graph, node, i, height, width);
    }
  }
  return sum;
}

}  // namespace

InnerSize inner_size(const ModelSpec& spec, int64_t height, int64_t width) {
  if (spec.flatten) return {1, 1};
  const int64_t multiple = spec.size_multiple();
  const auto padded = [&](int64_t size) { return (size + multiple - 1) / multiple * multiple / spec.patch; };
  return {padded(height), padded(width)};
}

int64_t macs(const Blueprint& plan, const Graph& graph, const Node& node, int64_t height, int64_t width,
             bool with_state) {
  int64_t sum = 0;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) sum += input_macs(plan, graph, node, i, height, width);
  if (!node.recurrent || !with_state) return sum;
  const int64_t divisor = graph.flows[static_cast<std::size_t>(node.output)].divisor;
  return sum +
         (height / divisor) * (width / divisor) * plan.parameters.slice(node.state_weight).shape.elements();
}

int64_t parameter_count(const ModelSpec& spec) {
  return blueprint(spec).parameters.count();
}

int64_t macs_per_forecast(const ModelSpec& spec, int64_t height, int64_t width) {
  const Blueprint plan = blueprint(spec);
  const auto [h, w] = inner_size(spec, height, width);
  int64_t sum = 0;
  const bool shared = spec.forecaster == ForecasterKind::shared;
  for (std::size_t i = 0; i < plan.encoder.nodes.size(); ++i) {
    const Node& node = plan.encoder.nodes[i];
    const int64_t step = macs(plan, plan.encoder, node, h, w, true);
    if (i >= plan.encoder.head_begin) {
      sum += spec.future * step;
      continue;
    }
    const int64_t more = !shared ? 0 : spec.feed == Feed::previous ? spec.future - 1 : spec.future;
    sum += (spec.past + more - 1) * step + macs(plan, plan.encoder, node, h, w, false);
  }
  for (const Node& node : plan.forecaster.nodes) {
    sum += spec.future * macs(plan, plan.forecaster, node, h, w, true);
  }
  return sum;
}

int64_t macs_per_step(const ModelSpec& spec, int64_t height, int64_t width) {
  const Blueprint plan = blueprint(spec);
  const auto [h, w] = inner_size(spec, height, width);
  const bool own_frames = spec.feed == Feed::previous;
  const int64_t past = spec.past, future = spec.future;
  int64_t outer = 0;
  if (spec.forecaster == ForecasterKind::shared) {
    const int64_t steps = past + (own_frames ? future - 1 : future);
    outer = outer_macs(plan, plan.encoder, steps, own_frames ? past : steps, h, w);
  } else {
    outer = outer_macs(plan, plan.encoder, past, past, h, w) +
            outer_macs(plan, plan.forecaster, future, own_frames ? 1 : future, h, w);
  }
  return 3 * macs_per_forecast(spec, height, width) - outer;
}

}  // namespace raincell::model
