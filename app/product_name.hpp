// How the rolling service names its products: nowcast_20240601T0855Z.nc, and ..._r1.nc of a revision.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/frame.hpp"

namespace raincell::app {

/// "20240601T0855Z", with seconds where there are any.
std::string stamp(io::TimePoint);
/// Back; empty for anything else.
std::optional<io::TimePoint> parse_stamp(const std::string&);

struct ProductName {
  io::TimePoint nominal;  // of the cycle
  std::int64_t revision = 0;

  /// Without "nowcast_" and ".nc": the name of the folder of its maps.
  std::string stem() const;
  std::string file() const;
  /// Empty for names that the service does not give.
  static std::optional<ProductName> parse(const std::string& file);
};

}  // namespace raincell::app
