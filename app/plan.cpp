// raincell plan: parameters, work, memory and time of a config, before any work and without data.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/compute.hpp"
#include "app/config.hpp"
#include "app/errors.hpp"
#include "app/forecast_memory.hpp"
#include "app/training_memory.hpp"
#include "model/network.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;

/// Multiply-accumulates a second of a usual gate convolution on this machine.
double measured_rate(kernels::Backend& backend) {
  const kernels::ConvSpec spec{
      .images = 8, .channels_in = 64, .channels_out = 128, .height = 32, .width = 32};
  const auto plan = backend.plan_convolution(spec, kernels::ConvUse::inference);
  const kernels::Tensor weights = backend.allocate_plain(spec.weight_shape(), "weights");
  const kernels::Tensor x = backend.allocate({1, 8, 64, 32, 32}, "input");
  kernels::Tensor y = backend.allocate({1, 8, 128, 32, 32}, "output");
  plan->load_weights(weights.view(), {});
  plan->forward(x.view(), y.view(), kernels::Accumulate::no);  // the first call is slower
  const auto begin = std::chrono::steady_clock::now();
  int runs = 0;
  double seconds = 0.;
  while (seconds < 0.05) {
    plan->forward(x.view(), y.view(), kernels::Accumulate::no);
    backend.synchronize();
    ++runs;
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return static_cast<double>(runs) * static_cast<double>(spec.macs()) / seconds;
}

/// How raincell nowcast would do it; asked first, as what plans of trainings leave behind would count.
MemoryChoice nowcast_of(const Arguments& arguments, const Config& config, kernels::Backend& backend,
                        std::int64_t rows, std::int64_t columns) {
  FileScratch scratch(std::filesystem::temp_directory_path());  // nothing is taken from it
  return choose_memory({.rows = rows,
                        .columns = columns,
                        .past = config.model.past,
                        .leads = config.model.future,
                        .spec = &config.model,
                        .guide = config.guide},
                       &backend, &scratch, memory_limit(arguments), resident_bytes());
}

int run(const Arguments& arguments, Log& log) {
  if (arguments.has("keys")) {
    log.result(config_reference());
    return kOk;
  }
  if (arguments.positional.empty()) {
    throw UsageError("raincell plan: CONFIG is missing; for example:\n  raincell plan configs/radar.yaml");
  }
  const Config config = load_config(arguments.positional[0], arguments.list("set"));
  const auto [columns, rows] = planned_size(arguments, config);
  const auto backend = make_backend(arguments, config.precision, log);
  const MemoryChoice nowcast = nowcast_of(arguments, config, *backend, rows, columns);
  const std::int64_t batch = config.training.batch;
  const model::PlanBytes training = training_bytes(config, *backend, rows, columns);
  const model::PlanBytes forecast = model::Network::predict_bytes(
      config.model, *backend, {.batch = 1, .height = rows, .width = columns}, 1);
  const std::int64_t parameters = model::parameter_count(config.model);
  const std::int64_t macs = model::macs_per_forecast(config.model, rows, columns);
  const auto work = static_cast<double>(model::macs_per_step(config.model, rows, columns) * batch *
                                        config.training.accumulation);
  const double step_s = work / measured_rate(*backend);
  if (arguments.has("memory")) {
    try {
      require_memory(training, *backend, memory_limit(arguments), "a training step",
                     "use a smaller training.batch or data.crop");
    } catch (const ResourceError& error) {
      if (!nowcast.fits) throw;
      log.warning(error.what());
    }
  }
  if (arguments.has("json")) {
    log.result(json_text({{"config", arguments.positional[0]},
                          {"parameters", parameters},
                          {"macs_per_forecast", macs},
                          {"host_bytes", training.host},
                          {"device_bytes", training.device},
                          {"forecast_host_bytes", forecast.host},
                          {"forecast_device_bytes", forecast.device},
                          {"nowcast_fits", nowcast.fits},
                          {"nowcast_peak_bytes", nowcast.peak_bytes},
                          {"nowcast_scratch_bytes", nowcast.network.bytes.scratch},
                          {"nowcast_band_rows", {nowcast.network.rows.first, nowcast.network.rows.second}},
                          {"columns", columns},
                          {"rows", rows},
                          {"batch", batch},
                          {"steps", config.training.steps},
                          {"step_seconds_estimate", step_s},
                          {"backend", backend->info().name}}));
    return kOk;
  }
  const auto where = [](const model::PlanBytes& bytes) {
    const std::string host = format_bytes(static_cast<double>(bytes.host)) + " on the host";
    if (bytes.device == 0) return host;
    return format_bytes(static_cast<double>(bytes.device)) + " on the device, " + host;
  };
  log.result(fmt::format(
      "{}, {} frames to {} of {}x{}, batch {}, on {}\n"
      "  parameters         {}\n"
      "  work a forecast    {:.3g} multiply-accumulates\n"
      "  memory, training   {}\n"
      "  memory, forecast   {}\n"
      "  a nowcast here     {}\n"
      "  time, estimated    {:.2g} s a step, {} for {} steps",
      config.name, config.model.past, config.model.future, columns, rows, batch, backend->info().device,
      parameters, static_cast<double>(macs), where(training), where(forecast),
      (nowcast.fits ? "" : "does not fit; at least ") + nowcast.text("scratch"), step_s,
      format_duration(step_s * static_cast<double>(config.training.steps)), config.training.steps));
  return kOk;
}

}  // namespace

Command plan_command() {
  std::vector<Option> options = {
      {"size", "COLUMNSxROWS", "plan for this size of frames; default: data.crop", false},
      {"json", "", "one JSON object on stdout", false},
      {"keys", "", "prints configs/README.md: every key, type, default and range", false}};
  for (const Option& option : compute_options()) options.push_back(option);
  return {{"plan",
           "Says what a config will need, before any work: parameters, multiply-accumulates, memory, time.",
           "  raincell plan configs/radar.yaml\n  raincell plan configs/knmi.yaml --size 700x765 --json",
           "CONFIG",
           0,
           1,
           options,
           {}},
          run};
}

}  // namespace raincell::app
