#include "model/recurrent_layer.hpp"

namespace raincell::model {

using kernels::Accumulate;
using kernels::ConstView;
using kernels::ConvSpec;
using kernels::Shape;
using kernels::View;
using std::int64_t;

namespace {

int64_t gate_channels(const Node& node) {
  return node.cell.gates() * node.cell.hidden;
}

const Flow& output_of(const Graph& graph, const Node& node) {
  return graph.flows[static_cast<std::size_t>(node.output)];
}

/// The recurrent convolution: one step at a time, its weight gradient over all steps that had a state before.
Convolution plan_state_convolution(LayerContext& context, const Graph& graph, const Node& node,
                                   const StepCounts& counts) {
  const ConvSpec spec = model::state_convolution(graph, node, context.batch, context.height, context.width);
  StepCounts own{{1}, counts.weights, counts.training};
  if (own.weights > 0 && !context.initial_state) --own.weights;
  return Convolution(context, spec, own, true, node.state_weight, node.inputs.empty() ? node.bias : -1);
}

}  // namespace

Carry Carry::make(LayerContext& context, const kernels::CellSpec& cell, int64_t height, int64_t width) {
  const Shape shape{1, context.batch, cell.hidden, height, width};
  Carry carry;
  carry.dh = context.workspace.activation(shape, "gradient of a hidden state");
  if (cell.separate_recurrent())
    carry.spare = context.workspace.activation(shape, "gradient of a hidden state");
  if (cell.has_memory()) carry.dc = context.workspace.memory(shape, "gradient of a cell state");
  return carry;
}

void Carry::reset(kernels::Backend& backend) {
  valid = false;
  if (!dc.empty()) backend.fill(dc.view(), 0.F);
}

CellLayer::CellLayer(LayerContext& context, const Graph& graph, const Node& node,
                     std::vector<FlowStore>& flows, const StepCounts& counts,
                     const std::vector<Accumulate>& accumulate, Carry* carry)
    : backend_(context.workspace.backend()),
      parameters_(context.parameters),
      cell_(node.cell),
      stage_(node.stage),
      peephole_(node.peephole),
      initial_state_(context.initial_state),
      output_(flows[static_cast<std::size_t>(node.output)]),
      carry_(carry),
      inputs_(context, graph, node, flows, counts, accumulate) {
  const Flow& flow = output_of(graph, node);
  const int64_t height = context.height / flow.divisor, width = context.width / flow.divisor;
  const int64_t kept = context.training ? context.steps : 1;
  cell_.keeps_gates = context.training;
  const Shape gates{kept, context.batch, gate_channels(node), height, width};
  saved_.gates = StepStore(context.workspace.activation(gates, "gates of " + node.name), kept, 0);
  if (cell_.separate_recurrent()) {
    saved_.recurrent =
        StepStore(context.workspace.activation(gates, "recurrent sums of " + node.name), kept, 0);
  }
  if (cell_.has_memory()) {
    const int64_t offset = initial_state_ ? 1 : 0, slots = context.training ? kept + offset : 2;
    saved_.c = StepStore(context.workspace.memory({slots, context.batch, cell_.hidden, height, width},
                                                  "cell states of " + node.name),
                         slots, offset);
  }
  if (context.steps > 1 || initial_state_ || !context.training) {
    state_.emplace(plan_state_convolution(context, graph, node, counts));
  }
}

void CellLayer::load_weights() {
  inputs_.load_weights();
  if (state_) state_->load_weights();
}

void CellLayer::start(ConstView h, ConstView c) {
  backend_.copy(h, output_.value.step(-1));
  if (cell_.has_memory()) backend_.copy(c, saved_.c.step(-1));
}

void CellLayer::forward(int64_t first, int64_t count) {
  const View gates = saved_.gates.at(first, count);
  if (!inputs_.empty()) {
    inputs_.forward(first, count, gates);
  } else if (cell_.separate_recurrent()) {
    backend_.fill(gates, 0.F);
  }
  for (int64_t t = first; t < first + count; ++t) step(t);
}

void CellLayer::step(int64_t t) {
  const View gates = saved_.gates.step(t);
  View recurrent, h_before, c_before;
  if (has_previous(t)) {
    const View h_previous = output_.value.step(t - 1);
    if (cell_.separate_recurrent()) {
      recurrent = saved_.recurrent.step(t);
      h_before = h_previous;
      state_->forward(h_previous, recurrent, Accumulate::no);
    } else {
      state_->forward(h_previous, gates, inputs_.empty() ? Accumulate::no : Accumulate::yes);
    }
    c_before = saved_.c.step_or_empty(t - 1);
  }
  const View peephole = peephole_ < 0 ? View{} : parameters_.value(peephole_);
  backend_.cell_forward(cell_, gates, recurrent, h_before, c_before, peephole, saved_.c.step_or_empty(t),
                        output_.value.step(t));
}

void CellLayer::backward(int64_t first, int64_t count, bool external) {
  for (int64_t t = first + count; t-- > first;) step_back(t);
  inputs_.backward(first, count, saved_.gates.at(first, count), external);
}

void CellLayer::step_back(int64_t t) {
  const bool previous = has_previous(t), separate = cell_.separate_recurrent();
  const View gates = saved_.gates.step(t);
  const View recurrent = separate && previous ? saved_.recurrent.step(t) : View{};
  const View h_before = separate && previous ? output_.value.step(t - 1) : View{};
  const View c_before = previous ? saved_.c.step_or_empty(t - 1) : View{};
  const View dh_before = separate && previous ? carry_->spare.view() : View{};
  const View peephole = peephole_ < 0 ? View{} : parameters_.value(peephole_);
  const View d_peephole = peephole_ < 0 ? View{} : parameters_.gradient(peephole_);
  backend_.cell_backward(cell_, gates, recurrent, h_before, c_before, saved_.c.step_or_empty(t), peephole,
                         output_.gradient.step_or_empty(t), carry_->valid ? carry_->dh.view() : View{},
                         carry_->dc.view(), dh_before, d_peephole);
  carry_->valid = previous;
  if (!previous) return;
  if (separate) {
    state_->backward_data(recurrent, dh_before, Accumulate::yes);
    std::swap(carry_->dh, carry_->spare);
  } else {
    state_->backward_data(gates, carry_->dh.view(), Accumulate::no);
  }
}

void CellLayer::backward_weights(int64_t first, int64_t count) {
  inputs_.backward_weights(first, count, saved_.gates.at(first, count));
  StepStore& sums = cell_.separate_recurrent() ? saved_.recurrent : saved_.gates;
  const int64_t skipped = initial_state_ ? 0 : 1;  // the first step had no state before it
  if (count > skipped) {
    state_->backward_weights(output_.value.at(first + skipped - 1, count - skipped),
                             sums.at(first + skipped, count - skipped));
  }
}

}  // namespace raincell::model
