#include "app/watch_status.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/folder_lock.hpp"
#include "app/json_fields.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::uint64_t kLargest = 1 << 24;

Json read_json(const fs::path& file) {
  std::error_code none;
  if (!fs::exists(file, none)) return nullptr;
  const Json json = Json::parse(io::read_file(file, kLargest), nullptr, false);
  return json.is_object() ? json : Json(nullptr);
}

std::string line(const char* name, const std::string& value) {
  return fmt::format("  {:<12} {}\n", name, value);
}

}  // namespace

bool is_watch_output(const fs::path& folder) {
  std::error_code none;
  return fs::is_directory(folder / "products", none) && fs::exists(folder / "latest.json", none);
}

Json watch_status(const fs::path& folder) {
  const std::string watcher = holder_of(folder);
  return {{"output", folder.string()},
          {"state", watcher.empty() ? "stopped" : "running"},
          {"watcher", watcher.empty() ? Json(nullptr) : Json(watcher)},
          {"latest", read_json(folder / "latest.json")},
          {"service", read_json(folder / "status.json")}};
}

std::string watch_status_text(const Json& json) {
  const Json& latest = json["latest"];
  const Json& service = json["service"];
  std::string text = fmt::format("{}: {}", text_in(json, "output"), text_in(json, "state"));
  if (json["watcher"].is_string()) text += ", " + text_in(json, "watcher");
  text += "\n";
  std::string newest = fmt::format("{} of {}", text_in(latest, "status"), text_in(latest, "nominal"));
  if (const std::string reason = text_in(latest, "reason"); !reason.empty()) newest += ": " + reason;
  text += line("latest", newest);
  if (const std::string product = text_in(latest, "product"); !product.empty())
    text += line("product", fmt::format("{} ({}), valid until {}", product, text_in(latest, "rung"),
                                        text_in(latest, "valid_until")));
  if (service.is_object()) {
    const Json cycles = service.value("cycles", Json::object());
    std::string counts;
    for (const auto& [name, count] : cycles.items())
      counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count.dump(), name);
    text += line("cycles", counts + " since " + text_in(service, "since"));
    const Json weights = service.value("weights", Json::object());
    if (const std::string hash = text_in(weights, "in_use"); !hash.empty())
      text += line("weights", hash.substr(0, 12) + " in use");
    if (const std::string from = text_in(weights, "candidate_from"); !from.empty())
      text += line("", fmt::format("{} of {} are tried beside them",
                                   text_in(weights, "candidate").substr(0, 12), from));
    if (const std::string decision = text_in(weights, "last_decision"); !decision.empty())
      text += line("", decision);
    if (const std::string drift = text_in(service, "drift"); !drift.empty()) text += line("drift", drift);
    if (const Json tuning = service.value("fine_tuning", Json()); tuning.is_object()) {
      text += line("fine-tuning", text_in(tuning, "state"));
      if (const std::string decision = text_in(tuning, "last_decision"); !decision.empty())
        text += line("", decision);
    }
  }
  text.pop_back();
  return text;
}

}  // namespace raincell::app
