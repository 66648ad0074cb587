#include "io/packing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "io/publish.hpp"
#include "io/sevir.hpp"

namespace raincell::io {
namespace {

namespace fs = std::filesystem;
using Progress = std::function<void(std::int64_t done, std::int64_t all)>;

constexpr std::uint64_t kLargestCatalogue = std::uint64_t{1} << 28;  // bytes; SEVIR's own has 30 million
constexpr std::size_t kEnoughForTheStep = 64;  // frames; fewer than any part that is published on the way

/// A file is earlier than the one before it, or of the same time.
struct OutOfOrder {};

fs::path name_of_input(const std::vector<fs::path>& sources) {
  return sources.empty() ? fs::path("input") : sources.front();
}

/// Packs while reading. Empty when the paths do not ascend with time: nothing is published then.
std::optional<Packed> pack_in_one_pass(const std::vector<fs::path>& sources, ReaderPool& readers,
                                       const fs::path& target, const ArchiveOptions& options,
                                       const Progress& progress) {
  std::vector<Rejected> unlisted;
  const std::vector<fs::path> files = list_files(sources, unlisted);
  CatalogueBuilder builder;
  for (Rejected& folder : unlisted) builder.refuse(folder.file, std::move(folder.reason));
  ArchiveWriter writer(target, options);
  std::optional<TimePoint> last;
  std::size_t frames = 0;
  const auto take = [&](std::size_t i, ReadAnswer&& answer) {
    if (!answer.refused.empty()) builder.refuse(files[i], std::move(answer.refused));
    builder.add(files[i], answer.frames);
    for (const Frame& frame : answer.frames) {
      if (last && frame.valid_time <= *last) throw OutOfOrder{};
      last = frame.valid_time;
      if (++frames == kEnoughForTheStep) builder.check(readers.options());
      writer.add(frame, files[i].filename().string());
    }
    if (progress) progress(static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(files.size()));
  };
  try {
    readers.read(files, Wanted::codes, take);
  } catch (const OutOfOrder&) {
    writer.discard();
    return std::nullopt;
  }
  Packed packed;
  packed.catalogue = builder.finish(name_of_input(sources), readers.options());
  packed.report = writer.finish();
  return packed;
}

/// Reads the frames of the catalogue in the order of time; a file with several frames is read once for a run
/// of them. How many are there already.
std::int64_t pack_catalogue(const Catalogue& catalogue, ReaderPool& readers, ArchiveWriter& writer,
                            const Progress& progress) {
  std::vector<const CatalogueEntry*> wanted;
  for (const CatalogueEntry& entry : catalogue.frames) {
    if (writer.wants(entry.key.valid_time)) wanted.push_back(&entry);
  }
  std::vector<fs::path> files;
  std::vector<std::size_t> ends;  // of the run of frames of each file, in `wanted`
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (files.empty() || files.back() != wanted[i]->key.file) {
      files.push_back(wanted[i]->key.file);
      ends.push_back(i);
    }
    ends.back() = i + 1;
  }
  std::size_t next = 0;
  readers.read(files, Wanted::codes, [&](std::size_t i, ReadAnswer&& answer) {
    if (!answer.refused.empty()) throw DataError(answer.refused + "; it was readable when the pack began");
    for (; next < ends[i]; ++next) {
      const TimePoint time = wanted[next]->key.valid_time;
      const auto frame = std::find_if(answer.frames.begin(), answer.frames.end(),
                                      [&](const Frame& f) { return f.valid_time == time; });
      if (frame == answer.frames.end()) {
        throw DataError(fmt::format("{}: the frame of {} is gone; the file changed while it was packed",
                                    files[i].string(), format_time(time)));
      }
      writer.add(*frame, files[i].filename().string());
    }
    if (progress) progress(static_cast<std::int64_t>(next), static_cast<std::int64_t>(wanted.size()));
  });
  return static_cast<std::int64_t>(catalogue.frames.size() - wanted.size());
}

}  // namespace

Packed pack_files(const std::vector<fs::path>& sources, ReaderPool& readers, const fs::path& target,
                  const ArchiveOptions& options, const Progress& progress) {
  if (!options.append) {
    if (std::optional<Packed> packed = pack_in_one_pass(sources, readers, target, options, progress))
      return std::move(*packed);
  }
  Packed packed;
  packed.catalogue = scan(sources, readers, progress);
  ArchiveWriter writer(target, options);
  const std::int64_t there = pack_catalogue(packed.catalogue, readers, writer, progress);
  packed.report = writer.finish();
  packed.report.already_there += there;
  return packed;
}

PackedEvents pack_events(const fs::path& catalogue, ReaderPool& readers, const fs::path& target,
                         const ArchiveOptions& options,
                         const std::function<void(std::int64_t, std::int64_t)>& progress) {
  PackedEvents packed;
  SevirCatalogue all;
  try {
    all = parse_sevir_catalogue(read_file(catalogue, kLargestCatalogue));
  } catch (const DataError& error) {
    throw DataError(catalogue.string() + ": " + error.what());
  }
  for (const std::string& line : all.rejected)
    packed.rejected.push_back({catalogue, catalogue.string() + ": sevir: " + line});
  make_folder(target);
  const fs::path beside = catalogue.parent_path();
  std::vector<fs::path> files, archives;
  std::vector<std::string> layouts, ids;
  for (const SevirEvent& event : all.events) {
    const fs::path archive = target / (event.id + ".nc");
    std::error_code error;
    if (fs::exists(archive, error)) {
      if (!options.append)
        throw WriteError(target.string() + ": holds " + event.id +
                         ".nc already; add --append or choose another");
      ++packed.already_there;
      continue;
    }
    const fs::path inside = beside / "data" / event.file;
    files.push_back(fs::exists(beside / event.file, error) ? beside / event.file : inside);
    archives.push_back(archive);
    layouts.push_back(sevir_layout(event));
    ids.push_back(event.id);
  }
  readers.read(
      files, Wanted::codes,
      [&](std::size_t i, ReadAnswer&& answer) {
        if (answer.refused.empty()) {
          ArchiveWriter writer(archives[i], options);
          for (const Frame& frame : answer.frames) writer.add(frame, ids[i]);
          packed.frames += writer.finish().frames;
          ++packed.events;
        } else {
          packed.rejected.push_back({files[i], ids[i] + ": " + answer.refused});
        }
        if (progress) progress(static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(files.size()));
      },
      layouts);
  if (packed.events + packed.already_there == 0) {
    std::error_code none;
    fs::remove(target, none);  // when it is empty
    throw DataError(fmt::format("{}: none of {} events is readable; the first: {}", catalogue.string(),
                                all.events.size(), packed.rejected.back().reason));
  }
  return packed;
}

}  // namespace raincell::io
