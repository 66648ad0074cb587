#include "app/run_directory.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <sstream>
#include <string_view>

#include "app/config.hpp"
#include "app/errors.hpp"
#include "io/frame.hpp"
#include "io/publish.hpp"
#include "model/safetensors.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uint64_t kLargestText = 1 << 26;
constexpr int kFormat = 3;  // of manifests
constexpr const char* kOwnHash = "manifest_sha256";
const FolderUse kUse{"trains", "another --run"};

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
  static const std::set<std::string> keys = {"data.workers", "data.prefetch", "data.archive",
                                             "training.keep_checkpoints", "training.keep_every"};
  return keys.count(key) > 0;
}

/// Keys that a run may go on with another value of; the weights are then those of neither.
bool adjustable(const std::string& key) {
  static const std::set<std::string> keys = {"training.steps",          "training.checkpoint_every",
                                             "training.validate_every", "optimizer.learning_rate",
                                             "optimizer.clip_norm",     "training.validation_windows",
                                             "data.unreadable"};
  return keys.count(key) > 0 || key.rfind("guard.", 0) == 0;
}

struct Change {
  std::string key, before, now;
  std::string text() const { return fmt::format("{}: {} -> {}", key, before, now); }
};

/// A key that an older version did not know had its standard value.
std::vector<Change> differing(const std::string& before, const std::string& now) {
  const auto a = keys_of(before), b = keys_of(now), standard = keys_of(resolved_text(Config{}));
  std::vector<Change> changes;
  for (const auto& [key, value] : b) {
    auto found = a.find(key);
    if (found == a.end()) {
      found = standard.find(key);
      if (found == standard.end()) continue;
    }
    if (!harmless(key) && found->second != value) changes.push_back({key, found->second, value});
  }
  return changes;
}

std::string joined(const std::vector<std::string>& lines) {
  return fmt::format("{}", fmt::join(lines, "\n  "));
}

/// The step in the name of a manifest; -1 when the name is another.
std::int64_t step_of(const fs::path& manifest) {
  const std::string name = manifest.filename().string();
  std::int64_t step = -1;
  if (name.rfind("step-", 0) != 0) return -1;
  const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), step);
  return error == std::errc() && std::string_view(end) == ".json" ? step : -1;
}

/// Names in checkpoints/. Throws DataError.
std::vector<fs::path> checkpoint_files(const fs::path& folder) {
  std::vector<fs::path> files;
  try {
    for (const auto& entry : fs::directory_iterator(folder / "checkpoints")) files.push_back(entry.path());
  } catch (const fs::filesystem_error& error) {
    throw io::DataError(
        fmt::format("{}: cannot be listed: {}", (folder / "checkpoints").string(), error.code().message()));
  }
  return files;
}

/// Newest first.
std::vector<fs::path> manifests_in(const fs::path& folder) {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  for (const fs::path& file : checkpoint_files(folder)) {
    if (const std::int64_t step = step_of(file); step >= 0) found.emplace_back(step, file);
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<fs::path> list;
  for (auto& [step, path] : found) list.push_back(std::move(path));
  return list;
}

/// The states that were saved for the step of a manifest: the one it names, and others that it named before.
std::vector<fs::path> states_of(const fs::path& folder, const fs::path& manifest) {
  std::vector<fs::path> states;
  for (const fs::path& file : checkpoint_files(folder)) {
    const bool same = file.filename().string().rfind(manifest.stem().string() + "-", 0) == 0;
    if (same && file.extension() == ".state") states.push_back(file);
  }
  return states;
}

/// Manifest first, so that none is ever without its state.
void remove_checkpoint(const fs::path& folder, const fs::path& manifest) {
  std::error_code none;  // what cannot be removed is tried again at the next save
  if (fs::remove(manifest, none) || !fs::exists(manifest, none))
    for (const fs::path& state : states_of(folder, manifest)) fs::remove(state, none);
}

/// Surely not there, in contrast to a disk that cannot tell.
bool missing(const fs::path& file) {
  std::error_code unknown;
  return !fs::exists(file, unknown) && !unknown;
}

/// The content of a checkpoint is not what was saved, in contrast to a disk that cannot be read.
class Damaged : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A run that was not interrupted does not have it, and so cannot go back to it.
bool was_asked_for(const fs::path& manifest) {
  try {
    const Position position = parse_manifest(io::read_file(manifest, kLargestText)).position;
    return position.window_updates != position.updates;
  } catch (const std::exception&) {
    return false;  // whoever reads it for its content says what is wrong
  }
}

Checkpoint read_checkpoint(const fs::path& path) {
  Manifest manifest;
  const std::string text = io::read_file(path, kLargestText);
  try {
    manifest = parse_manifest(text);
  } catch (const io::DataError& error) {
    throw Damaged(error.what());
  } catch (const model::WeightsError& error) {
    throw model::WeightsError(fmt::format("{}: {}", path.string(), error.what()));
  }
  const fs::path state = path.parent_path() / manifest.state;
  if (missing(state)) throw Damaged(manifest.state + " is missing");
  const std::string bytes = io::read_file(state);
  const auto span = std::as_bytes(std::span(bytes));
  if (static_cast<std::int64_t>(bytes.size()) != manifest.bytes)
    throw Damaged(fmt::format("the state has {} bytes instead of {}", bytes.size(), manifest.bytes));
  if (io::sha256(span) != manifest.sha256) throw Damaged("the hash of the state is wrong");
  return {manifest.position, {span.begin(), span.end()}};
}

/// Out of the way, but kept for whoever wants to know. False where it has to stay, and is passed over again.
bool set_aside(const fs::path& file) {
  std::error_code error;
  fs::rename(file, fs::path(file).concat(".corrupt"), error);
  return !error;
}

/// A file that only a run with checkpoints leaves; empty when there is none.
std::string history(const fs::path& folder) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder / "checkpoints")) {
    if (entry.path().extension() == ".corrupt") return entry.path().filename().string();
  }
  for (const char* name : {"metrics.jsonl", "last.safetensors", "best.safetensors"}) {
    if (fs::exists(folder / name, none)) return name;
  }
  return "";
}

/// Of everything in a manifest but itself: a number with one bit changed is still a number.
std::string own_hash(Json manifest) {
  manifest.erase(kOwnHash);
  const std::string text = json_text(manifest);
  return io::sha256(std::as_bytes(std::span(text)));
}

}  // namespace

Manifest parse_manifest(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw io::DataError("the manifest is no JSON object");
  const bool hashed = json.contains(kOwnHash);
  if (hashed && json[kOwnHash] != Json(own_hash(json)))  // first: the format may be what is damaged
    throw io::DataError("the hash of the manifest is wrong");
  if (json.contains("sha256") && json.value("format", Json()) != Json(kFormat)) {
    throw model::WeightsError(
        "the checkpoint is of another version of raincell; go on with that one, or start anew with --fresh");
  }
  if (std::any_of(json.begin(), json.end(), [](const Json& member) { return member.is_structured(); }))
    throw io::DataError("the manifest is no JSON object of plain values");
  if (!hashed) throw io::DataError(fmt::format("the manifest lacks {}", kOwnHash));
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
  const auto number = [&](const char* key) {
    const Json& value = member(key);
    if (!value.is_number()) throw io::DataError(fmt::format("the manifest's {} is no number", key));
    return value.get<double>();
  };
  Manifest manifest;
  Position& p = manifest.position;
  p.updates = count("updates");
  p.batches = count("batches");
  p.best_validation = number("best_validation");
  p.best_step = count("best_step");
  p.left_out = count("left_out");
  p.rollbacks = count("rollbacks");
  p.skipped = count("skipped");
  p.window_updates = count("window_updates");
  p.window_skipped = count("window_skipped");
  p.spikes = {count("spike_count"), number("spike_fast"), number("spike_slow"), number("spike_square")};
  p.archives = word("archives");
  p.environment = word("environment");
  manifest.state = word("state");
  if (fs::path(manifest.state).filename() != manifest.state || manifest.state.rfind("step-", 0) != 0)
    throw io::DataError("the manifest's state is no name of a state");
  manifest.bytes = count("bytes");
  manifest.sha256 = word("sha256");
  return manifest;
}

std::string manifest_text(const Manifest& manifest) {
  const Position& p = manifest.position;
  Json json = {{"format", kFormat},
               {"updates", p.updates},
               {"batches", p.batches},
               {"best_validation", p.best_validation},
               {"best_step", p.best_step},
               {"left_out", p.left_out},
               {"rollbacks", p.rollbacks},
               {"skipped", p.skipped},
               {"window_updates", p.window_updates},
               {"window_skipped", p.window_skipped},
               {"spike_count", p.spikes.count},
               {"spike_fast", p.spikes.fast},
               {"spike_slow", p.spikes.slow},
               {"spike_square", p.spikes.square},
               {"archives", p.archives},
               {"environment", p.environment},
               {"state", manifest.state},
               {"bytes", manifest.bytes},
               {"sha256", manifest.sha256}};
  json[kOwnHash] = own_hash(json);
  return json_text(json, 1) + "\n";
}

RunDirectory::RunDirectory(fs::path folder, const std::string& resolved, Opening opening, Log& log)
    : folder_(std::move(folder)), resolved_(resolved) {
  io::make_folder(folder_ / "checkpoints");
  lock_.emplace(folder_, kUse);
  try {
    if (opening.fresh) clear();
    remove_leftovers();
    compare(opening.force, log);
  } catch (const fs::filesystem_error& error) {
    throw io::WriteError(
        fmt::format("{}: cannot be tidied: {}; grant permission there, or choose another --run",
                    error.path1().string(), error.code().message()));
  }
}

void RunDirectory::accept() const {
  io::publish(folder_ / "config.yaml", resolved_);
}

void RunDirectory::clear() const {
  for (const fs::path& manifest : manifests_in(folder_))
    fs::remove(manifest);  // first: no manifest without its state
  for (const auto& entry : fs::directory_iterator(folder_ / "checkpoints")) fs::remove(entry.path());
  fs::remove_all(folder_ / "failures");
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().filename().string().rfind("events.out.tfevents.", 0) == 0) files.push_back(entry.path());
  }
  for (const char* name : {"config.yaml", "env.json", "metrics.jsonl", "metrics.prom", "best.safetensors",
                           "last.safetensors", "report.html"}) {
    files.push_back(folder_ / name);
  }
  for (const fs::path& file : files) fs::remove(file);
}

/// Temporary files of a killed process, and states that no manifest names. Nobody else writes here.
void RunDirectory::remove_leftovers() const {
  std::vector<fs::path> left;
  for (const fs::path& folder : {folder_, folder_ / "checkpoints"}) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (name.front() == '.' && entry.path().extension() == ".tmp") left.push_back(entry.path());
    }
  }
  for (const fs::path& manifest : manifests_in(folder_)) remove_others(manifest);
  for (const fs::path& file : checkpoint_files(folder_)) {
    const std::string name = file.filename().string();
    const bool state = file.extension() == ".state" && std::count(name.begin(), name.end(), '-') == 2;
    if (state && missing(file.parent_path() / (name.substr(0, name.rfind('-')) + ".json")))
      left.push_back(file);
  }
  std::error_code none;
  for (const fs::path& file : left) fs::remove(file, none);
}

/// States of a manifest's step that it does not name (any more).
void RunDirectory::remove_others(const fs::path& manifest) const {
  std::error_code none;
  try {
    const std::string named = parse_manifest(io::read_file(manifest, kLargestText)).state;
    for (const fs::path& state : states_of(folder_, manifest))
      if (state.filename() != named) fs::remove(state, none);
  } catch (const std::exception&) {
    // Damaged: whoever reads it for its content says so.
  }
}

void RunDirectory::compare(bool force, Log& log) {
  std::error_code none;
  if (manifests_in(folder_).empty()) {
    const std::string left = history(folder_);
    if (left.empty()) return;
    throw model::WeightsError(fmt::format(
        "{}: has been trained there ({} is left), but no checkpoint is; put the checkpoints back, or "
        "start anew with --fresh",
        folder_.string(), left));
  }
  if (!fs::exists(folder_ / "config.yaml", none)) return;
  std::vector<std::string> refused;
  for (const Change& change : differing(io::read_file(folder_ / "config.yaml", kLargestText), resolved_)) {
    (adjustable(change.key) || force ? changes_ : refused).push_back(change.text());
  }
  if (!refused.empty()) {
    throw UsageError(fmt::format(
        "{}: was trained with another configuration:\n  {}\ngive the same, choose another --run, start anew "
        "there with --fresh, or go on all the same with --force",
        folder_.string(), joined(refused)));
  }
  if (!changes_.empty()) {
    log.warning(
        fmt::format("{}: goes on with another configuration:\n  {}", folder_.string(), joined(changes_)));
  }
}

std::optional<Checkpoint> RunDirectory::first_valid(const std::vector<fs::path>& list, Log& log) const {
  bool unread = false;
  for (const fs::path& manifest : list) {
    try {
      return read_checkpoint(manifest);
    } catch (const Damaged& error) {
      const bool aside = set_aside(manifest);
      for (const fs::path& state : states_of(folder_, manifest)) set_aside(state);
      log.warning(fmt::format("{}: the checkpoint is damaged ({}){}; another is taken", manifest.string(),
                              error.what(), aside ? " and set aside as .corrupt" : ""));
    } catch (const io::DataError& error) {
      unread = true;
      log.warning(fmt::format("{}; another checkpoint is taken", error.what()));
    }
  }
  if (list.empty()) return std::nullopt;
  throw model::WeightsError(fmt::format("{}: no checkpoint is valid; {}start anew with --fresh",
                                        folder_.string(), unread ? "mend the disk, or " : ""));
}

std::optional<Checkpoint> RunDirectory::newest(Log& log) const {
  return first_valid(manifests_in(folder_), log);
}

Checkpoint RunDirectory::newest_or_oldest(Log& log, std::int64_t up_to) const {
  std::vector<fs::path> list = manifests_in(folder_);
  std::erase_if(list, was_asked_for);
  const auto early =
      std::find_if(list.begin(), list.end(), [&](const auto& m) { return step_of(m) <= up_to; });
  std::reverse(list.begin(), early);
  std::rotate(list.begin(), early, list.end());
  std::optional<Checkpoint> found = first_valid(list, log);
  if (!found) {
    throw model::WeightsError(fmt::format(
        "{}: the checkpoints are gone while it trains; start anew with --fresh", folder_.string()));
  }
  return *std::move(found);
}

void RunDirectory::require_own() const {
  if (lock_->still_own()) return;
  throw ResourceError(fmt::format(
      "{}: the folder was removed or replaced while this training worked in it, so nothing more is written "
      "there; start it again, with a --run of its own",
      folder_.string()));
}

void RunDirectory::save(const Position& p, const std::vector<std::byte>& state, const Retention& retention,
                        Log& log) const {
  require_own();
  const std::string hash = io::sha256(state), stem = fmt::format("step-{:09}", p.updates);
  const fs::path checkpoints = folder_ / "checkpoints", manifest = checkpoints / (stem + ".json");
  const std::string name = fmt::format("{}-{}.state", stem, hash.substr(0, 8));
  io::publish(checkpoints / name, state);
  try {
    io::publish(manifest, manifest_text({p, name, static_cast<std::int64_t>(state.size()), hash}));
  } catch (const io::WriteError&) {
    require_own();
    remove_leftovers();  // its state takes room that there may be too little of
    throw;
  }
  // From here on the checkpoint is saved; what follows is tidying.
  try {
    io::publish_link(checkpoints / "latest", manifest.filename());
  } catch (const io::WriteError& error) {
    log.warning(fmt::format("{}; the checkpoint is saved all the same", error.what()));
  }
  try {
    remove_others(manifest);
    prune(p.updates, retention);
  } catch (const io::DataError& error) {
    log.warning(fmt::format("{}; old checkpoints stay", error.what()));
  }
}

void RunDirectory::prune(std::int64_t saved, const Retention& retention) const {
  std::int64_t newer = 0;
  bool reached = retention.reach == 0;
  for (const fs::path& manifest : manifests_in(folder_)) {
    const std::int64_t step = step_of(manifest);
    const bool regular = retention.every > 0 && step % retention.every == 0;
    const bool far = !reached && step <= saved - retention.reach;
    reached = reached || far;
    if (newer++ < retention.newest || regular || far || step == saved) continue;
    remove_checkpoint(folder_, manifest);
  }
}

void RunDirectory::drop_after(std::int64_t step) const {
  for (const fs::path& manifest : manifests_in(folder_)) {
    if (step_of(manifest) > step) remove_checkpoint(folder_, manifest);
  }
}

void RunDirectory::cut_metrics(std::int64_t step) const {
  const fs::path file = folder_ / "metrics.jsonl";
  std::ifstream lines(file);
  std::string line, kept;
  bool cut = false;
  while (std::getline(lines, line)) {
    const Json json = Json::parse(line, nullptr, false);
    const bool known = json.is_object() && json.contains("step") && json["step"].is_number_integer();
    if (!known || json["step"].get<std::int64_t>() > step) {
      cut = true;
    } else {
      kept += line + "\n";
    }
  }
  if (cut) io::publish(file, kept);
}

std::optional<fs::path> newest_manifest(const fs::path& folder) {
  auto list = manifests_in(folder);
  if (list.empty()) return std::nullopt;
  return std::move(list.front());
}

}  // namespace raincell::app
