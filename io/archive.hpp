// The packed archive: CF NetCDF parts with one uncompressed chunk a frame, mapped read-only.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

struct Crop {
  std::int64_t row = 0, column = 0, rows = 0, columns = 0;
};

/// A frame whose bytes cannot be had, or are not those that were packed.
class UnreadableFrame : public DataError {
  using DataError::DataError;
};

/// Opened once, read by many threads. A frame is compared with its hash when it is read for the first time.
class Archive {
 public:
  /// A file or a folder of parts, ordered by time. Throws DataError.
  static Archive open(const std::filesystem::path&);
  /// Several, with one child for their headers.
  static std::vector<Archive> open(const std::vector<std::filesystem::path>&);
  Archive(Archive&&) noexcept;
  Archive& operator=(Archive&&) noexcept;
  ~Archive();

  std::int64_t frames() const;
  const Grid& grid() const;
  Quantity quantity() const;
  std::int64_t step_s() const;  // most frequent difference of times
  TimePoint time(std::int64_t frame) const;
  float covered_fraction(std::int64_t frame) const;  // of all pixels
  float wet_fraction(std::int64_t frame) const;      // at least wet_threshold, of covered pixels
  std::string hash() const;                      // of the frames' times and hashes: identifies the content
  std::string source(std::int64_t frame) const;  // name of the file it came from
  std::string frame_hash(std::int64_t frame) const;  // of its stored codes
  double scale() const;                              // value = scale x code
  const std::vector<std::filesystem::path>& parts() const;
  /// Physical values of a crop, row 0 = north, kMissing where missing. Any thread. This and what follows
  /// throw UnreadableFrame.
  void read(std::int64_t frame, const Crop&, std::span<float> values) const;
  /// The stored codes of a crop [crop.rows, crop.columns]. Any thread.
  void read_codes(std::int64_t frame, const Crop&, std::span<std::int16_t> codes) const;
  /// The stored codes of a whole frame [rows, columns], whose pages are not kept. Any thread.
  void read_codes(std::int64_t frame, std::span<std::int16_t> codes) const;
  /// How many frames were read so far, and which of them could not be. Any thread.
  std::int64_t frames_met() const;
  struct Unreadable {
    std::int64_t frame = 0;
    std::string why;
  };
  std::vector<Unreadable> unreadable() const;

 private:
  struct State;
  explicit Archive(std::unique_ptr<State>);
  std::unique_ptr<State> state_;
};

}  // namespace raincell::io
