// raincell train: archive -> windows -> batches -> network -> weights.
#include "app/train.hpp"

#include <fmt/format.h>

#include "app/commands.hpp"
#include "app/compute.hpp"
#include "app/errors.hpp"
#include "app/ranks.hpp"
#include "app/training_memory.hpp"
#include "app/version.hpp"
#include "app/weights.hpp"

namespace raincell::app {

namespace {

/// What the bytes of a run depend on; nothing else does, with or without the option.
std::string pinned_text(const kernels::BackendInfo& info, std::uint64_t seed, int ranks) {
  return fmt::format(
      "deterministic: seed {}, backend {} ({}), {} threads{}, the order of windows and of every sum; the "
      "same "
      "config on the same archive, from the same weights (--start), with these gives the same bytes",
      seed, info.name, info.libraries, info.threads, ranks > 1 ? fmt::format(", {} ranks", ranks) : "");
}

/// Throws UsageError naming the ranks that were started with something else than the first.
void require_agreement(model::Communicator& ranks, const Config& config, const TrainingData& data,
                       const kernels::BackendInfo& info, const std::string& options) {
  const std::vector<std::pair<std::string, std::string>> mine = {
      {"version", version()},        {"configuration", resolved_text(config)},
      {"archive", data.hash},        {"backend", info.name},
      {"libraries", info.libraries}, {"number of threads", fmt::format("{}", info.threads)},
      {"set of options", options}};
  std::string differences;
  for (const auto& [what, value] : mine) {
    const std::vector<std::string> all = ranks.gather(value);
    for (std::size_t r = 1; r < all.size(); ++r) {
      if (all[r] != all[0])
        differences += fmt::format("\n  {} has another {}", ranks.name(static_cast<int>(r)), what);
    }
  }
  if (!differences.empty())
    throw UsageError(
        fmt::format("the ranks disagree; start all of them with the same program, configuration and "
                    "archive, on machines of one kind:{}",
                    differences));
}

int train(const Arguments& arguments, model::Communicator* ranks, Log& log) {
  Config config = load_config(arguments.positional[0], arguments.list("set"));
  const std::int64_t memory = memory_limit(arguments);
  if (config.model.channels != 1)
    throw ConfigError("model.channels: training reads archives of one channel; set it to 1");
  const int rank = ranks == nullptr ? 0 : ranks->rank(), size = ranks == nullptr ? 1 : ranks->size();
  if (config.training.batch < size) {
    throw ConfigError(
        fmt::format("training.batch: {} samples are too few for {} ranks; each needs one at least",
                    config.training.batch, size));
  }
  const Share share = share_of(config.training.batch, rank, size);

  // radar archive -> windows -> batches on the host, advected frames among them
  TrainingData data = open_training_data(config);
  const auto backend = make_backend(arguments, config.precision, log);
  const bool force = arguments.has("force"), deterministic = arguments.has("deterministic");
  if (ranks != nullptr) {
    const std::string start = arguments.has("start") ? read_weights_info(arguments.text("start")).hash : "";
    require_agreement(*ranks, config, data, backend->info(),
                      fmt::format("{} {} {} {}", force, deterministic, arguments.has("fresh"), start));
  }
  Config own = config;  // what this process has of a batch
  own.training.batch = share.count;
  model::PlanBytes bytes = training_bytes(own, *backend, data.rows, data.columns);
  bytes.host += checkpoint_bytes(config);
  if (ranks != nullptr && backend->info().own_memory)  // slices of gradients, as they are summed
    bytes.device += 3 * sizeof(float) * static_cast<std::size_t>(model::parameter_count(config.model));
  start_batches(config, data, share, guide_cache_bytes(memory, bytes.host));

  // -> tensors on the device: the network, planned once for this batch
  if (!arguments.has("force")) {
    require_memory(bytes, *backend, memory, "this training",
                   "use a smaller training.batch or data.crop, or try all the same with --force");
  }
  model::Network network(config.model, *backend, config.seed);
  network.plan({.batch = share.count,
                .height = data.rows,
                .width = data.columns,
                .training = true,
                .predict_input = config.training.predict_input});
  const std::string start =
      arguments.has("start") ? start_from(arguments.text("start"), network, config) : std::string();
  model::TrainingSpec spec = training_spec(config);
  spec.whole_batch = config.training.batch;
  spec.first_sample = share.first;
  const auto devices =
      ranks == nullptr ? nullptr : join_devices(*ranks, *backend, network.layout().stored(), log);
  // Its average begins with the weights there are.
  model::Trainer trainer(network, spec, ranks, devices.get());

  // -> updates, until the last step or a signal; checkpoints and weights in the run directory
  std::optional<RunDirectory> folder;
  if (rank == 0)
    folder.emplace(arguments.text("run"), resolved_text(config), Opening{arguments.has("fresh"), force}, log);
  TrainingRun training(config, data, network, trainer, arguments.text("run"), folder ? &*folder : nullptr,
                       ranks, log);
  if (deterministic) log.info(pinned_text(backend->info(), config.seed, size));
  training.resume({deterministic, force, start});
  const bool finished = training.go();
  training.finish(finished, memory);
  if (!finished) throw Stopped(training.signal());
  return kOk;
}

int run(const Arguments& arguments, Log& log) {
  const std::unique_ptr<model::Communicator> ranks = join_ranks();
  if (ranks == nullptr) return train(arguments, nullptr, log);
  log.speak_as(ranks->name(ranks->rank()), ranks->rank() == 0);
  try {
    return train(arguments, ranks.get(), log);
  } catch (const Stopped&) {  // all of them at the same step
    throw;
  } catch (const OutputClosed&) {
    throw;
  } catch (...) {  // the others may wait for this one for ever
    const Failure failure = failure_of(std::current_exception());
    log.error(failure.what);
    ranks->end_all(failure.code);
    return failure.code;  // it does not come back; GCC 12 does not know that of a virtual function
  }
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
