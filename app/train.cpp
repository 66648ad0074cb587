// raincell train: archive -> windows -> batches -> network -> weights.
#include "app/train.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/commands.hpp"
#include "app/compute.hpp"
#include "app/errors.hpp"
#include "app/signals.hpp"
#include "app/training_memory.hpp"
#include "app/validation_fit.hpp"
#include "app/weights.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

constexpr std::int64_t kLogEvery = 10;      // steps between reads of loss and gradient norm
constexpr std::int64_t kMostSkipped = 3;    // updates skipped between two checkpoints that make it roll back
constexpr std::int64_t kMostRollbacks = 4;  // then the run has diverged
constexpr double kRollbackRate = 0.5;

/// What the bytes of a run depend on; nothing else does, with or without the option.
std::string pinned_text(const kernels::BackendInfo& info, std::uint64_t seed) {
  return fmt::format(
      "deterministic: seed {}, backend {} ({}), {} threads, the order of windows and of every sum; the same "
      "config on the same archive, from the same weights (--start), with these gives the same bytes",
      seed, info.name, info.libraries, info.threads);
}

int run(const Arguments& arguments, Log& log) {
  Config config = load_config(arguments.positional[0], arguments.list("set"));
  const std::int64_t memory = memory_limit(arguments);
  if (config.model.channels != 1)
    throw ConfigError("model.channels: training reads archives of one channel; set it to 1");

  // radar archive -> windows -> batches on the host, advected frames among them
  TrainingData data = open_training_data(config);
  const auto backend = make_backend(arguments, config.precision, log);
  model::PlanBytes bytes = training_bytes(config, *backend, data.rows, data.columns);
  bytes.host += checkpoint_bytes(config);
  start_batches(config, data, guide_cache_bytes(memory, bytes.host));

  // -> tensors on the device: the network, planned once for this batch
  if (!arguments.has("force")) {
    require_memory(bytes, *backend, memory, "this training",
                   "use a smaller training.batch or data.crop, or try all the same with --force");
  }
  model::Network network(config.model, *backend, config.seed);
  network.plan({.batch = config.training.batch,
                .height = data.rows,
                .width = data.columns,
                .training = true,
                .predict_input = config.training.predict_input});
  const std::string start =
      arguments.has("start") ? start_from(arguments.text("start"), network, config) : std::string();
  model::Trainer trainer(network, training_spec(config));  // its average begins with the weights there are

  // -> updates, until the last step or a signal; checkpoints and weights in the run directory
  RunDirectory folder(arguments.text("run"), resolved_text(config), arguments.has("fresh"));
  TrainingRun training(config, data, network, trainer, folder, log);
  if (arguments.has("deterministic")) log.info(pinned_text(backend->info(), config.seed));
  training.write_environment(*backend, arguments.has("deterministic"), start);
  training.resume();
  const bool finished = training.go();
  training.finish(finished, memory);
  if (!finished) throw Stopped(pending_signal());
  return kOk;
}

}  // namespace

model::TrainingSpec training_spec(const Config& config) {
  model::TrainingSpec spec;
  spec.loss.kind = config.loss.kind;
  spec.loss.huber_delta = static_cast<float>(config.loss.huber_delta);
  spec.loss.target_weight = static_cast<float>(config.loss.target_weight);
  spec.loss.texture_weight = static_cast<float>(config.loss.texture_weight);
  if (config.loss.kind == kernels::LossKind::balanced) {
    for (const double bound : config.loss.class_bounds_mm_h) {
      spec.loss.class_bounds.push_back(config.transform.to_network(static_cast<float>(bound)));
    }
    spec.loss.class_weights.assign(config.loss.class_weights.begin(), config.loss.class_weights.end());
  }
  if (config.loss.kind == kernels::LossKind::mse_rate) {
    spec.loss.rate_growth = static_cast<float>(config.transform.growth());
    if (!(spec.loss.rate_growth > 0.F))
      throw ConfigError(
          fmt::format("loss.kind: mse_rate is for rain rates, but the archive holds {}; use mse",
                      io::name_of(config.transform.quantity)));
  }
  spec.loss.lead_weights.assign(config.loss.lead_weights.begin(), config.loss.lead_weights.end());
  spec.optimizer = config.optimizer;
  spec.schedule = config.schedule;
  spec.schedule.total_steps = config.training.steps;
  spec.sampling = config.sampling;
  spec.accumulation = config.training.accumulation;
  spec.average_decay = config.training.ema;
  spec.seed = config.seed;
  return spec;
}

TrainingRun::TrainingRun(const Config& config, TrainingData& data, model::Network& network,
                         model::Trainer& trainer, RunDirectory& folder, Log& log)
    : config_(config), data_(data), network_(network), trainer_(trainer), folder_(folder), log_(log) {
  for (const double threshold : config.model.thresholds) {
    thresholds_.push_back(config.transform.to_network(static_cast<float>(threshold)));
  }
  position_.archives = data.hash;
}

model::HostBatch TrainingRun::host_batch() const {
  model::HostBatch host;
  host.past = batch_.past;
  host.past_mask = batch_.past_mask;
  host.future = batch_.future;
  host.future_mask = batch_.future_mask;
  host.guide = batch_.guide;
  host.guide_mask = batch_.guide_mask;
  host.tendency = batch_.tendency;
  host.thresholds = thresholds_;
  return host;
}

void TrainingRun::seek() {
  const std::int64_t epoch_batches = data_.train->batches_per_epoch();
  data_.train->seek(trainer_.batches() / epoch_batches, trainer_.batches() % epoch_batches);
}

void TrainingRun::resume() {
  const auto checkpoint = folder_.newest(log_);
  if (checkpoint) {
    if (checkpoint->position.archives != data_.hash) {
      throw UsageError(
          fmt::format("{}: was trained on another archive; give the same, or start anew with --fresh",
                      folder_.path("").string()));
    }
    trainer_.restore(checkpoint->state);
    position_ = checkpoint->position;
    log_.info(fmt::format("going on at step {} of {}", trainer_.updates(), config_.training.steps));
  } else {
    save_checkpoint();  // what a roll-back before the first checkpoint returns to
  }
  folder_.cut_metrics(trainer_.updates());
  seek();
}

/// True when the last step is done, false when a signal asked for the end.
bool TrainingRun::go() {
  const std::int64_t steps = config_.training.steps;
  log_.info(fmt::format("{}: {} parameters, {} windows to train on, {} to choose on", config_.name,
                        network_.layout().count(), data_.train_windows.size(),
                        data_.validation_windows.size()));
  if (config_.data.validation > 0. && !data_.validation) {
    log_.warning(
        "no window lies in the validation part, so the last weights count as the best; use fewer "
        "data.validation_blocks, or data.validation=0");
  }
  Progress progress(log_, "training", steps, "steps", trainer_.updates());
  while (trainer_.updates() < steps) {
    if (pending_signal() != 0) {
      save_checkpoint();
      return false;
    }
    data_.train->next(batch_);
    if (!trainer_.step(host_batch())) continue;
    const std::int64_t step = trainer_.updates();
    if (step % kLogEvery == 0 || step == steps) write_metrics();
    if (data_.validation && (step % config_.training.validate_every == 0 || step == steps)) validate();
    if ((step % config_.training.checkpoint_every == 0 || step == steps) && !roll_back_if_needed()) {
      save_checkpoint();
      save_weights("last.safetensors");
    }
    progress.update(step, note_);
  }
  return true;
}

void TrainingRun::write_metrics() {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - logged_).count();
  const auto samples = static_cast<double>((trainer_.batches() - logged_batches_) * config_.training.batch);
  logged_ = now;
  logged_batches_ = trainer_.batches();
  const model::Network::LossValue loss = trainer_.read_loss();
  const double norm = trainer_.read_gradient_norm();
  note_ = fmt::format("loss {:.5f}{}", loss.mean, validation_note_);
  append({{"step", trainer_.updates()},
          {"epoch", trainer_.batches() / data_.train->batches_per_epoch()},
          {"loss", std::isfinite(loss.mean) ? nlohmann::json(loss.mean) : nlohmann::json(nullptr)},
          {"learning_rate", trainer_.learning_rate()},
          {"gradient_norm", std::isfinite(norm) ? nlohmann::json(norm) : nlohmann::json(nullptr)},
          {"skipped", trainer_.read_skipped()},
          {"samples_per_s", seconds > 0. ? samples / seconds : 0.}});
}

void TrainingRun::append(const nlohmann::ordered_json& line) {
  try {
    io::append_line(folder_.path("metrics.jsonl"), json_text(line));
  } catch (const io::WriteError& error) {  // training goes on; the loss of a line is said once a line
    log_.warning(error.what());
  }
}

void TrainingRun::validate() {
  trainer_.use_average(true);
  data_.validation->seek(0, 0);
  const std::int64_t batches = std::max<std::int64_t>(
      1, (std::min<std::int64_t>(config_.training.validation_windows,
                                 static_cast<std::int64_t>(data_.validation_windows.size())) +
          config_.training.batch - 1) /
             config_.training.batch);
  double sum = 0., pixels = 0.;
  for (std::int64_t i = 0; i < batches; ++i) {
    data_.validation->next(batch_);
    network_.load(host_batch());
    if (config_.model.feed == model::Feed::previous) network_.set_teacher({});
    network_.forward();
    network_.loss(1.F);
    const model::Network::LossValue value = network_.read_loss();
    sum += value.mean * value.valid_pixels;
    pixels += value.valid_pixels;
  }
  const double loss = pixels > 0. ? sum / pixels : NAN;
  const bool better = std::isfinite(loss) && (position_.best_step == 0 || loss < position_.best_validation);
  if (better) {
    position_.best_validation = loss;
    position_.best_step = trainer_.updates();
    save_weights("best.safetensors");
  }
  trainer_.use_average(false);
  trainer_.report_validation(loss);
  validation_note_ = fmt::format(", validation {:.5f}", loss);
  append({{"step", trainer_.updates()},
          {"validation_loss", std::isfinite(loss) ? nlohmann::json(loss) : nlohmann::json(nullptr)},
          {"best", better}});
}

bool TrainingRun::roll_back_if_needed() {
  const std::int64_t skipped = trainer_.read_skipped();
  const std::int64_t failed_at = trainer_.updates();
  // All updates between checkpoints that lie close are enough, or a run that learns nothing would end well.
  const std::int64_t allowed = std::clamp<std::int64_t>(failed_at - position_.updates, 1, kMostSkipped);
  if (skipped - position_.skipped < allowed) return false;
  if (++position_.rollbacks > kMostRollbacks) {
    throw Diverged(
        fmt::format("training diverged at step {}: losses or gradients stay non-finite after {} roll-backs; "
                    "use a lower optimizer.learning_rate or a smaller optimizer.clip_norm. The last good "
                    "checkpoint is in {}",
                    failed_at, kMostRollbacks, folder_.path("checkpoints").string()));
  }
  const std::int64_t rollbacks = position_.rollbacks;
  const auto good = folder_.newest(log_);
  trainer_.restore(good->state);
  position_ = good->position;
  position_.rollbacks = rollbacks;
  trainer_.scale_learning_rate(kRollbackRate);
  log_.warning(
      fmt::format("{} updates until step {} had non-finite gradients: back to step {}, learning rate halved",
                  skipped - position_.skipped, failed_at, trainer_.updates()));
  save_checkpoint();  // so that a run killed now goes on with the lower rate
  folder_.cut_metrics(trainer_.updates());
  seek();
  return true;
}

void TrainingRun::save_checkpoint() {
  position_.updates = trainer_.updates();
  position_.batches = trainer_.batches();
  position_.skipped = trainer_.read_skipped();
  try {
    folder_.save(position_, trainer_.state(), config_.training.keep_checkpoints);
  } catch (const io::WriteError& error) {
    log_.warning(fmt::format("{}; the checkpoint before is kept and training goes on", error.what()));
  }
}

void TrainingRun::save_weights(const std::string& name) {
  try {
    io::publish(folder_.path(name), weights_bytes(network_, config_, data_.steps, trainer_.updates()));
  } catch (const io::WriteError& error) {
    log_.warning(fmt::format("{}; training goes on", error.what()));
  }
}

void TrainingRun::finish(bool finished, std::int64_t memory) {
  write_report(finished);
  if (!finished) {
    log_.info(fmt::format("stopped at step {} of {}; the same command goes on there", trainer_.updates(),
                          config_.training.steps));
    return;
  }
  trainer_.use_average(true);
  const auto weights = weights_bytes(network_, config_, data_.steps, trainer_.updates());
  io::publish(folder_.path("last.safetensors"), weights);
  if (position_.best_step == 0) io::publish(folder_.path("best.safetensors"), weights);
  trainer_.use_average(false);
  data_.train.reset();
  data_.validation.reset();
  network_.forget_plan();
  const std::filesystem::path best = folder_.path("best.safetensors"),
                              last = folder_.path("last.safetensors");
  const bool same = io::read_file(best) == io::read_file(last);
  fit_on_validation(best, config_, data_, network_.backend(), memory, log_);
  if (same) {
    io::publish(last, io::read_file(best));
  } else {
    fit_on_validation(last, config_, data_, network_.backend(), memory, log_);
  }
  log_.result(fmt::format(
      "{}: {} steps{}", folder_.path("best.safetensors").string(), trainer_.updates(),
      position_.best_step > 0             ? fmt::format(", best validation loss {:.5f} at step {}",
                                                        position_.best_validation, position_.best_step)
      : !data_.validation_windows.empty() ? ", the validation loss was never finite: the best are the last"
                                          : ", no validation part"));
}

Command train_command() {
  std::vector<Option> options = {
      {"run", "DIR", "folder of the run: checkpoints, metrics, weights; an interrupted run goes on there",
       false},
      {"fresh", "", "starts anew; what the run holds is removed", false},
      {"start", "FILE", "weights of the same network to start from; a run that is begun goes on where it was",
       false},
      {"force", "", "trains although the memory looks too small", false}};
  for (const Option& option : compute_options()) options.push_back(option);
  return {{"train",
           "Trains a network on a packed archive; goes on by itself from the newest checkpoint of the run.",
           "  raincell train configs/radar.yaml --run run --set data.archive=archive.nc",
           "CONFIG",
           1,
           1,
           options,
           {"run"}},
          run};
}

}  // namespace raincell::app
