#include "io/archive_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "io/archive_part.hpp"
#include "io/cf_out.hpp"
#include "io/netcdf_out.hpp"
#include "io/publish.hpp"

namespace raincell::io {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTableChunk = 1024;  // frames a chunk of the small variables

struct Row {
  TimePoint time;
  std::string source, hash;
  float covered = 0.F, wet = 0.F;
};

bool has_parts(const fs::path& folder) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') && name.ends_with(".nc")) return true;
  }
  return false;
}

std::int64_t most_frequent_step(const std::vector<Row>& rows) {
  std::map<std::int64_t, std::int64_t> counts;
  for (std::size_t i = 1; i < rows.size(); ++i) ++counts[(rows[i].time - rows[i - 1].time).count()];
  std::int64_t step = 0, most = 0;
  for (const auto& [seconds, count] : counts) {
    if (count > most) {
      most = count;
      step = seconds;
    }
  }
  return step;
}

}  // namespace

struct ArchiveWriter::State {
  fs::path target, temporary;
  bool folder = false;
  ArchiveOptions options;
  std::optional<Archive> old;  // appending to a file: its frames are written again
  std::int64_t old_next = 0;   // first of them that is not written yet
  std::set<TimePoint> there;   // times of the frames appended to
  std::optional<NetcdfOut> out;
  std::optional<PackStatistics> statistics;
  int time = -1, values = -1, source = -1, hash = -1, covered = -1, wet = -1;
  Grid grid;
  Quantity quantity = Quantity::rain_rate;
  Packing packing;
  std::vector<Row> rows;
  PackReport report;
  std::string last_unit;

  void begin(const Grid&, Quantity);
  void define();
  void put(TimePoint, const std::string& name, std::span<const std::int16_t> codes);
  void put_old_before(TimePoint);
  void put_table();
  void verify() const;
  void note_steps();
  bool fits(const Frame&, const std::string& name);
};

void ArchiveWriter::State::begin(const Grid& new_grid, Quantity new_quantity) {
  grid = new_grid;
  quantity = new_quantity;
  packing = packing_of(quantity);
  statistics.emplace(quantity, packing.scale, grid);
  temporary = temporary_beside(folder ? target / "part.nc" : target);
  out.emplace(NetcdfOut::on_disk(temporary));
  define();
}

void ArchiveWriter::State::define() {
  const int time_dimension = out->dimension("time", 0);
  const NetcdfStorage table{{kTableChunk}, 0};
  time = out->variable("time", NetcdfType::float64, {time_dimension}, table);
  define_time(*out, time, "time", "valid time: end of the measuring window");
  const CfGrid cf = define_grid(*out, grid, false);
  const NetcdfStorage frame{{1, static_cast<std::size_t>(grid.rows), static_cast<std::size_t>(grid.columns)},
                            options.compress ? 1 : 0};
  CfField field = cf_field_of(quantity);
  field.cell_methods.clear();  // the window of a frame differs from source to source
  values = define_field(*out, field, {time_dimension}, cf, frame);
  source = out->variable("source_name", NetcdfType::string, {time_dimension}, table);
  out->text(source, "long_name", "file the frame was read from");
  hash = out->variable("frame_hash", NetcdfType::string, {time_dimension}, table);
  out->text(hash, "long_name", "SHA-256 of the stored codes, first 128 bits");
  covered = out->variable("covered_fraction", NetcdfType::float32, {time_dimension}, table);
  out->text(covered, "long_name", "fraction of all pixels that was observed");
  out->text(covered, "units", "1");
  wet = out->variable("wet_fraction", NetcdfType::float32, {time_dimension}, table);
  out->text(wet, "long_name",
            fmt::format("fraction of the observed pixels with at least {} {}", wet_threshold(quantity),
                        unit_of(quantity)));
  out->text(wet, "units", "1");
  const auto global = [&](const char* name, const std::string& text) {
    if (!text.empty()) out->text(NetcdfOut::kGlobal, name, text);
  };
  global("Conventions", "CF-1.11");
  global("title", options.title);
  global("institution", options.institution);
  global("history", options.history);
  global("source", "weather radar, packed by raincell");
  global("raincell_variable", cf_name_of(quantity).variable);
  global("raincell_quantity", name_of(quantity));
  out->text(NetcdfOut::kGlobal, "raincell_projection", grid.projection);
  const double corner_and_pixel[4] = {grid.x0, grid.y0, grid.dx, grid.dy};
  out->numbers(NetcdfOut::kGlobal, "raincell_grid", std::span<const double>(corner_and_pixel));
  out->end_definitions();
  put_axes(*out, cf, grid);
}

void ArchiveWriter::State::put(TimePoint when, const std::string& name, std::span<const std::int16_t> codes) {
  Row row{when, name, hash_of_codes(codes), 0.F, 0.F};
  std::tie(row.covered, row.wet) = statistics->add(when, codes);
  if (row.covered == 0.F) report.all_missing.push_back({when, name, "no pixel was observed"});
  if (!rows.empty() && row.wet > 0.F && row.hash == rows.back().hash) {
    report.stuck.push_back({when, name, "identical to " + format_time(rows.back().time)});
  }
  out->put(values, {rows.size(), 0, 0},
           {1, static_cast<std::size_t>(grid.rows), static_cast<std::size_t>(grid.columns)}, codes);
  rows.push_back(std::move(row));
}

void ArchiveWriter::State::put_old_before(TimePoint limit) {
  if (!old) return;
  std::vector<std::int16_t> codes(static_cast<std::size_t>(grid.pixels()));
  for (; old_next < old->frames() && old->time(old_next) < limit; ++old_next) {
    old->read_codes(old_next, codes);
    put(old->time(old_next), old->source(old_next), codes);
  }
}

bool ArchiveWriter::State::fits(const Frame& frame, const std::string& name) {
  const auto leave_out = [&](std::vector<PackNote>& where, const std::string& reason) {
    where.push_back({frame.valid_time, name, reason});
    return false;
  };
  if (frame.values.size() != static_cast<std::size_t>(frame.grid.pixels()) || frame.values.empty()) {
    return leave_out(report.changes,
                     fmt::format("{} values for {} pixels", frame.values.size(), frame.grid.pixels()));
  }
  if (out && frame.quantity != quantity) {
    return leave_out(report.changes,
                     fmt::format("{} instead of {}", name_of(frame.quantity), name_of(quantity)));
  }
  if (out && !same_grid(frame.grid, grid)) {
    return leave_out(report.changes, fmt::format("{} instead of {}", describe(frame.grid), describe(grid)));
  }
  if (!rows.empty() && frame.valid_time == rows.back().time) {
    return leave_out(report.duplicates, "same time as " + rows.back().source);
  }
  if (!rows.empty() && frame.valid_time < rows.back().time) {
    return leave_out(report.out_of_order, "comes after " + format_time(rows.back().time));
  }
  return true;
}

void ArchiveWriter::State::put_table() {
  std::vector<double> times;
  std::vector<float> covers, wets;
  std::vector<std::string> sources, hashes;
  for (const Row& row : rows) {
    times.push_back(static_cast<double>(row.time.time_since_epoch().count()));
    covers.push_back(row.covered);
    wets.push_back(row.wet);
    sources.push_back(row.source);
    hashes.push_back(row.hash);
  }
  out->put(time, times);
  out->put(covered, covers);
  out->put(wet, wets);
  out->put(source, sources);
  out->put(hash, hashes);
}

/// netCDF-C closes a file on a full disk without an error, so everything is read back.
void ArchiveWriter::State::verify() const {
  const auto fail = [&](const std::string& why) {
    throw WriteError(fmt::format(
        "{}: what was written is not what lies on disk ({}); nothing was published: is the disk full?",
        target.string(), why));
  };
  std::unique_ptr<ArchivePart> part;
  try {
    part = ArchivePart::open(temporary);
  } catch (const DataError& error) {
    fail(error.what());
  }
  if (part->frames().size() != rows.size() || part->grid() != grid) fail("number of frames or grid");
  std::vector<std::int16_t> codes(static_cast<std::size_t>(grid.pixels()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const PackedFrame& frame = part->frames()[i];
    try {
      part->decode(i, codes);
    } catch (const DataError& error) {
      fail(error.what());
    }
    const bool equal = frame.time == rows[i].time && frame.source == rows[i].source &&
                       frame.hash == rows[i].hash && frame.covered == rows[i].covered &&
                       frame.wet == rows[i].wet && hash_of_codes(codes) == rows[i].hash;
    if (!equal) fail("frame of " + format_time(rows[i].time));
  }
}

void ArchiveWriter::State::note_steps() {
  report.frames = static_cast<std::int64_t>(rows.size());
  report.first = rows.front().time;
  report.last = rows.back().time;
  report.step_s = most_frequent_step(rows);
  report.grid = describe(grid);
  report.quantity = name_of(quantity);
  report.unit = unit_of(quantity);
  for (std::size_t i = 1; i < rows.size() && report.step_s > 0; ++i) {
    const std::int64_t step = (rows[i].time - rows[i - 1].time).count();
    if (2 * step < 3 * report.step_s) continue;
    report.gaps.push_back({rows[i - 1].time, rows[i].time, (step + report.step_s / 2) / report.step_s - 1});
  }
}

ArchiveWriter::ArchiveWriter(const fs::path& target, ArchiveOptions options)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.target = target;
  state.options = std::move(options);
  std::error_code error;
  state.folder = fs::is_directory(target, error) || target.extension() != ".nc";
  if (state.folder) make_folder(target);
  const bool exists = state.folder ? has_parts(target) : fs::exists(target, error);
  if (!exists) return;
  if (!state.options.append) {
    if (!state.folder) return;  // replaced when the new file is ready
    throw WriteError(target.string() +
                     ": the folder holds parts of an archive already; add --append or choose another");
  }
  Archive old = Archive::open(target);
  for (std::int64_t i = 0; i < old.frames(); ++i) state.there.insert(old.time(i));
  state.begin(old.grid(), old.quantity());
  if (!state.folder) state.old.emplace(std::move(old));
}

ArchiveWriter::~ArchiveWriter() {
  if (!state_ || state_->temporary.empty()) return;
  state_->out.reset();
  std::error_code ignored;
  fs::remove(state_->temporary, ignored);
}

bool ArchiveWriter::wants(TimePoint time) const {
  return !state_->there.contains(time);
}

bool ArchiveWriter::add(const Frame& frame, const std::string& source) {
  State& state = *state_;
  if (!wants(frame.valid_time)) {
    ++state.report.already_there;
    return false;
  }
  if (!state.fits(frame, source)) return false;
  if (!state.out) state.begin(frame.grid, frame.quantity);
  state.put_old_before(frame.valid_time);
  const std::string unit =
      fmt::format("{} in {} over {} s", frame.source.quantity, frame.source.unit, frame.window_s);
  if (!state.last_unit.empty() && unit != state.last_unit) {
    state.report.unit_changes.push_back({frame.valid_time, source, unit + " instead of " + state.last_unit});
  }
  state.last_unit = unit;
  if (state.report.zr.empty()) state.report.zr = frame.zr;
  std::vector<std::int16_t> codes(frame.values.size());
  state.report.clipped += pack(frame.values, state.packing, codes);
  state.put(frame.valid_time, source, codes);
  return true;
}

PackReport ArchiveWriter::finish() {
  State& state = *state_;
  const bool nothing_new = state.rows.empty();
  if (nothing_new && state.there.empty()) {
    throw DataError(state.target.string() +
                    ": there was no frame to pack; see what raincell inspect says of the files");
  }
  if (nothing_new) return state.report;  // appending: everything was there
  state.put_old_before(TimePoint::max());
  state.put_table();
  state.out->close();
  state.out.reset();
  sync_file(state.temporary);
  state.verify();
  state.note_steps();
  state.statistics->finish(state.report);
  fs::path path = state.target;
  if (state.folder) {
    std::string time = format_time(state.report.first);
    std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
    path /= "part_" + time + ".nc";
    for (int n = 2; fs::exists(path); ++n) path.replace_filename(fmt::format("part_{}_{}.nc", time, n));
  }
  publish_file(state.temporary, path);
  state.temporary.clear();
  state.report.written = {path};
  return state.report;
}

PackReport compact(const fs::path& path, ArchiveOptions options) {
  const Archive old = Archive::open(path);
  const std::vector<fs::path> parts = old.parts();
  std::error_code error;
  const bool folder = fs::is_directory(path, error);
  options.append = false;
  // Written as one file beside the parts, which are removed only when it is complete.
  fs::path target = path;
  if (folder) {
    std::string time = format_time(old.time(0));
    std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
    target = path / ("part_" + time + "_" + old.hash().substr(0, 8) + ".nc");
  }
  ArchiveWriter writer(target, std::move(options));
  Frame frame;
  frame.quantity = old.quantity();
  frame.grid = old.grid();
  frame.values.resize(static_cast<std::size_t>(old.grid().pixels()));
  for (std::int64_t i = 0; i < old.frames(); ++i) {
    old.read(i, {0, 0, frame.grid.rows, frame.grid.columns}, frame.values);
    frame.valid_time = old.time(i);
    writer.add(frame, old.source(i));
  }
  PackReport report = writer.finish();
  for (const fs::path& part : parts) {
    if (folder && part != target && !fs::remove(part, error)) {
      throw WriteError(part.string() + ": cannot remove the merged part: " + error.message());
    }
  }
  return report;
}

}  // namespace raincell::io
