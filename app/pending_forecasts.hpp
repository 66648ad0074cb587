// Forecasts that wait for their truth, on disk: one file a case, its frames compressed and checked one by
// one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "app/log.hpp"
#include "io/frame.hpp"

namespace raincell::app {

/// A nowcast at the moment it is issued; lead l is valid (l + 1) steps after `time`. Rain rates in mm/h, NaN
/// where there is none.
struct IssuedForecast {
  io::TimePoint time;  // of the latest frame it was made from
  std::int64_t leads = 0, rows = 0, columns = 0;
  std::string grid;                 // text that tells grids apart
  std::span<const float> latest;    // [rows, columns]
  std::span<const float> advected;  // [leads, rows, columns], or empty where nothing could be advected
  struct One {
    std::string name;
    std::span<const float> values;  // [leads, rows, columns]
  };
  std::vector<One> forecasts;  // the issued one first
  std::string rung, model_sha256, status;
};

/// What a file says of its case before the frames.
struct PendingCase {
  io::TimePoint time;
  std::int64_t step_s = 0, leads = 0, rows = 0, columns = 0;
  std::string grid, rung, model_sha256, status;
  struct Plane {
    std::uint64_t offset = 0, bytes = 0;  // compressed, behind the header
    std::string sha256;                   // of the compressed bytes
  };
  std::vector<Plane> planes;          // equal frames lie there once
  std::size_t latest = 0;             // which plane
  std::vector<std::size_t> advected;  // one a lead, or none
  struct Forecast {
    std::string name;
    std::vector<std::size_t> planes;  // one a lead
  };
  std::vector<Forecast> forecasts;
  std::uint64_t header_bytes = 0;
  std::string held;  // the file, as long as it could not be written

  std::int64_t lead_s(std::int64_t lead) const { return (lead + 1) * step_s; }
  io::TimePoint valid(std::int64_t lead) const { return time + std::chrono::seconds(lead_s(lead)); }
};

/// Files that are damaged or no files of ours are named in a warning and renamed to *.damaged.
class PendingForecasts {
 public:
  /// Reads what is there.
  PendingForecasts(std::filesystem::path folder, Log&);

  /// In place of a case of the same time, if there is one. Throws std::invalid_argument for sizes that do not
  /// fit, and names that are empty or there twice.
  void add(const IssuedForecast&, std::int64_t step_s);
  /// Writes the files that are not yet written. Throws WriteError; those that are left are tried again at the
  /// next call.
  void save();
  const std::map<io::TimePoint, PendingCase>& cases() const { return cases_; }
  /// Reads one plane [rows, columns]. Throws DataError when it is damaged or gone.
  void read(const PendingCase&, std::size_t plane, std::vector<float>& values) const;
  /// A case that is done with, or given up.
  void remove(io::TimePoint);
  /// A case that could not be read.
  void set_aside(io::TimePoint, const std::string& why);
  /// Bytes in memory that wait for a disk.
  std::uint64_t held_bytes() const;

 private:
  std::filesystem::path path_of(io::TimePoint) const;
  void set_aside(const std::filesystem::path&, const std::string& why);
  std::filesystem::path folder_;
  Log& log_;
  std::map<io::TimePoint, PendingCase> cases_;
};

}  // namespace raincell::app
