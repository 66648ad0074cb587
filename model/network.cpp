#include "model/network.hpp"

#include <algorithm>
#include <stdexcept>

namespace raincell::model {

using kernels::FrameLayout;
using kernels::Shape;
using kernels::View;
using std::int64_t;

namespace {

void check_plan(const ModelSpec& spec, const NetworkPlan& plan) {
  if (plan.batch < 1 || plan.height < 1 || plan.width < 1) {
    throw ModelError("a network needs a batch and frames of at least 1, not " + std::to_string(plan.batch) +
                     " of " + std::to_string(plan.width) + "x" + std::to_string(plan.height));
  }
  const int64_t pixels = spec.channels * plan.height * plan.width;
  if (spec.flatten && pixels != spec.flatten_pixels) {
    throw ModelError("model.flatten_pixels: is " + std::to_string(spec.flatten_pixels) + ", but frames of " +
                     std::to_string(plan.width) + "x" + std::to_string(plan.height) + " have " +
                     std::to_string(pixels) + " values");
  }
  if (plan.bands.on() && (plan.training || plan.batch != 1 || spec.flatten)) {
    throw ModelError(spec.flatten ? "model.flatten: true, which leaves no rows to compute in bands"
                                  : "only a forecast of one sample can be computed in bands of rows");
  }
  if (plan.predict_input && (spec.forecaster != ForecasterKind::shared || spec.feed != Feed::previous)) {
    throw ModelError("training.predict_input: needs model.forecaster: shared and model.feed: previous");
  }
}

std::vector<int64_t> distinct(int64_t a, int64_t b) {
  return a == b ? std::vector<int64_t>{a} : std::vector<int64_t>{a, b};
}

RunPlan encoder_plan(const ModelSpec& spec, const NetworkPlan& plan, int64_t& steps) {
  const bool shared = spec.forecaster == ForecasterKind::shared, back = spec.feed == Feed::previous;
  steps = !shared ? spec.past : back ? spec.past + spec.future - 1 : spec.past + spec.future;
  if (!plan.training) return {};
  RunPlan run;
  run.body_weights = steps;
  if (!shared) {
    run.body_counts = {spec.past};
  } else if (!back) {
    run.body_counts = distinct(spec.past, spec.future);
    run.head_counts = {spec.future};
    run.head_weights = spec.future;
  } else {
    run.body_counts = spec.future > 1 ? distinct(spec.past, 1) : std::vector<int64_t>{spec.past};
    run.head_counts = plan.predict_input ? distinct(spec.past, 1) : std::vector<int64_t>{1};
    run.head_weights = plan.predict_input ? steps : spec.future;
    run.frame_gradient = true;
  }
  return run;
}

RunPlan forecaster_plan(const ModelSpec& spec, const NetworkPlan& plan) {
  if (!plan.training) return {};
  const bool back = spec.feed == Feed::previous;
  const int64_t count = back ? 1 : spec.future;
  return {{count}, {count}, spec.future, spec.future, back};
}

PlanBytes placed(const ModelSpec& spec, const NetworkPlan& plan, const Workspace& workspace,
                 std::size_t blocks, std::size_t scratch) {
  const kernels::Backend& backend = workspace.backend();
  const std::size_t bytes = workspace.bytes() + blocks + backend.shared_bytes();
  if (!backend.info().own_memory) return {bytes + workspace.host_bytes(), 0, scratch};
  const int64_t frames = std::max(spec.past * spec.channels, spec.future * spec.out_channels());
  const int64_t crossing = plan.bands.on()
                               ? static_cast<int64_t>(workspace.host_bytes())
                               : plan.batch * frames * plan.height * plan.width * int64_t{sizeof(float)};
  return {workspace.host_bytes(), bytes + static_cast<std::size_t>(crossing), scratch};
}

}  // namespace

Network::Network(const ModelSpec& spec, kernels::Backend& backend, std::uint64_t seed)
    : spec_(spec),
      backend_(backend),
      blueprint_(blueprint(spec)),
      parameters_(std::make_unique<Parameters>(blueprint_.parameters, backend, seed)) {}

void Network::replay(Replay& replay, const std::function<void()>& work) {
  replay.run(backend_, parameters_->values().memory, work);
}

void Network::parameters_changed() {
  replay(weights_, [this] {
    if (banded_) banded_->load_weights();
    if (encoder_) encoder_->load_weights();
    if (forecaster_) forecaster_->load_weights();
  });
}

int64_t Network::first_lead() const {
  return !shared() ? 0 : fed_back() ? spec_.past - 1 : spec_.past;
}

void Network::expect_size(std::size_t have, int64_t want, const char* what) {
  if (have == static_cast<std::size_t>(want)) return;
  throw std::invalid_argument(std::string(what) + " has " + std::to_string(have) + " values, wanted " +
                              std::to_string(want));
}

// --- planning --------------------------------------------------------------------------------------------

namespace {

/// Floats of host staging: targets of logits in training, one step of several samples in inference.
int64_t staging_size(const ModelSpec& spec, const NetworkPlan& plan) {
  const int64_t image = plan.batch * plan.height * plan.width;
  if (plan.training) return !spec.logits() ? 0 : image * spec.future * spec.out_channels();
  return plan.batch == 1 ? 0 : image * std::max(spec.channels, spec.out_channels());
}

}  // namespace

void Network::build(const ModelSpec& spec, const Blueprint& blueprint, Workspace& workspace,
                    Parameters& parameters, const NetworkPlan& plan, Network* network,
                    int64_t& scratch_bytes) {
  const auto [height, width] = inner_size(spec, plan.height, plan.width);
  if (plan.bands.on()) {
    auto banded =
        std::make_unique<BandedForecast>(spec, blueprint, workspace, parameters, plan.bands,
                                         FrameSize{plan.height, plan.width}, height, width, scratch_bytes);
    workspace.host(banded->staging_bytes());
    if (network != nullptr) network->banded_ = std::move(banded);
    return;
  }
  LayerContext context{workspace, parameters, plan.batch, height, width, 1, plan.training, false, 1};
  // A device that is far from the host gets all frames of a forecast at once, and gives them back so.
  if (!plan.training && workspace.backend().info().own_memory) {
    context.frames_kept = spec.forecaster == ForecasterKind::shared ? spec.past + spec.future
                                                                    : std::max(spec.past, spec.future);
  }
  std::vector<Carry> own_carries;
  std::vector<Carry>& carries = network == nullptr ? own_carries : network->carries_;
  if (plan.training) {
    int64_t divisor = 1;
    for (const Stage& stage : spec.stages) {
      divisor *= stage.down ? stage.down->stride : 1;
      carries.push_back(Carry::make(context, {spec.cell, stage.layer.hidden, spec.peephole}, height / divisor,
                                    width / divisor));
    }
  }
  const RunPlan encoder_run = encoder_plan(spec, plan, context.steps);
  auto encoder = std::make_unique<GraphRun>(context, blueprint.encoder, encoder_run, carries);
  std::unique_ptr<GraphRun> forecaster;
  if (spec.forecaster != ForecasterKind::shared) {
    context.steps = spec.future;
    context.initial_state = true;
    forecaster =
        std::make_unique<GraphRun>(context, blueprint.forecaster, forecaster_plan(spec, plan), carries);
  }
  const int64_t scored = spec.future + (plan.predict_input ? spec.past - 1 : 0);
  const Shape target{scored, plan.batch, spec.out_planes(), height, width};
  const Shape frame{1, plan.batch, spec.frame_planes(), height, width};
  kernels::Tensor tensors[6];
  if (plan.training) {
    tensors[0] = workspace.activation(target, "target frames");
    tensors[1] = workspace.activation(target, "mask of the target frames");
    if (plan.predict_input && !spec.mask_channel) {
      Shape past = frame;
      past.t = spec.past;
      tensors[2] = workspace.activation(past, "mask of the past frames");
    }
    if (spec.feed == Feed::previous) {
      tensors[3] = workspace.plain({spec.future, plan.batch, 1, 1, 1}, "weights of scheduled sampling");
      if (spec.mask_channel) tensors[4] = workspace.activation(frame, "a full mask");
    }
    tensors[5] = workspace.plain({1, 1, 2, 1, 1}, "loss");
  }
  if (network != nullptr) {
    network->encoder_ = std::move(encoder);
    network->forecaster_ = std::move(forecaster);
    network->target_ = std::move(tensors[0]);
    network->loss_mask_ = std::move(tensors[1]);
    network->past_mask_ = std::move(tensors[2]);
    network->teacher_ = std::move(tensors[3]);
    network->ones_ = std::move(tensors[4]);
    network->sums_ = std::move(tensors[5]);
  }
  workspace.host(static_cast<std::size_t>(staging_size(spec, plan)) * sizeof(float));
}

void Network::forget_plan() {
  for (Replay* replay : {&weights_, &forward_[0], &forward_[1], &backward_[0], &backward_[1]}) *replay = {};
  past_pieces_.clear();
  lead_pieces_.clear();
  encoder_.reset();
  forecaster_.reset();
  banded_.reset();
  carries_.clear();
  for (kernels::Tensor* tensor : {&target_, &loss_mask_, &past_mask_, &teacher_, &ones_, &sums_})
    *tensor = {};
}

void Network::plan(const NetworkPlan& wanted) {
  check_plan(spec_, wanted);
  forget_plan();
  plan_ = wanted;
  teacher_set_ = false;
  if (wanted.training) parameters_->need_gradients();
  Workspace workspace(backend_);
  int64_t scratch = 0;
  build(spec_, blueprint_, workspace, *parameters_, wanted, this, scratch);
  implementations_ = workspace.implementations();
  if (!ones_.empty()) backend_.fill(ones_.view(), 1.F);
  staging_.assign(static_cast<std::size_t>(staging_size(spec_, wanted)), 0.F);
  parameters_changed();
  planned_bytes_ = placed(spec_, plan_, workspace, 0, static_cast<std::size_t>(scratch));
}

namespace {

/// Of `blocks` blocks of parameters.
std::size_t block_bytes(const ParameterLayout& layout, const kernels::Backend& backend, int blocks) {
  return static_cast<std::size_t>(layout.stored()) * kernels::size_of(backend.dtype()) *
         static_cast<std::size_t>(blocks);
}

}  // namespace

PlanBytes Network::bytes(int parameter_blocks) const {
  PlanBytes bytes = planned_bytes_;
  (backend_.info().own_memory ? bytes.device : bytes.host) +=
      block_bytes(layout(), backend_, parameter_blocks);
  return bytes;
}

PlanBytes Network::predict_bytes(const ModelSpec& spec, kernels::Backend& backend, const NetworkPlan& plan,
                                 int parameter_blocks) {
  return predict(spec, backend, plan, parameter_blocks, Workspace::Count::all);
}

PlanBytes Network::predict(const ModelSpec& spec, kernels::Backend& backend, const NetworkPlan& plan,
                           int parameter_blocks, Workspace::Count count) {
  check_plan(spec, plan);
  const Blueprint drawn = blueprint(spec);
  Parameters none(ParameterLayout{}, backend, 0);  // a dry run reads no parameter
  Workspace workspace(backend, count);
  int64_t scratch = 0;
  build(spec, drawn, workspace, none, plan, nullptr, scratch);
  return placed(spec, plan, workspace, block_bytes(drawn.parameters, backend, parameter_blocks),
                static_cast<std::size_t>(scratch));
}

// --- host frames to tensors --------------------------------------------------------------------------------

FrameLayout Network::frame_layout(int64_t steps, int64_t channels) const {
  if (spec_.flatten) {
    return {plan_.batch, steps, channels * plan_.height * plan_.width, 1, 1, 1};
  }
  return {plan_.batch, steps, channels, plan_.height, plan_.width, spec_.patch};
}

void Network::load_past(const HostBatch& batch) {
  const FrameLayout layout = frame_layout(spec_.past, spec_.channels);
  expect_size(batch.past.size(), layout.elements(), "HostBatch::past");
  backend_.import_frames(batch.past, layout, encoder_->frames().at(0, spec_.past));
  const bool wanted = encoder_->has_mask() || !past_mask_.empty();
  if (!wanted) return;
  expect_size(batch.past_mask.size(), layout.elements(), "HostBatch::past_mask");
  if (encoder_->has_mask())
    backend_.import_frames(batch.past_mask, layout, encoder_->mask().at(0, spec_.past));
  if (!past_mask_.empty()) backend_.import_frames(batch.past_mask, layout, past_mask_.view());
}

void Network::load_guide(const HostBatch& batch) {
  if (spec_.feed != Feed::advection) return;
  const FrameLayout layout = frame_layout(spec_.future, spec_.channels);
  expect_size(batch.guide.size(), layout.elements(), "HostBatch::guide");
  expect_size(batch.guide_mask.size(), layout.elements(), "HostBatch::guide_mask");
  backend_.import_frames(batch.guide, layout, decoder().frames().at(first_lead(), spec_.future));
  backend_.import_frames(batch.guide_mask, layout, decoder().mask().at(first_lead(), spec_.future));
  if (!spec_.tendency) return;
  expect_size(batch.tendency.size(), layout.elements(), "HostBatch::tendency");
  backend_.import_frames(batch.tendency, layout, decoder().tendency().at(first_lead(), spec_.future));
}

void Network::load_target(const HostBatch& batch) {
  const FrameLayout layout = frame_layout(spec_.future, spec_.out_channels());
  const int64_t first = plan_.predict_input ? spec_.past - 1 : 0;
  const View target = target_.view().steps(first, spec_.future),
             mask = loss_mask_.view().steps(first, spec_.future);
  const int64_t pixels = plan_.height * plan_.width, images = plan_.batch * spec_.future;
  expect_size(batch.future.size(), images * spec_.channels * pixels, "HostBatch::future");
  expect_size(batch.future_mask.size(), images * spec_.channels * pixels, "HostBatch::future_mask");
  if (spec_.thresholds.empty()) {
    std::span<const float> values = batch.future;
    if (spec_.logits()) {  // cross-entropy has no least value for a target outside [0,1]
      std::transform(values.begin(), values.end(), staging_.begin(),
                     [](float value) { return std::clamp(value, 0.F, 1.F); });
      values = staging_;
    }
    backend_.import_frames(values, layout, target);
    backend_.import_frames(batch.future_mask, layout, mask);
  } else {
    const auto classes = static_cast<int64_t>(spec_.thresholds.size());
    expect_size(batch.thresholds.size(), classes, "HostBatch::thresholds");
    const auto spread = [&](auto value_at) {
      for (int64_t i = 0; i < images; ++i)
        for (int64_t k = 0; k < classes; ++k)
          for (int64_t p = 0; p < pixels; ++p)
            staging_[static_cast<std::size_t>((i * classes + k) * pixels + p)] =
                value_at(static_cast<std::size_t>(i * pixels + p), static_cast<std::size_t>(k));
    };
    spread(
        [&](std::size_t at, std::size_t k) { return batch.future[at] >= batch.thresholds[k] ? 1.F : 0.F; });
    backend_.import_frames(staging_, layout, target);
    spread([&](std::size_t at, std::size_t) { return batch.future_mask[at]; });
    backend_.import_frames(staging_, layout, mask);
  }
  if (first == 0) return;
  View past_mask = past_mask_.empty() ? encoder_->mask().at(0, spec_.past) : past_mask_.view();
  backend_.copy(encoder_->frames().at(1, first), target_.view().steps(0, first));
  backend_.copy(past_mask.steps(1, first), loss_mask_.view().steps(0, first));
}

void Network::load(const HostBatch& batch) {
  if (!plan_.training || !encoder_) throw std::logic_error("Network::load needs a training plan");
  load_past(batch);
  load_guide(batch);
  load_target(batch);
}

std::vector<std::span<const float>> Network::scored_masks(const HostBatch& batch) const {
  std::vector<std::span<const float>> masks{batch.future_mask};
  if (plan_.predict_input) {  // all past frames of a sample but its first
    const std::size_t sample = batch.past_mask.size() / static_cast<std::size_t>(plan_.batch),
                      frame = sample / static_cast<std::size_t>(spec_.past);
    for (std::size_t n = 0; n < static_cast<std::size_t>(plan_.batch); ++n)
      masks.push_back(batch.past_mask.subspan(n * sample + frame, sample - frame));
  }
  return masks;
}

double Network::valid_pixels(const HostBatch& batch) const {
  std::size_t sum = 0;
  for (const std::span<const float> mask : scored_masks(batch))
    sum += mask.size() - static_cast<std::size_t>(std::count(mask.begin(), mask.end(), 0.F));
  return static_cast<double>(sum);
}

bool Network::has_valid_pixel(const HostBatch& batch) const {
  for (const std::span<const float> mask : scored_masks(batch)) {
    if (std::any_of(mask.begin(), mask.end(), [](float valid) { return valid != 0.F; })) return true;
  }
  return false;
}

void Network::set_teacher(std::span<const float> weights) {
  teacher_set_ = !weights.empty();
  if (!teacher_set_) return;
  if (teacher_.empty())
    throw std::logic_error("Network::set_teacher needs a training plan and feed: previous");
  backend_.import_frames(weights, {plan_.batch, spec_.future, 1, 1, 1, 1}, teacher_.view());
}

// --- training ----------------------------------------------------------------------------------------------

/// The frame, and its mask, that the decoder sees at a lead: the last past frame, then its own output or
/// truth.
void Network::feed(int64_t lead) {
  GraphRun& run = decoder();
  const int64_t step = first_lead() + lead;
  if (lead == 0) {
    if (shared()) return;  // the last past frame is already there
    backend_.copy(encoder_->frames().step(spec_.past - 1), run.frames().step(0));
    if (run.has_mask()) backend_.copy(encoder_->mask().step(spec_.past - 1), run.mask().step(0));
    return;
  }
  const View own = run.output().step(step - 1);
  if (!teacher_set_) {
    backend_.copy(own, run.frames().step(step));
    if (run.has_mask()) backend_.fill(run.mask().step(step), 1.F);
    return;
  }
  const int64_t truth = lead - 1 + (plan_.predict_input ? spec_.past - 1 : 0);
  const View weights = teacher_.view().step(lead);
  backend_.mix(run.frames().step(step), target_.step(truth), own, weights);
  if (run.has_mask()) backend_.mix(run.mask().step(step), loss_mask_.step(truth), ones_.view(), weights);
}

void Network::forward() {
  if (!plan_.training || !encoder_) throw std::logic_error("Network::forward needs a training plan");
  replay(forward_[teacher_set_ ? 1 : 0], [this] { queue_forward(); });
}

void Network::queue_forward() {
  const int64_t past = spec_.past, future = spec_.future, first = first_lead();
  encoder_->body(0, past);
  if (!shared()) forecaster_->start_from(*encoder_, past - 1);
  GraphRun& run = decoder();
  if (!fed_back()) {
    run.body(first, future);
    run.head(first, future);
    if (spec_.adds_guide()) {
      backend_.add_scaled(run.output().at(first, future), 1.F, run.frames().at(first, future));
    }
    return;
  }
  for (int64_t lead = 0; lead < future; ++lead) {
    feed(lead);
    const int64_t step = first + lead;
    if (shared() && lead == 0) {
      plan_.predict_input ? run.head(0, past) : run.head(step, 1);
      continue;
    }
    run.body(step, 1);
    run.head(step, 1);
  }
}

void Network::set_loss(const kernels::LossSpec& spec) {
  loss_spec_ = spec;
  auto& leads = loss_spec_.lead_weights;
  if (leads.empty()) return;
  expect_size(leads.size(), spec_.future, "LossSpec::lead_weights");
  if (plan_.predict_input) leads.insert(leads.begin(), static_cast<std::size_t>(spec_.past - 1), 1.F);
}

void Network::loss(float gradient_scale) {
  const int64_t first = plan_.predict_input ? 0 : first_lead();
  GraphRun& run = decoder();
  backend_.loss(loss_spec_, run.output().at(first, loss_steps()), target_.view(), loss_mask_.view(),
                run.output_gradient().at(first, loss_steps()), sums_.view(), gradient_scale);
}

/// Adds the gradient of the frame fed at a lead to that of the output it was made of.
void Network::feed_back(int64_t lead) {
  GraphRun& run = decoder();
  const int64_t step = first_lead() + lead;
  const View to = run.output_gradient().step(step - 1), from = run.frames_gradient().step(step);
  if (teacher_set_) {
    backend_.mix_backward(to, from, teacher_.view().step(lead), kernels::Accumulate::yes);
  } else {
    backend_.add_scaled(to, 1.F, from);
  }
}

void Network::backward() {
  replay(backward_[teacher_set_ ? 1 : 0], [this] { queue_backward(); });
}

void Network::queue_backward() {
  const int64_t past = spec_.past, future = spec_.future, first = first_lead();
  GraphRun& run = decoder();
  for (Carry& carry : carries_) carry.reset(backend_);
  if (shared()) run.clear_state_gradients(plan_.predict_input ? 0 : first);
  if (!fed_back()) {
    run.head_backward(first, future);
    run.body_backward(first, future, false);
  } else {
    for (int64_t lead = future; lead-- > 0;) {
      const int64_t step = first + lead;
      if (shared() && lead == 0) {
        plan_.predict_input ? run.head_backward(0, past) : run.head_backward(step, 1);
        continue;
      }
      run.head_backward(step, 1);
      run.body_backward(step, 1, lead > 0);
      if (lead > 0) feed_back(lead);
    }
  }
  encoder_->body_backward(0, past, false);
  const int64_t head_first = plan_.predict_input ? 0 : first;
  run.head_weights(head_first, loss_steps());
  if (shared()) {
    run.body_weights(0, first + future);
  } else {
    run.body_weights(0, future);
    encoder_->body_weights(0, past);
  }
}

void Network::zero_gradients() {
  backend_.fill(parameters_->gradients(), 0.F);
}

Network::LossValue Network::read_loss() {
  double values[2] = {};
  backend_.read(sums_.view(), std::span<double>(values));
  return {values[0], values[1]};
}

void Network::export_forecast(std::span<float> out) {
  const FrameLayout layout = frame_layout(spec_.future, spec_.out_channels());
  expect_size(out.size(), layout.elements(), "the forecast");
  backend_.export_frames(decoder().output().at(first_lead(), spec_.future), layout, out);
}

}  // namespace raincell::model
