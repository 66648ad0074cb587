// From stored numbers to pixel states and physical values: the one place where codes, packing and units are
// applied.
#pragma once

#include <cstdint>
#include <limits>
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

/// Fills values and states (or codes), counts, max and sum of `frame` ([rows, columns] in the order stored).
/// Throws DataError when the number of values does not fit the grid, or values are far outside what rain can
/// be.
void decode(const std::string& where, const Field&, const Coding&, const Conversion&, Frame& frame,
            Wanted = Wanted::values);

/// Turns the frame upside down (stored with row 0 = south).
void flip_rows(Frame& frame);
/// Turns the frame left to right (stored with x descending).
void mirror_columns(Frame& frame);
/// Stored with x before y: columns become rows. The grid is that of the result.
void transpose(Frame& frame);

}  // namespace raincell::io
