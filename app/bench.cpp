// raincell bench: how fast a network forecasts and learns on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/compute.hpp"
#include "app/config.hpp"
#include "app/errors.hpp"
#include "app/signals.hpp"
#include "app/train.hpp"
#include "app/training_memory.hpp"
#include "app/weights.hpp"
#include "model/random.hpp"
#include "model/trainer.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr double kLeastSeconds = 2.;  // measured, unless --repetitions says how often
constexpr int kLeastRepetitions = 5, kMostRepetitions = 1000;

/// What is timed: a forecast with its frames brought to the device and back, the forward pass of training, a
/// whole training step.
enum class Measure : std::uint8_t { forecast, forward, step };

const char* name_of(Measure measure) {
  return measure == Measure::forecast ? "forecast" : measure == Measure::forward ? "forward" : "step";
}

/// A config file, or the name of one of configs/bench.
fs::path config_of(const std::string& word) {
  if (word.find('/') != std::string::npos || word.ends_with(".yaml")) return word;
  const auto folder = shipped_file("configs/bench");
  std::vector<std::string> names;
  if (folder) {
    for (const auto& entry : fs::directory_iterator(*folder)) {
      if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  if (std::find(names.begin(), names.end(), word) != names.end()) return *folder / (word + ".yaml");
  const std::string near = nearest(word, names);
  throw UsageError(fmt::format("there is no workload '{}'; expected one of {}, or a config file{}", word,
                               names.empty() ? "none (configs/bench is not beside the program)"
                                             : fmt::format("{}", fmt::join(names, ", ")),
                               near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

/// Frames of noise in (0, 1), nothing missing.
struct NoiseBatch {
  std::vector<float> past, future, guide, tendency, ones;

  NoiseBatch(const model::ModelSpec& spec, std::int64_t batch, std::int64_t rows, std::int64_t columns) {
    const auto frames = [&](std::int64_t steps, std::int64_t channels, std::uint64_t stream) {
      std::vector<float> values(static_cast<std::size_t>(batch * steps * channels * rows * columns));
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(model::uniform(1, stream, i));
      return values;
    };
    past = frames(spec.past, spec.channels, 1);
    future = frames(spec.future, spec.channels, 2);
    if (spec.feed == model::Feed::advection) guide = frames(spec.future, spec.channels, 3);
    if (spec.tendency) tendency = frames(spec.future, spec.channels, 4);
    ones.assign(std::max(past.size(), future.size()), 1.F);
    thresholds.assign(spec.thresholds.begin(), spec.thresholds.end());
  }
  model::HostBatch view() const {
    const auto full = [&](const std::vector<float>& like) { return std::span(ones).first(like.size()); };
    return {past, full(past), future, full(future), guide, full(guide), tendency, thresholds};
  }

 private:
  std::vector<float> thresholds;
};

struct Timing {
  std::vector<double> seconds;  // sorted
  double median() const { return seconds[seconds.size() / 2]; }
};

/// Times of single calls, the device waited for, after two that are not counted.
template <class Work>
Timing time_of(kernels::Backend& backend, std::int64_t repetitions, const Work& work) {
  Timing timing;
  double total = 0.;
  const auto enough = [&] {
    const auto done = static_cast<std::int64_t>(timing.seconds.size());
    if (repetitions > 0) return done >= repetitions;
    return done >= kMostRepetitions || (done >= kLeastRepetitions && total >= kLeastSeconds);
  };
  for (int warm = 0; warm < 2; ++warm) work();
  backend.synchronize();
  while (!enough()) {
    stop_if_asked();
    const auto begin = std::chrono::steady_clock::now();
    work();
    backend.synchronize();
    timing.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    total += timing.seconds.back();
  }
  std::sort(timing.seconds.begin(), timing.seconds.end());
  return timing;
}

struct Workload {
  Config config;
  std::int64_t rows = 0, columns = 0;
};

Timing run(Measure measure, const Workload& load, kernels::Backend& backend, std::int64_t repetitions) {
  const Config& config = load.config;
  const bool training = measure != Measure::forecast;
  const std::int64_t batch = config.training.batch;
  model::Network network(config.model, backend, config.seed);
  network.plan({.batch = batch,
                .height = load.rows,
                .width = load.columns,
                .training = training,
                .predict_input = training && config.training.predict_input});
  const NoiseBatch noise(config.model, batch, load.rows, load.columns);
  const model::HostBatch host = noise.view();
  if (measure == Measure::forecast) {
    std::vector<float> out(static_cast<std::size_t>(batch * config.model.future *
                                                    config.model.out_channels() * load.rows * load.columns));
    return time_of(backend, repetitions, [&] { network.forecast(host, config.model.future, out); });
  }
  model::Trainer trainer(network, training_spec(config));
  if (measure == Measure::step) return time_of(backend, repetitions, [&] { trainer.step(host); });
  network.load(host);
  return time_of(backend, repetitions, [&] { network.forward(); });
}

std::vector<Measure> measures_of(const Arguments& arguments) {
  if (!arguments.has("only")) return {Measure::forecast, Measure::forward, Measure::step};
  const std::string name = arguments.text("only");
  std::vector<std::string> names;
  for (const Measure measure : {Measure::forecast, Measure::forward, Measure::step}) {
    if (name == name_of(measure)) return {measure};
    names.emplace_back(name_of(measure));
  }
  const std::string near = nearest(name, names);
  throw UsageError(fmt::format("--only {}: expected one of {}{}", name, fmt::join(names, ", "),
                               near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

int run(const Arguments& arguments, Log& log) {
  const auto measures = measures_of(arguments);
  const std::int64_t repetitions = arguments.integer("repetitions", 0, 1, 1'000'000);
  const std::int64_t limit = memory_limit(arguments);
  Workload load{load_config(config_of(arguments.positional[0]), arguments.list("set")), 0, 0};
  std::tie(load.columns, load.rows) = planned_size(arguments, load.config);
  const Config& config = load.config;
  const auto backend = make_backend(arguments, config.precision, log);
  for (const Measure measure : measures) {
    const bool training = measure != Measure::forecast;
    require_memory(training
                       ? training_bytes(config, *backend, load.rows, load.columns)
                       : model::Network::predict_bytes(
                             config.model, *backend,
                             {.batch = config.training.batch, .height = load.rows, .width = load.columns}, 1),
                   *backend, limit, fmt::format("{} of {}", name_of(measure), config.name),
                   "use a smaller training.batch, data.crop or --size");
    const Timing timing = run(measure, load, *backend, repetitions);
    const std::int64_t macs = measure == Measure::step
                                  ? model::macs_per_step(config.model, load.rows, load.columns)
                                  : model::macs_per_forecast(config.model, load.rows, load.columns);
    const double flop = 2. * static_cast<double>(macs * config.training.batch), median = timing.median();
    if (arguments.has("json")) {
      log.result(json_text({{"workload", config.name},
                            {"measure", name_of(measure)},
                            {"backend", backend->info().name},
                            {"device", backend->info().device},
                            {"libraries", backend->info().libraries},
                            {"threads", backend->info().threads},
                            {"precision", app::name_of(config.precision)},
                            {"batch", config.training.batch},
                            {"columns", load.columns},
                            {"rows", load.rows},
                            {"repetitions", timing.seconds.size()},
                            {"median_ms", 1e3 * median},
                            {"least_ms", 1e3 * timing.seconds.front()},
                            {"most_ms", 1e3 * timing.seconds.back()},
                            {"gflop", 1e-9 * flop},
                            {"gflop_per_s", 1e-9 * flop / median}}));
    } else {
      log.result(fmt::format(
          "{:<10} {:<9} {:>10.3f} ms   {:>9.1f} GFLOP  {:>9.1f} GFLOP/s   {} runs, {:.3f} to {:.3f} ms",
          config.name, name_of(measure), 1e3 * median, 1e-9 * flop, 1e-9 * flop / median,
          timing.seconds.size(), 1e3 * timing.seconds.front(), 1e3 * timing.seconds.back()));
    }
  }
  if (!arguments.has("json")) {
    log.info(fmt::format("{} in {}, batch {} of {}x{}", backend->info().device,
                         app::name_of(config.precision), config.training.batch, load.columns, load.rows));
  }
  return kOk;
}

}  // namespace

Command bench_command() {
  std::vector<Option> options{
      {"only", "MEASURE", "forecast, forward (of training) or step (load, forward, backward, update)", false},
      {"size", "COLUMNSxROWS", "measure with this size of frames; default: data.crop", false},
      {"repetitions", "N", "default: as many as two seconds hold, at least 5", false},
      {"json", "", "one JSON object a line and measure", false}};
  for (const Option& option : compute_options()) options.push_back(option);
  return {{"bench",
           "Times forecasts and training steps of a config, or of a reference workload, on noise.",
           "  raincell bench cpu-small\n  raincell bench configs/knmi.yaml --only step --json\n"
           "  raincell bench ref-infer --backend cuda --set precision=bf16",
           "NAME|CONFIG",
           1,
           1,
           options,
           {}},
          run};
}

}  // namespace raincell::app
