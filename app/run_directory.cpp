#include "app/run_directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>

#include "app/errors.hpp"
#include "io/frame.hpp"
#include "io/publish.hpp"
#include "model/safetensors.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uint64_t kLargestText = 1 << 26;

/// "section.key" -> value of a resolved config.
std::map<std::string, std::string> keys_of(const std::string& resolved) {
  std::map<std::string, std::string> keys;
  std::istringstream lines(resolved);
  std::string line, section;
  while (std::getline(lines, line)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const bool below = line.rfind("  ", 0) == 0;
    const std::string value = colon + 2 <= line.size() ? line.substr(colon + 2) : "";
    if (!below && value.empty()) {
      section = line.substr(0, colon);
    } else {
      keys[below ? section + "." + line.substr(2, colon - 2) : line.substr(0, colon)] = value;
    }
  }
  return keys;
}

/// Keys that change nothing in the result.
bool harmless(const std::string& key) {
  return key == "data.workers" || key == "data.prefetch" || key == "training.keep_checkpoints" ||
         key == "data.archive";
}

std::vector<std::string> differing(const std::string& before, const std::string& now) {
  const auto a = keys_of(before), b = keys_of(now);
  std::vector<std::string> names;
  for (const auto& [key, value] : b) {
    const auto found = a.find(key);
    if (!harmless(key) && (found == a.end() || found->second != value)) names.push_back(key);
  }
  return names;
}

Checkpoint read_checkpoint(const fs::path& path) {
  const Manifest manifest = parse_manifest(io::read_file(path, kLargestText));
  fs::path state = path;
  const std::string bytes = io::read_file(state.replace_extension(".state"));
  const auto span = std::as_bytes(std::span(bytes));
  if (io::sha256(span) != manifest.sha256) throw io::DataError("the hash is wrong");
  return {manifest.position, {span.begin(), span.end()}};
}

}  // namespace

Manifest parse_manifest(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw io::DataError("the manifest is no JSON object");
  const auto member = [&](const char* key) -> const Json& {
    const auto found = json.find(key);
    if (found == json.end()) throw io::DataError(fmt::format("the manifest lacks {}", key));
    return *found;
  };
  const auto count = [&](const char* key) {
    const Json& value = member(key);
    // A count beyond the signed ones would come back as a negative one.
    if (!value.is_number_integer() || value.get<std::int64_t>() < 0)
      throw io::DataError(fmt::format("the manifest's {} is no count", key));
    return value.get<std::int64_t>();
  };
  const auto word = [&](const char* key) {
    const Json& value = member(key);
    if (!value.is_string()) throw io::DataError(fmt::format("the manifest's {} is no text", key));
    return value.get<std::string>();
  };
  const Json& best = member("best_validation");
  if (!best.is_number()) throw io::DataError("the manifest's best_validation is no number");
  Manifest manifest;
  manifest.position = {count("updates"),   count("batches"), best.get<double>(), count("best_step"),
                       count("rollbacks"), count("skipped"), word("archives")};
  manifest.sha256 = word("sha256");
  return manifest;
}

std::string manifest_text(const Manifest& manifest) {
  const Position& p = manifest.position;
  const Json json = {
      {"updates", p.updates},     {"batches", p.batches},     {"best_validation", p.best_validation},
      {"best_step", p.best_step}, {"rollbacks", p.rollbacks}, {"skipped", p.skipped},
      {"archives", p.archives},   {"sha256", manifest.sha256}};
  return json_text(json, 1) + "\n";
}

RunDirectory::RunDirectory(fs::path folder, const std::string& resolved, bool fresh)
    : folder_(std::move(folder)) {
  io::make_folder(folder_ / "checkpoints");
  lock_ = ::open((folder_ / "lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (lock_ < 0) {
    throw io::WriteError(fmt::format("{}: cannot be written: {}; choose another --run", folder_.string(),
                                     std::strerror(errno)));
  }
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    throw UsageError(fmt::format("{}: another raincell trains there; wait for it, or choose another --run",
                                 folder_.string()));
  }
  if (fresh) {
    for (const fs::path& manifest : manifests()) fs::remove(manifest);
    for (const auto& entry : fs::directory_iterator(folder_ / "checkpoints")) fs::remove(entry.path());
    for (const char* name :
         {"config.yaml", "metrics.jsonl", "best.safetensors", "last.safetensors", "report.html"}) {
      fs::remove(folder_ / name);
    }
  }
  std::error_code none;
  if (fs::exists(folder_ / "config.yaml", none) && !manifests().empty()) {
    const auto keys = differing(io::read_file(folder_ / "config.yaml", kLargestText), resolved);
    if (!keys.empty()) {
      ::close(lock_);
      throw UsageError(
          fmt::format("{}: was trained with another configuration ({} differ{}); choose another --run, or "
                      "start anew there with --fresh",
                      folder_.string(), fmt::join(keys, ", "), keys.size() == 1 ? "s" : ""));
    }
  }
  io::publish(folder_ / "config.yaml", resolved);
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

std::vector<fs::path> RunDirectory::manifests() const {
  std::vector<fs::path> list;
  for (const auto& entry : fs::directory_iterator(folder_ / "checkpoints")) {
    if (entry.path().extension() == ".json" && entry.path().filename().string().rfind("step-", 0) == 0) {
      list.push_back(entry.path());
    }
  }
  std::sort(list.rbegin(), list.rend());
  return list;
}

std::optional<Checkpoint> RunDirectory::newest(Log& log) const {
  const auto list = manifests();
  for (const fs::path& manifest : list) {
    try {
      return read_checkpoint(manifest);
    } catch (const std::exception& error) {
      log.warning(fmt::format("{}: the checkpoint is damaged ({}); the one before is taken",
                              manifest.string(), error.what()));
    }
  }
  if (!list.empty()) {
    throw model::WeightsError(
        fmt::format("{}: no checkpoint is valid; start anew with --fresh", folder_.string()));
  }
  return std::nullopt;
}

void RunDirectory::save(const Position& p, const std::vector<std::byte>& state, std::int64_t keep) const {
  const fs::path stem = folder_ / "checkpoints" / fmt::format("step-{:09}", p.updates);
  io::publish(fs::path(stem).concat(".state"), state);
  io::publish(fs::path(stem).concat(".json"), manifest_text({p, io::sha256(state)}));
  const auto list = manifests();
  for (std::size_t i = static_cast<std::size_t>(keep); i < list.size(); ++i) {
    fs::path state_file = list[i];
    fs::remove(list[i]);  // first, so that no manifest is ever without its state
    fs::remove(state_file.replace_extension(".state"));
  }
}

void RunDirectory::cut_metrics(std::int64_t step) const {
  const fs::path file = folder_ / "metrics.jsonl";
  std::ifstream lines(file);
  std::string line, kept;
  bool cut = false;
  while (std::getline(lines, line)) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded() || !json.contains("step") || json["step"].get<std::int64_t>() > step) {
      cut = true;
    } else {
      kept += line + "\n";
    }
  }
  if (cut) io::publish(file, kept);
}

}  // namespace raincell::app
