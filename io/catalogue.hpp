// A folder of radar files as a time-sorted list of frames, with what is wrong in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/reader.hpp"

namespace raincell::io {

struct CatalogueEntry {
  FrameKey key;
  Grid grid;
  Quantity quantity = Quantity::rain_rate;
  std::int64_t window_s = 0;
  bool accumulation = false;
};

struct Rejected {
  std::filesystem::path file;
  std::string reason;
};

struct Catalogue {
  std::vector<CatalogueEntry> frames;  // sorted by time, one a time
  std::vector<Rejected> rejected;
  std::vector<Rejected> duplicates;                   // same time as an earlier file; the reason names it
  std::int64_t step_s = 0;                            // most frequent difference
  std::vector<std::pair<TimePoint, TimePoint>> gaps;  // last before, first after
};

/// Files below the folders (or the files themselves), hidden and temporary names left out, described through
/// the reader. Links to folders and files inside a folder are not followed. `progress` may be empty. Throws
/// DataError when nothing is readable, and when accumulations overlap (window longer than the step) unless
/// the reader's options allow it.
Catalogue scan(const std::vector<std::filesystem::path>&, FrameReader&,
               const std::function<void(std::int64_t done, std::int64_t all)>& progress = {});

}  // namespace raincell::io
