// raincell simulate: a synthetic radar archive from a seed.
#include "io/simulate.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/errors.hpp"
#include "app/signals.hpp"
#include "io/rain_regime.hpp"

namespace raincell::app {

namespace {

std::string one_of(const Arguments& arguments, const std::string& name,
                   const std::vector<std::string>& allowed) {
  const std::string value = arguments.text(name, allowed[0]);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  const std::string near = nearest(value, allowed);
  throw UsageError(fmt::format("--{} {}: expected {}{}", name, value, fmt::join(allowed, " or "),
                               near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

/// "30-35,50": indices of frames.
std::vector<std::int64_t> parse_gaps(const Arguments& arguments, std::int64_t frames) {
  std::vector<std::int64_t> gaps;
  for (const std::string& item : arguments.comma_list("gaps")) {
    const std::size_t dash = item.find('-');
    const auto first = parse_integer(item.substr(0, dash));
    const auto last = dash == std::string::npos ? first : parse_integer(item.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last >= frames) {
      throw UsageError(fmt::format("--gaps {}: '{}' is no frame or range of frames between 0 and {}",
                                   arguments.text("gaps"), item, frames - 1));
    }
    for (std::int64_t i = *first; i <= *last; ++i) gaps.push_back(i);
  }
  return gaps;
}

io::SimulationSpec spec_of(const Arguments& arguments) {
  io::SimulationSpec spec;
  spec.kind = one_of(arguments, "kind", {"rain", "moving-mnist"});
  spec.regime = one_of(arguments, "regime", io::rain_regimes());
  spec.format = one_of(arguments, "format", {"odim", "cf"});
  spec.frames = arguments.integer("frames", spec.frames, 1, 10000000);
  const auto size = parse_grid_size(arguments.text("size", "128x128"));
  if (!size || size->first < 8 || size->second < 8 || size->first > 16384 || size->second > 16384) {
    throw UsageError(
        fmt::format("--size {}: expected COLUMNSxROWS, each from 8 to 16384, for example 128x128",
                    arguments.text("size")));
  }
  spec.columns = size->first;
  spec.rows = size->second;
  spec.step_s = arguments.seconds("step", spec.step_s);
  spec.seed = static_cast<std::uint64_t>(arguments.integer("seed", 1, 0, std::int64_t{1} << 62));
  spec.start = arguments.time("start").value_or(spec.start);
  spec.gaps = parse_gaps(arguments, spec.frames);
  spec.missing_region = !arguments.has("full-coverage");
  spec.digits = arguments.text("digits");
  if (spec.kind == "moving-mnist" && spec.digits.empty()) {
    throw UsageError(
        "raincell simulate: moving-mnist needs --digits FILE, an idx or idx.gz file such as "
        "train-images-idx3-ubyte.gz");
  }
  if (spec.kind == "moving-mnist" && arguments.has("regime")) {
    throw UsageError("raincell simulate: --regime is for --kind rain; leave it out");
  }
  if (spec.kind == "rain" && !spec.digits.empty()) {
    throw UsageError("raincell simulate: --digits is for --kind moving-mnist; leave it out");
  }
  return spec;
}

int run(const Arguments& arguments, Log& log) {
  const io::SimulationSpec spec = spec_of(arguments);
  const std::filesystem::path folder = arguments.text("output");
  std::error_code none;
  if (std::filesystem::is_directory(folder, none) && !std::filesystem::is_empty(folder, none)) {
    throw UsageError(
        fmt::format("{}: the folder is not empty, and its files would mix with the new ones; choose another "
                    "--output or remove it",
                    folder.string()));
  }
  std::vector<std::filesystem::path> files;
  {
    Progress progress(log, "simulating", spec.frames, "frames");
    files = io::simulate(spec, folder, [&](std::int64_t done, std::int64_t) {
      stop_if_asked();
      progress.update(done);
    });
  }
  if (arguments.has("json")) {
    log.result(json_text({{"folder", folder.string()}, {"files", files.size()}, {"seed", spec.seed}}));
  } else {
    log.result(fmt::format("{}: {} files of {}x{} pixels every {} from {}", folder.string(), files.size(),
                           spec.columns, spec.rows, format_duration(static_cast<double>(spec.step_s)),
                           io::format_time(spec.start)));
    log.info(fmt::format("next: raincell pack {} --output archive.nc", folder.string()));
  }
  return kOk;
}

}  // namespace

Command simulate_command() {
  return {
      {"simulate",
       "Writes a synthetic radar archive: moving, growing and decaying rain, from a seed.",
       "  raincell simulate --output radar --frames 120 --size 128x128 --step 5min --seed 1 --format odim",
       "",
       0,
       0,
       {{"output", "DIR", "folder for the files; must be new or empty", false},
        {"frames", "N", "frames to write; default 120", false},
        {"size", "COLUMNSxROWS", "pixels of 1 km; default 128x128", false},
        {"step", "DURATION", "between two frames; default 5min", false},
        {"seed", "N", "the same seed gives the same files; default 1", false},
        {"format", "NAME", "odim (default) or cf", false},
        {"kind", "NAME", "rain (default) or moving-mnist", false},
        {"regime", "NAME",
         "of the rain: temperate (default), stratiform, showers, storms; any: drawn by the seed, some with "
         "clutter",
         false},
        {"digits", "FILE", "idx or idx.gz file of digits, for moving-mnist", false},
        {"start", "TIME", "valid time of the first frame; default 2024-06-01T00:00Z", false},
        {"gaps", "LIST", "frames that are left out, e.g. 30-35,50", false},
        {"full-coverage", "", "no missing pixels", false},
        {"json", "", "one JSON object on stdout", false}},
       {"output"}},
      run};
}

}  // namespace raincell::app
