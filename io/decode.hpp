// From stored numbers to pixel states and physical values: the one place where codes, packing and units are
// applied.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "io/frame.hpp"
#include "io/reader.hpp"

namespace raincell::io {

/// A field in the type it was stored in: codes are compared before any conversion.
using Stored = std::variant<std::vector<std::int8_t>, std::vector<std::uint8_t>, std::vector<std::int16_t>,
                            std::vector<std::uint16_t>, std::vector<std::int32_t>, std::vector<std::uint32_t>,
                            std::vector<std::int64_t>, std::vector<std::uint64_t>, std::vector<float>,
                            std::vector<double>>;

/// An array as it was read. What could not be had is lost: missing, never zero.
struct Field {
  Stored values;
  std::vector<bool> lost;  // one a value; empty: all were had
  std::string why;         // how much is lost, and the reason

  Field() = default;
  Field(Stored stored) : values(std::move(stored)) {}  // NOLINT: whatever was read whole is a field
  template <typename T>
  Field(std::vector<T> stored) : values(std::move(stored)) {}  // NOLINT
};

/// What the stored numbers mean. Codes and limits are in the stored domain, before gain and offset.
struct Coding {
  std::vector<double> missing;
  std::vector<double> dry;
  double valid_min = -std::numeric_limits<double>::infinity();
  double valid_max = std::numeric_limits<double>::infinity();
  double gain = 1., offset = 0.;
  bool zero_is_dry = false;  // a physical 0 is "observed, nothing there"
};

/// From the file's unit to the frame's.
struct Conversion {
  Quantity quantity = Quantity::rain_rate;
  bool from_dbz = false;      // R = (10^(dBZ/10) / a)^(1/b), mm/h
  bool accumulation = false;  // the file holds an amount over the window
  double factor = 1.;         // otherwise value * factor
  double zr_a = 200., zr_b = 1.6;
  double cap = 0.;  // 0: none
};

struct ZRelation {
  double a = 0., b = 0.;  // 0: not given
};

/// The conversion of a unit, the Z-R relation by precedence file, options, 200 / 1.6 (recorded in frame.zr
/// and the rules). `where` begins the message of the DataError thrown when the unit is unknown or does not
/// fit the wanted quantity.
Conversion conversion_for(const std::string& where, const std::string& unit, const SourceOptions&,
                          const ZRelation& file, Frame& frame);

/// True for a unit that conversion_for understands.
bool known_unit(const std::string& unit);

/// Fills values and states (or codes), counts, max and sum of `frame` ([rows, columns] in the order stored),
/// from a field that comes in bands of whole rows, all of one type.
class Decoder {
 public:
  /// Throws DataError. The frame must outlive it.
  Decoder(std::string where, const Coding&, const Conversion&, Frame& frame, Wanted);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder();
  /// The next rows. Throws DataError when there are more than the grid has.
  void add(const Field& band);
  /// `why_lost`, where it is not empty, becomes a warning. Throws DataError when there are fewer values than
  /// pixels, or values far outside what rain can be.
  void finish(const std::string& why_lost);

 private:
  [[noreturn]] void refuse_size(std::size_t size) const;
  struct State;
  std::unique_ptr<State> state_;
};

/// The same of a field at once.
void decode(const std::string& where, const Field&, const Coding&, const Conversion&, Frame& frame,
            Wanted = Wanted::values);

}  // namespace raincell::io
