#include "model/graph_run.hpp"

#include <algorithm>
#include <stdexcept>

namespace raincell::model {

using kernels::Accumulate;
using kernels::Shape;
using std::int64_t;

namespace {

bool consumes(const Node& node, int flow) {
  return std::find(node.inputs.begin(), node.inputs.end(), flow) != node.inputs.end();
}

/// The backward pass meets consumers last first: whoever is not the last one adds to what is there.
std::vector<Accumulate> accumulation(const Graph& graph, std::size_t index) {
  std::vector<Accumulate> flags;
  for (const int input : graph.nodes[index].inputs) {
    const bool later =
        std::any_of(graph.nodes.begin() + static_cast<std::ptrdiff_t>(index) + 1, graph.nodes.end(),
                    [&](const Node& node) { return consumes(node, input); });
    flags.push_back(later ? Accumulate::yes : Accumulate::no);
  }
  return flags;
}

}  // namespace

GraphRun::GraphRun(LayerContext context, const Graph& graph, const RunPlan& plan, std::vector<Carry>& carries)
    : backend_(context.workspace.backend()), graph_(graph) {
  allocate_flows(context, plan);
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    const Node& node = graph_.nodes[i];
    const bool in_head = i >= graph_.head_begin;
    const StepCounts counts{in_head ? plan.head_counts : plan.body_counts,
                            in_head ? plan.head_weights : plan.body_weights, context.training};
    if (!node.recurrent) {
      layers_.push_back(
          std::make_unique<ConvLayer>(context, graph_, node, flows_, counts, accumulation(graph_, i)));
      continue;
    }
    auto layer = std::make_unique<CellLayer>(context, graph_, node, flows_, counts, accumulation(graph_, i),
                                             carries.empty() ? nullptr : &carries[node.stage]);
    recurrent_.push_back(layer.get());
    layers_.push_back(std::move(layer));
  }
}

void GraphRun::allocate_flows(LayerContext& context, const RunPlan& plan) {
  flows_.resize(graph_.flows.size());
  for (std::size_t i = 0; i < flows_.size(); ++i) {
    const Flow& flow = graph_.flows[i];
    const int index = static_cast<int>(i);
    const bool state = std::any_of(graph_.nodes.begin(), graph_.nodes.end(),
                                   [&](const Node& node) { return node.recurrent && node.output == index; });
    const int64_t offset = state && context.initial_state ? 1 : 0;
    const bool frames = flow.external || index == graph_.output;
    const int64_t slots = context.training ? context.steps + offset
                          : state          ? 2
                          : frames         ? context.frames_kept
                                           : 1;
    Shape shape{slots, context.batch, flow.channels, context.height / flow.divisor,
                context.width / flow.divisor};
    flows_[i].value = StepStore(context.workspace.activation(shape, flow.name), slots, offset);
    const bool used =
        index == graph_.output || std::any_of(graph_.nodes.begin(), graph_.nodes.end(),
                                              [&](const Node& node) { return consumes(node, index); });
    const bool wanted = flow.external ? plan.frame_gradient && index == graph_.frames : used;
    if (!context.training || !wanted) continue;
    shape.t = context.steps;
    flows_[i].has_gradient = true;
    flows_[i].gradient =
        StepStore(context.workspace.activation(shape, "gradient of " + flow.name), context.steps, 0);
  }
}

void GraphRun::forward(int64_t first, int64_t count, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) layers_[i]->forward(first, count);
}

void GraphRun::backward(int64_t first, int64_t count, bool external, std::size_t begin, std::size_t end) {
  for (std::size_t i = end; i-- > begin;) layers_[i]->backward(first, count, external);
}

void GraphRun::weights(int64_t first, int64_t count, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) layers_[i]->backward_weights(first, count);
}

void GraphRun::clear_state_gradients(int64_t first) {
  if (first < 1) return;
  for (const Node& node : graph_.nodes) {
    if (!node.recurrent) continue;
    const bool headed =
        std::any_of(graph_.nodes.begin() + static_cast<std::ptrdiff_t>(graph_.head_begin), graph_.nodes.end(),
                    [&](const Node& other) { return consumes(other, node.output); });
    if (headed) backend_.fill(flow(node.output).gradient.at(0, first), 0.F);
  }
}

void GraphRun::load_weights() {
  for (const auto& layer : layers_) layer->load_weights();
}

CellLayer& GraphRun::recurrent(std::size_t stage) {
  for (CellLayer* layer : recurrent_) {
    if (layer->stage() == stage) return *layer;
  }
  throw std::out_of_range("the network has no stage " + std::to_string(stage));
}

void GraphRun::start_from(GraphRun& other, int64_t t) {
  for (CellLayer* layer : recurrent_) {
    CellLayer& source = other.recurrent(layer->stage());
    layer->start(source.h(t), source.c(t));
  }
}

}  // namespace raincell::model
