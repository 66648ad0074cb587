#include "app/frame_series.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "app/signals.hpp"

namespace raincell::app {

FrameSeries::FrameSeries(const std::filesystem::path& folder, const io::SourceOptions& options,
                         std::size_t kept, Log& log)
    : reader_(options), kept_(kept) {
  Progress progress(log, "looking through " + folder.string(), 1, "files");
  io::ReaderPool readers(options);
  catalogue_ = io::scan({folder}, readers, [&](std::int64_t done, std::int64_t all) {
    stop_if_asked();
    progress.total(all);
    progress.update(done);
  });
  constexpr std::size_t kShown = 5;
  for (std::size_t i = 0; i < std::min(kShown, catalogue_.rejected.size()); ++i) {
    log.warning("left out: " + catalogue_.rejected[i].reason);
  }
  if (catalogue_.rejected.size() > kShown) {
    log.warning(fmt::format("left out: {} further files; 'raincell inspect' says why",
                            catalogue_.rejected.size() - kShown));
  }
}

std::optional<std::int64_t> FrameSeries::latest_until(io::TimePoint time) const {
  const auto later =
      std::upper_bound(catalogue_.frames.begin(), catalogue_.frames.end(), time,
                       [](io::TimePoint t, const io::CatalogueEntry& e) { return t < e.key.valid_time; });
  if (later == catalogue_.frames.begin()) return std::nullopt;
  return later - catalogue_.frames.begin() - 1;
}

std::optional<std::int64_t> FrameSeries::at(io::TimePoint time) const {
  const std::chrono::seconds tolerance(std::max<std::int64_t>(1, step_s() / 10));
  const auto found = latest_until(time + tolerance);
  if (!found || this->time(*found) < time - tolerance) return std::nullopt;
  return found;
}

void FrameSeries::keep(std::size_t frames) {
  kept_ = std::max<std::size_t>(1, frames);
  while (cache_.size() > frames) cache_.pop_back();
  while (ahead_.size() > frames) ahead_.pop_back();
}

std::span<const float> FrameSeries::values(std::int64_t index) {
  for (auto it = cache_.begin(); it != cache_.end(); ++it) {
    if (it->index == index) {
      cache_.splice(cache_.begin(), cache_, it);
      return cache_.front().values;
    }
  }
  auto found = std::find_if(ahead_.begin(), ahead_.end(), [&](const Kept& k) { return k.index == index; });
  if (found == ahead_.end()) {
    read_file_of(index);
    found = ahead_.begin();
  }
  cache_.splice(cache_.begin(), ahead_, found);
  if (cache_.size() > kept_) cache_.pop_back();
  return cache_.front().values;
}

void FrameSeries::read_file_of(std::int64_t index) {
  const std::filesystem::path& file = entry(index).key.file;
  std::vector<io::Frame> read = reader_.read(file);
  ahead_.clear();
  // Of a file with many frames the next ones will be asked for too: it would be decoded again for each.
  for (std::int64_t i = index; i < frames() && ahead_.size() < std::max<std::size_t>(1, kept_); ++i) {
    const io::FrameKey& key = entry(i).key;
    if (key.file != file) break;
    const auto frame = std::find_if(read.begin(), read.end(),
                                    [&](const io::Frame& f) { return f.valid_time == key.valid_time; });
    if (frame == read.end()) {
      throw io::DataError(fmt::format("{}: the frame of {} is gone; the file changed while it was in use",
                                      file.string(), io::format_time(key.valid_time)));
    }
    if (!frame->zr.empty()) zr_ = frame->zr;
    ahead_.push_back({i, std::move(frame->values)});
  }
}

void FrameSeries::require_same_grid(std::int64_t like, std::int64_t index) const {
  const io::CatalogueEntry &a = entry(like), &b = entry(index);
  if (a.quantity != b.quantity) {
    throw io::DataError(fmt::format("{}: holds {}, but {} holds {}; keep one quantity a folder",
                                    b.key.file.string(), io::name_of(b.quantity), a.key.file.string(),
                                    io::name_of(a.quantity)));
  }
  if (!io::same_grid(a.grid, b.grid)) {
    throw io::DataError(fmt::format("{}: lies on another grid ({}) than {} ({}); keep one grid a folder",
                                    b.key.file.string(), io::describe(b.grid), a.key.file.string(),
                                    io::describe(a.grid)));
  }
}

}  // namespace raincell::app
