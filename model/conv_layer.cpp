#include "model/conv_layer.hpp"

#include <stdexcept>

namespace raincell::model {

using kernels::Accumulate;
using kernels::ConstView;
using kernels::ConvSpec;
using kernels::ConvUse;
using kernels::View;
using std::int64_t;

Convolution::Convolution(LayerContext& context, const ConvSpec& spec, const StepCounts& counts,
                         bool input_gradient, int weight, int bias)
    : parameters_(context.parameters), weight_(weight), bias_(bias) {
  const auto add = [&](int64_t steps, bool uses_weights, ConvUse use) {
    ConvSpec many = spec;
    many.images = steps * context.batch;
    many.bias = bias >= 0;
    plans_.push_back({steps, uses_weights, context.workspace.convolution(many, use)});
  };
  for (const int64_t steps : counts.forward) {
    const ConvUse use = !counts.training          ? ConvUse::inference
                        : input_gradient          ? ConvUse::training
                        : counts.weights == steps ? ConvUse::training_no_input_gradient
                                                  : ConvUse::inference;
    add(steps, true, use);
  }
  bool have_weights_plan = counts.weights == 0;
  for (const int64_t steps : counts.forward) have_weights_plan = have_weights_plan || steps == counts.weights;
  if (!have_weights_plan) add(counts.weights, false, ConvUse::training_no_input_gradient);
}

kernels::ConvPlan& Convolution::at(int64_t steps) {
  for (Planned& planned : plans_) {
    if (planned.steps == steps) return *planned.plan;
  }
  throw std::logic_error("convolution " + parameters_.layout().slice(weight_).name + " is not planned for " +
                         std::to_string(steps) + " steps; this is a bug of raincell, please report it");
}

void Convolution::load_weights() {
  const View bias = bias_ < 0 ? View{} : parameters_.value(bias_);
  for (Planned& planned : plans_) {
    if (planned.uses_weights) planned.plan->load_weights(parameters_.value(weight_), bias);
  }
}

void Convolution::forward(ConstView x, View y, Accumulate accumulate) {
  at(x.shape.t).forward(x, y, accumulate);
}

void Convolution::backward_data(ConstView dy, View dx, Accumulate accumulate) {
  at(dy.shape.t).backward_data(dy, dx, accumulate);
}

void Convolution::backward_weights(ConstView x, ConstView dy) {
  at(x.shape.t).backward_weights(x, dy, parameters_.gradient(weight_),
                                 bias_ < 0 ? View{} : parameters_.gradient(bias_), Accumulate::yes);
}

InputSum::InputSum(LayerContext& context, const Graph& graph, const Node& node, std::vector<FlowStore>& flows,
                   const StepCounts& counts, const std::vector<Accumulate>& accumulate) {
  inputs_.reserve(node.inputs.size());
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const auto index = static_cast<std::size_t>(node.inputs[i]);
    const ConvSpec spec = input_convolution(graph, node, i, context.batch, context.height, context.width);
    const bool input_gradient = context.training && flows[index].has_gradient;
    inputs_.push_back(
        {flows[index], graph.flows[index].external, accumulate[i],
         Convolution(context, spec, counts, input_gradient, node.weights[i], i == 0 ? node.bias : -1)});
  }
}

void InputSum::load_weights() {
  for (Input& input : inputs_) input.convolution.load_weights();
}

void InputSum::forward(int64_t first, int64_t count, View y) {
  Accumulate accumulate = Accumulate::no;
  for (Input& input : inputs_) {
    input.convolution.forward(input.flow.value.at(first, count), y, accumulate);
    accumulate = Accumulate::yes;
  }
}

void InputSum::backward(int64_t first, int64_t count, ConstView dy, bool external) {
  for (Input& input : inputs_) {
    if (!input.flow.has_gradient || (input.external && !external)) continue;
    input.convolution.backward_data(dy, input.flow.gradient.at(first, count), input.accumulate);
  }
}

void InputSum::backward_weights(int64_t first, int64_t count, ConstView dy) {
  for (Input& input : inputs_) input.convolution.backward_weights(input.flow.value.at(first, count), dy);
}

ConvLayer::ConvLayer(LayerContext& context, const Graph& graph, const Node& node,
                     std::vector<FlowStore>& flows, const StepCounts& counts,
                     const std::vector<Accumulate>& accumulate)
    : backend_(context.workspace.backend()),
      activation_(node.activation),
      slope_(node.slope),
      output_(flows[static_cast<std::size_t>(node.output)]),
      inputs_(context, graph, node, flows, counts, accumulate) {}

void ConvLayer::forward(int64_t first, int64_t count) {
  const View y = output_.value.at(first, count);
  inputs_.forward(first, count, y);
  if (activation_ != kernels::Activation::identity) backend_.activate(activation_, slope_, y);
}

void ConvLayer::backward(int64_t first, int64_t count, bool external) {
  const View dy = output_.gradient.at(first, count);
  if (activation_ != kernels::Activation::identity) {
    backend_.activate_backward(activation_, slope_, output_.value.at(first, count), dy);
  }
  inputs_.backward(first, count, dy, external);
}

void ConvLayer::backward_weights(int64_t first, int64_t count) {
  inputs_.backward_weights(first, count, output_.gradient.at(first, count));
}

}  // namespace raincell::model
