// Convolutions as the network uses them: one set of weights at several step counts, and sums of several
// inputs.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/blueprint.hpp"
#include "model/workspace.hpp"

namespace raincell::model {

/// How many steps at a time a layer will be asked for.
struct StepCounts {
  std::vector<std::int64_t> forward;  // forward and backward_data, each distinct count once
  std::int64_t weights = 0;           // backward_weights; 0: none
  bool training = false;
};

/// A flow's values and, in training, its gradient.
struct FlowStore {
  StepStore value;            // [steps,N,C,H,W]
  StepStore gradient;         // the same shape
  bool has_gradient = false;  // otherwise nobody needs it
};

/// What every layer of a run is given.
struct LayerContext {
  Workspace& workspace;
  Parameters& parameters;
  std::int64_t batch = 1, height = 1, width = 1;  // of flows with divisor 1
  std::int64_t steps = 1;                         // kept in training; a rolling run keeps one
  bool training = false;
  bool initial_state = false;    // recurrent layers start from a given state instead of zero
  std::int64_t frames_kept = 1;  // by a rolling run: of what comes from outside and of its output
};

/// One layer over steps [first, first + count) of a run.
class Layer {
 public:
  virtual ~Layer() = default;
  virtual void forward(std::int64_t first, std::int64_t count) = 0;
  /// From the output's gradient to the inputs'. `external`: also to inputs that come from outside.
  virtual void backward(std::int64_t first, std::int64_t count, bool external) = 0;
  /// Adds to the parameters' gradients, all steps in one call; after backward.
  virtual void backward_weights(std::int64_t first, std::int64_t count) = 0;
  /// After every change of the parameters.
  virtual void load_weights() = 0;
};

/// One weight tensor, planned for every image count it is used at.
class Convolution {
 public:
  /// `spec` for one step of N images. bias: a slice or -1.
  Convolution(LayerContext&, const kernels::ConvSpec& spec, const StepCounts&, bool input_gradient,
              int weight, int bias);
  void load_weights();
  void forward(kernels::ConstView x, kernels::View y, kernels::Accumulate);
  void backward_data(kernels::ConstView dy, kernels::View dx, kernels::Accumulate);
  /// Adds to the gradients.
  void backward_weights(kernels::ConstView x, kernels::ConstView dy);

 private:
  struct Planned {
    std::int64_t steps;
    bool uses_weights;
    std::unique_ptr<kernels::ConvPlan> plan;
  };
  kernels::ConvPlan& at(std::int64_t steps);

  Parameters& parameters_;
  int weight_, bias_;
  std::vector<Planned> plans_;
};

/// sum over inputs of conv(input) + bias: the input path of every node.
class InputSum {
 public:
  /// accumulate[i]: another consumer has already written the gradient of input i.
  InputSum(LayerContext&, const Graph&, const Node&, std::vector<FlowStore>& flows, const StepCounts&,
           const std::vector<kernels::Accumulate>& accumulate);
  bool empty() const { return inputs_.empty(); }
  void load_weights();
  void forward(std::int64_t first, std::int64_t count, kernels::View y);
  void backward(std::int64_t first, std::int64_t count, kernels::ConstView dy, bool external);
  void backward_weights(std::int64_t first, std::int64_t count, kernels::ConstView dy);

 private:
  struct Input {
    FlowStore& flow;
    bool external;  // comes from outside
    kernels::Accumulate accumulate;
    Convolution convolution;
  };
  std::vector<Input> inputs_;
};

/// Ordinary or transposed convolution of one or several inputs, then an activation.
class ConvLayer : public Layer {
 public:
  ConvLayer(LayerContext&, const Graph&, const Node&, std::vector<FlowStore>& flows, const StepCounts&,
            const std::vector<kernels::Accumulate>&);
  void forward(std::int64_t first, std::int64_t count) override;
  void backward(std::int64_t first, std::int64_t count, bool external) override;
  void backward_weights(std::int64_t first, std::int64_t count) override;
  void load_weights() override { inputs_.load_weights(); }

 private:
  kernels::Backend& backend_;
  kernels::Activation activation_;
  float slope_;
  FlowStore& output_;  // saved: the activated value; its gradient becomes that of the sum
  InputSum inputs_;
};

}  // namespace raincell::model
