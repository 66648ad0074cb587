#include "model/banded_run.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace raincell::model {

using kernels::Accumulate;
using kernels::ConvSpec;
using kernels::Shape;
using kernels::View;
using std::int64_t;

namespace {

constexpr int64_t kStepsOfSlack = 16;              // after which a state moves down again
constexpr int64_t kDropBytes = int64_t{16} << 20;  // of a state in scratch that lie in memory at most

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

/// Copies rows that may overlap where they come from, piece by piece from the side that is free.
void move_rows(kernels::Backend& backend, View all, int64_t from, int64_t to, int64_t rows,
               const std::function<void(int64_t)>& after_rows = {}) {
  const int64_t distance = from > to ? from - to : to - from;
  if (distance == 0 || rows < 1) return;
  for (int64_t done = 0; done < rows;) {
    const int64_t piece = std::min(distance, rows - done), first = from > to ? done : rows - done - piece;
    backend.copy(all.rows(from + first, piece), all.rows(to + first, piece));
    done += piece;
    if (after_rows) after_rows(piece);
  }
}

}  // namespace

// --- states ------------------------------------------------------------------------------------------------

BandedState::BandedState(BandContext& context, const Node& node, int64_t height, int64_t width)
    : backend_(context.workspace.backend()),
      scratch_(context.scratch),
      height_(height),
      halo_((node.state_kernel - 1) / 2),
      slack_(halo_ * kStepsOfSlack),
      at_(slack_) {
  const Shape shape{1, 1, node.cell.hidden, height, width};
  Shape longer = shape;
  longer.h += slack_;
  h_ = store(context, longer, false, "hidden states of " + node.name);
  if (node.cell.has_memory()) c_ = store(context, shape, true, "cell states of " + node.name);
  row_bytes_ = width * node.cell.hidden * static_cast<int64_t>(kernels::size_of(backend_.dtype()));
}

BandedState::Store BandedState::store(BandContext& context, const Shape& shape, bool memory,
                                      const std::string& what) {
  const kernels::DType type = memory ? backend_.dtype() : backend_.activation_dtype();
  const kernels::Placement placement = backend_.place(shape);
  const auto bytes =
      static_cast<std::size_t>(kernels::stored_elements(shape, placement)) * kernels::size_of(type);
  if (context.scratch_from_bytes == 0 || static_cast<int64_t>(bytes) < context.scratch_from_bytes) {
    return {memory ? context.workspace.memory(shape, what) : context.workspace.activation(shape, what), {}};
  }
  if (context.scratch_bytes != nullptr) *context.scratch_bytes += static_cast<int64_t>(bytes);
  // What lies in memory between two drops: its own band, and that of a reader.
  context.workspace.host(std::min(bytes, static_cast<std::size_t>(kDropBytes + 2 * context.band_bytes)));
  if (context.workspace.dry()) return {};
  if (scratch_ == nullptr) throw std::logic_error("BandedState: there is no scratch");
  const std::span<std::byte> room = scratch_->take(bytes, what);
  const auto give_back = [](void* scratch, void* pages, std::size_t size) noexcept {
    static_cast<Scratch*>(scratch)->give_back({static_cast<std::byte*>(pages), size});
  };
  return {kernels::Tensor({room.data(), bytes, give_back, scratch_}, shape, type, placement), room};
}

void BandedState::begin_step() {
  if (at_ >= halo_) return;
  move_rows(backend_, h_.tensor.view(), at_, slack_, height_, [this](int64_t rows) { touched(rows); });
  at_ = slack_;
}

void BandedState::end_step() {
  at_ -= halo_;
  drop();
}

View BandedState::before(int64_t first, int64_t rows) {
  return h_.tensor.view().rows(at_ + first, rows);
}

View BandedState::after(int64_t first, int64_t rows) {
  return h_.tensor.view().rows(at_ - halo_ + first, rows);
}

View BandedState::memory(int64_t first, int64_t rows) {
  return c_.tensor.empty() ? View{} : c_.tensor.view().rows(first, rows);
}

void BandedState::touched(int64_t rows) {
  touched_ += rows * row_bytes_;
  if (touched_ >= kDropBytes) drop();
}

void BandedState::drop() {
  touched_ = 0;
  for (const Store* store : {&h_, &c_})
    if (!store->scratch.empty()) scratch_->drop(store->scratch);
}

// --- convolutions ------------------------------------------------------------------------------------------

BandedConvolution::BandedConvolution(BandContext& context, const ConvSpec& whole, int weight, int bias)
    : parameters_(context.parameters), whole_(whole), weight_(weight), bias_(bias) {
  whole_.bias = bias >= 0;
}

void BandedConvolution::plan(BandContext& context, int64_t first, int64_t rows) {
  const ConvSpec spec = kernels::band_of(whole_, first, rows).spec;
  for (const auto& [known, plan] : plans_)
    if (known == spec) return;
  plans_.emplace_back(spec, context.workspace.convolution(spec, kernels::ConvUse::inference));
}

void BandedConvolution::load_weights() {
  for (auto& [spec, plan] : plans_)
    plan->load_weights(parameters_.value(weight_), bias_ < 0 ? View{} : parameters_.value(bias_));
}

kernels::ConvPlan& BandedConvolution::find(const ConvSpec& spec) {
  for (auto& [known, plan] : plans_)
    if (known == spec) return *plan;
  throw std::logic_error("the band " + spec.text() + " of " + whole_.text() +
                         " is not planned; this is a bug of raincell, please report it");
}

// --- planning ----------------------------------------------------------------------------------------------

BandedRun::BandedRun(BandContext& context, const Graph& graph, std::vector<BandedState>& states,
                     bool frames_beside_output)
    : backend_(context.workspace.backend()),
      parameters_(context.parameters),
      graph_(graph),
      height_(context.height),
      width_(context.width),
      frames_beside_output_(frames_beside_output),
      states_(states),
      band_rows_(band_rows(graph, context.height, context.width, context.band_bytes,
                           static_cast<int64_t>(kernels::size_of(backend_.activation_dtype())))),
      state_stage_(graph.flows.size(), -1) {
  for (const Node& node : graph_.nodes) {
    BandedNode banded{&node, {}, std::nullopt};
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      banded.inputs.emplace_back(context, input_convolution(graph_, node, i, 1, height_, width_),
                                 node.weights[i], i == 0 ? node.bias : -1);
    if (node.recurrent) {
      state_stage_[at(node.output)] = static_cast<int>(node.stage);
      banded.state.emplace(context, state_convolution(graph_, node, 1, height_, width_), node.state_weight,
                           node.inputs.empty() ? node.bias : -1);
    }
    nodes_.push_back(std::move(banded));
  }
  const std::size_t count = graph_.nodes.size(), head = graph_.head_begin;
  for (const auto& [begin, end] : {std::pair{std::size_t{0}, count}, {std::size_t{0}, head}, {head, count}}) {
    sweeps_.emplace_back(
        graph_, SweepSpec{begin, end, height_, width_, band_rows_, frames_beside_output && end == count});
    plan_bands(context, sweeps_.back());
  }
  allocate(context);
}

void BandedRun::plan_bands(BandContext& context, const RowSweep& sweep) {
  for (const SweepPiece& piece : sweep.pieces()) {
    if (piece.node < 0) continue;
    BandedNode& banded = nodes_[at(piece.node)];
    for (BandedConvolution& input : banded.inputs) input.plan(context, piece.first, piece.rows);
    if (banded.state) banded.state->plan(context, piece.first, piece.rows);
  }
}

void BandedRun::allocate(BandContext& context) {
  windows_.resize(graph_.flows.size());
  for (std::size_t f = 0; f < windows_.size(); ++f) {
    if (state_stage_[f] >= 0) continue;
    int64_t rows = 0;
    for (const RowSweep& sweep : sweeps_) rows = std::max(rows, sweep.window(static_cast<int>(f)));
    if (rows == 0) continue;
    const Flow& flow = graph_.flows[f];
    windows_[f].tensor =
        context.workspace.activation({1, 1, flow.channels, rows, width_ / flow.divisor}, flow.name);
  }
  int64_t gates = 0, recurrent = 0, h_before = 0;
  for (const SweepPiece& piece : sweep(Part::all).pieces()) {
    if (piece.node < 0 || !graph_.nodes[at(piece.node)].recurrent) continue;
    const Node& node = graph_.nodes[at(piece.node)];
    const int64_t pixels = piece.rows * (width_ / graph_.flows[at(piece.flow)].divisor);
    gates = std::max(gates, pixels * node.cell.gates() * node.cell.hidden);
    if (!node.cell.separate_recurrent()) continue;
    recurrent = gates;
    h_before = std::max(h_before, pixels * node.cell.hidden);
  }
  const auto take = [&](int64_t elements, const char* what) {
    return elements == 0 ? kernels::Tensor{} : context.workspace.activation({1, 1, 1, 1, elements}, what);
  };
  gates_ = take(gates, "gates of a band");
  recurrent_ = take(recurrent, "recurrent sums of a band");
  h_before_ = take(h_before, "hidden states of a band");
}

void BandedRun::load_weights() {
  for (BandedNode& banded : nodes_) {
    for (BandedConvolution& input : banded.inputs) input.load_weights();
    if (banded.state) banded.state->load_weights();
  }
}

std::pair<int64_t, int64_t> BandedRun::rows() const {
  std::pair<int64_t, int64_t> range{std::numeric_limits<int64_t>::max(), 0};
  for (const SweepPiece& piece : sweep(Part::all).pieces()) {
    const int64_t rows = piece.rows * graph_.flows[at(piece.flow)].divisor;
    range = {std::min(range.first, rows), std::max(range.second, rows)};
  }
  return range;
}

// --- running -----------------------------------------------------------------------------------------------

BandedState* BandedRun::state_of(int flow) {
  const int stage = state_stage_[at(flow)];
  return stage < 0 ? nullptr : &states_[at(stage)];
}

View BandedRun::rows_of(int flow, int64_t first, int64_t rows) {
  if (BandedState* state = state_of(flow))  // of a step that is over where the head alone runs
    return running_ == Part::head ? state->before(first, rows) : state->after(first, rows);
  Window& window = windows_[at(flow)];
  return window.tensor.view().rows(first - window.first, rows);
}

/// Where the rows of a piece go; moves what is still read of the flow to the front where they would not fit.
View BandedRun::room_for(const SweepPiece& piece) {
  if (BandedState* state = state_of(piece.flow)) return state->after(piece.first, piece.rows);
  Window& window = windows_[at(piece.flow)];
  if (piece.first == 0) window.first = window.end = 0;
  const int64_t room = window.tensor.shape().h;
  if (piece.first + piece.rows - window.first > room) {
    move_rows(backend_, window.tensor.view(), piece.kept_from - window.first, 0,
              window.end - piece.kept_from);
    window.first = piece.kept_from;
  }
  window.end = piece.first + piece.rows;
  return rows_of(piece.flow, piece.first, piece.rows);
}

View BandedRun::shared(const kernels::Tensor& tensor, int64_t channels, int64_t rows, int64_t width) const {
  View view = const_cast<kernels::Tensor&>(tensor).view();
  view.shape = {1, 1, channels, rows, width};
  view.placement = backend_.place(view.shape);
  return view;
}

void BandedRun::convolve(BandedNode& banded, int64_t first, View y) {
  for (std::size_t i = 0; i < banded.inputs.size(); ++i) {
    const int flow = banded.node->inputs[i];
    banded.inputs[i].forward([&](int64_t row, int64_t rows) { return rows_of(flow, row, rows); }, first, y,
                             i == 0 ? Accumulate::no : Accumulate::yes);
    if (BandedState* state = state_of(flow)) state->touched(y.shape.h);
  }
}

void BandedRun::cell(BandedNode& banded, const SweepPiece& piece, bool previous) {
  const Node& node = *banded.node;
  kernels::CellSpec cell = node.cell;
  cell.keeps_gates = false;
  BandedState& state = *state_of(piece.flow);
  const int64_t width = width_ / graph_.flows[at(piece.flow)].divisor;
  const View gates = shared(gates_, cell.gates() * cell.hidden, piece.rows, width);
  convolve(banded, piece.first, gates);
  if (banded.inputs.empty() && cell.separate_recurrent()) backend_.fill(gates, 0.F);
  View recurrent, h_before, c_before;
  if (previous) {
    const auto before = [&](int64_t row, int64_t rows) { return state.before(row, rows); };
    if (cell.separate_recurrent()) {
      recurrent = shared(recurrent_, gates.shape.c, piece.rows, width);
      h_before = shared(h_before_, cell.hidden, piece.rows, width);
      backend_.copy(state.before(piece.first, piece.rows), h_before);
      banded.state->forward(before, piece.first, recurrent, Accumulate::no);
    } else {
      banded.state->forward(before, piece.first, gates,
                            banded.inputs.empty() ? Accumulate::no : Accumulate::yes);
    }
    c_before = state.memory(piece.first, piece.rows);
  }
  const View peephole = node.peephole < 0 ? View{} : parameters_.value(node.peephole);
  backend_.cell_forward(cell, gates, recurrent, h_before, c_before, peephole,
                        state.memory(piece.first, piece.rows), room_for(piece));
  state.touched(piece.rows);
}

void BandedRun::step(Part part, bool previous, const Borders& borders) {
  const RowSweep& order = sweep(part);
  running_ = part;
  if (part != Part::head)
    for (BandedState& state : states_) state.begin_step();
  for (const SweepPiece& piece : order.pieces()) {
    if (piece.node < 0) {
      borders.fill(piece.flow, piece.first, room_for(piece));
      continue;
    }
    BandedNode& banded = nodes_[at(piece.node)];
    if (banded.node->recurrent) {
      cell(banded, piece, previous);
      continue;
    }
    const View y = room_for(piece);
    convolve(banded, piece.first, y);
    if (banded.node->activation != kernels::Activation::identity)
      backend_.activate(banded.node->activation, banded.node->slope, y);
    if (piece.flow != graph_.output) continue;
    borders.take(piece.first, y,
                 frames_beside_output_ ? rows_of(graph_.frames, piece.first, piece.rows) : View{});
  }
  if (part != Part::head)
    for (BandedState& state : states_) state.end_step();
}

}  // namespace raincell::model
