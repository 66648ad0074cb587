#include "io/archive_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
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

constexpr std::int64_t kSyncEvery = std::int64_t{16} << 20;  // bytes of codes

struct Row {
  TimePoint time;
  std::string source, hash;
  float covered = 0.F, wet = 0.F;
  std::uint32_t crc = 0;  // of the codes, to see whether they arrived on disk
};

std::vector<fs::path> parts_of(const fs::path& folder) {
  std::vector<fs::path> parts;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') && name.ends_with(".nc")) parts.push_back(entry.path());
  }
  std::sort(parts.begin(), parts.end());
  return parts;
}

/// "20240601T0600Z"
std::string compact_time(TimePoint when) {
  std::string text = format_time(when);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

/// The reverse of compact_time.
std::optional<TimePoint> time_of_text(const std::string& text) {
  if (text.size() < 14 || text[8] != 'T' || text.back() != 'Z') return std::nullopt;
  std::string iso =
      text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 5) + ":" + text.substr(11, 2);
  if (text.size() == 16) iso += ":" + text.substr(13, 2);
  return text.size() == 14 || text.size() == 16 ? parse_time(iso + "Z") : std::nullopt;
}

/// The times of an archive's frames. A part's name says where it begins and ends, so that appending to years
/// of parts opens those alone that a frame may lie in.
class KnownTimes {
 public:
  /// Throws DataError when a part with another name cannot be read.
  explicit KnownTimes(const std::vector<fs::path>& parts) {
    for (const fs::path& path : parts) {
      Part part{path, {}, {}, {}};
      const std::string name = path.stem().string();  // part_FIRST_LAST or part_FIRST_LAST_2
      const std::size_t first = name.find('_'), last = name.find('_', first + 1);
      if (last != std::string::npos) {
        const auto from = time_of_text(name.substr(first + 1, last - first - 1)),
                   to = time_of_text(name.substr(last + 1, name.find('_', last + 1) - last - 1));
        if (from && to) {
          part.first = *from;
          part.last = *to;
          parts_.push_back(std::move(part));
          continue;
        }
      }
      open(part);
      part.first = *part.times.begin();
      part.last = *part.times.rbegin();
      parts_.push_back(std::move(part));
    }
  }
  bool has(TimePoint time) {
    for (Part& part : parts_) {
      if (time < part.first || time > part.last) continue;
      if (part.times.empty()) open(part);
      if (part.times.contains(time)) return true;
    }
    return false;
  }
  bool empty() const { return parts_.empty(); }

 private:
  struct Part {
    fs::path path;
    TimePoint first, last;
    std::set<TimePoint> times;  // once it was opened
  };
  static void open(Part& part) {
    const auto opened = ArchivePart::open(part.path);
    for (const PackedFrame& frame : opened->frames()) part.times.insert(frame.time);
  }
  std::vector<Part> parts_;
};

std::int64_t most_frequent_step(const std::vector<PackMoment>& moments) {
  std::map<std::int64_t, std::int64_t> counts;
  for (std::size_t i = 1; i < moments.size(); ++i) ++counts[(moments[i].time - moments[i - 1].time).count()];
  std::int64_t step = 0, most = 0;
  for (const auto& [seconds, count] : counts) {
    if (count > most) {
      most = count;
      step = seconds;
    }
  }
  return step;
}

void note_gaps(PackReport& report) {
  for (std::size_t i = 1; i < report.moments.size() && report.step_s > 0; ++i) {
    const TimePoint before = report.moments[i - 1].time, after = report.moments[i].time;
    const std::int64_t step = (after - before).count();
    if (2 * step < 3 * report.step_s) continue;
    report.gaps.push_back({before, after, (step + report.step_s / 2) / report.step_s - 1});
  }
}

/// Runs of one step, and frames off the lattice of the run they lie in. A run is at least a dozen frames
/// long: what is shorter is jitter or a gap.
void note_runs(PackReport& report) {
  constexpr std::int64_t kShortestRun = 12;
  const std::vector<PackMoment>& moments = report.moments;
  if (report.step_s <= 0) return;
  std::vector<PackStep> runs;
  for (std::size_t i = 1; i < moments.size(); ++i) {
    const std::int64_t step = (moments[i].time - moments[i - 1].time).count();
    if (runs.empty() || runs.back().step_s != step) runs.push_back({moments[i - 1].time, step, 0});
    ++runs.back().frames;
  }
  for (const PackStep& run : runs) {
    if (run.frames < kShortestRun && run.step_s != report.step_s) continue;
    if (!report.steps.empty() && report.steps.back().step_s == run.step_s) {
      report.steps.back().frames += run.frames;
    } else if (run.frames >= kShortestRun || report.steps.empty()) {
      report.steps.push_back(run);
    }
  }
  std::size_t epoch = 0;
  for (const PackMoment& moment : moments) {
    while (epoch + 1 < report.steps.size() && moment.time > report.steps[epoch + 1].from) ++epoch;
    const PackStep step =
        report.steps.empty() ? PackStep{moments.front().time, report.step_s, 0} : report.steps[epoch];
    const std::int64_t off = (moment.time - step.from).count() % step.step_s,
                       away = std::min(std::abs(off), step.step_s - std::abs(off));
    if (away * 10 > step.step_s)
      report.jitter.push_back({moment.time, "", fmt::format("{} s off steps of {} s", away, step.step_s)});
  }
}

}  // namespace

struct ArchiveWriter::State {
  fs::path target, temporary;
  bool folder = false;
  ArchiveOptions options;
  std::optional<Archive> old;       // appending to a file: its frames are written again
  std::int64_t old_next = 0;        // first of them that is not written yet
  std::optional<KnownTimes> there;  // of the frames appended to
  std::optional<NetcdfOut> out;
  std::optional<PackStatistics> statistics;
  int time = -1, values = -1, source = -1, hash = -1, covered = -1, wet = -1;
  Grid grid;
  Quantity quantity = Quantity::rain_rate;
  Packing packing;
  std::vector<Row> rows;      // of the part being written
  std::int64_t unsynced = 0;  // bytes of codes
  std::optional<Row> last;    // row written
  PackReport report;
  std::string last_unit, last_coding;

  void begin(const Grid&, Quantity);
  void begin_part();
  void end_part();
  void define();
  void put(TimePoint, const std::string& name, std::span<const std::int16_t> codes, std::string hash);
  void put_old_before(TimePoint);
  void put_table();
  void verify() const;
  void note_steps();
  void note_source(const Frame&, const std::string& name);
  bool fits(const Frame&, const std::string& name);
};

void ArchiveWriter::State::begin(const Grid& new_grid, Quantity new_quantity) {
  grid = new_grid;
  quantity = new_quantity;
  packing = packing_of(quantity);
  statistics.emplace(quantity, packing.scale, grid);
}

void ArchiveWriter::State::begin_part() {
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
                            options.compress ? 1 : 0,
                            true};
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

void ArchiveWriter::State::put(TimePoint when, const std::string& name, std::span<const std::int16_t> codes,
                               std::string hash_of_frame) {
  const auto pixels = grid.pixels() * static_cast<std::int64_t>(sizeof(std::int16_t));
  if (folder && options.part_bytes > 0 && !rows.empty() &&
      (static_cast<std::int64_t>(rows.size()) + 1) * pixels > options.part_bytes) {
    end_part();
  }
  if (!out) begin_part();
  Row row{when, name, hash_of_frame.empty() ? hash_of_codes(codes) : std::move(hash_of_frame),
          0.F,  0.F,  crc_of_codes(codes)};
  std::tie(row.covered, row.wet) = statistics->add(when, codes);
  if (row.covered == 0.F) report.all_missing.push_back({when, name, "no pixel was observed"});
  if (last && row.wet > 0.F && row.hash == last->hash) {
    report.stuck.push_back({when, name, "identical to " + format_time(last->time)});
  }
  out->put(values, {rows.size(), 0, 0},
           {1, static_cast<std::size_t>(grid.rows), static_cast<std::size_t>(grid.columns)}, codes);
  unsynced += pixels;
  if (unsynced >= kSyncEvery) {
    begin_sync(temporary);
    unsynced = 0;
  }
  report.moments.push_back({when, row.covered, row.wet});
  last = row;
  rows.push_back(std::move(row));
}

void ArchiveWriter::State::end_part() {
  put_table();
  out->close();
  out.reset();
  std::future<void> synced = std::async(std::launch::async, [this] { sync_file(temporary); });
  verify();
  synced.get();
  fs::path path = target;
  if (folder) {
    const std::string name = "part_" + compact_time(rows.front().time) + "_" + compact_time(rows.back().time);
    path /= name + ".nc";
    for (int n = 2; fs::exists(path); ++n) path.replace_filename(fmt::format("{}_{}.nc", name, n));
  }
  publish_file(temporary, path);
  temporary.clear();
  report.written.push_back(path);
  rows.clear();
}

void ArchiveWriter::State::put_old_before(TimePoint limit) {
  if (!old) return;
  std::vector<std::int16_t> codes(static_cast<std::size_t>(grid.pixels()));
  for (; old_next < old->frames() && old->time(old_next) < limit; ++old_next) {
    old->read_codes(old_next, codes);
    put(old->time(old_next), old->source(old_next), codes, old->frame_hash(old_next));
  }
}

bool ArchiveWriter::State::fits(const Frame& frame, const std::string& name) {
  const auto leave_out = [&](std::vector<PackNote>& where, const std::string& reason) {
    where.push_back({frame.valid_time, name, reason});
    return false;
  };
  const std::size_t given = frame.codes.empty() ? frame.values.size() : frame.codes.size();
  if (given != static_cast<std::size_t>(frame.grid.pixels()) || given == 0)
    return leave_out(report.changes, fmt::format("{} values for {} pixels", given, frame.grid.pixels()));
  if (statistics && frame.quantity != quantity) {
    return leave_out(report.changes,
                     fmt::format("{} instead of {}", name_of(frame.quantity), name_of(quantity)));
  }
  if (statistics && !same_grid(frame.grid, grid)) {
    return leave_out(report.changes, fmt::format("{} instead of {}", describe(frame.grid), describe(grid)));
  }
  if (last && frame.valid_time == last->time) {
    return leave_out(report.duplicates, "same time as " + last->source);
  }
  if (last && frame.valid_time < last->time) {
    return leave_out(report.out_of_order, "comes after " + format_time(last->time));
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
  Grid expected = grid;
  if (!expected.projection.empty()) expected.projection = clean_projection(expected.projection);
  if (part->frames().size() != rows.size() || part->grid() != expected) fail("number of frames or grid");
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::string wrong;
  const auto compare = [&] {
    std::vector<std::int16_t> codes;  // where they are compressed
    for (std::size_t i = next++; i < rows.size(); i = next++) {
      const PackedFrame& frame = part->frames()[i];
      std::string why;
      try {
        std::span<const std::int16_t> written = part->mapped(i);
        if (written.empty()) {
          codes.resize(static_cast<std::size_t>(grid.pixels()));
          part->decode(i, codes);
          written = codes;
        }
        const bool equal = frame.time == rows[i].time && part->source(i) == rows[i].source &&
                           frame.hash.text() == rows[i].hash && frame.covered == rows[i].covered &&
                           frame.wet == rows[i].wet && crc_of_codes(written) == rows[i].crc;
        if (!equal) why = "frame of " + format_time(rows[i].time);
      } catch (const DataError& error) {
        why = error.what();
      }
      if (why.empty()) continue;
      const std::lock_guard lock(mutex);
      wrong = why;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i < std::clamp(std::thread::hardware_concurrency(), 1U, 8U); ++i)
      threads.emplace_back(compare);
    compare();
  }
  if (!wrong.empty()) fail(wrong);
}

void ArchiveWriter::State::note_steps() {
  const std::vector<PackMoment>& moments = report.moments;
  report.frames = static_cast<std::int64_t>(moments.size());
  report.first = moments.front().time;
  report.last = moments.back().time;
  report.step_s = most_frequent_step(moments);
  report.grid = describe(grid);
  report.quantity = name_of(quantity);
  report.unit = unit_of(quantity);
  note_gaps(report);
  note_runs(report);
}

void ArchiveWriter::State::note_source(const Frame& frame, const std::string& name) {
  const auto note_change = [&](std::string& before, std::string now, std::vector<PackNote>& notes) {
    if (!before.empty() && now != before)
      notes.push_back({frame.valid_time, name, now + " instead of " + before});
    before = std::move(now);
  };
  note_change(last_unit,
              fmt::format("{} in {} over {} s", frame.source.quantity, frame.source.unit, frame.window_s),
              report.unit_changes);
  if (!frame.source.coding.empty()) note_change(last_coding, frame.source.coding, report.coding_changes);
  const std::int64_t since = last ? (frame.valid_time - last->time).count() : frame.window_s;
  if (frame.accumulation && frame.window_s * 10 > since * 11) {
    report.overlapping.push_back(
        {frame.valid_time, name,
         fmt::format("an amount over {} s, {} s after {}", frame.window_s, since, format_time(last->time))});
  }
  if (report.zr.empty()) report.zr = frame.zr;
}

ArchiveWriter::ArchiveWriter(const fs::path& target, ArchiveOptions options)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.target = target;
  state.options = std::move(options);
  std::error_code error;
  state.folder = fs::is_directory(target, error) || target.extension() != ".nc";
  if (state.folder) make_folder(target);
  const std::vector<fs::path> parts = state.folder                ? parts_of(target)
                                      : fs::exists(target, error) ? std::vector{target}
                                                                  : std::vector<fs::path>{};
  if (parts.empty()) return;
  if (!state.options.append) {
    if (!state.folder) {  // replaced when the new file is ready
      try {
        ArchivePart::open(target);
      } catch (const DataError& why) {
        throw WriteError(
            fmt::format("{}: is there already and is no packed archive ({}); nothing was touched: "
                        "choose another path, or remove it",
                        target.string(), why.what()));
      }
      return;
    }
    throw WriteError(target.string() +
                     ": the folder holds parts of an archive already; add --append or choose another");
  }
  state.there.emplace(parts);
  if (state.folder) {
    const auto newest = ArchivePart::open(parts.back());
    state.begin(newest->grid(), newest->quantity());
  } else {
    state.old.emplace(Archive::open(target));
    state.begin(state.old->grid(), state.old->quantity());
  }
}

ArchiveWriter::~ArchiveWriter() {
  if (!state_ || state_->temporary.empty()) return;
  state_->out.reset();
  std::error_code ignored;
  fs::remove(state_->temporary, ignored);
}

bool ArchiveWriter::wants(TimePoint time) {
  return !state_->there || !state_->there->has(time);
}

bool ArchiveWriter::add(const Frame& frame, const std::string& source) {
  State& state = *state_;
  if (!wants(frame.valid_time)) {
    ++state.report.already_there;
    return false;
  }
  if (!state.fits(frame, source)) return false;
  if (!state.statistics) state.begin(frame.grid, frame.quantity);
  state.put_old_before(frame.valid_time);
  state.note_source(frame, source);
  state.report.clipped += frame.clipped;
  if (!frame.codes.empty()) {
    state.put(frame.valid_time, source, frame.codes, frame.codes_hash);
  } else {
    std::vector<std::int16_t> codes(frame.values.size());
    state.report.clipped += pack(frame.values, state.packing, codes);
    state.put(frame.valid_time, source, codes, {});
  }
  return true;
}

void ArchiveWriter::discard() {
  for (const fs::path& part : std::exchange(state_->report.written, {})) {
    std::error_code error;
    if (!fs::remove(part, error) && error)
      throw WriteError(part.string() + ": cannot be removed: " + error.message());
  }
}

PackReport ArchiveWriter::finish() {
  State& state = *state_;
  const bool nothing_new = state.report.moments.empty();
  if (nothing_new && !state.there) {
    throw DataError(state.target.string() +
                    ": there was no frame to pack; see what raincell inspect says of the files");
  }
  if (nothing_new) return state.report;  // appending: everything was there
  state.put_old_before(TimePoint::max());
  if (state.out) state.end_part();
  state.note_steps();
  state.statistics->finish(state.report, state.options.maps);
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
    target = path / fmt::format("part_{}_{}_{}.nc", compact_time(old.time(0)),
                                compact_time(old.time(old.frames() - 1)), old.hash().substr(0, 8));
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
