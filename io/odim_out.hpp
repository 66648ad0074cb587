// Frames as OPERA ODIM_H5 2.3 composites.
#pragma once

#include <cstddef>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

/// The bytes of an ODIM_H5 2.3 file of one rain-rate frame: COMP, RATE, uint16 with gain 0.01, undetect 0 and
/// nodata 65535. The grid needs a projection. Throws WriteError or DataError.
std::vector<std::byte> odim_bytes(const Frame&);

}  // namespace raincell::io
