#include "app/watch_config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "app/config_reading.hpp"
#include "app/config_types.hpp"

namespace raincell::app {

namespace {

/// Reference to a member of the config, for the table.
#define AT(member) [](WatchConfig& c) -> decltype(c.member)& { return c.member; }

template <class Access>
Field<WatchConfig> duration(std::string key, Access at, std::int64_t min, std::int64_t max,
                            std::string meaning) {
  const auto text_of = [](std::int64_t s) {
    if (s != 0 && s % 86400 == 0) return fmt::format("{}d", s / 86400);
    if (s != 0 && s % 3600 == 0) return fmt::format("{}h", s / 3600);
    return s != 0 && s % 60 == 0 ? fmt::format("{}min", s / 60) : fmt::format("{}s", s);
  };
  const std::string allowed = fmt::format("{} to {}", text_of(min), text_of(max));
  return {std::move(key),
          "duration",
          allowed,
          std::move(meaning),
          [=](WatchConfig& config, const YamlNode& node, const Place& place) {
            const auto seconds = node.kind == NodeKind::scalar ? parse_seconds(node.text) : std::nullopt;
            if (!seconds || *seconds < min || *seconds > max) {
              place.problems.add(
                  place.file, node.line, place.key,
                  fmt::format("{}; expected a time from {}, for example 90s or 5min", seen(node), allowed));
              return;
            }
            at(config) = *seconds;
          },
          [=](const WatchConfig& config) { return text_of(at(const_cast<WatchConfig&>(config))); }};
}

/// "03:00" or [03:00, 15:00], kept as minutes of the day.
template <class Access>
Field<WatchConfig> times_of_day(std::string key, Access at, std::string meaning) {
  return {std::move(key),
          "list of times",
          "00:00 to 23:59",
          std::move(meaning),
          [=](WatchConfig& config, const YamlNode& node, const Place& place) {
            std::vector<std::int64_t> minutes;
            for (const YamlNode& item : node.kind == NodeKind::list ? node.items : std::vector{node}) {
              const auto time = item.kind == NodeKind::scalar && item.text.size() == 5
                                    ? io::parse_time("1970-01-01T" + item.text + "Z")
                                    : std::nullopt;
              if (!time) {
                place.problems.add(place.file, node.line, place.key,
                                   seen(item) + "; expected times of the day, for example [\"03:00\"]");
                return;
              }
              minutes.push_back(time->time_since_epoch().count() / 60);
            }
            at(config) = minutes;
          },
          [=](const WatchConfig& config) {
            std::string list;
            for (const std::int64_t minute : at(const_cast<WatchConfig&>(config)))
              list += fmt::format("{}\"{:02}:{:02}\"", list.empty() ? "" : ", ", minute / 60, minute % 60);
            return "[" + list + "]";
          }};
}

template <class Access>
Field<WatchConfig> memory(std::string key, Access at, std::string meaning) {
  constexpr std::int64_t kMiB = 1 << 20;
  return {std::move(key),
          "size",
          "0, or from 64MiB",
          std::move(meaning),
          [=](WatchConfig& config, const YamlNode& node, const Place& place) {
            const auto bytes = node.kind == NodeKind::scalar ? parse_bytes(node.text) : std::nullopt;
            if (!bytes || (*bytes != 0 && *bytes < 64 * kMiB)) {
              place.problems.add(place.file, node.line, place.key,
                                 seen(node) + "; expected 0 or a size from 64MiB, for example 2GiB");
              return;
            }
            at(config) = *bytes;
          },
          [=](const WatchConfig& config) {
            const std::int64_t bytes = at(const_cast<WatchConfig&>(config));
            return bytes % kMiB == 0 && bytes > 0 ? fmt::format("{}MiB", bytes / kMiB)
                                                  : fmt::format("{}", bytes);
          }};
}

/// A key of the training's table with the same meaning here.
Field<WatchConfig> shared(const Field<Config>& field) {
  return {field.key,
          field.type,
          field.allowed,
          field.meaning,
          [field](WatchConfig& config, const YamlNode& node, const Place& place) {
            field.read(config.shared, node, place);
          },
          [field](const WatchConfig& config) { return field.write(config.shared); }};
}

std::vector<Field<WatchConfig>> own_fields() {
  using R = WatchConfig;
  constexpr std::int64_t kDay = 86400, kYear = 366 * kDay;
  return {
      text<R>("input", AT(input), "folder that radar files arrive in; must be given"),
      text<R>("output", AT(output), "folder for products, pictures, latest.json and scores; must be given"),
      text<R>("model", AT(model), "weights; empty: the shipped ones"),
      choice<R>("forecaster", AT(forecaster),
                {{"convlstm", "convlstm"},
                 {"blend", "blend"},
                 {"advection", "advection"},
                 {"persistence", "persistence"}},
                "the first rung of the ladder"),
      duration("horizon", AT(horizon_s), 0, kDay, "how far to forecast; 0: as the model was trained"),
      duration("intake.settle", AT(intake.settle_s), 0, 3600,
               "a file is read when it has been the same for so long"),
      duration("intake.ahead", AT(intake.ahead_s), 0, kDay,
               "frames that are stamped further ahead of the clock wait until it is time"),
      duration("intake.oldest", AT(intake.oldest_s), 60, 366 * kDay, "older frames are left alone"),
      integer<R>("intake.tries", AT(intake.tries), 1, 100,
                 "times that an unreadable file is tried before it is refused until it changes"),
      duration("cycle.step", AT(cycle.step_s), 0, kDay, "between two frames; 0: as the frames have it"),
      duration("cycle.max_wait", AT(cycle.max_wait_s), 0, kDay,
               "how long after its time a frame is waited for"),
      duration("cycle.max_age", AT(cycle.max_age_s), 0, kDay,
               "oldest newest frame that a nowcast may start from; else it is withheld"),
      integer<R>("cycle.max_gap", AT(cycle.max_gap), 0, 16,
                 "missing frames in a row, between others, that are filled by advection"),
      duration("cycle.budget", AT(cycle.budget_s), 1, kDay,
               "time for a nowcast; a model that is not done by then is passed over for advection"),
      boolean<R>("publish.pictures", AT(publish.pictures), "a map a lead, and an animation"),
      reals<R>("publish.accumulations", AT(publish.accumulations_min), 1., 1440.,
               "sums of rain from the latest frame on, minutes; those within the horizon"),
      boolean<R>("publish.revise", AT(publish.revise),
                 "publish the newest nowcast again, as a revision, when a frame that it lacked arrives"),
      duration("publish.keep", AT(publish.keep_s), 60, kYear * 100,
               "products and pictures older than that go"),
      integer<R>("publish.keep_products", AT(publish.keep_products), 1, 100000000, "most products that stay"),
      real<R>("publish.keep_gib", AT(publish.keep_gib), 0.001, 1e6, "most GiB of products and pictures"),
      reals<R>("ledger.thresholds", AT(ledger.thresholds_mm_h), 1e-6, 1e4,
               "thresholds that forecasts are scored at, ascending; unit of the field"),
      integer<R>("ledger.hours", AT(ledger.hours), 1, 24 * 366, "of the rolling skill"),
      integer<R>("ledger.days", AT(ledger.days), 1, 3660, "that scores are kept"),
      integer<R>("weights.min_cases", AT(weights.min_cases), 1, 100000,
                 "nowcasts that new weights are tried on, beside those in use, before they may replace them"),
      text<R>("http.address", AT(http.address), "where the listener listens"),
      integer<R>("http.port", AT(http.port), 0, 65535, "of the listener with map page and metrics; 0: none"),
  };
}

/// Of the fine-tuning.
std::vector<Field<WatchConfig>> schedule_fields() {
  using R = WatchConfig;
  constexpr std::int64_t kDay = 86400, kYear = 366 * kDay;
  return {
      text<R>("schedule.config", AT(schedule.config),
              "configuration of a training that goes on from the weights in use, at set times; empty: none"),
      times_of_day("schedule.at", AT(schedule.at_minutes), "when it begins, UTC"),
      text<R>("schedule.archive", AT(schedule.archive),
              "folder of the packed archive that the frames of the input are added to, from which nothing is "
              "removed; empty: archive in the output folder"),
      integer<R>("schedule.steps", AT(schedule.steps), 1, 1000000000, "updates of the weights in use"),
      real<R>("schedule.learning_rate", AT(schedule.learning_rate), 1e-9, 100., "largest, of these steps"),
      duration("schedule.holdout", AT(schedule.holdout_s), 600, 100 * kDay,
               "newest frames, not trained on: new and old weights are scored on them"),
      duration("schedule.history", AT(schedule.history_s), 600, 100 * kYear,
               "how far back from them it trains"),
      integer<R>("schedule.threads", AT(schedule.threads), 0, 4096, "of the training; 0: half of the cores"),
      integer<R>("schedule.niceness", AT(schedule.niceness), 0, 19, "of the training"),
      memory("schedule.memory", AT(schedule.memory_bytes),
             "that the training may plan for, and on the processor may have; 0: what is free"),
      choice<R>("schedule.backend", AT(schedule.backend),
                {{"auto", "auto"}, {"cpu", "cpu"}, {"cuda", "cuda"}},
                "what it computes on; a GPU is shared with the nowcasts"),
      duration("schedule.longest", AT(schedule.longest_s), 60, 100 * kDay,
               "a step of it (packing, training, scoring) that takes longer is ended"),
  };
}
#undef AT

const std::vector<Field<WatchConfig>>& watch_fields() {
  static const std::vector<Field<WatchConfig>> fields = [] {
    std::vector<Field<WatchConfig>> all = own_fields();
    for (Field<WatchConfig>& field : schedule_fields()) all.push_back(std::move(field));
    for (const Field<Config>& field : config_fields()) {
      const bool motion = field.key == "advection.frames" || field.key == "advection.smoothing_pixels";
      if (motion || field.key == "precision" || field.key.rfind("source.", 0) == 0)
        all.push_back(shared(field));
    }
    return all;
  }();
  return fields;
}

void check_whole(const WatchConfig& config, const std::string& file, Problems& problems) {
  if (config.input.empty()) problems.add(file, 0, "input", "is missing; expected the folder of radar files");
  if (config.output.empty())
    problems.add(file, 0, "output", "is missing; expected a folder for the products");
  if (!config.input.empty() && !config.output.empty()) {
    std::error_code none;
    const auto in = std::filesystem::weakly_canonical(config.input, none).lexically_normal();
    const auto out = std::filesystem::weakly_canonical(config.output, none).lexically_normal();
    if (std::mismatch(in.begin(), in.end(), out.begin(), out.end()).first == in.end())
      problems.add(file, 0, "output",
                   fmt::format("'{}' lies in the input folder '{}', where products would be taken for radar "
                               "files; expected another folder",
                               config.output, config.input));
  }
  const auto& thresholds = config.ledger.thresholds_mm_h;
  if (thresholds.empty() || !std::is_sorted(thresholds.begin(), thresholds.end()) ||
      std::adjacent_find(thresholds.begin(), thresholds.end()) != thresholds.end())
    problems.add(file, 0, "ledger.thresholds", "expected one or more, ascending");
  if (!config.schedule.config.empty()) {
    if (config.schedule.at_minutes.empty())
      problems.add(file, 0, "schedule.at", "expected one time of the day or more, for example [\"03:00\"]");
    if (config.schedule.archive.ends_with(".nc"))
      problems.add(file, 0, "schedule.archive",
                   fmt::format("'{}' is a file, which would be written anew each day; expected a folder",
                               config.schedule.archive));
    if (config.forecaster != "convlstm" && config.forecaster != "blend")
      problems.add(file, 0, "schedule.config",
                   fmt::format("there are no weights to train, since the forecaster is {}; expected convlstm "
                               "or blend, or no schedule",
                               config.forecaster));
  }
  if (config.intake.oldest_s < config.cycle.max_age_s)
    problems.add(file, 0, "intake.oldest", "must not be less than cycle.max_age");
}

}  // namespace

WatchConfig parse_watch_config(const std::string& text, const std::string& file,
                               const std::vector<std::string>& settings) {
  WatchConfig config;
  Problems problems;
  read_document(config, watch_fields(), text, file, problems);
  apply_settings(config, watch_fields(), settings, problems);
  problems.raise();
  check_whole(config, file, problems);
  problems.raise();
  return config;
}

WatchConfig load_watch_config(const std::filesystem::path& path, const std::vector<std::string>& settings) {
  return parse_watch_config(config_text(path, "configs/watch.yaml"), path.string(), settings);
}

std::string resolved_text(const WatchConfig& config) {
  return yaml_of(config, watch_fields());
}

std::vector<KeyRow> watch_key_rows() {
  return rows_of(watch_fields(), WatchConfig{});
}

}  // namespace raincell::app
