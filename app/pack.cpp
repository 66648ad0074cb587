// raincell pack: raw files to a checked training archive, and a report of what was found on the way.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/signals.hpp"
#include "app/version.hpp"
#include "io/archive_writer.hpp"
#include "io/catalogue.hpp"

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
  json["gaps"] = Json::array();
  for (const io::PackGap& gap : report.gaps) {
    json["gaps"].push_back({{"after", io::format_time(gap.last_before)},
                            {"before", io::format_time(gap.first_after)},
                            {"missing_frames", gap.missing}});
  }
  json["duplicates"] = notes(report.duplicates);
  for (const io::Rejected& file : catalogue.duplicates) {
    json["duplicates"].push_back({{"source", file.file.string()}, {"reason", file.reason}});
  }
  json["rejected"] = Json::array();
  for (const io::Rejected& file : catalogue.rejected) {
    json["rejected"].push_back({{"source", file.file.string()}, {"reason", file.reason}});
  }
  json["stuck"] = notes(report.stuck);
  json["changes"] = notes(report.changes);
  json["unit_changes"] = notes(report.unit_changes);
  json["out_of_order"] = notes(report.out_of_order);
  json["all_missing"] = notes(report.all_missing);
  json["climatology_by_hour"] = Json::array();
  for (std::size_t hour = 0; hour < report.hours.size(); ++hour) {
    const io::HourClimate& climate = report.hours[hour];
    if (climate.frames == 0) continue;
    json["climatology_by_hour"].push_back({{"hour", hour},
                                           {"frames", climate.frames},
                                           {"mean", climate.mean},
                                           {"p99", climate.p99},
                                           {"max", climate.max}});
  }
  return json;
}

void list_notes(std::string& text, const char* title, const std::vector<io::PackNote>& notes) {
  constexpr std::size_t kShown = 5;
  if (notes.empty()) return;
  text += fmt::format("  {}: {}\n", title, notes.size());
  for (std::size_t i = 0; i < std::min(kShown, notes.size()); ++i) {
    text += fmt::format("    {}  {}: {}\n", io::format_time(notes[i].time), notes[i].source, notes[i].reason);
  }
  if (notes.size() > kShown)
    text += fmt::format("    and {} more (--json lists all)\n", notes.size() - kShown);
}

std::string report_text(const io::PackReport& report, const io::Catalogue& catalogue,
                        const std::string& output) {
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
  std::vector<io::PackNote> duplicates = report.duplicates;
  for (const io::Rejected& file : catalogue.duplicates) {
    duplicates.push_back({{}, file.file.filename().string(), file.reason});
  }
  if (!duplicates.empty()) text += fmt::format("  duplicates left out: {}\n", duplicates.size());
  for (const io::Rejected& file : catalogue.rejected) text += fmt::format("  rejected: {}\n", file.reason);
  list_notes(text, "stuck (rain identical to the frame before; packed)", report.stuck);
  list_notes(text, "other grid or quantity (left out)", report.changes);
  list_notes(text, "unit or window changed (packed)", report.unit_changes);
  list_notes(text, "out of order (left out)", report.out_of_order);
  list_notes(text, "nothing observed (packed)", report.all_missing);
  text.pop_back();
  return text;
}

/// Reads the frames of the catalogue in the order of time; a file with several frames is read once for a run
/// of them.
void add_frames(const io::Catalogue& catalogue, io::FrameReader& reader, io::ArchiveWriter& writer,
                Log& log) {
  Progress progress(log, "packing", static_cast<std::int64_t>(catalogue.frames.size()), "frames");
  std::filesystem::path open;
  std::vector<io::Frame> frames;
  std::int64_t done = 0;
  for (const io::CatalogueEntry& entry : catalogue.frames) {
    stop_if_asked();
    progress.update(++done);
    if (!writer.wants(entry.key.valid_time)) continue;
    if (entry.key.file != open) {
      frames = reader.read(entry.key.file);
      open = entry.key.file;
    }
    const auto frame = std::find_if(frames.begin(), frames.end(),
                                    [&](const io::Frame& f) { return f.valid_time == entry.key.valid_time; });
    if (frame == frames.end()) {
      throw io::DataError(fmt::format("{}: the frame of {} is gone; the file changed while it was packed",
                                      entry.key.file.string(), io::format_time(entry.key.valid_time)));
    }
    writer.add(*frame, entry.key.file.filename().string());
  }
}

io::Catalogue look_through(const std::vector<std::string>& inputs, io::FrameReader& reader, Log& log) {
  Progress progress(log, "looking through the files", 1, "files");
  return io::scan({inputs.begin(), inputs.end()}, reader, [&](std::int64_t done, std::int64_t all) {
    stop_if_asked();
    progress.total(all);
    progress.update(done);
  });
}

int run(const Arguments& arguments, Log& log) {
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
  io::ArchiveOptions options;
  options.compress = arguments.has("compress");
  options.append = arguments.has("append");
  options.history = fmt::format("raincell {} pack", version());
  io::PackReport report;
  io::Catalogue catalogue;
  if (!arguments.positional.empty()) {
    io::FrameReader reader(config.source);
    catalogue = look_through(arguments.positional, reader, log);
    io::ArchiveWriter writer(output, options);
    add_frames(catalogue, reader, writer, log);
    report = writer.finish();
  }
  if (arguments.has("compact")) report = io::compact(output, options);
  for (const io::Rejected& file : catalogue.rejected) log.warning("left out: " + file.reason);
  log.result(arguments.has("json") ? json_text(report_json(report, catalogue, output))
                                   : report_text(report, catalogue, output));
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
       "  raincell pack radar --output archive.nc\n  raincell pack more_radar --output archive.nc --append",
       "DIR...",
       0,
       std::size_t{1} << 24,
       {{"output", "PATH", "archive.nc, or a folder of parts", false},
        {"append", "", "adds the new frames to the archive that is there", false},
        {"compress", "", "smaller file, slower training", false},
        {"compact", "", "merges the parts of the archive", false},
        {"json", "", "the report as one JSON object on stdout", false},
        {"set", "KEY=VALUE", "source.* keys of configs/README.md; may be repeated", true}},
       {"output"}},
      run};
}

}  // namespace raincell::app
