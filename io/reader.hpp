// Reading radar files. Parsing happens in raincell-reader, a limited child process (io/jail); what arrives
// here was checked.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

/// What a config or command line may say about a source; everything has a default that follows the file.
struct SourceOptions {
  std::string format = "auto";         // auto | odim | knmi | cf | described
  std::string quantity = "auto";       // auto: rain rate, converting reflectivity; reflectivity: keep dBZ
  std::string dataset;                 // ODIM: "dataset2"; described: the path
  std::string variable;                // CF
  std::string units;                   // overrides the file's unit
  std::vector<double> missing_values;  // further stored values that mean missing
  std::string time_from;               // "", "attribute:NAME", "filename:REGEX"
  double zr_a = 0., zr_b = 0.;         // 0: the file's own, then 200 / 1.6
  double accumulation_s = 0.;          // 0: from the file
  double cap_mm_h = 0.;                // 0: no cap
  bool allow_overlapping_accumulation = false;
  std::string description;  // described: YAML turned into JSON text by the app
};

/// What is wanted of the frames of a file: time, grid and quantity only; values and states as well; or,
/// instead of these, the codes of an archive, which are a quarter as many bytes.
enum class Wanted : std::uint8_t { description, values, codes };

/// One readable field of a file. Files with a time axis hold several.
struct FrameKey {
  std::filesystem::path file;
  std::int64_t index = 0;
  TimePoint valid_time;
};

/// The reader could not be asked: of the machine (memory, descriptors, processes), not of the file.
class ReaderFailure : public DataError {
  using DataError::DataError;
};

/// Reads through the jail. Serves many files with one child; a crash, time-out or refusal is a DataError for
/// that file and the child is replaced. Not thread-safe: one a thread.
class FrameReader {
 public:
  explicit FrameReader(SourceOptions options = {});
  ~FrameReader();
  FrameReader(FrameReader&&) noexcept;
  FrameReader& operator=(FrameReader&&) noexcept;

  /// All frames of a file, in time order. Throws DataError.
  std::vector<Frame> read(const std::filesystem::path&);
  /// The frames of a file without their values: time, grid, quantity.
  std::vector<Frame> describe(const std::filesystem::path&);
  std::vector<Frame> read(const std::filesystem::path&, Wanted);
  const SourceOptions& options() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace raincell::io
