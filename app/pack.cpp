// raincell pack: raw files to a checked training archive, and a report of what was found on the way.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/forecast_memory.hpp"
#include "app/report_pack.hpp"
#include "app/signals.hpp"
#include "app/version.hpp"
#include "io/packing.hpp"
#include "io/publish.hpp"
#include "io/sevir.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;

Json notes(const std::vector<io::PackNote>& list) {
  Json json = Json::array();
  for (const io::PackNote& note : list) {
    json.push_back({{"time", io::format_time(note.time)}, {"source", note.source}, {"reason", note.reason}});
  }
  return json;
}

Json files(const std::vector<io::Rejected>& list) {
  Json json = Json::array();
  for (const io::Rejected& file : list)
    json.push_back({{"source", file.file.string()}, {"reason", file.reason}});
  return json;
}

/// Of the hours or months that were met, numbered from `first`.
template <std::size_t N>
Json climates(const std::array<io::Climate, N>& all, const char* name, std::size_t first) {
  Json json = Json::array();
  for (std::size_t i = 0; i < N; ++i) {
    const io::Climate& climate = all[i];
    if (climate.frames == 0) continue;
    json.push_back({{name, i + first},
                    {"frames", climate.frames},
                    {"wet_fraction", climate.covered > 0. ? climate.wet / climate.covered : 0.},
                    {"mean", climate.mean},
                    {"p99", climate.p99},
                    {"max", climate.max}});
  }
  return json;
}

Json split_json(const std::optional<io::PackSplit>& split) {
  if (!split) return nullptr;
  Json train = Json::array();
  for (const auto& range : split->train) train.push_back(range_text(range));
  return {{"train", train},
          {"test", range_text(split->test)},
          {"wet_fraction_train", split->wet_train},
          {"wet_fraction_test", split->wet_test}};
}

Json report_json(const io::PackReport& report, const io::Catalogue& catalogue, const std::string& output) {
  Json json = {{"archive", output},
               {"frames", report.frames},
               {"already_there", report.already_there},
               {"first", io::format_time(report.first)},
               {"last", io::format_time(report.last)},
               {"step_seconds", report.step_s},
               {"grid", report.grid},
               {"quantity", report.quantity},
               {"unit", report.unit},
               {"zr", report.zr},
               {"covered_fraction", report.covered_fraction},
               {"wet_fraction", report.wet_fraction},
               {"mean", report.mean},
               {"p99", report.p99},
               {"max", report.max},
               {"clipped", report.clipped},
               {"clutter_pixels", report.clutter_pixels}};
  if (report.frames == 0) {
    for (const char* key : {"first", "last", "step_seconds", "grid", "quantity", "unit", "covered_fraction",
                            "wet_fraction", "mean", "p99", "max"})
      json[key] = nullptr;
  }
  json["clutter"] = Json::array();
  for (const io::ClutterHint& pixel : report.clutter)
    json["clutter"].push_back({{"row", pixel.row}, {"column", pixel.column}, {"wet_share", pixel.wet_share}});
  json["gaps"] = Json::array();
  for (const io::PackGap& gap : report.gaps) {
    json["gaps"].push_back({{"after", io::format_time(gap.last_before)},
                            {"before", io::format_time(gap.first_after)},
                            {"missing_frames", gap.missing}});
  }
  json["steps"] = Json::array();
  for (const io::PackStep& step : report.steps)
    json["steps"].push_back(
        {{"from", io::format_time(step.from)}, {"step_seconds", step.step_s}, {"frames", step.frames}});
  json["duplicates"] = notes(report.duplicates);
  for (Json& file : files(catalogue.duplicates)) json["duplicates"].push_back(std::move(file));
  json["rejected"] = files(catalogue.rejected);
  for (const NoteList& list : kNoteLists) json[list.key] = notes(report.*list.notes);
  json["climatology_by_hour"] = climates(report.hours, "hour", 0);
  json["climatology_by_month"] = climates(report.months, "month", 1);
  json["split"] = split_json(io::suggest_split(report.moments));
  json["parts"] = Json::array();
  for (const auto& part : report.written) json["parts"].push_back(part.string());
  return json;
}

void list_notes(std::string& text, const char* title, const std::vector<io::PackNote>& notes) {
  constexpr std::size_t kShown = 5;
  if (notes.empty()) return;
  text += fmt::format("  {}: {}\n", title, notes.size());
  for (std::size_t i = 0; i < std::min(kShown, notes.size()); ++i) {
    text += fmt::format("    {}  {}{}{}\n", io::format_time(notes[i].time), notes[i].source,
                        notes[i].source.empty() ? "" : ": ", notes[i].reason);
  }
  if (notes.size() > kShown)
    text += fmt::format("    and {} more (--json lists all)\n", notes.size() - kShown);
}

std::string report_text(const io::PackReport& report, const io::Catalogue& catalogue,
                        const std::string& output) {
  if (report.frames == 0)
    return fmt::format("{}: nothing new; {} frames are there already", output, report.already_there);
  std::string text = fmt::format(
      "{}: {} frames of {} [{}] from {} to {}, every {}\n  grid: {}\n"
      "  covered {:.2f} %, wet {:.2f} % of it; mean {:.3g}, 99th percentile {:.3g}, maximum {:.4g} {}\n",
      output, report.frames, report.quantity, report.unit, io::format_time(report.first),
      io::format_time(report.last), format_duration(static_cast<double>(report.step_s)), report.grid,
      100. * report.covered_fraction, 100. * report.wet_fraction, report.mean, report.p99, report.max,
      report.unit);
  if (report.already_there > 0) text += fmt::format("  already there: {} frames\n", report.already_there);
  if (report.clipped > 0) text += fmt::format("  clipped values: {}\n", report.clipped);
  if (report.clutter_pixels > 0) {
    text += fmt::format("  suspected clutter: {} pixels, nearly always wet\n", report.clutter_pixels);
  }
  if (report.gaps.empty()) text += "  gaps: none\n";
  for (const io::PackGap& gap : report.gaps) {
    text += fmt::format("  gap: {} frames missing between {} and {}\n", gap.missing,
                        io::format_time(gap.last_before), io::format_time(gap.first_after));
  }
  for (std::size_t i = 1; i < report.steps.size(); ++i) {
    text += fmt::format("  step changes at {}: {} instead of {}\n", io::format_time(report.steps[i].from),
                        format_duration(static_cast<double>(report.steps[i].step_s)),
                        format_duration(static_cast<double>(report.steps[i - 1].step_s)));
  }
  const std::size_t duplicates = report.duplicates.size() + catalogue.duplicates.size();
  if (duplicates > 0) text += fmt::format("  duplicates left out: {}\n", duplicates);
  for (const io::Rejected& file : catalogue.rejected) text += fmt::format("  rejected: {}\n", file.reason);
  for (const NoteList& list : kNoteLists) list_notes(text, list.title, report.*list.notes);
  if (const auto split = io::suggest_split(report.moments)) {
    text += fmt::format("  to test on: {} (wet {:.2f} %)\n  to train on:", range_text(split->test),
                        100. * split->wet_test);
    for (std::size_t i = 0; i < split->train.size(); ++i)
      text += fmt::format("{} {}", i == 0 ? "" : ",", range_text(split->train[i]));
    text += fmt::format(" (wet {:.2f} %)\n", 100. * split->wet_train);
  }
  text.pop_back();
  return text;
}

bool is_catalogue(const std::filesystem::path& path) {
  std::error_code none;
  if (path.extension() != ".csv" || !std::filesystem::is_regular_file(path, none)) return false;
  std::ifstream file(path);
  std::string head;
  return std::getline(file, head) && io::is_sevir_catalogue(head);
}

/// Events of SEVIR, an archive each.
int pack_sevir(const Arguments& arguments, const io::SourceOptions& source, io::ArchiveOptions options,
               Log& log) {
  const std::string output = arguments.text("output");
  for (const char* option : {"report", "compact"}) {
    if (arguments.has(option))
      throw UsageError(
          fmt::format("--{}: is for one archive, but SEVIR's events become an archive each", option));
  }
  io::ReaderPool readers(source, static_cast<int>(arguments.integer("threads", 0, 1, 64)));
  Progress progress(log, "packing", 1, "events");
  const io::PackedEvents packed = io::pack_events(arguments.positional.front(), readers, output, options,
                                                  [&](std::int64_t done, std::int64_t all) {
                                                    stop_if_asked();
                                                    progress.total(all);
                                                    progress.update(done);
                                                  });
  constexpr std::size_t kShown = 5;
  for (std::size_t i = 0; i < std::min(kShown, packed.rejected.size()); ++i)
    log.warning("left out: " + packed.rejected[i].reason);
  if (packed.rejected.size() > kShown)
    log.warning(fmt::format("left out: {} more (--json lists all)", packed.rejected.size() - kShown));
  if (arguments.has("json")) {
    log.result(json_text(Json{{"archives", output},
                              {"events", packed.events},
                              {"frames", packed.frames},
                              {"already_there", packed.already_there},
                              {"rejected", files(packed.rejected)}}));
    return kOk;
  }
  log.result(fmt::format("{}: {} events, {} frames of vil [kg m-2], an archive each", output, packed.events,
                         packed.frames));
  if (packed.already_there > 0) log.result(fmt::format("  already there: {} events", packed.already_there));
  log.info(fmt::format("next: raincell train CONFIG --run run --set 'data.archive={}/*.nc'", output));
  return kOk;
}

int run(const Arguments& arguments, Log& log) {
  keep_freed_memory();
  const Config config = config_from_settings(arguments.list("set"), {"source."}, "pack");
  const std::string output = arguments.text("output");
  if (arguments.positional.empty() && !arguments.has("compact")) {
    throw UsageError(
        "raincell pack: DIR... is missing; for example:\n  raincell pack radar --output archive.nc");
  }
  for (const std::string& input : arguments.positional) {
    std::error_code none;
    if (std::filesystem::is_directory(input, none) && std::filesystem::equivalent(input, output, none)) {
      throw UsageError(fmt::format(
          "--output {}: is the folder of the radar files, and parts of the archive would lie among them; "
          "choose another path, for example archive.nc",
          output));
    }
  }
  if (arguments.has("report")) {  // before the work, not after it
    const std::filesystem::path folder = std::filesystem::path(arguments.text("report")).parent_path();
    std::error_code none;
    if (!folder.empty() && !std::filesystem::is_directory(folder, none))
      throw UsageError(fmt::format("--report {}: there is no folder {}; create it first",
                                   arguments.text("report"), folder.string()));
  }
  io::ArchiveOptions options;
  options.compress = arguments.has("compress");
  options.append = arguments.has("append");
  options.maps = arguments.has("report");
  options.history = fmt::format("raincell {} pack", version());
  if (arguments.positional.size() == 1 && is_catalogue(arguments.positional.front()))
    return pack_sevir(arguments, config.source, options, log);
  io::PackReport report;
  io::Catalogue catalogue;
  if (!arguments.positional.empty()) {
    io::ReaderPool readers(config.source, static_cast<int>(arguments.integer("threads", 0, 1, 64)));
    Progress progress(log, "packing", 1, "files");
    io::Packed packed = io::pack_files({arguments.positional.begin(), arguments.positional.end()}, readers,
                                       output, options, [&](std::int64_t done, std::int64_t all) {
                                         stop_if_asked();
                                         progress.total(all);
                                         progress.update(done);
                                       });
    report = std::move(packed.report);
    catalogue = std::move(packed.catalogue);
  }
  if (arguments.has("compact")) report = io::compact(output, options);
  for (const io::Rejected& file : catalogue.rejected) log.warning("left out: " + file.reason);
  log.result(arguments.has("json") ? json_text(report_json(report, catalogue, output))
                                   : report_text(report, catalogue, output));
  if (arguments.has("report") && report.frames == 0) {
    log.info("nothing new: the page of the last pack, if there is one, stays as it is");
  } else if (arguments.has("report")) {
    io::publish(arguments.text("report"), pack_report_page(report, catalogue, output));
    log.info(fmt::format("wrote {}", arguments.text("report")));
  }
  if (!arguments.has("json")) {
    log.info(fmt::format("next: raincell train configs/radar.yaml --run run --set data.archive={}", output));
  }
  return kOk;
}

}  // namespace

Command pack_command() {
  return {
      {"pack",
       "Packs radar files into a checked training archive, and reports gaps, duplicates, stuck frames and "
       "the rain.",
       "  raincell pack radar --output archive.nc\n  raincell pack more_radar --output archive.nc --append\n"
       "  raincell pack SEVIR/CATALOG.csv --output sevir",
       "DIR...",
       0,
       std::size_t{1} << 24,
       {{"output", "PATH", "archive.nc, or a folder of parts", false},
        {"append", "", "adds the new frames to the archive that is there", false},
        {"compress", "", "smaller file, slower training", false},
        {"threads", "N", "how many files are read at once; default: one a core, at most 8", false},
        {"report", "FILE.html", "the report as one page with maps and curves", false},
        {"compact", "", "merges the parts of the archive", false},
        {"json", "", "the report as one JSON object on stdout", false},
        {"set", "KEY=VALUE", "source.* keys of configs/README.md; may be repeated", true}},
       {"output"}},
      run};
}

}  // namespace raincell::app
