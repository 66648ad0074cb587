// raincell plan: parameters, work, memory and time of a config, before any work and without data.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/compute.hpp"
#include "app/config.hpp"
#include "app/errors.hpp"
#include "app/forecast_memory.hpp"
#include "app/prediction.hpp"
#include "app/training_memory.hpp"
#include "model/network.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;

/// How raincell nowcast would do it; asked first, as what plans of trainings leave behind would count.
MemoryChoice nowcast_of(const Arguments& arguments, const Config& config, kernels::Backend& backend,
                        std::int64_t rows, std::int64_t columns) {
  FileScratch scratch(std::filesystem::temp_directory_path());  // nothing is taken from it
  return choose_memory(nowcast_work(config, rows, columns), &backend, &scratch, memory_limit(arguments),
                       resident_bytes());
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
  const MemoryChoice nowcast = nowcast_of(arguments, config, *backend, grid_rows, grid_columns);
  const std::int64_t batch = config.training.batch;
  // In this order: scratch that plans share grows and is counted with each.
  const model::PlanBytes forecast = predict_nowcast(config, *backend, grid_rows, grid_columns, process);
  const auto trains_with = [&](const model::PlanBytes& wanted) {
    if (!arguments.has("memory")) return true;
    try {
      require_memory(wanted, *backend, limit, "a training step", "use a smaller training.batch or data.crop");
    } catch (const ResourceError& error) {
      if (!nowcast.fits) throw;
      log.warning(error.what());
      return false;
    }
    return true;
  };
  TrainingPrediction training;
  training.bytes = training_bytes(config, *backend, rows, columns);
  const bool trains = trains_with(training.bytes);  // before the trials
  if (trains) {
    training = predict_training(config, *backend, rows, columns, loader, process);
    trains_with(training.bytes);
  }
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
                          {"nowcast_fits", nowcast.fits},
                          {"nowcast_peak_bytes", nowcast.peak_bytes},
                          {"nowcast_scratch_bytes", nowcast.network.bytes.scratch},
                          {"nowcast_band_rows", {nowcast.network.rows.first, nowcast.network.rows.second}},
                          {"columns", columns},
                          {"rows", rows},
                          {"forecast_columns", grid_columns},
                          {"forecast_rows", grid_rows},
                          {"archive_read", loader.has_value()},
                          {"batch", batch},
                          {"steps", config.training.steps},
                          {"step_seconds_estimate", trains ? Json(step_s) : Json(nullptr)},
                          {"compute_seconds_estimate", trains ? Json(training.compute_s) : Json(nullptr)},
                          {"batch_load_seconds", loader ? Json(loader->batch_again_s) : Json(nullptr)},
                          {"backend", backend->info().name}}));
    return kOk;
  }
  const auto where = [](const model::PlanBytes& bytes) {
    const std::string host = format_bytes(static_cast<double>(bytes.host)) + " on the host";
    if (bytes.device == 0) return host;
    return format_bytes(static_cast<double>(bytes.device)) + " on the device, " + host;
  };
  std::string time = "not tried: a training step does not fit";
  if (trains) {
    time = fmt::format(
        "{:.2g} s a step{}, {} for {} steps{}", step_s,
        loader ? fmt::format(", loading {:.2g} s of it", step_s - training.compute_s) : "",
        format_duration(step_s * static_cast<double>(config.training.steps)), config.training.steps,
        loader ? "" : "\n  without loading and without the archive's part of the memory: it is not there");
  }
  log.result(fmt::format(
      "{}, {} frames to {} of {}x{}, batch {}, on {}\n"
      "  parameters         {}\n"
      "  work a forecast    {:.3g} multiply-accumulates of {}x{} pixels\n"
      "  memory, training   {}\n"
      "  memory, forecast   {}\n"
      "  a nowcast here     {}\n"
      "  time, estimated    {}",
      config.name, config.model.past, config.model.future, columns, rows, batch, backend->info().device,
      parameters, static_cast<double>(macs), grid_columns, grid_rows, where(training.bytes), where(forecast),
      (nowcast.fits ? "" : "does not fit; at least ") + nowcast.text("scratch"), time));
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
