// What KNMI writes as text.
#pragma once

#include <string>

#include "io/decode.hpp"

namespace raincell::io {

/// "26-AUG-2010;04:00:00.000". Throws DataError beginning with `where`.
TimePoint knmi_time(const std::string& where, const std::string& text);
/// Gain and offset of "GEO=0.01*PV+0.0" or "GEO = 0.500000 * PV + -32.000000", found at `object`. Throws
/// DataError when the formula is not linear.
void parse_knmi_formula(const std::string& object, const std::string& text, Coding&);

}  // namespace raincell::io
