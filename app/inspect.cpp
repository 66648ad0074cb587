// raincell inspect: what a file contains, as raincell understands it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/inspect_own.hpp"
#include "app/signals.hpp"
#include "io/catalogue.hpp"
#include "io/picture.hpp"
#include "io/publish.hpp"
#include "io/reader.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;

constexpr float kWet_mm_h = 0.1F;

Json number_or_null(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

/// The frames of one file, counted together.
Json summary_of(const std::string& file, const std::vector<io::Frame>& frames) {
  const io::Frame& first = frames.front();
  std::int64_t pixels = 0, missing = 0, dry = 0, valued = 0, wet = 0;
  double sum = 0., max = -INFINITY, max_mm_h = -INFINITY;
  std::vector<std::string> warnings;
  for (const io::Frame& frame : frames) {
    pixels += frame.source.pixels;
    missing += frame.source.missing;
    dry += frame.source.dry;
    valued += frame.source.valued;
    sum += frame.source.sum;
    if (frame.source.valued > 0) max = std::max(max, frame.source.max);
    for (const float value : frame.values) {
      if (std::isnan(value)) continue;
      max_mm_h = std::max(max_mm_h, static_cast<double>(value));
      wet += value >= kWet_mm_h ? 1 : 0;
    }
    for (const std::string& text : frame.source.warnings) {
      if (std::find(warnings.begin(), warnings.end(), text) == warnings.end()) warnings.push_back(text);
    }
  }
  const bool rate = first.quantity == io::Quantity::rain_rate;
  const auto share = [&](std::int64_t count) {
    return pixels > 0 ? static_cast<double>(count) / static_cast<double>(pixels) : 0.;
  };
  Json json = {{"file", file},
               {"format", first.source.format},
               {"quantity", first.source.quantity},
               {"unit", first.source.unit},
               {"valid_time", io::format_time(first.valid_time)},
               {"window_minutes", static_cast<double>(first.window_s) / 60.},
               {"pixels", pixels},
               {"missing", missing},
               {"dry", dry},
               {"valued", valued},
               {"max", number_or_null(max)},
               {"sum", sum},
               {"max_mm_h", rate ? number_or_null(max_mm_h) : Json(nullptr)},
               {"missing_fraction", share(missing)},
               {"dry_fraction", share(dry)},
               {"wet_fraction", rate ? Json(share(wet)) : Json(nullptr)},
               {"grid", grid_json(first.grid)},
               {"frames", frames.size()}};
  if (frames.size() > 1) json["last_valid_time"] = io::format_time(frames.back().valid_time);
  if (!first.zr.empty()) json["zr"] = first.zr;
  json["rules"] = first.source.rules;
  json["warnings"] = warnings;
  return json;
}

std::string readable(const Json& json, const io::Frame& first) {
  const auto percent = [&](const char* key) {
    return json[key].is_null() ? std::string("-") : fmt::format("{:.2f} %", 100. * json[key].get<double>());
  };
  const auto number = [&](const char* key) {
    return json[key].is_null() ? std::string("none") : fmt::format("{:g}", json[key].get<double>());
  };
  std::string text = json["file"].get<std::string>() + "\n";
  const auto row = [&](const char* name, const std::string& value) {
    text += fmt::format("  {:<10} {}\n", name, value);
  };
  row("format", json["format"].get<std::string>());
  row("quantity",
      fmt::format("{} [{}]", json["quantity"].get<std::string>(), json["unit"].get<std::string>()));
  row("valid",
      json.contains("last_valid_time")
          ? fmt::format("{} to {} ({} frames)", json["valid_time"].get<std::string>(),
                        json["last_valid_time"].get<std::string>(), json["frames"].get<std::size_t>())
          : json["valid_time"].get<std::string>());
  row("window", first.window_s == 0 ? "instantaneous" : format_duration(static_cast<double>(first.window_s)));
  row("grid", io::describe(first.grid));
  row("pixels",
      fmt::format("{}: missing {}, dry {}, wet (0.1 mm/h or more) {}", json["pixels"].get<std::int64_t>(),
                  percent("missing_fraction"), percent("dry_fraction"), percent("wet_fraction")));
  row("maximum",
      fmt::format("{} {}{}", number("max"), json["unit"].get<std::string>(),
                  json["max_mm_h"].is_null() ? "" : ", as rain rate " + number("max_mm_h") + " mm/h"));
  if (!first.zr.empty()) row("Z-R", first.zr);
  for (const auto& rule : json["rules"]) row("rule", rule.get<std::string>());
  for (const auto& warning : json["warnings"]) row("warning", warning.get<std::string>());
  text.pop_back();
  return text;
}

void draw(const std::filesystem::path& folder, const std::string& file, const std::vector<io::Frame>& frames,
          Log& log) {
  io::make_folder(folder);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const io::Frame& frame = frames[i];
    const std::string stem = std::filesystem::path(file).stem().string();
    const auto target = folder / (frames.size() == 1 ? stem + ".png" : fmt::format("{}_{:04}.png", stem, i));
    const io::MapText title{std::filesystem::path(file).filename().string(),
                            "valid " + io::format_time(frame.valid_time)};
    const std::vector<std::uint8_t> png = io::draw_map(frame.grid, frame.values, title);
    io::publish(target, std::as_bytes(std::span(png)));
    log.info(fmt::format("wrote {}", target.string()));
  }
}

/// "1 frame", "2 frames"
std::string counted(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

/// What a folder of radar files holds, by the times and grids of its frames.
void inspect_folder(const std::string& folder, io::SourceOptions options, const Arguments& arguments,
                    Log& log) {
  options.allow_overlapping_accumulation = true;  // which is said below
  io::ReaderPool readers(options);
  const io::Catalogue catalogue =
      io::scan({folder}, readers, [](std::int64_t, std::int64_t) { stop_if_asked(); });
  const io::CatalogueEntry &first = catalogue.frames.front(), &last = catalogue.frames.back();
  std::vector<io::Grid> grids;
  std::set<std::string> quantities;
  for (const io::CatalogueEntry& entry : catalogue.frames) {
    quantities.insert(io::name_of(entry.quantity));
    if (std::none_of(grids.begin(), grids.end(),
                     [&](const io::Grid& grid) { return io::same_grid(grid, entry.grid); }))
      grids.push_back(entry.grid);
  }
  const auto overlaps =
      std::count_if(catalogue.frames.begin(), catalogue.frames.end(), [&](const io::CatalogueEntry& entry) {
        return entry.accumulation && catalogue.step_s > 0 && entry.window_s * 10 > catalogue.step_s * 11;
      });
  if (arguments.has("png")) log.warning(fmt::format("{}: --png draws files; not drawn", folder));
  if (arguments.has("json")) {
    Json gaps = Json::array(), rejected = Json::array(), all_grids = Json::array();
    for (const auto& [before, after] : catalogue.gaps)
      gaps.push_back({{"after", io::format_time(before)}, {"before", io::format_time(after)}});
    for (const io::Rejected& file : catalogue.rejected)
      rejected.push_back({{"file", file.file.string()}, {"reason", file.reason}});
    for (const io::Grid& grid : grids) all_grids.push_back(grid_json(grid));
    log.result(json_text({{"file", folder},
                          {"format", "folder"},
                          {"quantities", quantities},
                          {"frames", catalogue.frames.size()},
                          {"valid_time", io::format_time(first.key.valid_time)},
                          {"last_valid_time", io::format_time(last.key.valid_time)},
                          {"step_minutes", static_cast<double>(catalogue.step_s) / 60.},
                          {"window_minutes", static_cast<double>(first.window_s) / 60.},
                          {"overlapping_amounts", overlaps},
                          {"gaps", gaps},
                          {"duplicates", catalogue.duplicates.size()},
                          {"rejected", rejected},
                          {"grids", all_grids}}));
    return;
  }
  std::string text = fmt::format("{}\n  folder of radar files: {} of {}, ", folder,
                                 counted(catalogue.frames.size(), "frame"), fmt::join(quantities, ", "));
  text += catalogue.frames.size() == 1
              ? io::format_time(first.key.valid_time)
              : fmt::format("{} to {}, every {}", io::format_time(first.key.valid_time),
                            io::format_time(last.key.valid_time),
                            format_duration(static_cast<double>(catalogue.step_s)));
  for (const io::Grid& grid : grids) text += "\n  grid       " + io::describe(grid);
  if (grids.size() > 1 || quantities.size() > 1)
    text +=
        "\n  warning    more than one grid or quantity: keep one a folder to pack it or to forecast from it";
  if (overlaps > 0)
    text += fmt::format(
        "\n  warning    {} amounts over longer windows than their step overlap: to use them all the same, "
        "set "
        "source.allow_overlapping_accumulation",
        overlaps);
  for (const auto& [before, after] : catalogue.gaps)
    text += fmt::format("\n  gap        between {} and {}", io::format_time(before), io::format_time(after));
  if (!catalogue.duplicates.empty()) text += fmt::format("\n  duplicates {}", catalogue.duplicates.size());
  for (const io::Rejected& file : catalogue.rejected) text += "\n  rejected   " + file.reason;
  log.result(text);
}

void inspect_file(const std::string& file, io::FrameReader& reader, const Arguments& arguments, Log& log) {
  const std::optional<OwnFile> own = inspect_own_file(file, arguments.has("png"));
  if (own) {
    log.result(arguments.has("json") ? own->json : own->text);
    if (!arguments.has("png")) return;
    if (own->frames.empty()) {
      log.warning(fmt::format("{}: --png draws radar files and products; not drawn", file));
    } else {
      draw(arguments.text("png"), file, own->frames, log);
    }
    return;
  }
  std::error_code none;
  if (std::filesystem::is_directory(file, none))
    return inspect_folder(file, reader.options(), arguments, log);
  const std::vector<io::Frame> frames = reader.read(file);
  if (frames.empty()) throw io::DataError(file + ": holds no frame; expected at least one");
  const Json json = summary_of(file, frames);
  log.result(arguments.has("json") ? json_text(json) : readable(json, frames.front()));
  if (arguments.has("png")) draw(arguments.text("png"), file, frames, log);
}

int run(const Arguments& arguments, Log& log) {
  const Config config = config_from_settings(arguments.list("set"), {"source."}, "inspect");
  io::FrameReader reader(config.source);
  int code = kOk;
  for (const std::string& file : arguments.positional) {
    stop_if_asked();
    try {
      inspect_file(file, reader, arguments, log);
    } catch (const io::DataError& error) {  // one bad file does not hide the others
      log.error(error.what());
      if (arguments.has("json")) log.result(json_text({{"file", file}, {"error", error.what()}}));
      code = kInput;
    }
  }
  return code;
}

}  // namespace

Command inspect_command() {
  return {{"inspect",
           "Says what radar files, folders of them, products, archives or weights contain, as raincell "
           "understands them.",
           "  raincell inspect radar/20240601T0600Z.h5\n  raincell inspect radar/*.h5 --json",
           "FILE...",
           1,
           std::size_t{1} << 24,
           {{"json", "", "one JSON object a line and file", false},
            {"png", "DIR", "draws each frame as a map", false},
            {"set", "KEY=VALUE", "source.* keys of configs/README.md, e.g. source.variable=rain", true}},
           {}},
          run};
}

}  // namespace raincell::app
