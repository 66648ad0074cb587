#include "app/replay.hpp"

#include <fmt/format.h>

#include <span>

#include "app/errors.hpp"
#include "app/signals.hpp"
#include "io/catalogue.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace fs = std::filesystem;

namespace {

constexpr const char* kMark = ".raincell-replay";  // of a folder that a replay may empty

/// Only a folder that a replay made, or an empty one.
void empty_folder(const fs::path& folder) {
  io::make_folder(folder);
  std::error_code none;
  if (!fs::exists(folder / kMark, none) && !fs::is_empty(folder, none))
    throw UsageError(fmt::format(
        "{}: holds files already, and a replay would mix its own with them; give an empty folder as input",
        folder.string()));
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename() != kMark) fs::remove(entry.path(), none);
  io::publish(folder / kMark, std::string("files of a replay, which the next one removes\n"));
}

}  // namespace

Replay::Replay(const fs::path& from, fs::path to, const io::SourceOptions& options,
               std::chrono::seconds delay, Log& log)
    : to_(std::move(to)), delay_(delay) {
  Progress progress(log, "looking through " + from.string(), 1, "files");
  io::ReaderPool readers(options);
  const io::Catalogue catalogue = io::scan({from}, readers, [&](std::int64_t done, std::int64_t all) {
    stop_if_asked();
    progress.total(all);
    progress.update(done);
  });
  std::error_code none;
  if (fs::equivalent(from, to_, none))
    throw UsageError(
        fmt::format("--replay {}: is the input of the service itself; choose another input", from.string()));
  std::map<fs::path, io::TimePoint> last;
  for (const io::CatalogueEntry& entry : catalogue.frames) last[entry.key.file] = entry.key.valid_time;
  for (const auto& [file, time] : last) files_.emplace(time, file);
  step_ = std::chrono::seconds(catalogue.step_s);
  empty_folder(to_);
  next_ = files_.cbegin();
}

void Replay::feed(io::TimePoint now) {
  for (; !over() && due() <= now; ++next_) {
    const std::string bytes = io::read_file(next_->second);
    io::publish(to_ / next_->second.filename(), bytes);
  }
}

}  // namespace raincell::app
