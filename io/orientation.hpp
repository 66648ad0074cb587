// Frames as they were stored, turned into rows from north to south and columns from west to east.
#pragma once

#include "io/frame.hpp"

namespace raincell::io {

/// Turns the frame upside down (stored with row 0 = south).
void flip_rows(Frame& frame);
/// Turns the frame left to right (stored with x descending).
void mirror_columns(Frame& frame);
/// Stored with x before y: columns become rows. The grid is that of the result.
void transpose(Frame& frame);

}  // namespace raincell::io
