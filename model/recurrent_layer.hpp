// One recurrent layer over the steps of a run: convlstm, convgru or rnn.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/conv_layer.hpp"

namespace raincell::model {

/// Gradient of a layer's state on its way back in time; the forecaster's layer hands it to the encoder's.
struct Carry {
  kernels::Tensor dh, spare;  // [1,N,hidden,H,W]; spare: convgru only
  kernels::Tensor dc;         // convlstm only
  bool valid = false;         // dh holds something

  static Carry make(LayerContext&, const kernels::CellSpec&, std::int64_t height, std::int64_t width);
  /// Before the last step: nothing comes from beyond.
  void reset(kernels::Backend&);
};

class CellLayer : public Layer {
 public:
  CellLayer(LayerContext&, const Graph&, const Node&, std::vector<FlowStore>& flows, const StepCounts&,
            const std::vector<kernels::Accumulate>&, Carry* carry);
  void forward(std::int64_t first, std::int64_t count) override;
  /// Steps backwards; the state's gradient passes through the carry.
  void backward(std::int64_t first, std::int64_t count, bool external) override;
  void backward_weights(std::int64_t first, std::int64_t count) override;
  void load_weights() override;

  std::size_t stage() const { return stage_; }
  /// Hidden state and memory after step t; the memory is empty for cells without.
  kernels::View h(std::int64_t t) { return output_.value.step(t); }
  kernels::View c(std::int64_t t) { return saved_.c.step_or_empty(t); }
  /// Copies the state to start from; only for layers with an initial state.
  void start(kernels::ConstView h, kernels::ConstView c);

 private:
  /// What the backward pass needs, beside the hidden states, which are the output flow.
  struct Saved {
    StepStore gates;      // [steps,N,gates*hidden,H,W]: sums, then activated, then their gradient, in place
    StepStore recurrent;  // convgru: the recurrent sums, then their gradient
    StepStore c;          // convlstm
  };
  bool has_previous(std::int64_t t) const { return t > 0 || initial_state_; }
  void step(std::int64_t t);
  void step_back(std::int64_t t);

  kernels::Backend& backend_;
  Parameters& parameters_;
  kernels::CellSpec cell_;
  std::size_t stage_;
  int peephole_;
  bool initial_state_;
  FlowStore& output_;
  Carry* carry_;
  Saved saved_;
  InputSum inputs_;
  std::optional<Convolution> state_;
};

}  // namespace raincell::model
