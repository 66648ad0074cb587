// raincell train: archive -> windows -> batches -> network -> weights.
#include "app/train.hpp"

#include <fmt/format.h>

#include "app/commands.hpp"
#include "app/compute.hpp"
#include "app/errors.hpp"
#include "app/signals.hpp"
#include "app/training_memory.hpp"
#include "app/weights.hpp"

namespace raincell::app {

namespace {

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
  const bool force = arguments.has("force"), deterministic = arguments.has("deterministic");
  RunDirectory folder(arguments.text("run"), resolved_text(config), {arguments.has("fresh"), force}, log);
  TrainingRun training(config, data, network, trainer, folder, log);
  if (deterministic) log.info(pinned_text(backend->info(), config.seed));
  training.resume({deterministic, force, start});
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

Command train_command() {
  std::vector<Option> options = {
      {"run", "DIR", "folder of the run: checkpoints, metrics, weights; an interrupted run goes on there",
       false},
      {"fresh", "", "starts anew; what the run holds is removed", false},
      {"start", "FILE", "weights of the same network to start from; a run that is begun goes on where it was",
       false},
      {"force", "",
       "trains although the memory looks too small, or goes on although configuration or archive are others",
       false}};
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
