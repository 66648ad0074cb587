// What a training writes for people: environment and report.
#include <sys/utsname.h>

#include <fmt/format.h>

#include <fstream>

#include "app/errors.hpp"
#include "app/report.hpp"
#include "app/train.hpp"
#include "app/version.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

constexpr std::uint64_t kLargestEnvironment = 1 << 26;  // bytes

}  // namespace

void TrainingRun::write_environment(const kernels::Backend& backend, bool deterministic,
                                    const std::string& start) {
  struct utsname system {};
  ::uname(&system);
  const kernels::BackendInfo& info = backend.info();
  const nlohmann::ordered_json json = {
      {"version", version_text()},
      {"deterministic", deterministic},
      {"backend", info.name},
      {"device", info.device},
      {"libraries", info.libraries},
      {"threads", info.threads},
      {"kernels", network_.implementations()},
      {"system", std::string(system.sysname) + " " + system.release},
      {"start", start.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(start)},
      {"archives", config_.data.archives},
      {"archive_hash", data_.hash},
      {"parameters", network_.layout().count()},
      {"train_windows", data_.train_windows.size()},
      {"validation_windows", data_.validation_windows.size()}};
  if (deterministic && folder_.has_checkpoint()) refuse_other_environment(json);
  io::publish(folder_.path("env.json"), json_text(json, 1) + "\n");
}

/// The same bytes come only from the same computation from the first step on.
void TrainingRun::refuse_other_environment(const nlohmann::ordered_json& now) const {
  const auto before =
      nlohmann::json::parse(io::read_file(folder_.path("env.json"), kLargestEnvironment), nullptr, false);
  for (const char* const key :
       {"deterministic", "threads", "backend", "device", "libraries", "kernels", "start"}) {
    const nlohmann::json had = before.is_object() ? before.value(key, nlohmann::json()) : nlohmann::json();
    if (had == nlohmann::json(now.at(key))) continue;
    throw UsageError(fmt::format(
        "{}: --deterministic: the run was begun with another value of '{}' ({}, now {}), so it cannot end in "
        "the bytes of one that was not interrupted; give the same, go on without --deterministic, or start "
        "anew with --fresh",
        folder_.path("").string(), key, had.dump(), nlohmann::json(now.at(key)).dump()));
  }
}

void TrainingRun::write_report(bool finished) {
  TrainReport report;
  report.title = "Training of " + config_.name;
  report.status = finished ? "finished" : fmt::format("stopped at step {}", trainer_.updates());
  report.facts = {{"parameters", fmt::format("{}", network_.layout().count())},
                  {"steps", fmt::format("{} of {}", trainer_.updates(), config_.training.steps)},
                  {"training windows", fmt::format("{}", data_.train_windows.size())},
                  {"validation windows", fmt::format("{}", data_.validation_windows.size())}};
  if (position_.best_step > 0) {
    report.facts.emplace_back(
        "best validation loss",
        fmt::format("{:.6f} at step {}", position_.best_validation, position_.best_step));
  }
  const kernels::BackendInfo& info = network_.backend().info();
  report.environment = {{"version", version_text()},
                        {"device", info.device},
                        {"libraries", info.libraries},
                        {"threads", fmt::format("{}", info.threads)}};
  Series training, validation;
  training.name = "training";
  validation.name = "validation";
  report.learning_rate.name = "learning rate";
  report.gradient_norm.name = "gradient norm";
  const auto add = [](Series& series, const nlohmann::json& line, const char* key) {
    if (!line.contains(key) || !line[key].is_number()) return;
    series.x.push_back(line["step"].get<double>());
    series.y.push_back(line[key].get<double>());
  };
  std::ifstream lines(folder_.path("metrics.jsonl"));
  std::string text;
  while (std::getline(lines, text)) {
    const nlohmann::json line = nlohmann::json::parse(text, nullptr, false);
    if (line.is_discarded() || !line.contains("step")) continue;
    add(training, line, "loss");
    add(validation, line, "validation_loss");
    add(report.learning_rate, line, "learning_rate");
    add(report.gradient_norm, line, "gradient_norm");
  }
  report.losses = {training, validation};
  report.config = resolved_text(config_);
  try {
    io::publish(folder_.path("report.html"), train_report(report));
  } catch (const io::WriteError& error) {
    log_.warning(error.what());
  }
}

}  // namespace raincell::app
