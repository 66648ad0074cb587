// A folder of radar files as a time-sorted list of frames, with what is wrong in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/reader_pool.hpp"

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

/// Files below the folders (or the files themselves) by path, hidden and temporary names left out. Links to
/// folders and files inside a folder are not followed. What cannot be listed is noted in `rejected`. Throws
/// DataError when a source does not exist.
std::vector<std::filesystem::path> list_files(const std::vector<std::filesystem::path>& sources,
                                              std::vector<Rejected>& rejected);

/// Gathers what the files hold, in any order.
class CatalogueBuilder {
 public:
  void add(const std::filesystem::path& file, const std::vector<Frame>& frames);
  void refuse(const std::filesystem::path& file, std::string reason);
  /// What finish would refuse, as far as it is known. Throws DataError.
  void check(const SourceOptions&) const;
  /// Sorted, without duplicates, with step and gaps. `source` names the input in messages. Throws DataError
  /// when nothing was readable, and when accumulations overlap (window longer than the step) unless the
  /// options allow it.
  Catalogue finish(const std::filesystem::path& source, const SourceOptions&);

 private:
  Catalogue catalogue_;
};

/// The catalogue of list_files, described through the readers. `progress` may be empty.
Catalogue scan(const std::vector<std::filesystem::path>&, ReaderPool&,
               const std::function<void(std::int64_t done, std::int64_t all)>& progress = {});

}  // namespace raincell::io
