// The network on a device: plan once, then load, forward, loss, backward; or forecast step by step.
//
//   Network network(spec, *backend, seed);
//   network.plan({.batch = 8, .height = 96, .width = 96, .training = true});
//   network.set_loss(loss_spec);
//   network.load(batch); network.forward(); network.loss(1.F); network.backward();
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "model/banded_forecast.hpp"
#include "model/graph_run.hpp"
#include "model/replay.hpp"

namespace raincell::model {

/// One batch on the host, network units. Values under a mask of 0 must be finite (0 by convention).
struct HostBatch {
  std::span<const float> past = {},
                         past_mask = {};  // [N,T,C,H,W]; the mask only with mask_channel or predict_input
  /// [N,T',C,H,W]; not needed by forecast(). With output: sigmoid values beyond 0 and 1 count as 0 and 1.
  std::span<const float> future = {}, future_mask = {};
  std::span<const float> guide = {}, guide_mask = {};  // [N,T',1,H,W], feed: advection only
  std::span<const float> tendency = {};  // [N,T',1,H,W], network units, 0 where unknown; spec().tendency only
  std::span<const float> thresholds = {};  // spec().thresholds in network units, for load() with thresholds
};

struct NetworkPlan {
  std::int64_t batch = 1, height = 1, width = 1;  // of frames, before padding and patching
  bool training = false;
  bool predict_input = false;  // shared and fed previous: frames 2..T are predicted and scored as well
  BandPlan bands = {};         // inference of one sample alone
};

/// Memory a plan takes, by where it lies.
struct PlanBytes {
  std::size_t host = 0, device = 0;
  std::size_t scratch = 0;  // neither: in BandPlan::scratch
};

/// An inference plan for the memory that there is.
struct Fitted {
  NetworkPlan plan;
  PlanBytes bytes;
  bool fits = true;  // false: the least that it can do with, which is more
  /// Rows of frames in the smallest and the largest band.
  std::pair<std::int64_t, std::int64_t> rows = {0, 0};
};

class Network {
 public:
  /// Draws the parameters from the seed. Throws ModelError with all problems of the spec. The backend must
  /// outlive it.
  Network(const ModelSpec&, kernels::Backend&, std::uint64_t seed);

  const ModelSpec& spec() const { return spec_; }
  kernels::Backend& backend() const { return backend_; }
  Parameters& parameters() { return *parameters_; }
  const ParameterLayout& layout() const { return parameters_->layout(); }
  /// Packs the weights again; after every change of the parameters (the trainer does).
  void parameters_changed();

  /// Allocates everything for this shape, once; a second plan replaces the first. Any height and width.
  /// Throws ModelError when the spec cannot take the shape, kernels::OutOfMemory when memory is short.
  void plan(const NetworkPlan&);
  /// Gives the memory of the plan back.
  void forget_plan();
  bool is_planned() const { return encoder_ != nullptr || banded_ != nullptr; }
  const NetworkPlan& planned() const { return plan_; }
  /// The kernels that the plan chose, by the text of the convolution.
  const std::map<std::string, std::string>& implementations() const { return implementations_; }
  /// Bytes of the plan and of `parameter_blocks` blocks of parameters (values, gradients, moments, average).
  PlanBytes bytes(int parameter_blocks) const;
  /// The same without allocating tensors, within 10 %; plans of convolutions are made one by one and dropped.
  static PlanBytes predict_bytes(const ModelSpec&, kernels::Backend&, const NetworkPlan&,
                                 int parameter_blocks);

  /// Whether rows can be cut at all: not flattened, and on a backend that keeps channels last.
  static bool can_be_cut(const ModelSpec&, const kernels::Backend&);
  enum class Cut : std::uint8_t { where_needed, never, always };
  /// The plan of an inference of one sample in at most `room` (device is not looked at where tensors lie on
  /// the host): whole where that fits, else in bands, with the largest states in plan.bands.scratch where
  /// there is one.
  static Fitted fit(const ModelSpec&, kernels::Backend&, NetworkPlan, int parameter_blocks,
                    const PlanBytes& room, Cut = Cut::where_needed);

  // --- training plans ---------------------------------------------------------------------------------
  void load(const HostBatch&);
  /// What the loss of this batch is divided by, up to the same factor for all batches. Host only.
  double valid_pixels(const HostBatch&) const;
  /// Whether it is more than nothing; much faster.
  bool has_valid_pixel(const HostBatch&) const;
  /// Scheduled sampling: weight of the truth fed at lead j instead of the own output, [N,T'] in [0,1]; the
  /// weights of lead 0 are unused. Empty: always the own output. Only with feed: previous.
  void set_teacher(std::span<const float> weights);
  void forward();
  /// Lead weights are those of the T' forecast frames.
  void set_loss(const kernels::LossSpec&);
  /// Loss of the last forward() and its gradient, times `gradient_scale`. The value stays on the device.
  void loss(float gradient_scale);
  /// Adds to the gradients of the parameters. Once a loss().
  void backward();
  void zero_gradients();
  /// Copies to the host: mean loss over valid pixels of the last loss(), and their number.
  struct LossValue {
    double mean = 0., valid_pixels = 0.;
  };
  LossValue read_loss();
  /// The same on the device: {1,1,2,1,1}.
  kernels::ConstView loss_sums() const { return sums_.view(); }
  /// The forecast of the last forward(): [N,T',Cout,H,W], network units; logits with thresholds or output:
  /// sigmoid.
  void export_forecast(std::span<float> out);

  /// The encoder's state after the last past frame of the last forward(): [N,hidden,h,w]; c is empty without
  /// one.
  struct EncoderState {
    std::vector<double> h, c;
  };
  EncoderState read_encoder_state(std::size_t stage);

  // --- any plan ---------------------------------------------------------------------------------------
  /// past (and guide) -> `leads` frames [N,leads,Cout,H,W]: values in network units, or probabilities with
  /// thresholds. An inference plan keeps one step of gates whatever T; any number of leads >= 1 then; a
  /// training plan takes spec().future.
  void forecast(const HostBatch&, std::int64_t leads, std::span<float> out);
  /// The same on a banded plan alone, with frames as they come.
  void forecast(FrameExchange&, std::int64_t leads);
  /// The logistic function of logits; nothing for linear outputs.
  void from_logits(std::span<float> out) const;

 private:
  bool shared() const { return spec_.forecaster == ForecasterKind::shared; }
  bool fed_back() const { return spec_.feed == Feed::previous; }
  /// The run that makes frames, and its step of lead 0.
  GraphRun& decoder() { return shared() ? *encoder_ : *forecaster_; }
  std::int64_t first_lead() const;
  /// Of the frames that the loss is taken over.
  std::vector<std::span<const float>> scored_masks(const HostBatch&) const;
  std::int64_t loss_steps() const { return spec_.future + (plan_.predict_input ? spec_.past - 1 : 0); }
  /// Makes the runs; puts them into the network unless that is null. Counts what lies in scratch.
  static void build(const ModelSpec&, const Blueprint&, Workspace&, Parameters&, const NetworkPlan&, Network*,
                    std::int64_t& scratch_bytes);
  static PlanBytes predict(const ModelSpec&, kernels::Backend&, const NetworkPlan&, int parameter_blocks,
                           Workspace::Count);
  /// Throws std::invalid_argument naming `what`.
  static void expect_size(std::size_t have, std::int64_t want, const char* what);
  kernels::FrameLayout frame_layout(std::int64_t steps, std::int64_t channels) const;
  /// Frames [t, t + count) of [N,steps,C,H,W] to the device, and back.
  void import_steps(std::span<const float> frames, std::int64_t steps, std::int64_t t, std::int64_t count,
                    StepStore& to, std::int64_t first);
  void export_steps(StepStore& from, std::int64_t first, std::int64_t steps, std::int64_t t,
                    std::int64_t count, std::span<float> out);
  void load_past(const HostBatch&);
  void load_guide(const HostBatch&);
  void load_target(const HostBatch&);
  void feed(std::int64_t lead);
  void feed_back(std::int64_t lead);
  void queue_forward();
  void queue_backward();
  void replay(Replay&, const std::function<void()>& work);
  /// Throws std::invalid_argument unless the batch has the frames of a forecast.
  void expect_frames(const HostBatch&, std::int64_t leads) const;
  void forecast_rolling(const HostBatch&, std::int64_t leads, std::span<float> out);
  void roll(std::int64_t lead);

  ModelSpec spec_;
  kernels::Backend& backend_;
  Blueprint blueprint_;
  std::unique_ptr<Parameters> parameters_;
  NetworkPlan plan_;
  PlanBytes planned_bytes_;  // without blocks of parameters
  std::map<std::string, std::string> implementations_;
  kernels::LossSpec loss_spec_;
  bool teacher_set_ = false;

  std::vector<Carry> carries_;
  std::unique_ptr<GraphRun> encoder_, forecaster_;
  std::unique_ptr<BandedForecast> banded_;
  kernels::Tensor target_, loss_mask_;         // [loss_steps,N,Cout,h,w]
  kernels::Tensor past_mask_;                  // [T,N,C,h,w], predict_input without mask_channel
  kernels::Tensor teacher_, ones_;             // [T',N,1,1,1]; [1,N,C,h,w]
  kernels::Tensor sums_;                       // loss, valid pixels
  Replay weights_, forward_[2], backward_[2];  // the latter without and with a teacher
  std::map<std::pair<std::int64_t, std::int64_t>, Replay> past_pieces_, lead_pieces_;  // by step and count
  std::vector<float> staging_;  // one step of frames, or targets of a network that computes logits
};

}  // namespace raincell::model
