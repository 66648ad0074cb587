#include "app/inspect_own.hpp"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "app/log.hpp"
#include "app/weights.hpp"
#include "io/archive.hpp"
#include "io/product.hpp"
#include "io/publish.hpp"

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
                     {"step_minutes", static_cast<double>(info.step_s) / 60.},
                     {"transform", info.transform.text()},
                     {"model", Json::parse(model::to_text(info.spec))}};
  return {json_text(json),
          fmt::format("{}\n  weights of '{}': {} parameters, {} training steps\n  {} frames to {}, every {}\n"
                      "  transform  {}\n  sha256     {}",
                      path.string(), info.name, info.parameters, info.training_steps, info.spec.past,
                      info.spec.future, format_duration(static_cast<double>(info.step_s)),
                      info.transform.text(), info.hash)};
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

/// One frame a lead.
std::vector<io::Frame> frames_of(const io::Product& product) {
  std::vector<io::Frame> frames(product.lead_s.size());
  const auto pixels = static_cast<std::ptrdiff_t>(product.grid.pixels());
  for (std::size_t l = 0; l < frames.size(); ++l) {
    const auto first = product.values.begin() + static_cast<std::ptrdiff_t>(l) * pixels;
    frames[l].quantity = product.quantity;
    frames[l].grid = product.grid;
    frames[l].valid_time = product.reference_time + std::chrono::seconds(product.lead_s[l]);
    frames[l].values.assign(first, first + pixels);
  }
  return frames;
}

OwnFile product_of(const std::filesystem::path& path) {
  const io::Product product = io::read_product(path);
  Json leads = Json::array();
  float max = -INFINITY;
  for (const std::int64_t s : product.lead_s) leads.push_back(static_cast<double>(s) / 60.);
  for (const float v : product.values) {
    if (v > max) max = v;
  }
  const Json json = {{"file", path.string()},
                     {"format", "product"},
                     {"quantity", io::name_of(product.quantity)},
                     {"unit", io::unit_of(product.quantity)},
                     {"reference_time", io::format_time(product.reference_time)},
                     {"lead_minutes", leads},
                     {"forecaster", product.forecaster},
                     {"model", product.model_name},
                     {"model_hash", product.model_hash},
                     {"status", product.status},
                     {"max", std::isfinite(max) ? Json(max) : Json(nullptr)},
                     {"grid", grid_json(product.grid)}};
  return {json_text(json),
          fmt::format("{}\n  nowcast of {} by {}{}, {} leads to +{:g} min, status {}\n  maximum    {} "
                      "{}\n  grid       {}",
                      path.string(), io::format_time(product.reference_time), product.forecaster,
                      product.model_name.empty() ? "" : " (" + product.model_name + ")",
                      product.lead_s.size(), static_cast<double>(product.lead_s.back()) / 60., product.status,
                      std::isfinite(max) ? fmt::format("{:.3g}", max) : "none", io::unit_of(product.quantity),
                      io::describe(product.grid)),
          frames_of(product)};
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

std::optional<OwnFile> inspect_own_file(const std::filesystem::path& path) {
  std::error_code none;
  if (std::filesystem::is_directory(path, none)) return archive_of(path);
  const std::string bytes = ends_of(path);
  const auto holds = [&](const char* text) { return bytes.find(text) != std::string::npos; };
  if (bytes.size() > 9 && bytes[8] == '{') return weights_of(path);
  if (holds("forecast_reference_time") && holds("raincell")) return product_of(path);
  if (holds("raincell_grid")) return archive_of(path);
  return std::nullopt;
}

}  // namespace raincell::app
