// An HDF5 file in memory: every call checked, the library's error stack turned into text, everything that
// points outside the file or asks for too much refused before data are read. Used in raincell-reader only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "io/decode.hpp"

namespace raincell::io {

/// What a file may ask for at most.
inline constexpr std::int64_t kMaxSide = 32768;                        // pixels
inline constexpr std::int64_t kMaxPixels = std::int64_t{1} << 26;      // of one field
inline constexpr std::int64_t kMaxFileValues = std::int64_t{1} << 28;  // of all fields of a file
inline constexpr std::int64_t kMaxChunkBytes = std::int64_t{1} << 28;

enum class NumberKind : std::uint8_t { integer, real, other };

/// What one value of an array is.
struct NumberType {
  NumberKind kind = NumberKind::other;
  int bytes = 0;
  bool is_signed = false;
};

/// What becomes of a part of an array of which nothing can be had: of one frame among several it is missing.
enum class AllLost : std::uint8_t { refused, allowed };

enum class AttributeKind : std::uint8_t { absent, text, number, other };

class Hdf5File {
 public:
  /// Opens a file image; the bytes must outlive it. Throws DataError.
  explicit Hdf5File(std::span<const std::byte> bytes);
  Hdf5File(Hdf5File&&) noexcept;
  Hdf5File& operator=(Hdf5File&&) noexcept;
  ~Hdf5File();

  /// True when every step of the path ("/dataset1/what") is a hard link inside this file.
  bool exists(const std::string& path) const;
  bool is_dataset(const std::string& path) const;
  /// At most `limit` names in a group.
  std::vector<std::string> members(const std::string& group, std::size_t limit = 20) const;

  /// Names of all attributes of an object.
  std::set<std::string> attribute_names(const std::string& object) const;
  AttributeKind attribute_kind(const std::string& object, const std::string& attribute) const;
  /// Attributes; empty when absent. Throw DataError when present but of another kind or too large.
  std::optional<std::string> text(const std::string& object, const std::string& attribute) const;
  std::optional<double> number(const std::string& object, const std::string& attribute) const;
  std::vector<double> numbers(const std::string& object, const std::string& attribute) const;

  /// The text at a place of a list of texts. Throws DataError.
  std::string text_of(const std::string& dataset, std::int64_t index) const;
  /// Dimensions, after the storage was checked: no virtual dataset, external storage, unknown or stacked
  /// filter, huge chunk. Throws DataError.
  std::vector<std::int64_t> checked_dimensions(const std::string& dataset) const;
  /// What a dataset holds, and how long it is along each dimension. Nothing of its storage is checked.
  NumberType type_of(const std::string& dataset) const;
  std::vector<std::int64_t> dimensions(const std::string& dataset) const;
  /// For each dimension the path of the scale attached to it first; empty where there is none. Throws
  /// DataError.
  std::vector<std::string> scales(const std::string& dataset) const;
  /// The whole dataset in its stored type, or the hyperslab from `start` of `count`. Throws DataError when
  /// nothing of it can be had; single chunks that cannot are lost.
  Field read(const std::string& dataset) const;
  Field read(const std::string& dataset, const std::vector<std::int64_t>& start,
             const std::vector<std::int64_t>& count, AllLost = AllLost::refused) const;
  /// Hands a dataset over in bands of whole rows (its first dimension), so that a large one is never in
  /// memory at once. How much was lost and why, as in Field::why, which no band has. Throws DataError as read
  /// does.
  std::string read_rows(const std::string& dataset, const std::function<void(const Field& band)>& use) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace raincell::io
