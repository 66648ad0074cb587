#include "app/inspect_own.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "app/log.hpp"
#include "app/weights.hpp"
#include "io/archive.hpp"
#include "io/publish.hpp"
#include "io/reader.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kSearched = 1 << 20;  // bytes at either end that attributes are looked for in

/// The first and last bytes of a file; empty when it cannot be read.
std::string ends_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::error_code none;
  const std::uint64_t size = std::filesystem::file_size(path, none);
  if (!file || none) return {};
  std::string bytes(std::min<std::uint64_t>(size, kSearched), '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (size > kSearched) {
    const std::uint64_t more = std::min(kSearched, size - kSearched);
    std::string tail(more, '\0');
    file.seekg(-static_cast<std::streamoff>(more), std::ios::end);
    file.read(tail.data(), static_cast<std::streamsize>(tail.size()));
    bytes += tail;
  }
  return bytes;
}

OwnFile weights_of(const std::filesystem::path& path) {
  const WeightsInfo info = read_weights_info(path);
  const Json json = {{"file", path.string()},
                     {"format", "weights"},
                     {"name", info.name},
                     {"sha256", info.hash},
                     {"parameters", info.parameters},
                     {"training_steps", info.training_steps},
                     {"past", info.spec.past},
                     {"future", info.spec.future},
                     {"step_minutes", static_cast<double>(info.steps.shortest_s) / 60.},
                     {"longest_step_minutes", static_cast<double>(info.steps.longest_s) / 60.},
                     {"transform", info.transform.text()},
                     {"fitted", info.fitted},
                     {"model", Json::parse(model::to_text(info.spec))}};
  return {json_text(json),
          fmt::format("{}\n  weights of '{}': {} parameters, {} training steps\n  {} frames to {}, every {}\n"
                      "  transform  {}\n{}  sha256     {}",
                      path.string(), info.name, info.parameters, info.training_steps, info.spec.past,
                      info.spec.future, info.steps.text(), info.transform.text(),
                      info.fitted.empty() ? "" : "  fitted     " + info.fitted + "\n", info.hash)};
}

OwnFile archive_of(const std::filesystem::path& path) {
  const io::Archive archive = io::Archive::open(path);
  const std::int64_t last = archive.frames() - 1;
  const Json json = {{"file", path.string()},
                     {"format", "archive"},
                     {"quantity", io::name_of(archive.quantity())},
                     {"unit", io::unit_of(archive.quantity())},
                     {"frames", archive.frames()},
                     {"valid_time", io::format_time(archive.time(0))},
                     {"last_valid_time", io::format_time(archive.time(last))},
                     {"step_minutes", static_cast<double>(archive.step_s()) / 60.},
                     {"hash", archive.hash()},
                     {"grid", grid_json(archive.grid())}};
  return {
      json_text(json),
      fmt::format(
          "{}\n  packed archive: {} frames of {} [{}], {} to {}, every {}\n  grid       {}\n  hash       {}",
          path.string(), archive.frames(), io::name_of(archive.quantity()), io::unit_of(archive.quantity()),
          io::format_time(archive.time(0)), io::format_time(archive.time(last)),
          format_duration(static_cast<double>(archive.step_s())), io::describe(archive.grid()),
          archive.hash())};
}

OwnFile product_of(const std::filesystem::path& path, bool with_values) {
  io::SourceOptions options;
  options.format = "product";
  io::FrameReader reader(options);
  std::vector<io::Frame> frames = with_values ? reader.read(path) : reader.describe(path);
  const io::Frame& first = frames.front();
  const auto fact = [&](const char* name) {
    for (const auto& [key, value] : first.source.facts) {
      if (key == name) return value;
    }
    return std::string();
  };
  const io::TimePoint reference = io::parse_time(fact("reference_time")).value_or(first.valid_time);
  Json leads = Json::array();
  double max = -INFINITY;
  for (const io::Frame& frame : frames) {
    leads.push_back(static_cast<double>((frame.valid_time - reference).count()) / 60.);
    if (frame.source.valued > 0) max = std::max(max, frame.source.max);
    if (frame.source.dry > 0) max = std::max(max, 0.);
  }
  const Json json = {{"file", path.string()},
                     {"format", "product"},
                     {"quantity", io::name_of(first.quantity)},
                     {"unit", io::unit_of(first.quantity)},
                     {"reference_time", io::format_time(reference)},
                     {"lead_minutes", leads},
                     {"forecaster", fact("forecaster")},
                     {"model", fact("model")},
                     {"model_hash", fact("model_hash")},
                     {"status", fact("status")},
                     {"max", std::isfinite(max) ? Json(max) : Json(nullptr)},
                     {"grid", grid_json(first.grid)}};
  const std::string model = fact("model");
  const std::string text = fmt::format(
      "{}\n  nowcast of {} by {}{}, {} leads to +{:g} min, status {}\n  maximum    {} {}\n  grid       {}",
      path.string(), io::format_time(reference), fact("forecaster"), model.empty() ? "" : " (" + model + ")",
      frames.size(), leads.back().get<double>(), fact("status"),
      std::isfinite(max) ? fmt::format("{:.3g}", max) : "none", io::unit_of(first.quantity),
      io::describe(first.grid));
  if (!with_values) frames.clear();
  return {json_text(json), text, std::move(frames)};
}

/// Whether a folder is one of parts of an archive, told by the first NetCDF file in it.
bool holds_parts(const std::filesystem::path& folder) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    if (entry.path().extension() == ".nc" && entry.is_regular_file(none))
      return ends_of(entry.path()).find("raincell_grid") != std::string::npos;
  }
  return false;
}

}  // namespace

nlohmann::ordered_json grid_json(const io::Grid& grid) {
  return {{"columns", grid.columns},
          {"rows", grid.rows},
          {"projection", grid.projection},
          {"x0", grid.x0},
          {"y0", grid.y0},
          {"dx", grid.dx},
          {"dy", grid.dy}};
}

std::optional<OwnFile> inspect_own_file(const std::filesystem::path& path, bool with_values) {
  std::error_code none;
  if (std::filesystem::is_directory(path, none))
    return holds_parts(path) ? std::optional(archive_of(path)) : std::nullopt;
  const std::string bytes = ends_of(path);
  const auto holds = [&](const char* text) { return bytes.find(text) != std::string::npos; };
  if (bytes.size() > 9 && bytes[8] == '{') return weights_of(path);
  if (holds("forecast_reference_time") && holds("raincell")) return product_of(path, with_values);
  if (holds("raincell_grid")) return archive_of(path);
  return std::nullopt;
}

}  // namespace raincell::app
