// The steps of a training: update, log, validate, save, and what is done when something goes wrong.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <span>
#include <utility>

#include "app/errors.hpp"
#include "app/failure_bundle.hpp"
#include "app/signals.hpp"
#include "app/train.hpp"
#include "app/validation_fit.hpp"
#include "app/weights.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

constexpr std::int64_t kLogEvery = 10;      // steps between reads of losses and gradient norms
constexpr std::int64_t kMostSkipped = 3;    // updates skipped between two checkpoints that make it roll back
constexpr std::int64_t kMostRollbacks = 4;  // then the run has diverged
constexpr std::int64_t kMostFailedSaves = 5;  // in a row; then it ends
constexpr double kRollbackRate = 0.5;
/// A spike is seen some losses after it began; a checkpoint of since then may already have it.
constexpr std::int64_t kSpikeReach = 2 * model::SpikeSpec{}.fast * kLogEvery;

static_assert(kLogEvery <= model::Trainer::kNormsKept);

nlohmann::json finite_or_null(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

}  // namespace

TrainingRun::TrainingRun(const Config& config, TrainingData& data, model::Network& network,
                         model::Trainer& trainer, std::filesystem::path run, RunDirectory* folder,
                         model::Communicator* ranks, Log& log)
    : config_(config),
      data_(data),
      network_(network),
      trainer_(trainer),
      run_(std::move(run)),
      folder_(folder),
      ranks_(ranks),
      log_(log),
      run_log_(folder == nullptr ? std::filesystem::path() : run_, log),
      unreadable_(data.archives, config.data.unreadable, log) {
  for (const double threshold : config.model.thresholds) {
    thresholds_.push_back(config.transform.to_network(static_cast<float>(threshold)));
  }
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

/// A signal that reached any of the ranks, at the same step on all of them.
int TrainingRun::agreed_signal() const {
  if (ranks_ == nullptr) return pending_signal();
  ranks_->beat();
  if (trainer_.batches() % config_.training.accumulation != 0) return 0;
  const int own = pending_signal();
  double came[2] = {own == SIGINT ? 1. : 0., own == SIGTERM ? 1. : 0.};
  ranks_->sum(std::span<double>(came));
  return came[1] > 0. ? SIGTERM : came[0] > 0. ? SIGINT : 0;
}

/// What the first rank has read, on all.
std::optional<Checkpoint> TrainingRun::shared(std::optional<Checkpoint> checkpoint) const {
  if (ranks_ == nullptr) return checkpoint;
  std::vector<std::byte> text, state;
  if (checkpoint) {
    const std::string manifest = manifest_text({checkpoint->position, "step-", 0, ""});
    const auto bytes = std::as_bytes(std::span(manifest));
    text.assign(bytes.begin(), bytes.end());
    state = std::move(checkpoint->state);
  }
  ranks_->broadcast(text);
  ranks_->broadcast(state);
  if (text.empty()) return std::nullopt;
  const Manifest manifest = parse_manifest({reinterpret_cast<const char*>(text.data()), text.size()});
  return Checkpoint{manifest.position, std::move(state)};
}

void TrainingRun::rest() const {
  if (ranks_ != nullptr) ranks_->rest();
}

/// The next batch is that of the trainer's number.
void TrainingRun::seek_batch() {
  const std::int64_t epoch_batches = data_.train->batches_per_epoch();
  data_.train->seek(trainer_.batches() / epoch_batches, trainer_.batches() % epoch_batches);
}

void TrainingRun::seek() {
  seek_batch();
  logged_batches_ = trainer_.batches();
  logged_updates_ = trainer_.updates();
  left_out_ = 0;
  logged_ = std::chrono::steady_clock::now();
}

void TrainingRun::resume(const TakingUp& how) {
  const nlohmann::ordered_json now = environment(how);
  const auto checkpoint = shared(folder_ != nullptr ? folder_->newest(log_) : std::nullopt);
  if (checkpoint) {
    if (checkpoint->position.archives != data_.hash) {
      const std::string what = run_.string() + ": was trained on another archive";
      if (!how.force) {
        throw UsageError(what +
                         "; give the same, start anew with --fresh, or go on all the same with --force");
      }
      log_.warning(what + ", and goes on with this one");
    }
    compare_environment(checkpoint->position.environment, now, how);
    trainer_.restore(checkpoint->state);
    position_ = checkpoint->position;
    log_.info(fmt::format("going on at step {} of {}", trainer_.updates(), config_.training.steps));
  }
  position_.archives = data_.hash;
  position_.environment = json_text(now);
  if (folder_ != nullptr) {
    folder_->accept();
    io::publish(run_ / "env.json", json_text(now, 1) + "\n");
    folder_->cut_metrics(trainer_.updates());
    run_log_.begin_at(trainer_.updates());
    if (checkpoint) run_log_.event(trainer_.updates(), "resumed", {{"changes", folder_->changes()}});
  }
  if (!checkpoint) {
    save_checkpoint(Save::due);  // what a roll-back before the first checkpoint returns to
    if (failed_in_a_row_ > 0) {
      throw ResourceError(
          fmt::format("{}: not even the first checkpoint can be saved, so nothing that is trained "
                      "would last; make room or choose another --run",
                      run_.string()));
    }
  }
  seek();
}

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
    signal_ = agreed_signal();
    if (signal_ != 0) {
      log_.info("finishing: saving a checkpoint; a second signal ends it at once");
      save_checkpoint(Save::asked_for);
      save_weights("last.safetensors");
      run_log_.event(trainer_.updates(), "stopped by a signal", {});
      if (failed_in_a_row_ > 0) {
        throw ResourceError(
            fmt::format("{}: stopped at step {} of {}, but its checkpoint could not be saved; "
                        "the same command goes on at the one before",
                        run_.string(), trainer_.updates(), steps));
      }
      return false;
    }
    data_.train->next(batch_);
    left_out_ += batch_.left_out;
    if (!trainer_.step(host_batch())) continue;
    const std::int64_t step = trainer_.updates();
    if ((step % kLogEvery == 0 || step == steps) && !log_step()) continue;
    if (data_.validation && (step % config_.training.validate_every == 0 || step == steps)) validate();
    if (step % config_.training.checkpoint_every == 0 || step == steps) {
      if (too_many_skipped()) continue;
      save_checkpoint(Save::due);
      if (trainer_.empty_updates() < step) save_weights("last.safetensors");
    }
    progress.update(step, note_);
  }
  const std::int64_t empty = trainer_.empty_updates();
  if (empty == steps) {
    throw io::DataError(fmt::format(
        "{}: no sample has a pixel that could be compared with a forecast, so nothing was trained; "
        "look at the archive (raincell inspect), or choose other times or crops",
        config_.data.archives[0]));
  }
  if (empty > 0)
    log_.warning(fmt::format("{} of {} updates had no valid pixel and changed nothing", empty, steps));
  return true;
}

/// Losses and norms since the last time; false when a spike sent the run back.
bool TrainingRun::log_step() {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - logged_).count();
  const std::int64_t first = logged_updates_, updates = trainer_.updates() - first;
  const auto samples = static_cast<double>((trainer_.batches() - logged_batches_) * config_.training.batch);
  logged_ = now;
  logged_batches_ = trainer_.batches();
  logged_updates_ = trainer_.updates();
  const model::Trainer::MeanLoss loss = trainer_.take_mean_loss();
  const std::vector<double> norms = trainer_.read_gradient_norms(first);
  loss_ = loss.mean;
  norm_ = norms.back();
  step_seconds_ = updates > 0 ? seconds / static_cast<double>(updates) : 0.;
  note_ = fmt::format("loss {:.5f}{}", loss_, validation_note_);
  unreadable_.look();
  count_left_out();
  run_log_.line({{"step", trainer_.updates()},
                 {"epoch", trainer_.batches() / data_.train->batches_per_epoch()},
                 {"loss", finite_or_null(loss_)},
                 {"learning_rate", trainer_.learning_rate()},
                 {"gradient_norm", finite_or_null(norm_)},
                 {"skipped", trainer_.read_skipped()},
                 {"empty", trainer_.empty_updates()},
                 {"left_out", position_.left_out},
                 {"rollbacks", position_.rollbacks},
                 {"samples_per_s", seconds > 0. ? samples / seconds : 0.}});
  rest();  // until the next batch, others wait for what is written here
  run_log_.state(progress(), false);
  keep_failures(norms, first);
  const bool spike = model::observe({.sigmas = config_.guard.sigmas}, position_.spikes, loss_);
  if (!spike) spike_said_ = false;
  if (!spike || config_.guard.spike == SpikeAction::ignore || spike_said_) return true;
  const std::string what =
      fmt::format("the loss has risen to {:.5g} by step {}, {} deviations above its mean", loss_,
                  trainer_.updates(), config_.guard.sigmas);
  run_log_.event(trainer_.updates(), "spike", {{"loss", finite_or_null(loss_)}});
  if (config_.guard.spike == SpikeAction::stop) {
    throw Diverged(
        fmt::format("{}: {}; it ends as guard.spike asks for. Use a lower optimizer.learning_rate; "
                    "the last checkpoint is in {}",
                    run_.string(), what, (run_ / "checkpoints").string()));
  }
  if (config_.guard.spike == SpikeAction::roll_back) {
    roll_back(what, trainer_.updates() - kSpikeReach);
    return false;
  }
  log_.warning(what);
  spike_said_ = true;
  return true;
}

/// Of all ranks.
void TrainingRun::count_left_out() {
  auto count = static_cast<double>(std::exchange(left_out_, 0));
  if (ranks_ != nullptr) ranks_->sum(std::span<double>(&count, 1));
  position_.left_out += static_cast<std::int64_t>(count);
}

/// What can be known of updates whose gradients were not finite, in the folder's failures/.
void TrainingRun::keep_failures(const std::vector<double>& norms, std::int64_t first) {
  for (std::size_t i = 0; i < norms.size(); ++i) {
    if (std::isfinite(norms[i])) continue;
    const std::int64_t update = trainer_.updates() - static_cast<std::int64_t>(norms.size() - i);
    if (update < first || folder_ == nullptr) continue;
    run_log_.event(update + 1, "skipped", {{"gradient_norm", fmt::format("{}", norms[i])}});
    try {
      FailureBundle bundle(run_ / "failures", update + 1, *data_.train, data_.archives);
      if (!bundle.wanted()) continue;
      for (std::int64_t a = 0; a < config_.training.accumulation; ++a)
        bundle.add(update * config_.training.accumulation + a, config_.training.batch,
                   network_.planned().batch);
      log_.warning(
          fmt::format("step {}: the gradient is not finite, so the update was skipped; its samples are "
                      "in {}",
                      update + 1,
                      bundle
                          .save({{"seed", config_.seed},
                                 {"gradient_norm", fmt::format("{}", norms[i])},
                                 {"checkpoint_before", position_.updates},
                                 {"environment", nlohmann::ordered_json::parse(position_.environment)}})
                          .string()));
    } catch (const io::WriteError& error) {
      log_.warning(fmt::format("{}; training goes on", error.what()));
    }
    seek_batch();  // the bundle read other batches
  }
}

/// Whether its output is a rain rate, which scores and maps are made for.
bool TrainingRun::forecasts_rain() const {
  return config_.model.thresholds.empty() && !network_.spec().logits() &&
         config_.transform.quantity == io::Quantity::rain_rate;
}

/// A sample of the validation part, or of the windows to train on, as the network forecasts it now.
std::vector<ReportPicture> TrainingRun::sample_pictures() {
  if (!forecasts_rain()) return {};
  io::BatchSource& source = data_.validation ? *data_.validation : *data_.train;
  source.seek(0, 0);
  source.next(batch_);
  trainer_.use_average(true);
  network_.load(host_batch());
  if (config_.model.feed == model::Feed::previous) network_.set_teacher({});
  network_.forward();
  forecast_.resize(batch_.future.size());
  network_.export_forecast(forecast_);
  trainer_.use_average(false);
  const SampleFrames frames{forecast_,
                            batch_.future,
                            batch_.future_mask,
                            batch_.guide,
                            network_.planned().batch,
                            config_.model.future,
                            data_.rows,
                            data_.columns};
  return draw_sample(frames, config_.guide.fading ? "advection, faded" : "advection", config_.transform,
                     data_.archives[0].grid(), data_.steps.shortest_s);
}

void TrainingRun::validate() {
  trainer_.use_average(true);
  data_.validation->seek(0, 0);
  const std::int64_t batches = std::max<std::int64_t>(
      1, (std::min<std::int64_t>(config_.training.validation_windows,
                                 static_cast<std::int64_t>(data_.validation_windows.size())) +
          config_.training.batch - 1) /
             config_.training.batch);
  double sums[2] = {0., 0.};  // loss times pixels, pixels
  RainScore network, guide;
  for (std::int64_t i = 0; i < batches; ++i) {
    data_.validation->next(batch_);
    network_.load(host_batch());
    if (config_.model.feed == model::Feed::previous) network_.set_teacher({});
    network_.forward();
    network_.loss(1.F);
    const model::Network::LossValue value = network_.read_loss();
    sums[0] += value.mean * value.valid_pixels;
    sums[1] += value.valid_pixels;
    if (forecasts_rain()) {
      forecast_.resize(batch_.future.size());
      network_.export_forecast(forecast_);
      network.add(config_.transform, forecast_, batch_.future, batch_.future_mask);
      if (!batch_.guide.empty())
        guide.add(config_.transform, batch_.guide, batch_.future, batch_.future_mask);
    }
    if (ranks_ == nullptr) continue;
    ranks_->beat();
    ranks_->rest();  // the main thread fills these batches itself, which takes longer than a step
  }
  if (ranks_ != nullptr) {
    for (const std::span<double> each : {std::span<double>(sums), network.sums(), guide.sums()})
      ranks_->sum(each);
  }
  const double loss = sums[1] > 0. ? sums[0] / sums[1] : NAN;
  const bool better = std::isfinite(loss) && (position_.best_step == 0 || loss < position_.best_validation);
  if (better && save_weights("best.safetensors")) {
    position_.best_validation = loss;
    position_.best_step = trainer_.updates();
  }
  trainer_.use_average(false);
  trainer_.report_validation(loss);
  validation_loss_ = loss;
  validation_note_ = fmt::format(", validation {:.5f}", loss);
  nlohmann::ordered_json line = {
      {"step", trainer_.updates()}, {"validation_loss", finite_or_null(loss)}, {"best", better}};
  if (network.pixels > 0.) {
    line["validation_mse"] = network.mse();
    line["validation_csi"] = finite_or_null(network.csi());
  }
  if (guide.pixels > 0.) {
    line["validation_advection_mse"] = guide.mse();
    line["validation_advection_csi"] = finite_or_null(guide.csi());
  }
  run_log_.line(line);
}

/// True when so many updates were skipped that the run was sent back.
bool TrainingRun::too_many_skipped() {
  const std::int64_t skipped = trainer_.read_skipped() - position_.window_skipped;
  // All updates between checkpoints that lie close are enough, or a run that learns nothing would end well.
  const std::int64_t allowed =
      std::clamp<std::int64_t>(trainer_.updates() - position_.window_updates, 1, kMostSkipped);
  if (skipped < allowed) return false;
  roll_back(fmt::format("{} updates until step {} had non-finite gradients", skipped, trainer_.updates()),
            trainer_.updates());
  return true;
}

/// To the newest checkpoint up to a step, or the oldest there is, with a lower rate.
void TrainingRun::roll_back(const std::string& why, std::int64_t up_to) {
  const std::int64_t failed_at = trainer_.updates(), rollbacks = position_.rollbacks + 1;
  if (rollbacks > kMostRollbacks) {
    throw Diverged(fmt::format(
        "training diverged at step {}: {}, after {} roll-backs; use a lower optimizer.learning_rate "
        "or a smaller optimizer.clip_norm. The last good checkpoint is in {}",
        failed_at, why, kMostRollbacks, (run_ / "checkpoints").string()));
  }
  rest();
  const Checkpoint good =
      *shared(folder_ != nullptr ? std::optional(folder_->newest_or_oldest(log_, up_to)) : std::nullopt);
  trainer_.restore(good.state);
  left_out_ = 0;  // what was left out since then will be again
  const std::string environment = position_.environment;
  position_ = good.position;
  position_.environment = environment;
  position_.archives = data_.hash;
  position_.rollbacks = rollbacks;
  trainer_.scale_learning_rate(
      std::pow(kRollbackRate, static_cast<double>(rollbacks - good.position.rollbacks)));
  log_.warning(fmt::format("{}: back to step {}, learning rate halved", why, trainer_.updates()));
  save_checkpoint(Save::due);  // so that a run killed now goes on with the lower rate
  if (folder_ != nullptr) {
    folder_->drop_after(trainer_.updates());
    try {
      folder_->cut_metrics(trainer_.updates());
    } catch (const io::WriteError& error) {
      log_.warning(fmt::format("{}; training goes on", error.what()));
    }
  }
  run_log_.begin_at(trainer_.updates());
  run_log_.event(trainer_.updates(), "rolled back", {{"from", failed_at}, {"why", why}});
  seek();
}

void TrainingRun::save_checkpoint(Save why) {
  count_left_out();
  position_.updates = trainer_.updates();
  position_.batches = trainer_.batches();
  position_.skipped = trainer_.read_skipped();
  if (why == Save::due) {  // one that a signal asks for changes nothing of what comes
    position_.window_updates = position_.updates;
    position_.window_skipped = position_.skipped;
  }
  const std::vector<std::byte> state = trainer_.state();
  rest();
  if (ranks_ != nullptr) require_same_state(state);
  if (folder_ == nullptr) return;
  try {
    const bool goes_back = config_.guard.spike == SpikeAction::roll_back;
    folder_->save(
        position_, state,
        {config_.training.keep_checkpoints, config_.training.keep_every, goes_back ? kSpikeReach : 0}, log_);
    failed_in_a_row_ = 0;
    last_saved_ =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
  } catch (const io::WriteError& error) {
    ++failed_saves_;
    ++failed_in_a_row_;
    log_.warning(fmt::format("{}; the checkpoint before is kept and training goes on", error.what()));
    if (position_.updates > 0)  // a folder with metrics and no checkpoint looks like one that lost them
      run_log_.event(trainer_.updates(), "checkpoint not saved", {{"why", error.what()}});
    if (failed_in_a_row_ >= kMostFailedSaves) {
      throw ResourceError(
          fmt::format("{}: {} checkpoints in a row could not be saved, so what is trained would "
                      "be lost; make room or mend the disk, and the same command goes on at the "
                      "last one",
                      (run_ / "checkpoints").string(), failed_in_a_row_));
    }
  }
  run_log_.state(progress(), true);
}

/// All ranks hold the same bits, or one of their machines computes something else.
void TrainingRun::require_same_state(const std::vector<std::byte>& state) const {
  const std::vector<std::string> hashes = ranks_->gather(io::sha256(state));
  for (std::size_t r = 1; r < hashes.size(); ++r) {
    if (hashes[r] == hashes[0]) continue;
    throw PeerError(
        fmt::format("{} holds other weights than {} at step {}: their machines do not compute the same; "
                    "start again on machines of one kind, or have them checked",
                    ranks_->name(static_cast<int>(r)), ranks_->name(0), trainer_.updates()));
  }
}

/// False when they could not be; another rank's are.
bool TrainingRun::save_weights(const std::string& name) {
  if (folder_ == nullptr) return true;
  rest();
  bool saved = true;
  const bool averaged = trainer_.uses_average();
  trainer_.use_average(true);
  try {
    io::publish(run_ / name, weights_bytes(network_, config_, data_.steps, trainer_.updates()));
  } catch (const io::WriteError& error) {
    saved = false;
    log_.warning(fmt::format("{}; training goes on", error.what()));
  }
  trainer_.use_average(averaged);
  return saved;
}

TrainingState TrainingRun::progress() const {
  TrainingState s;
  s.step = trainer_.updates();
  s.steps = config_.training.steps;
  s.samples = trainer_.batches() * config_.training.batch;
  s.left_out = position_.left_out;
  s.skipped = trainer_.read_skipped();
  s.empty = trainer_.empty_updates();
  s.rollbacks = position_.rollbacks;
  s.failed_saves = failed_saves_;
  s.last_saved = last_saved_;
  s.loss = loss_;
  s.validation_loss = validation_loss_;
  s.gradient_norm = norm_;
  s.learning_rate = trainer_.learning_rate();
  s.step_seconds = step_seconds_;
  return s;
}

void TrainingRun::finish(bool finished, std::int64_t memory) {
  rest();
  if (folder_ == nullptr) return;
  if (!finished) {
    write_report(fmt::format("stopped at step {}", trainer_.updates()), sample_pictures());
    log_.info(fmt::format("stopped at step {} of {}; the same command goes on there", trainer_.updates(),
                          config_.training.steps));
    return;
  }
  trainer_.use_average(true);
  const auto weights = weights_bytes(network_, config_, data_.steps, trainer_.updates());
  io::publish(run_ / "last.safetensors", weights);
  if (position_.best_step == 0 || !std::filesystem::exists(run_ / "best.safetensors"))
    io::publish(run_ / "best.safetensors", weights);
  trainer_.use_average(false);
  const std::vector<ReportPicture> pictures = sample_pictures();
  data_.train.reset();
  data_.validation.reset();
  network_.forget_plan();
  const std::filesystem::path best = run_ / "best.safetensors", last = run_ / "last.safetensors";
  const bool same = io::read_file(best) == io::read_file(last);
  const auto alive = [this] {
    if (ranks_ != nullptr) ranks_->beat(), ranks_->rest();
  };
  fit_on_validation(best, config_, data_, network_.backend(), memory, alive, log_);
  if (same) {
    io::publish(last, io::read_file(best));
  } else {
    fit_on_validation(last, config_, data_, network_.backend(), memory, alive, log_);
  }
  run_log_.event(trainer_.updates(), "finished", {});
  run_log_.state(progress(), true);
  write_report("finished", pictures);
  log_.result(fmt::format(
      "{}: {} steps{}", (run_ / "best.safetensors").string(), trainer_.updates(),
      position_.best_step > 0             ? fmt::format(", best validation loss {:.5f} at step {}",
                                                        position_.best_validation, position_.best_step)
      : !data_.validation_windows.empty() ? ", the validation loss was never finite: the best are the last"
                                          : ", no validation part"));
}

}  // namespace raincell::app
