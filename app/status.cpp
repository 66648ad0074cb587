// raincell status: how a training is getting on, from the files of its run, or a rolling service.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/errors.hpp"
#include "app/folder_lock.hpp"
#include "app/run_directory.hpp"
#include "app/watch_status.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// The newest value of each key of metrics.jsonl, and what happened.
struct Metrics {
  Json newest = Json::object();
  std::vector<Json> events;
  double best_validation = 0.;
  std::int64_t best_step = -1;
};

Metrics read_metrics(const fs::path& file) {
  Metrics metrics;
  std::ifstream lines(file);
  std::string text;
  while (std::getline(lines, text)) {
    const Json line = Json::parse(text, nullptr, false);  // the last line may be half-written
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer()) continue;
    if (line.contains("event")) {
      if (line["event"].is_string()) metrics.events.push_back(line);
      continue;
    }
    metrics.newest.update(line);
    if (line.contains("best") && line["best"] == Json(true) && line.contains("validation_loss") &&
        line["validation_loss"].is_number()) {
      metrics.best_step = line["step"].get<std::int64_t>();
      metrics.best_validation = line["validation_loss"].get<double>();
    }
  }
  return metrics;
}

double seconds_since(const fs::path& file) {
  std::error_code none;
  const auto written = fs::last_write_time(file, none);
  if (none) return -1.;
  return std::chrono::duration<double>(fs::file_time_type::clock::now() - written).count();
}

Json status_of(const fs::path& folder) {
  std::error_code none;
  if (!fs::is_directory(folder / "checkpoints", none) || !fs::exists(folder / "config.yaml", none)) {
    throw UsageError(
        fmt::format("{}: is neither the folder of a training (config.yaml, checkpoints/) nor the output of a "
                    "service (latest.json, products/); give what 'raincell train --run' was given, or the "
                    "output of 'raincell watch'",
                    folder.string()));
  }
  const Config config = load_config(folder / "config.yaml", {});
  const Metrics metrics = read_metrics(folder / "metrics.jsonl");
  const std::string trainer = holder_of(folder);
  const std::int64_t steps = config.training.steps, step = metrics.newest.value("step", std::int64_t{0});
  const std::string last = metrics.events.empty() ? "" : metrics.events.back()["event"].get<std::string>();
  Json json = {{"run", folder.string()},
               {"state", !trainer.empty()                ? "running"
                         : last == "finished"            ? "finished"
                         : last == "stopped by a signal" ? "stopped"
                                                         : "interrupted"},
               {"trainer", trainer.empty() ? Json() : Json(trainer)},
               {"step", step},
               {"steps", steps}};
  for (const char* key : {"epoch", "loss", "validation_loss", "learning_rate", "gradient_norm", "skipped",
                          "empty", "left_out", "rollbacks", "samples_per_s"}) {
    json[key] = metrics.newest.value(key, Json());
  }
  json["best_step"] = metrics.best_step >= 0 ? Json(metrics.best_step) : Json();
  json["best_validation_loss"] = metrics.best_step >= 0 ? Json(metrics.best_validation) : Json();
  const double rate = json["samples_per_s"].is_number() ? json["samples_per_s"].get<double>() : 0.;
  const auto left =
      static_cast<double>((steps - step) * config.training.batch * config.training.accumulation);
  json["seconds_left"] = !trainer.empty() && rate > 0. ? Json(left / rate) : Json();
  const auto saved = newest_manifest(folder);
  json["checkpoint"] = saved ? Json(saved->filename().string()) : Json();
  json["checkpoint_age_s"] = saved ? Json(seconds_since(*saved)) : Json();
  json["events"] = metrics.events;
  return json;
}

std::string number(const Json& value) {
  return value.is_number() ? fmt::format("{:.5g}", value.get<double>()) : "-";
}

std::string text_of(const Json& json) {
  const auto line = [](const char* name, const std::string& value) {
    return fmt::format("  {:<12} {}\n", name, value);
  };
  const std::int64_t step = json["step"], steps = json["steps"];
  std::string text = fmt::format("{}: {}", json["run"].get<std::string>(), json["state"].get<std::string>());
  if (json["trainer"].is_string()) text += ", " + json["trainer"].get<std::string>();
  text += "\n";
  text += line("step", fmt::format("{} of {} ({:.0f} %), epoch {}{}", step, steps,
                                   100. * static_cast<double>(step) /
                                       static_cast<double>(std::max<std::int64_t>(steps, 1)),
                                   number(json["epoch"]),
                                   json["seconds_left"].is_number()
                                       ? ", " + format_duration(json["seconds_left"].get<double>()) + " left"
                                       : ""));
  text += line("loss", number(json["loss"]) + (json["validation_loss"].is_number()
                                                   ? ", validation " + number(json["validation_loss"])
                                                   : ""));
  if (json["best_step"].is_number())
    text += line("best", fmt::format("{} at step {}", number(json["best_validation_loss"]),
                                     json["best_step"].get<std::int64_t>()));
  text += line("rate",
               fmt::format("{} samples/s, learning rate {}, gradient norm {}", number(json["samples_per_s"]),
                           number(json["learning_rate"]), number(json["gradient_norm"])));
  text += line("skipped",
               fmt::format("{} updates not finite, {} without a valid pixel; {} samples with an unreadable "
                           "frame; {} roll-backs",
                           number(json["skipped"]), number(json["empty"]), number(json["left_out"]),
                           number(json["rollbacks"])));
  text += line("checkpoint", json["checkpoint"].is_string()
                                 ? fmt::format("{}, {} ago", json["checkpoint"].get<std::string>(),
                                               format_duration(json["checkpoint_age_s"].get<double>()))
                                 : "none");
  constexpr std::size_t kShown = 5;
  const auto& events = json["events"];
  for (std::size_t i = events.size() - std::min(kShown, events.size()); i < events.size(); ++i) {
    text += line(i + 1 == events.size() ? "last" : "before",
                 fmt::format("{} at step {}", events[i]["event"].get<std::string>(),
                             events[i]["step"].get<std::int64_t>()));
  }
  if (json["state"] == "interrupted" || json["state"] == "stopped")
    text += "  the same 'raincell train' goes on there\n";
  text.pop_back();
  return text;
}

int run(const Arguments& arguments, Log& log) {
  const fs::path folder = arguments.positional[0];
  const bool watching = is_watch_output(folder);
  const Json json = watching ? watch_status(folder) : status_of(folder);
  const bool as_json = arguments.has("json");
  log.result(as_json ? json_text(json) : watching ? watch_status_text(json) : text_of(json));
  return kOk;
}

}  // namespace

Command status_command() {
  return {{"status",
           "Says how a training or a rolling service is getting on.",
           "  raincell status runs/radar\n"
           "  raincell status nowcasts",
           "RUN",
           1,
           1,
           {{"json", "", "one JSON object instead", false}},
           {}},
          run};
}

}  // namespace raincell::app
