#include "app/fine_tuning_run.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>

#include "app/config_fields.hpp"
#include "app/config_types.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;
namespace fs = std::filesystem;

constexpr const char* kSteps[] = {"pack", "score in use", "train", "score new"};
constexpr std::int64_t kLooks = 10;  // of a training at its validation, and checkpoints, until its end
constexpr std::int64_t kMostReaders = 64;

/// form: 0 stands for a digit.
bool has_form(std::string_view text, std::string_view form) {
  return std::equal(text.begin(), text.end(), form.begin(), form.end(),
                    [](char c, char wanted) { return wanted == '0' ? c >= '0' && c <= '9' : c == wanted; });
}

std::int64_t threads_of(const WatchConfig& config) {
  if (config.schedule.threads > 0) return config.schedule.threads;
  return std::max<std::int64_t>(1, std::thread::hardware_concurrency() / 2);
}

void add(Words& words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
}

void set(Words& words, const std::string& key, const std::string& value) {
  add(words, {"--set", key + "=" + value});
}

void set_shared(Words& words, const WatchConfig& config,
                const std::function<bool(const std::string&)>& takes) {
  for (const Field<Config>& field : config_fields())
    if (const std::string value = field.write(config.shared); takes(field.key) && !value.empty())
      set(words, field.key, value);
}

Words budget(const WatchConfig& config) {
  Words words = {"--backend", config.schedule.backend, "--threads", fmt::format("{}", threads_of(config))};
  if (config.schedule.memory_bytes > 0)
    add(words, {"--memory", fmt::format("{}", config.schedule.memory_bytes)});
  return words;
}

std::string archive_of(const WatchConfig& config) {
  return config.schedule.archive.empty() ? (fs::path(config.output) / "archive").string()
                                         : config.schedule.archive;
}

bool is_of_source(const std::string& key) {
  return key.starts_with("source.");
}

Words pack_words(const WatchConfig& config) {
  Words words = {"pack",
                 config.input,
                 "--append",
                 "--output",
                 archive_of(config),
                 "--threads",
                 fmt::format("{}", std::min(kMostReaders, threads_of(config)))};
  set_shared(words, config, is_of_source);
  return words;
}

Words train_words(const FineTuningRun& run, const WatchConfig& config, const fs::path& folder) {
  Words words = {"train",   config.schedule.config,
                 "--run",   (folder / run_files::kTraining).string(),
                 "--start", (folder / run_files::kStart).string()};
  add(words, budget(config));
  set(words, "data.archive", quote(archive_of(config)));
  set(words, "data.train",
      io::format_time(run.train_from) + "/" + io::format_time(run.held_out - std::chrono::seconds(1)));
  set(words, "data.past", fmt::format("{}", run.past));
  set(words, "data.future", fmt::format("{}", run.future));
  set(words, "data.workers", "1");
  set(words, "optimizer.learning_rate", fmt::format("{}", config.schedule.learning_rate));
  set(words, "training.steps", fmt::format("{}", config.schedule.steps));
  const std::int64_t every = std::max<std::int64_t>(1, config.schedule.steps / kLooks);
  set(words, "training.validate_every", fmt::format("{}", every));
  set(words, "training.checkpoint_every", fmt::format("{}", every));
  return words;
}

Words score_words(const FineTuningRun& run, const WatchConfig& config, const fs::path& weights,
                  const fs::path& scores) {
  Words words = {"verify",
                 "--model",
                 weights.string(),
                 "--input",
                 config.input,
                 "--from",
                 io::format_time(run.held_out),
                 "--to",
                 io::format_time(run.until),
                 "--forecasters",
                 config.forecaster,
                 "--thresholds",
                 fmt::format("{}", fmt::join(config.ledger.thresholds_mm_h, ",")),
                 "--json",
                 scores.string(),
                 "--scratch",
                 config.output};
  if (config.horizon_s > 0) add(words, {"--horizon", fmt::format("{}s", config.horizon_s)});
  add(words, budget(config));
  set_shared(words, config, [](const std::string& key) {
    return is_of_source(key) || key == "precision" || key == "advection.frames" ||
           key == "advection.smoothing_pixels";
  });
  return words;
}

}  // namespace

const char* phase_of(RunStep step) {
  return step == RunStep::pack ? "packing" : step == RunStep::train ? "training" : "scoring";
}

std::string FineTuningRun::name() const {
  std::string text = io::format_time(set_time);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

bool is_run_name(const std::string& name) {
  return has_form(name, "00000000T0000Z");
}

std::optional<io::TimePoint> begin_of_archive(const WatchConfig& config) {
  std::optional<io::TimePoint> begin;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(archive_of(config), none)) {
    const std::string name = entry.path().filename().string();  // part_20240601T0000Z_20240601T0455Z.nc
    if (!has_form(name.substr(0, 18), "part_00000000T0000")) continue;
    const auto first =
        io::parse_time(fmt::format("{}-{}-{}T{}:{}Z", name.substr(5, 4), name.substr(9, 2),
                                   name.substr(11, 2), name.substr(14, 2), name.substr(16, 2)));
    if (first && (!begin || *first < *begin)) begin = first;
  }
  return begin;
}

Json FineTuningRun::json() const {
  return {{"set_time", io::format_time(set_time)},
          {"in_use", in_use.string()},
          {"train_from", io::format_time(train_from)},
          {"held_out", io::format_time(held_out)},
          {"until", io::format_time(until)},
          {"past", past},
          {"future", future},
          {"step", kSteps[static_cast<std::size_t>(step)]},
          {"interrupted", interrupted}};
}

std::optional<FineTuningRun> run_of(const Json& json) {
  try {
    FineTuningRun run;
    const auto time = [&](const char* key) {
      return io::parse_time(json.at(key).get<std::string>()).value();
    };
    run.set_time = time("set_time");
    run.in_use = json.at("in_use").get<std::string>();
    run.train_from = time("train_from");
    run.held_out = time("held_out");
    run.until = time("until");
    run.past = json.at("past").get<std::int64_t>();
    run.future = json.at("future").get<std::int64_t>();
    run.interrupted = json.at("interrupted").get<std::int64_t>();
    const auto step = std::find(std::begin(kSteps), std::end(kSteps), json.at("step").get<std::string>());
    if (step == std::end(kSteps)) return std::nullopt;
    run.step = static_cast<RunStep>(step - std::begin(kSteps));
    return run;
  } catch (const Json::exception&) {
    return std::nullopt;
  } catch (const std::bad_optional_access&) {
    return std::nullopt;
  }
}

Words arguments_of(const FineTuningRun& run, const WatchConfig& config, const fs::path& folder) {
  switch (run.step) {
    case RunStep::pack:
      return pack_words(config);
    case RunStep::score_in_use:
      return score_words(run, config, folder / run_files::kStart, folder / run_files::kScoresInUse);
    case RunStep::train:
      return train_words(run, config, folder);
    case RunStep::score_new:
      break;
  }
  return score_words(run, config, folder / run_files::kNew, folder / run_files::kScoresNew);
}

PooledScores read_scores(const fs::path& file) {
  const std::string text = io::read_file(file, std::uint64_t{1} << 28);
  PooledScores pooled;
  try {
    const Json json = Json::parse(text);
    pooled.cases = json.at("cases").get<std::int64_t>();
    std::map<double, model::ContingencyTable> tables;
    for (const Json& row : json.at("scores")) {
      const auto count = [&](const char* key) { return row.at(key).get<std::int64_t>(); };
      tables[row.at("threshold_mm_h").get<double>()] +=
          {count("hits"), count("misses"), count("false_alarms"), count("correct_negatives")};
    }
    for (const auto& [threshold, table] : tables) pooled.score.tables.push_back(table);
    for (const Json& row : json.at("continuous")) {
      const auto pixels = row.at("pixels").get<std::int64_t>();
      pooled.leads += pooled.cases;
      if (pixels == 0) continue;  // its mean is no number
      pooled.score.sums.pixels += pixels;
      pooled.score.sums.squared_error += row.at("mse").get<double>() * static_cast<double>(pixels);
    }
  } catch (const Json::exception& error) {
    throw io::DataError(fmt::format("{}: is no result of raincell verify: {}", file.string(), error.what()));
  }
  return pooled;
}

}  // namespace raincell::app
