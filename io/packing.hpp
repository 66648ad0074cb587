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

}  // namespace raincell::io
