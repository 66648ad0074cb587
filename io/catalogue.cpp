#include "io/catalogue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <system_error>

namespace raincell::io {
namespace {

namespace fs = std::filesystem;

/// Hidden files and those still being written.
bool is_left_out(const fs::path& path) {
  const std::string name = path.filename().string(), ending = path.extension().string();
  return name.empty() || name.front() == '.' || ending == ".tmp" || ending == ".part";
}

void list_folder(const fs::path& folder, std::vector<fs::path>& files, std::vector<Rejected>& rejected) {
  std::error_code error;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  if (error)
    throw DataError(
        fmt::format("{}: cannot be listed: {}; check the permissions", folder.string(), error.message()));
  for (; at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (error) {
      rejected.push_back({folder, fmt::format("cannot be listed to the end: {}", error.message())});
      return;
    }
    const fs::file_status status = at->symlink_status(error);  // never follows a link out of the folder
    if (error) continue;
    if (is_left_out(at->path())) {
      if (fs::is_directory(status)) at.disable_recursion_pending();
    } else if (fs::is_regular_file(status)) {
      files.push_back(at->path());
    }
  }
}

/// Frames of the same time: the first stays, the others are named.
void drop_duplicates(Catalogue& catalogue) {
  std::stable_sort(
      catalogue.frames.begin(), catalogue.frames.end(),
      [](const CatalogueEntry& a, const CatalogueEntry& b) { return a.key.valid_time < b.key.valid_time; });
  std::vector<CatalogueEntry> kept;
  for (CatalogueEntry& entry : catalogue.frames) {
    if (!kept.empty() && kept.back().key.valid_time == entry.key.valid_time) {
      catalogue.duplicates.push_back(
          {entry.key.file, fmt::format("same time {} as {}", format_time(entry.key.valid_time),
                                       kept.back().key.file.string())});
    } else {
      kept.push_back(std::move(entry));
    }
  }
  catalogue.frames = std::move(kept);
}

void find_step_and_gaps(Catalogue& catalogue) {
  std::map<std::int64_t, std::int64_t> counts;
  const auto& frames = catalogue.frames;
  for (std::size_t i = 1; i < frames.size(); ++i) {
    ++counts[(frames[i].key.valid_time - frames[i - 1].key.valid_time).count()];
  }
  std::int64_t most = 0;
  for (const auto& [difference, count] : counts) {
    if (count > most) catalogue.step_s = difference, most = count;  // of equals the shortest
  }
  for (std::size_t i = 1; i < frames.size(); ++i) {
    const TimePoint before = frames[i - 1].key.valid_time, after = frames[i].key.valid_time;
    if ((after - before).count() * 10 > catalogue.step_s * 11) catalogue.gaps.emplace_back(before, after);
  }
}

void refuse_overlap(const Catalogue& catalogue, const SourceOptions& options) {
  if (options.allow_overlapping_accumulation || catalogue.step_s <= 0) return;
  for (const CatalogueEntry& entry : catalogue.frames) {
    if (!entry.accumulation || entry.window_s * 10 <= catalogue.step_s * 11) continue;
    throw DataError(fmt::format(
        "{}: accumulations over {} s every {} s overlap; expected a window no longer than the step; set "
        "source.allow_overlapping_accumulation to use them all the same",
        entry.key.file.string(), entry.window_s, catalogue.step_s));
  }
}

}  // namespace

std::vector<fs::path> list_files(const std::vector<fs::path>& sources, std::vector<Rejected>& rejected) {
  std::vector<fs::path> files;
  for (const fs::path& source : sources) {
    std::error_code error;
    const fs::file_status status = fs::status(source, error);
    if (!fs::exists(status))
      throw DataError(fmt::format("{}: not found; expected a folder or a file; check the path", source.string()));
    const std::size_t before = files.size();
    if (fs::is_directory(status)) {
      list_folder(source, files, rejected);
    } else {
      files.push_back(source);
    }
    std::sort(files.begin() + static_cast<std::ptrdiff_t>(before), files.end());
  }
  return files;
}

void CatalogueBuilder::add(const fs::path& file, const std::vector<Frame>& frames) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const Frame& frame = frames[i];
    catalogue_.frames.push_back({{file, static_cast<std::int64_t>(i), frame.valid_time},
                                 frame.grid,
                                 frame.quantity,
                                 frame.window_s,
                                 frame.accumulation});
  }
}

void CatalogueBuilder::refuse(const fs::path& file, std::string reason) {
  catalogue_.rejected.push_back({file, std::move(reason)});
}

void CatalogueBuilder::check(const SourceOptions& options) const {
  Catalogue so_far = catalogue_;
  find_step_and_gaps(so_far);
  refuse_overlap(so_far, options);
}

Catalogue CatalogueBuilder::finish(const fs::path& source, const SourceOptions& options) {
  if (catalogue_.frames.empty()) {
    if (catalogue_.rejected.empty()) {
      throw DataError(source.string() +
                      ": holds no file (hidden and temporary names and links are left out); expected radar files");
    }
    throw DataError(fmt::format("{}: none of {} files is readable; the first: {}", source.string(),
                                catalogue_.rejected.size(), catalogue_.rejected.front().reason));
  }
  drop_duplicates(catalogue_);
  find_step_and_gaps(catalogue_);
  refuse_overlap(catalogue_, options);
  return std::move(catalogue_);
}

Catalogue scan(const std::vector<fs::path>& sources, ReaderPool& readers,
               const std::function<void(std::int64_t done, std::int64_t all)>& progress) {
  CatalogueBuilder builder;
  std::vector<Rejected> unlisted;
  const std::vector<fs::path> files = list_files(sources, unlisted);
  for (Rejected& folder : unlisted) builder.refuse(folder.file, std::move(folder.reason));
  readers.read(files, Wanted::description, [&](std::size_t i, ReadAnswer&& answer) {
    if (answer.refused.empty()) {
      builder.add(files[i], answer.frames);
    } else {
      builder.refuse(files[i], std::move(answer.refused));
    }
    if (progress) progress(static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(files.size()));
  });
  return builder.finish(sources.empty() ? fs::path("input") : sources.front(), readers.options());
}

}  // namespace raincell::io
