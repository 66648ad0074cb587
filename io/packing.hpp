// Folders of radar files into a packed archive.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "io/archive_writer.hpp"
#include "io/catalogue.hpp"

namespace raincell::io {

struct Packed {
  PackReport report;
  Catalogue catalogue;
};

/// Packs the frames of all files in the order of time. Files whose paths ascend with time are read once;
/// otherwise, and when appending, all are described first. `progress` is told of files, then of frames, and
/// may throw to end it. Throws DataError and WriteError as scan and ArchiveWriter do.
Packed pack_files(const std::vector<std::filesystem::path>& sources, ReaderPool&,
                  const std::filesystem::path& target, const ArchiveOptions&,
                  const std::function<void(std::int64_t done, std::int64_t all)>& progress = {});

struct PackedEvents {
  std::int64_t events = 0, frames = 0;  // packed now
  std::int64_t already_there = 0;       // events
  std::vector<Rejected> rejected;
};

/// Packs the events of a SEVIR catalogue into archives of their own, ID.nc in the folder `target`. With
/// options.append events that are there are left as they are. Throws DataError and WriteError.
PackedEvents pack_events(const std::filesystem::path& catalogue, ReaderPool&,
                         const std::filesystem::path& target, const ArchiveOptions&,
                         const std::function<void(std::int64_t done, std::int64_t all)>& progress = {});

}  // namespace raincell::io
