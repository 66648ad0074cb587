#include "app/run_directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <sys/utsname.h>
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
                                             "optimizer.clip_norm",     "training.validation_windows"};
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

fs::path state_of(fs::path manifest) {
  return manifest.replace_extension(".state");
}

/// Newest first.
std::vector<fs::path> manifests_in(const fs::path& folder) {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  for (const auto& entry : fs::directory_iterator(folder / "checkpoints")) {
    if (const std::int64_t step = step_of(entry.path()); step >= 0) found.emplace_back(step, entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<fs::path> list;
  for (auto& [step, path] : found) list.push_back(std::move(path));
  return list;
}

/// The content of a checkpoint is not what was saved, in contrast to a disk that cannot be read.
class Damaged : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

Checkpoint read_checkpoint(const fs::path& path) {
  Manifest manifest;
  const std::string text = io::read_file(path, kLargestText);
  try {
    manifest = parse_manifest(text);
  } catch (const io::DataError& error) {
    throw Damaged(error.what());
  }
  const fs::path state = state_of(path);
  if (!fs::exists(state)) throw Damaged(state.filename().string() + " is missing");
  const std::string bytes = io::read_file(state);
  const auto span = std::as_bytes(std::span(bytes));
  if (static_cast<std::int64_t>(bytes.size()) != manifest.bytes)
    throw Damaged(fmt::format("the state has {} bytes instead of {}", bytes.size(), manifest.bytes));
  if (io::sha256(span) != manifest.sha256) throw Damaged("the hash of the state is wrong");
  return {manifest.position, {span.begin(), span.end()}};
}

/// Out of the way, but kept for whoever wants to know.
void set_aside(const fs::path& file) {
  std::error_code none;  // read-only: it stays, and is passed over again
  fs::rename(file, fs::path(file).concat(".corrupt"), none);
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

std::string host_name() {
  struct utsname system {};
  ::uname(&system);
  return system.nodename;
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
  const auto number = [&](const char* key) {
    const Json& value = member(key);
    if (!value.is_number()) throw io::DataError(fmt::format("the manifest's {} is no number", key));
    return value.get<double>();
  };
  Manifest manifest;
  manifest.position = {
      count("updates"),
      count("batches"),
      number("best_validation"),
      count("best_step"),
      count("rollbacks"),
      count("skipped"),
      {count("spike_count"), number("spike_fast"), number("spike_slow"), number("spike_square")},
      word("archives"),
      word("environment")};
  manifest.bytes = count("bytes");
  manifest.sha256 = word("sha256");
  return manifest;
}

std::string manifest_text(const Manifest& manifest) {
  const Position& p = manifest.position;
  const Json json = {{"updates", p.updates},
                     {"batches", p.batches},
                     {"best_validation", p.best_validation},
                     {"best_step", p.best_step},
                     {"rollbacks", p.rollbacks},
                     {"skipped", p.skipped},
                     {"spike_count", p.spikes.count},
                     {"spike_fast", p.spikes.fast},
                     {"spike_slow", p.spikes.slow},
                     {"spike_square", p.spikes.square},
                     {"archives", p.archives},
                     {"environment", p.environment},
                     {"bytes", manifest.bytes},
                     {"sha256", manifest.sha256}};
  return json_text(json, 1) + "\n";
}

RunDirectory::RunDirectory(fs::path folder, const std::string& resolved, Opening opening, Log& log)
    : folder_(std::move(folder)) {
  io::make_folder(folder_ / "checkpoints");
  lock();
  try {
    if (opening.fresh) clear();
    remove_leftovers();
    compare(resolved, opening.force, log);
    io::publish(folder_ / "config.yaml", resolved);
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

RunDirectory::~RunDirectory() {
  ::close(lock_);
}

void RunDirectory::lock() {
  const fs::path file = folder_ / "lock";
  lock_ = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (lock_ < 0) {
    throw io::WriteError(fmt::format("{}: cannot be written: {}; choose another --run", folder_.string(),
                                     std::strerror(errno)));
  }
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    const std::string who = trainer_of(folder_);
    throw UsageError(fmt::format("{}: another raincell{} trains there; wait for it, or choose another --run",
                                 folder_.string(), who.empty() ? "" : " (" + who + ")"));
  }
  const std::string me = fmt::format("process {} on {}\n", ::getpid(), host_name());
  // Only a word to whoever finds the folder locked; on a full disk there is none.
  if (::ftruncate(lock_, 0) == 0 && ::pwrite(lock_, me.data(), me.size(), 0) < 0) return;
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

/// Temporary files of a killed process, and states whose manifest was never written. Nobody else writes here.
void RunDirectory::remove_leftovers() const {
  std::vector<fs::path> left;
  for (const fs::path& folder : {folder_, folder_ / "checkpoints"}) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      const bool temporary = name.front() == '.' && entry.path().extension() == ".tmp";
      const bool alone = entry.path().extension() == ".state" &&
                         !fs::exists(fs::path(entry.path()).replace_extension(".json"));
      if (temporary || alone) left.push_back(entry.path());
    }
  }
  std::error_code none;
  for (const fs::path& file : left) fs::remove(file, none);
}

void RunDirectory::compare(const std::string& resolved, bool force, Log& log) {
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
  for (const Change& change : differing(io::read_file(folder_ / "config.yaml", kLargestText), resolved)) {
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
  for (const fs::path& manifest : list) {
    try {
      return read_checkpoint(manifest);
    } catch (const Damaged& error) {
      set_aside(manifest);
      set_aside(state_of(manifest));
      log.warning(
          fmt::format("{}: the checkpoint is damaged ({}) and set aside as .corrupt; another is taken",
                      manifest.string(), error.what()));
    } catch (const io::DataError& error) {
      log.warning(fmt::format("{}; another checkpoint is taken", error.what()));
    }
  }
  if (list.empty()) return std::nullopt;
  throw model::WeightsError(
      fmt::format("{}: no checkpoint is valid; start anew with --fresh", folder_.string()));
}

std::optional<Checkpoint> RunDirectory::newest(Log& log) const {
  return first_valid(manifests_in(folder_), log);
}

Checkpoint RunDirectory::newest_or_oldest(Log& log, std::int64_t up_to) const {
  std::vector<fs::path> list = manifests_in(folder_);
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

void RunDirectory::save(const Position& p, const std::vector<std::byte>& state,
                        const Retention& retention) const {
  const fs::path stem = folder_ / "checkpoints" / fmt::format("step-{:09}", p.updates);
  const fs::path manifest = fs::path(stem).concat(".json");
  io::publish(fs::path(stem).concat(".state"), state);
  io::publish(manifest, manifest_text({p, static_cast<std::int64_t>(state.size()), io::sha256(state)}));
  io::publish_link(folder_ / "checkpoints/latest", manifest.filename());
  std::int64_t newer = 0;
  for (const fs::path& other : manifests_in(folder_)) {
    const bool regular = retention.every > 0 && step_of(other) % retention.every == 0;
    if (newer++ < retention.newest || regular) continue;
    fs::remove(other);  // first, so that no manifest is ever without its state
    fs::remove(state_of(other));
  }
}

void RunDirectory::drop_after(std::int64_t step) const {
  for (const fs::path& manifest : manifests_in(folder_)) {
    if (step_of(manifest) <= step) continue;
    fs::remove(manifest);
    fs::remove(state_of(manifest));
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

std::string trainer_of(const fs::path& folder) {
  const int lock = ::open((folder / "lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return "";
  std::string who;
  if (::flock(lock, LOCK_SH | LOCK_NB) != 0) {
    char text[256] = {};
    const ssize_t got = ::pread(lock, text, sizeof text, 0);
    who.assign(text, got > 0 ? static_cast<std::size_t>(got) : 0);
    who = who.substr(0, who.find('\n'));
    if (who.empty()) who = "a process";
  }
  ::close(lock);
  return who;
}

}  // namespace raincell::app
