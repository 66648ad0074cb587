#include "app/weights.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "app/cli.hpp"
#include "app/errors.hpp"
#include "io/publish.hpp"
#include "model/weights.hpp"

namespace raincell::app {

namespace {

constexpr const char* kDefaultName = "configs/weights/default.safetensors";

std::string text_of(const model::WeightsFile& file, const std::string& key,
                    const std::filesystem::path& path) {
  const auto found = file.metadata.find(key);
  if (found != file.metadata.end()) return found->second;
  throw model::WeightsError(
      fmt::format("{}: holds no '{}'; expected weights that raincell train wrote (best.safetensors)",
                  path.string(), key));
}

std::int64_t number_of(const model::WeightsFile& file, const std::string& key,
                       const std::filesystem::path& path) {
  const auto value = parse_integer(text_of(file, key, path));
  if (!value || *value < 0) {
    throw model::WeightsError(fmt::format("{}: '{}' is no number; the file is damaged", path.string(), key));
  }
  return *value;
}

model::WeightsFile parse(const std::filesystem::path& path, std::string& hash) {
  std::string bytes;
  try {
    bytes = io::read_file(path);
  } catch (const io::DataError& error) {
    throw model::WeightsError(fmt::format("{}; expected weights that raincell train wrote", error.what()));
  }
  const auto span = std::as_bytes(std::span(bytes));
  hash = io::sha256(span);
  try {
    return model::parse_safetensors(span);
  } catch (const model::WeightsError& error) {
    throw model::WeightsError(
        fmt::format("{}: {}; the file is damaged or no safetensors, copy or train it again", path.string(),
                    error.what()));
  }
}

WeightsInfo info_of(const model::WeightsFile& file, const std::filesystem::path& path,
                    const std::string& hash) {
  WeightsInfo info;
  info.hash = hash;
  info.spec = model::spec_of(file);
  info.name = text_of(file, "name", path);
  info.config = text_of(file, "config", path);
  info.steps.shortest_s = number_of(file, "step_seconds", path);
  const bool several = file.metadata.count("longest_step_seconds") > 0;
  info.steps.longest_s = several ? number_of(file, "longest_step_seconds", path) : info.steps.shortest_s;
  info.training_steps = number_of(file, "training_steps", path);
  info.parameters = model::parameter_count(info.spec);
  try {
    info.transform = io::Transform::parse(text_of(file, "transform", path));
    if (const auto fitted = file.metadata.find("blend"); fitted != file.metadata.end()) {
      info.blend = model::BlendWeights::parse(fitted->second);
      info.fitted = "weights of blend";
    }
    if (const auto fitted = file.metadata.find("calibration"); fitted != file.metadata.end()) {
      info.calibration = model::Calibration::parse(fitted->second, info.spec.thresholds.size());
      info.fitted = "calibration curves";
    }
    info.guide = parse_config(info.config, path.string() + " (config)", {}).guide;
  } catch (const io::DataError& error) {
    throw model::WeightsError(fmt::format("{}: {}", path.string(), error.what()));
  } catch (const model::ModelError& error) {
    throw model::WeightsError(
        fmt::format("{}: {}; the file is damaged, train it again", path.string(), error.what()));
  } catch (const ConfigError& error) {
    throw model::WeightsError(fmt::format(
        "{}\nthe weights were trained by another version of raincell; train them again", error.what()));
  }
  return info;
}

}  // namespace

std::string Steps::text() const {
  const auto said = [](std::int64_t s) { return format_duration(static_cast<double>(s)); };
  return shortest_s == longest_s ? said(shortest_s) : said(shortest_s) + " to " + said(longest_s);
}

WeightsInfo read_weights_info(const std::filesystem::path& path) {
  std::string hash;
  const model::WeightsFile file = parse(path, hash);
  return info_of(file, path, hash);
}

LoadedModel load_model(const std::filesystem::path& path, kernels::Backend& backend, std::int64_t past) {
  std::string hash;
  const model::WeightsFile file = parse(path, hash);
  LoadedModel loaded{info_of(file, path, hash), nullptr};
  if (past > 0) loaded.info.spec.past = past;
  loaded.network = std::make_unique<model::Network>(loaded.info.spec, backend, 0);
  model::load_weights(*loaded.network, file);
  return loaded;
}

std::string start_from(const std::filesystem::path& path, model::Network& network, const Config& config) {
  std::string hash;
  const model::WeightsFile file = parse(path, hash);
  const WeightsInfo info = info_of(file, path, hash);
  if (info.transform.text() != config.transform.text()) {
    throw model::WeightsError(fmt::format(
        "{}: was trained on values transformed as {}, and the configuration says {}; give the same "
        "transform",
        path.string(), info.transform.text(), config.transform.text()));
  }
  model::ModelSpec theirs = info.spec;  // but for the numbers of frames, which no weight depends on
  theirs.past = config.model.past;
  theirs.future = config.model.future;
  if (model::to_text(theirs) != model::to_text(config.model)) {
    const auto mine = nlohmann::json::parse(model::to_text(config.model)),
               other = nlohmann::json::parse(model::to_text(theirs));
    std::string differences;
    for (const auto& [key, value] : mine.items()) {
      if (value != other.value(key, nlohmann::json()))
        differences += fmt::format("{}model.{} {}, theirs {}", differences.empty() ? "" : "; ", key,
                                   value.dump(), other.value(key, nlohmann::json()).dump());
    }
    throw model::WeightsError(fmt::format("{}: belongs to another network than the configuration's: {}",
                                          path.string(), differences));
  }
  model::load_weights(network, file);
  return hash;
}

std::vector<std::byte> weights_bytes(model::Network& network, const Config& config, const Steps& steps,
                                     std::int64_t training_steps) {
  return model::save_weights(network, {{"name", config.name},
                                       {"transform", config.transform.text()},
                                       {"step_seconds", std::to_string(steps.shortest_s)},
                                       {"longest_step_seconds", std::to_string(steps.longest_s)},
                                       {"training_steps", std::to_string(training_steps)},
                                       {"config", resolved_text(config)}});
}

void add_metadata(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata) {
  std::string hash;
  model::WeightsFile file = parse(path, hash);
  for (const auto& [key, value] : metadata) file.metadata[key] = value;
  io::publish(path, model::to_safetensors(file));
}

std::optional<std::filesystem::path> shipped_file(const std::string& name) {
  std::error_code none;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", none);
  for (std::filesystem::path folder = program.parent_path(); !folder.empty(); folder = folder.parent_path()) {
    for (const auto& place : {folder / "share/raincell" / name, folder / name}) {
      if (std::filesystem::exists(place, none)) return place;
    }
    if (folder == folder.root_path()) break;
  }
  return std::nullopt;
}

std::optional<std::filesystem::path> shipped_weights() {
  const char* named = std::getenv("RAINCELL_WEIGHTS");
  if (named == nullptr) return shipped_file(kDefaultName);
  if (*named == '\0') return std::nullopt;
  std::error_code none;
  if (!std::filesystem::is_regular_file(named, none))
    throw UsageError(fmt::format("RAINCELL_WEIGHTS={}: no such file; name weights, or unset it", named));
  return named;
}

std::filesystem::path default_weights(const std::string& command) {
  if (const auto shipped = shipped_weights()) return *shipped;
  throw UsageError(
      fmt::format("raincell {}: this build ships no default weights; train some (raincell train "
                  "configs/radar.yaml --run run) and give --model run/best.safetensors, or take the "
                  "forecasters persistence and advection, which need none",
                  command));
}

}  // namespace raincell::app
