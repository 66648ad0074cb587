// A folder of radar files as frames by time, read when needed: the input of nowcast and verify.
#pragma once

#include <filesystem>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "app/log.hpp"
#include "io/catalogue.hpp"
#include "io/reader.hpp"

namespace raincell::app {

class FrameSeries {
 public:
  /// Scans the folder; files that cannot be used are warnings. Keeps at most `kept` frames in memory.
  /// Throws DataError when nothing is readable.
  FrameSeries(const std::filesystem::path& folder, const io::SourceOptions&, std::size_t kept, Log&);

  std::int64_t frames() const { return static_cast<std::int64_t>(catalogue_.frames.size()); }
  io::TimePoint time(std::int64_t index) const { return entry(index).key.valid_time; }
  std::string file(std::int64_t index) const { return entry(index).key.file.string(); }
  const io::Grid& grid(std::int64_t index) const { return entry(index).grid; }
  io::Quantity quantity(std::int64_t index) const { return entry(index).quantity; }
  std::int64_t step_s() const { return catalogue_.step_s; }
  /// The frame at a time, within a tenth of a step. Empty: there is none.
  std::optional<std::int64_t> at(io::TimePoint) const;
  /// The latest frame not after a time.
  std::optional<std::int64_t> latest_until(io::TimePoint) const;
  /// Physical values [rows, columns], NaN where missing; valid until `kept` other frames were read.
  std::span<const float> values(std::int64_t index);
  /// 0 gives all memory back, until the next frame is read.
  void keep(std::size_t frames);
  /// How the values came from reflectivity, or empty.
  const std::string& zr() const { return zr_; }
  /// Throws DataError that names the file unless it lies on the grid of frame `like` and holds the same
  /// quantity.
  void require_same_grid(std::int64_t like, std::int64_t index) const;

 private:
  const io::CatalogueEntry& entry(std::int64_t index) const {
    return catalogue_.frames.at(static_cast<std::size_t>(index));
  }
  struct Kept {
    std::int64_t index;
    std::vector<float> values;
  };
  io::FrameReader reader_;
  io::Catalogue catalogue_;
  std::size_t kept_;
  /// Fills ahead_ with the frame and those after it in the same file, at most as many as are kept.
  void read_file_of(std::int64_t index);

  std::list<Kept> cache_;  // latest use first
  std::list<Kept> ahead_;  // decoded with a frame that was asked for
  std::string zr_;
};

}  // namespace raincell::app
