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

nlohmann::ordered_json TrainingRun::environment(const TakingUp& how) const {
  struct utsname system {};
  ::uname(&system);
  const kernels::BackendInfo& info = network_.backend().info();
  return {{"version", version_text()},
          {"deterministic", how.deterministic},
          {"backend", info.name},
          {"device", info.device},
          {"libraries", info.libraries},
          {"threads", info.threads},
          {"ranks", ranks_ == nullptr ? 1 : ranks_->size()},
          {"kernels", network_.implementations()},
          {"system", std::string(system.sysname) + " " + system.release},
          {"start", how.start.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(how.start)},
          {"archives", config_.data.archives},
          {"archive_hash", data_.hash},
          {"parameters", network_.layout().count()},
          {"train_windows", data_.train_windows.size()},
          {"validation_windows", data_.validation_windows.size()}};
}

/// The same bytes come only from the same computation from the first step on.
void TrainingRun::compare_environment(const std::string& before, const nlohmann::ordered_json& now,
                                      const TakingUp& how) const {
  if (folder_ == nullptr) return;  // the first rank says it for all
  const auto had = nlohmann::json::parse(before, nullptr, false);
  const auto of = [&](const char* key) {
    return had.is_object() ? had.value(key, nlohmann::json()) : nlohmann::json();
  };
  std::string changes;
  for (const char* const key : {"ranks", "threads", "backend", "device", "libraries", "kernels", "version"}) {
    const nlohmann::json is = now.at(key);
    if (of(key) == is) continue;
    changes += fmt::format("{}{}", changes.empty() ? "" : ", ", key);
    if (is.is_primitive()) changes += fmt::format(" ({} -> {})", of(key).dump(), is.dump());
  }
  if (how.deterministic) {
    for (const char* const key : {"deterministic", "start"}) {
      if (of(key) != nlohmann::json(now.at(key)))
        changes += fmt::format("{}{} ({} -> {})", changes.empty() ? "" : ", ", key, of(key).dump(),
                               now.at(key).dump());
    }
  }
  if (changes.empty()) return;
  const std::string where = run_.string();
  if (how.deterministic) {
    throw UsageError(fmt::format(
        "{}: --deterministic: the run was begun with something else: {}. It cannot end in the bytes of one "
        "that "
        "was not interrupted; give the same, go on without --deterministic, or start anew with --fresh",
        where, changes));
  }
  log_.warning(
      fmt::format("{}: goes on with other {}: it will not end in the same bits as a run that was not "
                  "interrupted, though as well",
                  where, changes));
}

void TrainingRun::write_report(const std::string& status, const std::vector<ReportPicture>& pictures) {
  TrainReport report;
  report.title = "Training of " + config_.name;
  report.status = status;
  report.facts = {{"parameters", fmt::format("{}", network_.layout().count())},
                  {"steps", fmt::format("{} of {}", trainer_.updates(), config_.training.steps)},
                  {"training windows", fmt::format("{}", data_.train_windows.size())},
                  {"validation windows", fmt::format("{}", data_.validation_windows.size())}};
  if (position_.best_step > 0) {
    report.facts.emplace_back(
        "best validation loss",
        fmt::format("{:.6f} at step {}", position_.best_validation, position_.best_step));
  }
  const auto count = [](std::int64_t n) { return fmt::format("{}", n); };
  report.facts.emplace_back("skipped updates",
                            fmt::format("{} not finite, {} without a valid pixel", trainer_.read_skipped(),
                                        trainer_.empty_updates()));
  report.facts.emplace_back("roll-backs", count(position_.rollbacks));
  if (failed_saves_ > 0)
    report.facts.emplace_back("checkpoints that could not be saved", count(failed_saves_));
  report.pictures = pictures;
  const kernels::BackendInfo& info = network_.backend().info();
  report.environment = {{"version", version_text()},
                        {"device", info.device},
                        {"libraries", info.libraries},
                        {"threads", count(info.threads)},
                        {"ranks", count(ranks_ == nullptr ? 1 : ranks_->size())}};
  Series training, validation;
  training.name = "training";
  validation.name = "validation";
  report.learning_rate.name = "learning rate";
  report.gradient_norm.name = "gradient norm";
  Series csi, advection_csi, mse, advection_mse;
  csi.name = mse.name = "network";
  advection_csi.name = advection_mse.name = config_.guide.fading ? "advection, faded" : "advection";
  advection_csi.style = advection_mse.style = 1;
  report.rate.name = "samples a second";
  const auto add = [](Series& series, const nlohmann::json& line, const char* key) {
    if (!line.contains(key) || !line[key].is_number()) return;
    series.x.push_back(line["step"].get<double>());
    series.y.push_back(line[key].get<double>());
  };
  std::ifstream lines(run_ / "metrics.jsonl");
  std::string text;
  while (std::getline(lines, text)) {
    const nlohmann::json line = nlohmann::json::parse(text, nullptr, false);
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number() || line.contains("event"))
      continue;
    add(csi, line, "validation_csi");
    add(advection_csi, line, "validation_advection_csi");
    add(mse, line, "validation_mse");
    add(advection_mse, line, "validation_advection_mse");
    add(report.rate, line, "samples_per_s");
    add(training, line, "loss");
    add(validation, line, "validation_loss");
    add(report.learning_rate, line, "learning_rate");
    add(report.gradient_norm, line, "gradient_norm");
  }
  report.losses = {training, validation};
  if (!csi.x.empty()) {
    report.further.push_back({"Validation",
                              "Critical success index at 1 mm/h, and squared error, over all leads of the "
                              "samples kept back; advection on "
                              "the same pixels. Crops of rain: 'raincell verify' scores whole domains.",
                              {step_chart("CSI at 1 mm/h", "CSI", {csi, advection_csi}, false),
                               step_chart("Squared error, mm2/h2", "MSE", {mse, advection_mse}, false)}});
  }
  report.config = resolved_text(config_);
  try {
    io::publish(run_ / "report.html", train_report(report));
  } catch (const io::WriteError& error) {
    log_.warning(error.what());
  }
}

}  // namespace raincell::app
