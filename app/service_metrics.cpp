#include "app/service_metrics.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/forecast_memory.hpp"
#include "app/version.hpp"

namespace raincell::app {

namespace {

const std::vector<double> kBounds = {0.1, 0.25, 0.5, 1., 2.5, 5., 10., 20., 30., 60., 120., 300.};  // seconds

double number(std::int64_t value) {
  return static_cast<double>(value);
}

}  // namespace

const char* name_of(Stage stage) {
  switch (stage) {
    case Stage::read:
      return "read";
    case Stage::prepare:
      return "prepare";
    case Stage::model:
      return "model";
    case Stage::publish:
      return "publish";
    case Stage::pictures:
      return "pictures";
    case Stage::ledger:
      return "ledger";
    case Stage::whole:
      break;
  }
  return "whole";
}

void StageTimes::add(double seconds) {
  counts.resize(kBounds.size() + 1);
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts[static_cast<std::size_t>(bound - kBounds.begin())];
  sum += seconds;
  last = seconds;
}

nlohmann::ordered_json ServiceMetrics::cycles_json() const {
  nlohmann::ordered_json json;
  for (const Status status : {Status::ok, Status::degraded, Status::withheld, Status::stale}) {
    const auto found = cycles.find(status);
    json[name_of(status)] = found == cycles.end() ? std::int64_t{0} : found->second;
  }
  json["failed"] = failed;
  json["missed"] = missed;
  return json;
}

void ServiceMetrics::write(Exposition& out) const {
  out.add("build_info", "gauge", "The program that watches; always 1.", 1., {{"version", version()}});
  out.add("live", "gauge", "1 while the service goes round.", live ? 1. : 0.);
  out.add("ready", "gauge", "1 while there is a nowcast that is valid.", ready ? 1. : 0.);
  if (!model.empty()) {
    out.add("model_info", "gauge", "The weights in use; always 1.", 1.,
            {{"name", model}, {"sha256", model_sha256}});
    out.add("model_loaded_timestamp_seconds", "gauge", "When they were loaded.", number(model_loaded));
  }
  for (int i = 0; i <= static_cast<int>(io::Verdict::refused); ++i) {
    const auto verdict = static_cast<io::Verdict>(i);
    const auto found = files.find(verdict);
    out.add("input_files_total", "counter", "Frames, and files without one, by what became of them.",
            found == files.end() ? 0. : number(found->second), {{"result", io::name_of(verdict)}});
  }
  out.add("input_files_waiting", "gauge", "Files that grow, are tried again, or are ahead of the clock.",
          number(waiting));
  out.add("input_folder_failures_total", "counter", "Times that the folder could not be listed.",
          number(list_failures));
  const auto when = [&](const char* name, const char* help, std::int64_t time) {
    if (time > 0) out.add(name, "gauge", help, number(time));
  };
  when("input_last_nominal_timestamp_seconds", "Time of the newest frame.", newest_frame);
  when("input_last_arrival_timestamp_seconds", "When a frame last arrived.", last_arrival);
  const char* const cycle = "cycles_total";
  const char* const cycles_help = "Cycles by their end; missed: passed over for a newer one.";
  for (const Status status : {Status::ok, Status::degraded, Status::withheld, Status::stale}) {
    std::string name = name_of(status);
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return static_cast<char>(c | 32); });
    const auto found = cycles.find(status);
    out.add(cycle, "counter", cycles_help, found == cycles.end() ? 0. : number(found->second),
            {{"status", name}});
  }
  out.add(cycle, "counter", cycles_help, number(failed), {{"status", "failed"}});
  out.add(cycle, "counter", cycles_help, number(missed), {{"status", "missed"}});
  for (const auto& [rung, count] : rungs)
    out.add("nowcasts_total", "counter", "Nowcasts by the rung they come from.", number(count),
            {{"rung", rung}});
  out.add("revisions_total", "counter", "Nowcasts that were published again.", number(revisions));
  out.add("frames_filled_total", "counter", "Gaps that were filled by advection.", number(filled));
  out.add("model_late_total", "counter", "Forecasts of the model that were not waited for.",
          number(late_models));
  out.add("forecast_raised_values_total", "counter", "Negative values that were set to 0.",
          number(raised_values));
  out.add("forecast_lowered_values_total", "counter", "Values above 327.67 mm/h that were set to it.",
          number(lowered_values));
  for (std::size_t i = 0; i < kStages; ++i) {
    if (stages[i].counts.empty()) continue;
    out.histogram("cycle_duration_seconds", "Time that the parts of a cycle took.", kBounds, stages[i].counts,
                  stages[i].sum, {{"stage", name_of(static_cast<Stage>(i))}});
  }
  for (std::size_t i = 0; i < kStages; ++i) {
    if (stages[i].counts.empty()) continue;
    out.add("cycle_last_duration_seconds", "gauge", "The same of the newest cycle.", stages[i].last,
            {{"stage", name_of(static_cast<Stage>(i))}});
  }
  when("product_last_publish_timestamp_seconds", "When a product was last published.", last_product);
  when("product_last_nominal_timestamp_seconds", "The cycle that it is of.", last_nominal);
  out.add("product_bytes_total", "counter", "Bytes of products.", number(product_bytes));
  out.add("products_removed_total", "counter", "Products that were too old or too many.", number(pruned));
  out.add("forecast_max_mm_per_hour", "gauge", "Largest rate of the newest nowcast.", forecast_max);
  out.add("forecast_wet_fraction_ratio", "gauge", "Share of its pixels with 0.1 mm/h or more.", wet_fraction);
  out.add("process_resident_memory_bytes", "gauge", "Memory of this process.", number(resident_bytes()));
}

}  // namespace raincell::app
