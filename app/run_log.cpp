#include "app/run_log.hpp"

#include <fmt/format.h>

#include <cmath>

#include "app/exposition.hpp"
#include "app/version.hpp"
#include "io/frame.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

constexpr std::chrono::seconds kStateEvery{10};

/// TensorBoard groups tags by what stands before the slash.
std::string tag_of(const std::string& key) {
  constexpr const char* kValidation = "validation_";
  if (key.rfind(kValidation, 0) == 0) return "validation/" + key.substr(std::string(kValidation).size());
  return "training/" + key;
}

}  // namespace

std::string prometheus_text(const TrainingState& s, const std::string& version) {
  Exposition out;
  out.add("build_info", "gauge", "The program that trains; always 1.", 1., {{"version", version}});
  const auto count = [](std::int64_t n) { return static_cast<double>(n); };
  out.add("train_step", "gauge", "Updates so far.", count(s.step));
  out.add("train_steps", "gauge", "Updates of the whole training.", count(s.steps));
  out.add("train_samples_total", "counter", "Sequences trained on.", count(s.samples));
  out.add("train_samples_left_out_total", "counter", "Sequences with a frame that cannot be read.",
          count(s.left_out));
  out.add("train_loss", "gauge", "Mean loss of the last steps.", s.loss);
  out.add("train_validation_loss", "gauge", "Loss of the last validation.", s.validation_loss);
  out.add("train_gradient_norm", "gauge", "Norm of the last gradient, before clipping.", s.gradient_norm);
  out.add("train_learning_rate", "gauge", "Learning rate of the next update.", s.learning_rate);
  const char* const skipped = "train_updates_skipped_total";
  const char* const why = "Updates that changed nothing, by reason.";
  out.add(skipped, "counter", why, count(s.skipped), {{"reason", "non_finite"}});
  out.add(skipped, "counter", why, count(s.empty), {{"reason", "no_valid_pixel"}});
  out.add("train_rollbacks_total", "counter", "Returns to an older checkpoint.", count(s.rollbacks));
  out.add("train_checkpoint_failures_total", "counter",
          "Checkpoints that could not be saved, since the start.", count(s.failed_saves));
  if (s.last_saved > 0)
    out.add("train_checkpoint_last_success_timestamp_seconds", "gauge", "When a checkpoint was last saved.",
            count(s.last_saved));
  if (s.step_seconds > 0.)
    out.add("train_step_duration_seconds", "gauge", "Mean time of the last steps.", s.step_seconds);
  return out.text();
}

void RunLog::attempt(const std::string& sink, const std::function<void()>& write) {
  if (folder_.empty()) return;
  bool& failing = failing_[sink];
  try {
    write();
    if (failing) log_.info(sink + ": can be written again");
    failing = false;
  } catch (const io::WriteError& error) {
    if (!failing)
      log_.warning(fmt::format("{}; training goes on without it until it can be written", error.what()));
    failing = true;
  }
}

void RunLog::line(const nlohmann::ordered_json& values) {
  attempt("metrics.jsonl", [&] { io::append_line(folder_ / "metrics.jsonl", json_text(values)); });
  std::vector<std::pair<std::string, double>> scalars;
  for (const auto& [key, value] : values.items())
    if (value.is_number() && key != "step") scalars.emplace_back(tag_of(key), value.get<double>());
  attempt("TensorBoard's events", [&] {
    if (!events_) events_.emplace(folder_, begin_);
    events_->scalars(values.at("step").get<std::int64_t>(), scalars);
  });
}

void RunLog::event(std::int64_t step, const std::string& what, const nlohmann::ordered_json& details) {
  nlohmann::ordered_json json = {{"step", step}, {"event", what}};
  if (details.is_object()) json.update(details);
  attempt("metrics.jsonl", [&] { io::append_line(folder_ / "metrics.jsonl", json_text(json)); });
}

void RunLog::state(const TrainingState& state, bool now) {
  const auto time = std::chrono::steady_clock::now();
  if (!now && written_ && time - *written_ < kStateEvery) return;
  written_ = time;
  attempt("metrics.prom", [&] { io::publish(folder_ / "metrics.prom", prometheus_text(state, version())); });
}

void RunLog::begin_at(std::int64_t step) {
  begin_ = step;
  events_.reset();
}

}  // namespace raincell::app
