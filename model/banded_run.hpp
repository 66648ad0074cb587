// A graph in bands of rows: what a network executes on domains that are larger than memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "model/parameters.hpp"
#include "model/row_sweep.hpp"
#include "model/scratch.hpp"
#include "model/workspace.hpp"

namespace raincell::model {

/// What a banded run is given; one image, no training.
struct BandContext {
  Workspace& workspace;
  Parameters& parameters;
  std::int64_t height = 1, width = 1;  // of flows with divisor 1
  std::int64_t band_bytes = 0;
  Scratch* scratch = nullptr;             // for states of at least
  std::int64_t scratch_from_bytes = 0;    // as many bytes; 0: none
  std::int64_t* scratch_bytes = nullptr;  // counts what lies there
};

/// State of one stage, h and c, whole. New rows are written while old ones are still read: new row r lies
/// `halo` rows above old row r, where the old rows are that no coming band reads. Where that ends, after many
/// steps, everything moves down again.
class BandedState {
 public:
  BandedState(BandContext&, const Node&, std::int64_t height, std::int64_t width);
  void begin_step();
  void end_step();
  kernels::View before(std::int64_t first, std::int64_t rows);  // h of the step before
  kernels::View after(std::int64_t first, std::int64_t rows);
  kernels::View memory(std::int64_t first, std::int64_t rows);  // c, renewed in place; empty without
  /// Pages of a state in scratch leave memory once enough of them were touched.
  void touched(std::int64_t rows);
  void drop();

 private:
  struct Store {
    kernels::Tensor tensor;
    std::span<std::byte> scratch;  // empty: in memory
  };
  Store store(BandContext&, const kernels::Shape&, bool memory, const std::string& what);

  kernels::Backend& backend_;
  Scratch* scratch_;
  std::int64_t height_, halo_, slack_, at_;
  std::int64_t row_bytes_ = 0, touched_ = 0;  // since the last drop
  Store h_, c_;
};

/// One weight tensor, planned for every band.
class BandedConvolution {
 public:
  BandedConvolution(BandContext&, const kernels::ConvSpec& whole, int weight, int bias);
  void plan(BandContext&, std::int64_t first, std::int64_t rows);
  void load_weights();
  /// rows_of(first, count): rows of the input.
  template <class Rows>
  void forward(const Rows& rows_of, std::int64_t first, kernels::View y, kernels::Accumulate accumulate) {
    const kernels::ConvBand band = kernels::band_of(whole_, first, y.shape.h);
    find(band.spec).forward(rows_of(band.input_row, band.spec.height), y, accumulate);
  }

 private:
  kernels::ConvPlan& find(const kernels::ConvSpec&);
  Parameters& parameters_;
  kernels::ConvSpec whole_;
  int weight_, bias_;
  std::vector<std::pair<kernels::ConvSpec, std::unique_ptr<kernels::ConvPlan>>> plans_;
};

class BandedRun {
 public:
  /// states: by stage, shared by encoder and forecaster.
  BandedRun(BandContext&, const Graph&, std::vector<BandedState>& states, bool frames_beside_output);
  void load_weights();

  /// Which nodes a step runs.
  enum class Part : std::uint8_t { all, body, head };
  struct Borders {
    /// Rows of a flow from outside: first, count, where to.
    std::function<void(int flow, std::int64_t first, kernels::View to)> fill;
    /// Rows of the output, and of the frames beside it when that was asked for.
    std::function<void(std::int64_t first, kernels::View output, kernels::View frames)> take;
  };
  /// previous: there is a state before.
  void step(Part, bool previous, const Borders&);
  const Graph& graph() const { return graph_; }
  /// Rows of the smallest and the largest band, of frames after patching.
  std::pair<std::int64_t, std::int64_t> rows() const;

 private:
  struct BandedNode {
    const Node* node;
    std::vector<BandedConvolution> inputs;
    std::optional<BandedConvolution> state;
  };
  struct Window {
    kernels::Tensor tensor;
    std::int64_t first = 0, end = 0;  // rows that it holds
  };
  kernels::View rows_of(int flow, std::int64_t first, std::int64_t rows);
  kernels::View room_for(const SweepPiece&);
  kernels::View shared(const kernels::Tensor&, std::int64_t channels, std::int64_t rows,
                       std::int64_t width) const;
  void convolve(BandedNode&, std::int64_t first, kernels::View y);
  void cell(BandedNode&, const SweepPiece&, bool previous);
  void plan_bands(BandContext&, const RowSweep&);
  void allocate(BandContext&);
  const RowSweep& sweep(Part part) const { return sweeps_[static_cast<std::size_t>(part)]; }
  BandedState* state_of(int flow);

  kernels::Backend& backend_;
  Parameters& parameters_;
  const Graph& graph_;
  std::int64_t height_, width_;
  bool frames_beside_output_;
  Part running_ = Part::all;
  std::vector<BandedState>& states_;
  std::vector<std::int64_t> band_rows_;
  std::vector<RowSweep> sweeps_;  // by Part
  std::vector<BandedNode> nodes_;
  std::vector<Window> windows_;                   // by flow; none for states
  std::vector<int> state_stage_;                  // by flow; -1: no state
  kernels::Tensor gates_, recurrent_, h_before_;  // of one band, shared by all layers
};

}  // namespace raincell::model
