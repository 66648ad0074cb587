// A graph with its memory and plans: what the network executes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/recurrent_layer.hpp"

namespace raincell::model {

/// How a graph will be run.
struct RunPlan {
  std::vector<std::int64_t> body_counts = {1};  // step counts that layers below the head run at
  std::vector<std::int64_t> head_counts = {1};
  std::int64_t body_weights = 0, head_weights = 0;  // steps of the weight gradients; 0: inference
  bool frame_gradient = false;                      // own output is fed back: the frames need a gradient
};

class GraphRun {
 public:
  /// carries: one a stage, shared by encoder and forecaster; empty in inference.
  GraphRun(LayerContext, const Graph&, const RunPlan&, std::vector<Carry>& carries);

  /// body: all layers up to the states; head: from states to frames.
  void body(std::int64_t first, std::int64_t count) { forward(first, count, 0, graph_.head_begin); }
  void head(std::int64_t first, std::int64_t count) {
    forward(first, count, graph_.head_begin, layers_.size());
  }
  void body_backward(std::int64_t first, std::int64_t count, bool external) {
    backward(first, count, external, 0, graph_.head_begin);
  }
  void head_backward(std::int64_t first, std::int64_t count) {
    backward(first, count, false, graph_.head_begin, layers_.size());
  }
  void body_weights(std::int64_t first, std::int64_t count) { weights(first, count, 0, graph_.head_begin); }
  void head_weights(std::int64_t first, std::int64_t count) {
    weights(first, count, graph_.head_begin, layers_.size());
  }
  /// Sets the gradient of every state that the head reads to zero for steps before `first`, where there is no
  /// head.
  void clear_state_gradients(std::int64_t first);
  void load_weights();
  /// Starts every recurrent layer from the state of the other run's layer of the same stage after step t.
  void start_from(GraphRun& other, std::int64_t t);

  /// The recurrent layer of a stage.
  CellLayer& recurrent(std::size_t stage);
  bool has_mask() const { return graph_.mask >= 0; }
  StepStore& frames() { return flow(graph_.frames).value; }
  StepStore& frames_gradient() { return flow(graph_.frames).gradient; }
  StepStore& mask() { return flow(graph_.mask).value; }
  StepStore& tendency() { return flow(graph_.tendency).value; }
  StepStore& output() { return flow(graph_.output).value; }
  StepStore& output_gradient() { return flow(graph_.output).gradient; }

 private:
  FlowStore& flow(int index) { return flows_[static_cast<std::size_t>(index)]; }
  void allocate_flows(LayerContext&, const RunPlan&);
  void forward(std::int64_t first, std::int64_t count, std::size_t begin, std::size_t end);
  void backward(std::int64_t first, std::int64_t count, bool external, std::size_t begin, std::size_t end);
  void weights(std::int64_t first, std::int64_t count, std::size_t begin, std::size_t end);

  kernels::Backend& backend_;
  Graph graph_;
  std::vector<FlowStore> flows_;
  std::vector<std::unique_ptr<Layer>> layers_;
  std::vector<CellLayer*> recurrent_;  // those among layers_
};

}  // namespace raincell::model
