// raincell plan: parameters, work, memory and time of a config, before any work and without data.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/compute.hpp"
#include "app/config.hpp"
#include "app/errors.hpp"
#include "app/prediction.hpp"
#include "app/training_memory.hpp"
#include "model/network.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;

int run(const Arguments& arguments, Log& log) {
  if (arguments.has("keys")) {
    log.result(config_reference());
    return kOk;
  }
  if (arguments.positional.empty()) {
    throw UsageError("raincell plan: CONFIG is missing; for example:\n  raincell plan configs/radar.yaml");
  }
  const Config config = load_config(arguments.positional[0], arguments.list("set"));
  const std::int64_t limit = memory_limit(arguments);
  auto [columns, rows] = planned_size(arguments, config);
  const std::size_t process = process_bytes(config);
  // A size of frames that is asked for is not the archive's.
  const auto loader = arguments.has("size") ? std::nullopt : try_loader(config, limit);
  if (loader && config.data.crop_rows == 0) {
    columns = loader->grid_columns;
    rows = loader->grid_rows;
  }
  const std::int64_t grid_columns = loader ? loader->grid_columns : columns,
                     grid_rows = loader ? loader->grid_rows : rows;
  const auto backend = make_backend(arguments, config.precision, log);
  const std::int64_t batch = config.training.batch;
  // In this order: scratch that plans share grows and is counted with each.
  const model::PlanBytes forecast = predict_nowcast(config, *backend, grid_rows, grid_columns, process);
  const auto require = [&](const model::PlanBytes& wanted) {
    if (!arguments.has("memory")) return;
    require_memory(wanted, *backend, limit, "a training step", "use a smaller training.batch or data.crop");
  };
  require(training_bytes(config, *backend, rows, columns));  // before the trials
  const TrainingPrediction training = predict_training(config, *backend, rows, columns, loader, process);
  require(training.bytes);
  const std::int64_t parameters = model::parameter_count(config.model);
  const std::int64_t macs = model::macs_per_forecast(config.model, grid_rows, grid_columns);
  const double step_s = training.step_s;
  if (arguments.has("json")) {
    log.result(json_text({{"config", arguments.positional[0]},
                          {"parameters", parameters},
                          {"macs_per_forecast", macs},
                          {"host_bytes", training.bytes.host},
                          {"device_bytes", training.bytes.device},
                          {"forecast_host_bytes", forecast.host},
                          {"forecast_device_bytes", forecast.device},
                          {"columns", columns},
                          {"rows", rows},
                          {"forecast_columns", grid_columns},
                          {"forecast_rows", grid_rows},
                          {"archive_read", loader.has_value()},
                          {"batch", batch},
                          {"steps", config.training.steps},
                          {"step_seconds_estimate", step_s},
                          {"compute_seconds_estimate", training.compute_s},
                          {"batch_load_seconds", loader ? Json(loader->batch_again_s) : Json(nullptr)},
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
      "  work a forecast    {:.3g} multiply-accumulates of {}x{} pixels\n"
      "  memory, training   {}\n"
      "  memory, forecast   {}\n"
      "  time, estimated    {:.2g} s a step{}, {} for {} steps{}",
      config.name, config.model.past, config.model.future, columns, rows, batch, backend->info().device,
      parameters, static_cast<double>(macs), grid_columns, grid_rows, where(training.bytes), where(forecast),
      step_s, loader ? fmt::format(", loading {:.2g} s of it", step_s - training.compute_s) : "",
      format_duration(step_s * static_cast<double>(config.training.steps)), config.training.steps,
      loader ? "" : "\n  without loading and without the archive's part of the memory: it is not there"));
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
