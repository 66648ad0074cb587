// raincell bench: how fast a network forecasts and learns on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/commands.hpp"
#include "app/compute.hpp"
#include "app/config.hpp"
#include "app/errors.hpp"
#include "app/forecast_memory.hpp"
#include "app/noise_batch.hpp"
#include "app/process_memory.hpp"
#include "app/roofline.hpp"
#include "app/signals.hpp"
#include "app/train.hpp"
#include "app/training_data.hpp"
#include "app/training_memory.hpp"
#include "app/weights.hpp"
#include "model/trainer.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr double kLeastSeconds = 2.;  // measured, unless --repetitions says how often
constexpr int kLeastRepetitions = 5, kMostRepetitions = 1000;
constexpr int kWarmUps = 3;       // allocates, is recorded where the device can, is replayed
constexpr int kBatchesATime = 8;  // of the loader, whose workers run ahead

/// What is timed: a forecast with its frames brought to the device and back; of training the forward pass, or
/// all that a step computes once its batch is loaded; and filling batches from the archive, nothing else
/// asked of the machine.
enum class Measure : std::uint8_t { forecast, forward, step, loader };

const char* name_of(Measure measure) {
  constexpr const char* kNames[] = {"forecast", "forward", "step", "loader"};
  return kNames[static_cast<std::size_t>(measure)];
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

struct Timing {
  std::vector<double> seconds;  // sorted
  double median() const { return seconds[seconds.size() / 2]; }
};

/// Times of single calls by the device's clock, after a few that are not counted.
template <class Work>
Timing time_of(kernels::Backend& backend, std::int64_t repetitions, const Work& work) {
  Timing timing;
  double total = 0.;
  const auto enough = [&] {
    const auto done = static_cast<std::int64_t>(timing.seconds.size());
    if (repetitions > 0) return done >= repetitions;
    return done >= kMostRepetitions || (done >= kLeastRepetitions && total >= kLeastSeconds);
  };
  double warmed = 0.;
  for (int warm = 0; warm < kWarmUps && warmed < kLeastSeconds; ++warm) warmed += backend.seconds_of(work);
  while (!enough()) {
    stop_if_asked();
    timing.seconds.push_back(backend.seconds_of(work));
    total += timing.seconds.back();
  }
  std::sort(timing.seconds.begin(), timing.seconds.end());
  return timing;
}

struct Workload {
  Config config;
  std::int64_t rows = 0, columns = 0;
  model::BandPlan bands = {};  // of forecasts that memory is too small for as a whole
};

/// A network on a batch of noise, ready for one kind of work.
class Bench {
 public:
  Bench(Measure measure, const Workload& load, kernels::Backend& backend)
      : measure_(measure),
        future_(load.config.model.future),
        network_(load.config.model, backend, load.config.seed),
        noise_(load.config.model, load.config.training.batch, load.rows, load.columns,
               measure != Measure::forecast) {
    const Config& config = load.config;
    const bool training = measure != Measure::forecast;
    network_.plan({.batch = config.training.batch,
                   .height = load.rows,
                   .width = load.columns,
                   .training = training,
                   .predict_input = training && config.training.predict_input,
                   .bands = training ? model::BandPlan{} : load.bands});
    if (training) {
      trainer_ = std::make_unique<model::Trainer>(network_, training_spec(config));
      trainer_->load(noise_.view());
    } else {
      out_.resize(static_cast<std::size_t>(config.training.batch * future_ * config.model.out_channels() *
                                           load.rows * load.columns));
    }
  }
  void work() {
    switch (measure_) {
      case Measure::forecast:
        return network_.forecast(noise_.view(), future_, out_);
      case Measure::forward:
        return network_.forward();
      case Measure::step:
        trainer_->step_loaded();
        return;
      case Measure::loader:
        throw std::logic_error("the loader is timed without a network");
    }
  }
  void load() { trainer_->load(noise_.view()); }

 private:
  Measure measure_;
  std::int64_t future_;
  model::Network network_;
  NoiseBatch noise_;
  std::unique_ptr<model::Trainer> trainer_;
  std::vector<float> out_;
};

struct Result {
  Timing timing;
  double load_s = 0.;  // bringing the batch of a step to the device
  std::map<std::string, kernels::CountingBackend::Work> work;
  double flop = 0., bytes = 0.;
  std::size_t peak_bytes = 0;  // of the process; 0: the system does not say
};

Result run(Measure measure, const Workload& load, kernels::Backend& backend, std::int64_t repetitions) {
  Result result;
  restart_peak();
  {
    kernels::CountingBackend counting(backend);
    Bench bench(measure, load, counting);
    counting.reset();
    bench.work();
    result.work = counting.work();
    for (const auto& [operation, work] : result.work) {
      result.flop += work.flop;
      result.bytes += work.bytes;
    }
  }
  Bench bench(measure, load, backend);
  result.timing = time_of(backend, repetitions, [&] { bench.work(); });
  if (measure == Measure::step)
    result.load_s = time_of(backend, kLeastRepetitions, [&] { bench.load(); }).median();
  result.peak_bytes = process_memory().peak;
  return result;
}

std::vector<Measure> measures_of(const Arguments& arguments) {
  if (!arguments.has("only")) return {Measure::forecast, Measure::forward, Measure::step};
  const std::string name = arguments.text("only");
  std::vector<std::string> names;
  for (const Measure measure : {Measure::forecast, Measure::forward, Measure::step, Measure::loader}) {
    if (name == name_of(measure)) return {measure};
    names.emplace_back(name_of(measure));
  }
  const std::string near = nearest(name, names);
  throw UsageError(fmt::format("--only {}: expected one of {}{}", name, fmt::join(names, ", "),
                               near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

Roofline measured_roofline(kernels::Backend& backend, std::int64_t limit) {
  const std::size_t bytes = Roofline::bytes(backend);
  require_memory(backend.info().own_memory ? model::PlanBytes{0, bytes} : model::PlanBytes{bytes, 0}, backend,
                 limit, "the trial of what this device does at best", "allow more with --memory");
  return Roofline::measured(backend);
}

/// Cuts the forecasts of one sample where they would not fit beside their frames. What they take.
model::PlanBytes cut_forecast(Workload& load, kernels::Backend& backend, std::int64_t limit,
                              model::Scratch& scratch) {
  const Config& config = load.config;
  const model::ModelSpec& spec = config.model;
  const std::int64_t planes = 2 * spec.past + spec.future * (spec.out_channels() + (spec.tendency ? 3 : 2));
  const std::int64_t frames =
      config.training.batch * planes * load.rows * load.columns * static_cast<std::int64_t>(sizeof(float));
  model::NetworkPlan plan{.batch = config.training.batch, .height = load.rows, .width = load.columns};
  plan.bands.scratch = &scratch;
  const model::PlanBytes room{static_cast<std::size_t>(std::max<std::int64_t>(0, limit - frames)),
                              backend.free_memory() + backend.shared_bytes()};
  model::Fitted fitted = model::Network::fit(spec, backend, plan, 1, room);
  load.bands = fitted.plan.bands;
  fitted.bytes.host += static_cast<std::size_t>(frames);
  return fitted.bytes;
}

/// Batches as fast as the workers fill them.
int run_loader(Config config, const Arguments& arguments, std::int64_t repetitions, Log& log) {
  TrainingData data = open_training_data(config);
  start_batches(config, data, {}, guide_cache_bytes(memory_limit(arguments)));
  const auto clock = kernels::make_backend("reference", {});  // the host's
  io::Batch batch;
  const Timing timing = time_of(*clock, repetitions, [&] {
    for (int i = 0; i < kBatchesATime; ++i) data.train->next(batch);
  });
  const double batch_s = timing.median() / kBatchesATime,
               frames =
                   static_cast<double>(config.training.batch * (config.model.past + config.model.future));
  if (arguments.has("json")) {
    log.result(json_text({{"workload", config.name},
                          {"measure", name_of(Measure::loader)},
                          {"workers", config.data.workers},
                          {"batch", config.training.batch},
                          {"columns", data.columns},
                          {"rows", data.rows},
                          {"repetitions", timing.seconds.size()},
                          {"median_ms", 1e3 * batch_s},
                          {"least_ms", 1e3 * timing.seconds.front() / kBatchesATime},
                          {"most_ms", 1e3 * timing.seconds.back() / kBatchesATime},
                          {"frames_per_s", frames / batch_s},
                          {"peak_bytes", process_memory().peak}}));
  } else {
    log.result(fmt::format("{:<10} {:<9} {:>10.3f} ms a batch of {}, {:.0f} frames of {}x{} a second, {} {}",
                           config.name, name_of(Measure::loader), 1e3 * batch_s, config.training.batch,
                           frames / batch_s, data.columns, data.rows, config.data.workers,
                           config.data.workers == 1 ? "worker" : "workers"));
  }
  return kOk;
}

int run(const Arguments& arguments, Log& log) {
  const auto measures = measures_of(arguments);
  const std::int64_t repetitions = arguments.integer("repetitions", 0, 1, 1'000'000);
  const std::int64_t limit = memory_limit(arguments);
  Workload load{load_config(config_of(arguments.positional[0]), arguments.list("set")), 0, 0};
  if (measures.front() == Measure::loader) return run_loader(load.config, arguments, repetitions, log);
  std::tie(load.columns, load.rows) = planned_size(arguments, load.config);
  const Config& config = load.config;
  const auto backend = make_backend(arguments, config.precision, log);
  std::optional<Roofline> roofline;
  FileScratch scratch(std::filesystem::temp_directory_path());
  for (const Measure measure : measures) {
    const bool training = measure != Measure::forecast;
    const model::PlanBytes bytes = training ? training_bytes(config, *backend, load.rows, load.columns)
                                            : cut_forecast(load, *backend, limit, scratch);
    require_memory(bytes, *backend, limit, fmt::format("{} of {}", name_of(measure), config.name),
                   "use a smaller training.batch, data.crop or --size");
    if (load.bands.on() && !training)
      log.info(fmt::format("forecast of {} in bands of rows, {} of states in a scratch file in {}",
                           config.name, format_bytes(static_cast<double>(bytes.scratch)),
                           scratch.folder().string()));
    const Result result = run(measure, load, *backend, repetitions);
    if (!roofline) roofline = measured_roofline(*backend, limit);  // after it: this takes memory too
    const Timing& timing = result.timing;
    const double median = timing.median(), roofline_s = roofline->seconds(result.work),
                 of_roofline = 100. * roofline_s / median;
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
                            {"load_ms", 1e3 * result.load_s},
                            {"gflop", 1e-9 * result.flop},
                            {"gbyte", 1e-9 * result.bytes},
                            {"gflop_per_s", 1e-9 * result.flop / median},
                            {"roofline_ms", 1e3 * roofline_s},
                            {"roofline_percent", of_roofline},
                            {"peak_bytes", result.peak_bytes}}));
    } else {
      log.result(fmt::format(
          "{:<10} {:<9} {:>10.3f} ms  {:>9.1f} GFLOP {:>8.2f} GB  {:>9.1f} GFLOP/s  {:>5.1f} % of the "
          "roofline  {} runs, {:.3f} to {:.3f} ms, peak memory {}{}",
          config.name, name_of(measure), 1e3 * median, 1e-9 * result.flop, 1e-9 * result.bytes,
          1e-9 * result.flop / median, of_roofline, timing.seconds.size(), 1e3 * timing.seconds.front(),
          1e3 * timing.seconds.back(), format_bytes(static_cast<double>(result.peak_bytes)),
          measure == Measure::step ? fmt::format(", and {:.3f} ms to load a batch", 1e3 * result.load_s)
                                   : ""));
    }
  }
  if (!arguments.has("json")) {
    log.info(fmt::format(
        "{} in {}, batch {} of {}x{}; roofline of direct convolutions: {:.1f} GFLOP/s, {:.1f} GB/s",
        backend->info().device, app::name_of(config.precision), config.training.batch, load.columns,
        load.rows, 1e-9 * roofline->flop_per_s, 1e-9 * roofline->bytes_per_s));
  }
  return kOk;
}

}  // namespace

Command bench_command() {
  std::vector<Option> options{
      {"only", "MEASURE",
       "forecast, forward (of training), step (forward, backward, update) or loader (batches of "
       "data.archive)",
       false},
      {"size", "COLUMNSxROWS", "measure with this size of frames; default: data.crop", false},
      {"repetitions", "N", "default: as many as two seconds hold, at least 5", false},
      {"json", "", "one JSON object a line and measure", false}};
  for (const Option& option : compute_options()) options.push_back(option);
  return {{"bench",
           "Times forecasts and training steps of a config, or of a reference workload, on noise.",
           "  raincell bench cpu-small\n  raincell bench configs/knmi.yaml --only step --json\n"
           "  raincell bench ref-infer --backend cuda --set precision=bf16\n"
           "  raincell bench configs/radar.yaml --only loader --set data.archive=archive.nc",
           "NAME|CONFIG",
           1,
           1,
           options,
           {}},
          run};
}

}  // namespace raincell::app
