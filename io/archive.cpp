#include "io/archive.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "io/archive_part.hpp"
#include "io/cf_out.hpp"
#include "io/mapped_read.hpp"
#include "io/publish.hpp"

namespace raincell::io {
namespace {

namespace fs = std::filesystem;

/// Decompressed frames a thread keeps, so that the frames of a window are not inflated for each of its
/// readers.
class DecodedFrames {
 public:
  static constexpr std::size_t kBytes = std::size_t{64} << 20;

  /// The codes of a frame of the archive numbered `archive`; valid until the next call in this thread.
  std::span<const std::int16_t> get(std::uint64_t archive, const ArchivePart& part, std::size_t frame,
                                    std::size_t pixels, std::int64_t key) {
    for (Entry& entry : entries_) {
      if (entry.archive == archive && entry.key == key) return entry.codes;
    }
    const std::size_t room = std::max<std::size_t>(1, kBytes / (pixels * sizeof(std::int16_t)));
    if (entries_.size() < room) {
      entries_.emplace_back();
      next_ = entries_.size() - 1;
    } else {
      next_ = (next_ + 1) % entries_.size();
    }
    Entry& entry = entries_[next_];
    entry.archive = 0;  // not there yet, should decoding throw
    entry.codes.resize(pixels);
    if (std::string why = part.decode(frame, entry.codes); !why.empty()) throw UnreadableFrame(why);
    entry.archive = archive;
    entry.key = key;
    return entry.codes;
  }

 private:
  struct Entry {
    std::uint64_t archive = 0;
    std::int64_t key = 0;
    std::vector<std::int16_t> codes;
  };
  std::vector<Entry> entries_;
  std::size_t next_ = 0;
};

std::vector<fs::path> part_files(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    throw DataError(path.string() + ": there is no such archive; make one with raincell pack DIR --output " +
                    path.string());
  }
  if (!fs::is_directory(path, error)) return {path};
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') && name.ends_with(".nc") && entry.is_regular_file())
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    throw DataError(path.string() +
                    ": holds no part (*.nc) of a packed archive; radar files are packed with raincell pack");
  }
  return files;
}

}  // namespace

struct Archive::State {
  struct Place {
    std::uint32_t part = 0, frame = 0;
  };
  std::vector<std::unique_ptr<ArchivePart>> parts;
  std::vector<fs::path> paths;
  std::vector<Place> table;  // by time
  std::int64_t step_s = 0;
  std::uint64_t serial = 0;  // of this opening: the key of the threads' caches
  enum Met : std::uint8_t { kNotYet, kGood, kBad };
  std::vector<std::atomic<std::uint8_t>> met;  // by place in the table
  std::atomic<std::int64_t> frames_met = 0;
  std::mutex mutex;
  std::vector<Unreadable> unreadable;

  const PackedFrame& frame(std::int64_t index) const {
    const Place place = table[checked(index)];
    return parts[place.part]->frames()[place.frame];
  }
  std::size_t checked(std::int64_t index) const {
    if (index < 0 || index >= static_cast<std::int64_t>(table.size())) {
      throw DataError(fmt::format("archive {}: frame {} does not exist; there are {}", paths.front().string(),
                                  index, table.size()));
    }
    return static_cast<std::size_t>(index);
  }
  std::string name(std::int64_t index) const {
    return fmt::format("{}: the frame of {}", parts[table[checked(index)].part]->path().string(),
                       format_time(frame(index).time));
  }
  /// Keeps the first reason for it.
  [[noreturn]] void lose(std::int64_t index, const std::string& reason) {
    const std::string why = fmt::format("{} cannot be read: {}; pack it again", name(index), reason);
    const std::uint8_t before = met[checked(index)].exchange(kBad);
    if (before == kNotYet) ++frames_met;
    if (before != kBad) {
      const std::lock_guard lock(mutex);
      unreadable.push_back({index, why});
    }
    throw UnreadableFrame(why);
  }
  /// The codes of a frame that has been compared with its hash; valid until the next call in this thread.
  std::span<const std::int16_t> codes(std::int64_t index) {
    const Place place = table[checked(index)];
    std::atomic<std::uint8_t>& state = met[static_cast<std::size_t>(index)];
    if (state == kBad) throw UnreadableFrame(name(index) + " cannot be read");
    const ArchivePart& part = *parts[place.part];
    const auto pixels = static_cast<std::size_t>(part.grid().pixels());
    std::span<const std::int16_t> codes = part.mapped(place.frame);
    const bool mapped = !codes.empty();
    if (!mapped) {
      thread_local DecodedFrames decoded;
      try {
        codes = decoded.get(serial, part, place.frame, pixels, index);
      } catch (const UnreadableFrame& error) {
        lose(index, error.what());
      }
    }
    if (state == kGood) return codes;
    // A mapped page may go away while it is hashed, so that what is hashed is a copy.
    std::vector<std::int16_t> copy(mapped ? pixels : 0);
    if (mapped && !read_mapped([&, to = copy.data()] { std::copy_n(codes.data(), pixels, to); }))
      lose(index, kCutShort);
    if (hash_of_codes(mapped ? std::span<const std::int16_t>(copy) : codes) != frame(index).hash.text())
      lose(index, "its bytes are not those that were packed");
    std::uint8_t before = kNotYet;
    // Another thread may have lost it meanwhile.
    if (state.compare_exchange_strong(before, kGood)) ++frames_met;
    return codes;
  }
  /// Refuses a crop that is not inside the grid, or that `count` numbers do not hold.
  void check(const Crop& crop, std::size_t count) const {
    const Grid& whole = parts.front()->grid();
    const bool inside = crop.row >= 0 && crop.column >= 0 && crop.rows > 0 && crop.columns > 0 &&
                        crop.rows <= whole.rows - crop.row && crop.columns <= whole.columns - crop.column;
    if (inside && count == static_cast<std::size_t>(crop.rows * crop.columns)) return;
    throw DataError(fmt::format(
        "archive {}: crop of {}x{} at row {}, column {} into {} numbers does not fit a grid of {}x{}",
        paths.front().string(), crop.columns, crop.rows, crop.row, crop.column, count, whole.columns,
        whole.rows));
  }
  /// put(codes of a row of the crop, how many, where to) for every row.
  template <class Value, class Put>
  void read(std::int64_t index, const Crop& crop, std::span<Value> values, const Put& put) {
    check(crop, values.size());
    const std::int64_t columns = parts.front()->grid().columns;
    const std::span<const std::int16_t> stored = codes(index);
    const bool whole = read_mapped([&] {
      for (std::int64_t r = 0; r < crop.rows; ++r)
        put(stored.data() + (crop.row + r) * columns + crop.column, crop.columns,
            values.data() + r * crop.columns);
    });
    if (!whole) lose(index, kCutShort);
  }
  static std::unique_ptr<State> open(const fs::path&, Jail&);
  void open_parts(Jail&);
  void order_frames();
};

/// Several readers where there are many parts: their tables are most of what opening a long archive takes.
void Archive::State::open_parts(Jail& jail) {
  constexpr std::size_t kPartsAReader = 8;
  parts.resize(paths.size());
  std::vector<std::exception_ptr> failed(paths.size());
  std::atomic<std::size_t> next = 0;
  const auto open_next = [&](Jail& reader) {
    for (std::size_t i = next++; i < paths.size(); i = next++) {
      try {
        parts[i] = ArchivePart::open(paths[i], reader);
      } catch (...) {
        failed[i] = std::current_exception();
      }
    }
  };
  {
    const std::size_t readers = std::min<std::size_t>(std::clamp(std::thread::hardware_concurrency(), 1U, 8U),
                                                      (paths.size() + kPartsAReader - 1) / kPartsAReader);
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < readers; ++i) {
      threads.emplace_back([&] {
        Jail reader;
        open_next(reader);
      });
    }
    open_next(jail);
  }
  for (const std::exception_ptr& why : failed) {
    if (why) std::rethrow_exception(why);
  }
}

void Archive::State::order_frames() {
  const ArchivePart& first = *parts.front();
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const ArchivePart& part = *parts[p];
    if (!same_grid(part.grid(), first.grid()) || part.quantity() != first.quantity() ||
        part.scale() != first.scale()) {
      throw DataError(
          fmt::format("{}: holds {} on {}, but {} holds {} on {}; keep them in archives of their own",
                      part.path().string(), name_of(part.quantity()), describe(part.grid()),
                      first.path().string(), name_of(first.quantity()), describe(first.grid())));
    }
    for (std::size_t f = 0; f < part.frames().size(); ++f)
      table.push_back({static_cast<std::uint32_t>(p), static_cast<std::uint32_t>(f)});
  }
  const auto time_of = [&](const Place& place) { return parts[place.part]->frames()[place.frame].time; };
  std::stable_sort(table.begin(), table.end(),
                   [&](const Place& a, const Place& b) { return time_of(a) < time_of(b); });
  const auto frame_of = [&](const Place& place) -> const PackedFrame& {
    return parts[place.part]->frames()[place.frame];
  };
  // A compaction that was cut short leaves frames twice; the same frame in two parts is no contradiction.
  const auto same = [&](const Place& a, const Place& b) {
    if (time_of(a) != time_of(b)) return false;
    if (frame_of(a).hash == frame_of(b).hash) return true;
    throw DataError(fmt::format("{} and {} hold different frames of {}; remove one of the parts",
                                parts[a.part]->path().string(), parts[b.part]->path().string(),
                                format_time(time_of(a))));
  };
  table.erase(std::unique(table.begin(), table.end(), same), table.end());
  std::map<std::int64_t, std::int64_t> steps;
  for (std::size_t i = 1; i < table.size(); ++i) ++steps[(time_of(table[i]) - time_of(table[i - 1])).count()];
  std::int64_t most = 0;
  for (const auto& [step, count] : steps) {
    if (count > most) {
      most = count;
      step_s = step;
    }
  }
  met = std::vector<std::atomic<std::uint8_t>>(table.size());
}

Archive::Archive(std::unique_ptr<State> state) : state_(std::move(state)) {}
Archive::Archive(Archive&&) noexcept = default;
Archive& Archive::operator=(Archive&&) noexcept = default;
Archive::~Archive() = default;

std::unique_ptr<Archive::State> Archive::State::open(const fs::path& path, Jail& jail) {
  static std::atomic<std::uint64_t> openings{0};
  auto state = std::make_unique<State>();
  state->serial = ++openings;
  state->paths = part_files(path);
  state->open_parts(jail);
  state->order_frames();
  return state;
}

Archive Archive::open(const fs::path& path) {
  Jail jail;
  return Archive(State::open(path, jail));
}

std::vector<Archive> Archive::open(const std::vector<fs::path>& paths) {
  Jail jail;
  std::vector<Archive> archives;
  for (const fs::path& path : paths) archives.push_back(Archive(State::open(path, jail)));
  return archives;
}

std::int64_t Archive::frames() const {
  return static_cast<std::int64_t>(state_->table.size());
}
const Grid& Archive::grid() const {
  return state_->parts.front()->grid();
}
Quantity Archive::quantity() const {
  return state_->parts.front()->quantity();
}
std::int64_t Archive::step_s() const {
  return state_->step_s;
}
TimePoint Archive::time(std::int64_t frame) const {
  return state_->frame(frame).time;
}
float Archive::covered_fraction(std::int64_t frame) const {
  return state_->frame(frame).covered;
}
float Archive::wet_fraction(std::int64_t frame) const {
  return state_->frame(frame).wet;
}
std::string Archive::source(std::int64_t frame) const {
  const State::Place place = state_->table[state_->checked(frame)];
  return state_->parts[place.part]->source(place.frame);
}
std::string Archive::frame_hash(std::int64_t frame) const {
  return state_->frame(frame).hash.text();
}
double Archive::scale() const {
  return state_->parts.front()->scale();
}
const std::vector<fs::path>& Archive::parts() const {
  return state_->paths;
}
std::int64_t Archive::frames_met() const {
  return state_->frames_met;
}
std::vector<Archive::Unreadable> Archive::unreadable() const {
  const std::lock_guard lock(state_->mutex);
  return state_->unreadable;
}

std::string Archive::hash() const {
  std::string text = name_of(quantity());
  for (std::int64_t i = 0; i < frames(); ++i) text += format_time(time(i)) + frame_hash(i);
  return sha256(std::as_bytes(std::span(text.data(), text.size())));
}

void Archive::read(std::int64_t frame, const Crop& crop, std::span<float> values) const {
  const double scale = this->scale();
  state_->read(frame, crop, values, [scale](const std::int16_t* from, std::int64_t count, float* to) {
    for (std::int64_t c = 0; c < count; ++c) to[c] = unpack_value(from[c], scale);
  });
}

void Archive::read_codes(std::int64_t frame, const Crop& crop, std::span<std::int16_t> codes) const {
  state_->read(frame, crop, codes, [](const std::int16_t* from, std::int64_t count, std::int16_t* to) {
    std::copy_n(from, count, to);
  });
}

void Archive::read_codes(std::int64_t frame, std::span<std::int16_t> codes) const {
  const State::Place place = state_->table[state_->checked(frame)];
  const ArchivePart& part = *state_->parts[place.part];
  part.prefetch(place.frame);
  read_codes(frame, {0, 0, grid().rows, grid().columns}, codes);
  part.release(place.frame);
}

}  // namespace raincell::io
