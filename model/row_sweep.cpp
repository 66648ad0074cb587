#include "model/row_sweep.hpp"

#include <algorithm>
#include <limits>

namespace raincell::model {

using std::int64_t;

namespace {

constexpr int64_t kTile = 4;  // rows of Winograd's tiles
// Fewer rows at the end join the band before: libraries sum in another order where an image is lower than a
// kernel.
constexpr int64_t kLeastRows = 8;

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

/// The rows of an input that a node's band reads.
struct Reads {
  int64_t first, end;
};

Reads reads_of(const Graph& graph, const Node& node, std::size_t input, const SweepSpec& spec, int64_t first,
               int64_t rows) {
  const auto band =
      kernels::band_of(input_convolution(graph, node, input, 1, spec.height, spec.width), first, rows);
  return {band.input_row, band.input_row + band.spec.height};
}

}  // namespace

class RowSweep::Builder {
 public:
  Builder(const Graph& graph, const SweepSpec& spec, RowSweep& sweep)
      : graph_(graph),
        spec_(spec),
        sweep_(sweep),
        made_(graph.flows.size(), 0),
        maker_(graph.flows.size(), -1) {
    sweep_.windows_.assign(graph.flows.size(), 0);
    for (std::size_t n = spec.begin; n < spec.end; ++n)
      maker_[at(graph.nodes[n].output)] = static_cast<int>(n);
    for (std::size_t f = 0; f < graph.flows.size(); ++f)  // states from an earlier part of the step
      if (maker_[f] < 0 && !graph.flows[f].external) made_[f] = height(static_cast<int>(f));
  }
  void run() {
    for (std::size_t n = spec_.end; n-- > spec_.begin;) {
      const Node& node = graph_.nodes[n];
      if (node.recurrent || node.output == graph_.output) need(node.output, height(node.output));
    }
  }

 private:
  int64_t height(int flow) const { return spec_.height / graph_.flows[at(flow)].divisor; }
  int64_t rows_of_next_band(int flow) const {
    const int64_t left = height(flow) - made_[at(flow)], rows = std::min(spec_.band_rows[at(flow)], left);
    return left - rows < kLeastRows ? left : rows;
  }

  void need(int flow, int64_t end) {
    while (made_[at(flow)] < end) {
      const int64_t first = made_[at(flow)], rows = rows_of_next_band(flow);
      const int maker = maker_[at(flow)];
      if (maker >= 0) {
        const Node& node = graph_.nodes[at(maker)];
        for (std::size_t i = 0; i < node.inputs.size(); ++i)
          need(node.inputs[i], reads_of(graph_, node, i, spec_, first, rows).end);
        if (spec_.frames_beside_output && flow == graph_.output) need(graph_.frames, first + rows);
      }
      const int64_t kept_from = std::min(first, first_row_read(flow));
      sweep_.pieces_.push_back({flow, maker, first, rows, kept_from});
      made_[at(flow)] = first + rows;
      int64_t& window = sweep_.windows_[at(flow)];
      window = std::max(window, first + rows - kept_from);
    }
  }

  /// The first row of a flow that a coming band of anybody still reads.
  int64_t first_row_read(int flow) const {
    int64_t first = std::numeric_limits<int64_t>::max();
    for (std::size_t n = spec_.begin; n < spec_.end; ++n) {
      const Node& node = graph_.nodes[n];
      const int64_t row = made_[at(node.output)];
      if (row >= height(node.output)) continue;
      if (spec_.frames_beside_output && node.output == graph_.output && flow == graph_.frames)
        first = std::min(first, row);
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        if (node.inputs[i] != flow) continue;
        first = std::min(first, reads_of(graph_, node, i, spec_, row, rows_of_next_band(node.output)).first);
      }
    }
    return first;
  }

  const Graph& graph_;
  const SweepSpec& spec_;
  RowSweep& sweep_;
  std::vector<int64_t> made_;  // rows of each flow
  std::vector<int> maker_;     // node of each flow, or -1
};

RowSweep::RowSweep(const Graph& graph, const SweepSpec& spec) {
  Builder(graph, spec, *this).run();
}

std::vector<int64_t> band_rows(const Graph& graph, int64_t height, int64_t width, int64_t band_bytes,
                               int64_t element_bytes) {
  int64_t strides = 1;
  for (const Flow& flow : graph.flows) strides = std::max(strides, flow.divisor);
  int64_t tiles = 1;  // that a band has, with its halo, the height of every kernel
  for (const Node& node : graph.nodes)
    tiles = std::max(tiles, (std::max(node.kernel, node.state_kernel) / 2 + kTile) / kTile);
  const int64_t unit = tiles * kTile * strides;  // of rows of flows with divisor 1
  std::vector<int64_t> rows(graph.flows.size(), 0);
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const Node& node : graph.nodes) {
    const Flow& flow = graph.flows[at(node.output)];
    const auto bytes_of = [&](const Flow& of, int64_t channels) {
      return unit / of.divisor * (width / of.divisor) * channels * element_bytes;
    };
    int64_t unit_bytes =
        bytes_of(flow, node.recurrent ? node.cell.gates() * node.cell.hidden : flow.channels);
    for (const int input : node.inputs)  // what it reads, which may be a state in scratch, counts as well
      unit_bytes = std::max(unit_bytes, bytes_of(graph.flows[at(input)], graph.flows[at(input)].channels));
    const int64_t units = std::max<int64_t>(1, band_bytes / unit_bytes);
    if (node.transposed && node.kernel < node.stride) {  // rows between the kernels cannot be cut
      rows[at(node.output)] = height / flow.divisor;
      continue;
    }
    rows[at(node.output)] = std::min(units * unit, height) / flow.divisor;
    least = std::min(least, std::min(units * unit, height));
  }
  for (std::size_t f = 0; f < rows.size(); ++f)
    if (graph.flows[f].external) rows[f] = std::min(least, height) / graph.flows[f].divisor;
  return rows;
}

}  // namespace raincell::model
