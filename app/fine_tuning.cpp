#include "app/fine_tuning.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/errors.hpp"
#include "app/issued_skill.hpp"
#include "app/json_fields.hpp"
#include "app/weights.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
using std::chrono::days;
using std::chrono::minutes;
using std::chrono::seconds;
namespace fs = std::filesystem;

constexpr seconds kGrace{30};       // for a child that was asked to end, to save what is worth it
constexpr std::size_t kKept = 3;    // folders of runs
constexpr std::int64_t kTries = 3;  // of a run beside which services die
/// What the libraries and stacks of a training take beside what it plans for.
constexpr std::int64_t kUnplannedBytes = std::int64_t{256} << 20;

/// New weights beside those in use, both scored by a verification.
Verdict judge(const PooledScores& fresh, const PooledScores& in_use, const WatchConfig& config) {
  if (fresh.cases != in_use.cases || fresh.score.sums.pixels != in_use.score.sums.pixels)
    return {false, false,
            fmt::format("the frames they were scored on changed meanwhile: {} cases with {} pixels, and {} "
                        "with {}",
                        fresh.cases, fresh.score.sums.pixels, in_use.cases, in_use.score.sums.pixels)};
  Comparison both;
  both.a = "fine-tuned " + config.forecaster;
  both.b = config.forecaster + " in use";
  both.cases = fresh.cases;
  both.leads = fresh.leads;
  both.of_a = fresh.score;
  both.of_b = in_use.score;
  return not_worse(both, config.weights.min_cases);
}

}  // namespace

io::TimePoint newest_set_time(const std::vector<std::int64_t>& at_minutes, io::TimePoint now) {
  const io::TimePoint midnight = std::chrono::floor<days>(now);
  io::TimePoint newest = io::TimePoint::min();
  for (const std::int64_t minute : at_minutes) {
    const io::TimePoint today = midnight + minutes(minute);
    newest = std::max(newest, today <= now ? today : today - days(1));
  }
  return newest;
}

FineTuning::FineTuning(const WatchConfig& config, fs::path folder, Log& log, fs::path program)
    : config_(config), folder_(std::move(folder)), program_(std::move(program)), log_(log) {
  if (config_.schedule.config.empty()) return;
  try {
    (void)load_config(config_.schedule.config, {});
  } catch (const ConfigError& error) {
    log_.warning(fmt::format("schedule.config: {}; correct it before the next set time", error.what()));
  }
  load();
}

FineTuning::~FineTuning() {
  stop();
}

void FineTuning::load() {
  const fs::path file = folder_ / "state.json";
  std::error_code none;
  if (!fs::exists(file, none)) return;
  Json state;
  try {
    state = Json::parse(io::read_file(file, 1 << 20), nullptr, false);
  } catch (const io::DataError& error) {
    log_.warning(error.what());
  }
  if (!state.is_object()) {
    log_.warning(
        fmt::format("{}: cannot be read; the next fine-tuning is that of the next set time", file.string()));
    return;
  }
  last_ = time_in(state, "last_set_time");
  last_decision_ = text_in(state, "last_decision");
  run_ = run_of(state.value("run", Json()));
  if (!run_) return;
  const Json child = state.value("child", Json());
  if (!child.is_object()) return;  // it was stopped, and nobody died
  if (child.value("pid", Json()).is_number_integer() && child.value("began", Json()).is_string())
    end_left_behind({child["pid"].get<pid_t>(), child["began"].get<std::string>()});
  if (++run_->interrupted >= kTries)
    conclude(Outcome::failed, fmt::format("the service died {} times beside it", run_->interrupted));
  else
    log_.info(fmt::format("fine-tuning of {} was interrupted while {}, and goes on",
                          io::format_time(run_->set_time), phase_of(run_->step)));
  remember();
}

void FineTuning::remember() {
  const ProcessMark child = child_ ? mark_of(child_->pid()) : ProcessMark();
  const Json state = {
      {"last_set_time", last_ ? Json(io::format_time(*last_)) : Json(nullptr)},
      {"run", run_ ? run_->json() : Json(nullptr)},
      {"child", child_ ? Json{{"pid", child_->pid()}, {"began", child.began}} : Json(nullptr)},
      {"last_decision", last_decision_}};
  unsaved_ = false;
  try {
    io::make_folder(folder_);
    io::publish(folder_ / "state.json", json_text(state, 1) + "\n");
    writable_ = true;
  } catch (const io::WriteError& error) {
    if (writable_)
      log_.warning(fmt::format("{}; a new service would repeat or forget a fine-tuning", error.what()));
    writable_ = false;
  }
}

/// Whether a set time has come that has had no run. The first of a new service is its next one.
bool FineTuning::due(io::TimePoint now) {
  const io::TimePoint newest = newest_set_time(config_.schedule.at_minutes, now);
  if (last_ && *last_ > now + days(1)) {
    log_.warning(
        fmt::format("the last fine-tuning was that of {}, and the clock says {}; the next one is that "
                    "of the next set time",
                    io::format_time(*last_), io::format_time(now)));
    last_.reset();
  }
  if (last_ && newest <= *last_) return false;
  const bool first = !last_;
  last_ = newest;
  unsaved_ = true;
  return !first;
}

std::optional<FineTuning::Result> FineTuning::round(io::Moment now, const fs::path& weights_in_use) {
  if (config_.schedule.config.empty()) return std::nullopt;
  if (unsaved_) remember();
  const bool is_due = due(now.wall);
  if (run_) {
    if (is_due)
      log_.warning(fmt::format("the fine-tuning of {} is still {}; that of {} is left out",
                               io::format_time(run_->set_time), phase_of(run_->step),
                               io::format_time(*last_)));
    if (child_)
      look(now, weights_in_use);
    else
      launch(now);
  } else if (is_due) {
    begin(now, weights_in_use);
  }
  return std::exchange(result_, std::nullopt);
}

void FineTuning::begin(io::Moment now, const fs::path& weights_in_use) {
  FineTuningRun& run = run_.emplace();
  run.set_time = *last_;
  run.in_use = weights_in_use;
  run.until = now.wall;
  run.held_out = run.until - seconds(config_.schedule.holdout_s);
  run.train_from = run.held_out - seconds(config_.schedule.history_s);
  try {
    std::error_code none;
    fs::remove_all(run_folder(), none);  // where the clock was set back
    io::make_folder(run_folder());
    const WeightsInfo info = read_weights_info(weights_in_use);
    run.past = info.spec.past;
    run.future = info.spec.future;
    io::publish(run_folder() / run_files::kStart, io::read_file(weights_in_use));
  } catch (const std::runtime_error& error) {
    conclude(Outcome::failed, error.what());
    return;
  }
  log_.info(fmt::format("fine-tuning of {}: {} goes on from {}", io::format_time(run.set_time),
                        config_.schedule.config, weights_in_use.string()));
  launch(now);
}

void FineTuning::launch(io::Moment now) {
  ChildSpec spec;
  spec.program = program_;
  spec.arguments = arguments_of(*run_, config_, run_folder());
  spec.log = run_folder() / (std::string(phase_of(run_->step)) + ".log");
  spec.niceness = static_cast<int>(config_.schedule.niceness);
  // Drivers of a GPU set aside more than they use.
  if (config_.schedule.memory_bytes > 0 && config_.schedule.backend == "cpu")
    spec.data_bytes = config_.schedule.memory_bytes + kUnplannedBytes;
  asked_to_end_.reset();
  launched_ = now.steady;
  try {
    child_ = std::make_unique<ChildProcess>(spec);
  } catch (const ResourceError& error) {
    conclude(Outcome::failed, error.what());
    return;
  }
  remember();
}

void FineTuning::look(io::Moment now, const fs::path& weights_in_use) {
  const auto end = child_->ended();
  const seconds longest(config_.schedule.longest_s);
  if (!end && asked_to_end_ && now.steady - *asked_to_end_ > kGrace) {
    child_->kill();
  } else if (!end && !asked_to_end_ && now.steady - launched_ > longest) {
    child_->ask_to_end();
    asked_to_end_ = now.steady;
  }
  if (!end) return;
  child_.reset();
  if (end->well) {
    go_on(now, weights_in_use);
    return;
  }
  const std::string late = fmt::format("it took longer than {} (schedule.longest) and was ended",
                                       format_duration(static_cast<double>(longest.count())));
  conclude(Outcome::failed,
           fmt::format("{} failed: {}", phase_of(run_->step), asked_to_end_ ? late : end->reason));
}

/// A step has ended well.
void FineTuning::go_on(io::Moment now, const fs::path& weights_in_use) {
  try {
    const auto scores = [&](const char* name) { return read_scores(run_folder() / name); };
    switch (run_->step) {
      case RunStep::pack:
        // Blocks to choose on are cut from the whole range: none of it may lie before the frames.
        if (const auto first = begin_of_archive(config_))
          run_->train_from = std::max(run_->train_from, *first);
        if (run_->train_from >= run_->held_out) {
          conclude(Outcome::failed,
                   fmt::format("the archive begins at {}, and what is older than {} "
                               "(schedule.holdout) is trained on",
                               io::format_time(run_->train_from), io::format_time(run_->held_out)));
          return;
        }
        run_->step = RunStep::score_in_use;
        break;
      case RunStep::score_in_use: {
        // Where nothing can be learnt from the frames that are held out, nothing is trained.
        const PooledScores in_use = scores(run_files::kScoresInUse);
        if (const Verdict verdict = judge(in_use, in_use, config_); !verdict.known) {
          conclude(Outcome::kept, verdict.reason);
          return;
        }
        run_->step = RunStep::train;
        break;
      }
      case RunStep::train:
        run_->step = RunStep::score_new;
        break;
      case RunStep::score_new: {
        const Verdict verdict =
            judge(scores(run_files::kScoresNew), scores(run_files::kScoresInUse), config_);
        if (!verdict.not_worse) {
          conclude(Outcome::kept, verdict.reason);
        } else if (weights_in_use != run_->in_use) {
          conclude(Outcome::kept, "other weights have come into use meanwhile");
        } else {
          result_ = Result{run_folder() / run_files::kNew, verdict.reason};
          conclude(Outcome::promoted, verdict.reason);
        }
        return;
      }
    }
  } catch (const io::DataError& error) {
    conclude(Outcome::failed, error.what());
    return;
  }
  launch(now);
}

/// The state is written at the next round, when a result has been taken: who dies before that decides again.
void FineTuning::conclude(Outcome outcome, const std::string& reason) {
  const bool promoted = outcome == Outcome::promoted;
  last_decision_ = fmt::format("fine-tuning of {}: {}; {}", io::format_time(run_->set_time), reason,
                               promoted ? "the new weights are to be used" : "the weights in use are kept");
  ++(promoted ? promoted_ : outcome == Outcome::kept ? kept_ : failed_);
  if (outcome == Outcome::failed)
    log_.warning(last_decision_);
  else
    log_.info(last_decision_);
  tidy();
  run_.reset();
  unsaved_ = true;
}

/// Checkpoints are of no use when a run is over, and neither are the oldest runs.
void FineTuning::tidy() const {
  std::error_code none;
  fs::remove_all(run_folder() / run_files::kTraining / "checkpoints", none);
  std::vector<fs::path> runs;
  for (const auto& entry : fs::directory_iterator(folder_, none))
    if (is_run_name(entry.path().filename().string())) runs.push_back(entry.path());
  std::sort(runs.begin(), runs.end());
  for (std::size_t i = 0; i + kKept < runs.size(); ++i) fs::remove_all(runs[i], none);
}

void FineTuning::stop() {
  if (!child_ && !unsaved_) return;
  child_.reset();
  remember();
}

Json FineTuning::json() const {
  return {{"state", run_ ? phase_of(run_->step) : "idle"},
          {"set_time", run_ ? Json(io::format_time(run_->set_time)) : Json(nullptr)},
          {"last_set_time", last_ ? Json(io::format_time(*last_)) : Json(nullptr)},
          {"last_decision", last_decision_.empty() ? Json(nullptr) : Json(last_decision_)},
          {"promoted", promoted_},
          {"kept", kept_},
          {"failed", failed_}};
}

void FineTuning::add_metrics(Exposition& out) const {
  const std::pair<const char*, std::int64_t> results[] = {
      {"promoted", promoted_}, {"kept", kept_}, {"failed", failed_}};
  for (const auto& [result, count] : results)
    out.add("fine_tunings_total", "counter", "Fine-tunings by what came of them.", static_cast<double>(count),
            {{"result", result}});
  out.add("fine_tuning_at_work", "gauge", "Whether a fine-tuning is at work.", run_ ? 1. : 0.);
}

}  // namespace raincell::app
