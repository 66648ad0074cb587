#include "io/orientation.hpp"

#include <algorithm>
#include <cstddef>

namespace raincell::io {

namespace {

/// Calls `turn` with each array of the frame that is there.
template <class Turn>
void each_array(Frame& frame, Turn turn) {
  if (!frame.values.empty()) turn(frame.values);
  if (!frame.states.empty()) turn(frame.states);
  if (!frame.codes.empty()) turn(frame.codes);
}

}  // namespace

void flip_rows(Frame& frame) {
  const std::ptrdiff_t columns = frame.grid.columns, rows = frame.grid.rows;
  each_array(frame, [&](auto& array) {
    for (std::ptrdiff_t top = 0, bottom = rows - 1; top < bottom; ++top, --bottom)
      std::swap_ranges(array.begin() + top * columns, array.begin() + (top + 1) * columns,
                       array.begin() + bottom * columns);
  });
}

void mirror_columns(Frame& frame) {
  const std::ptrdiff_t columns = frame.grid.columns, rows = frame.grid.rows;
  each_array(frame, [&](auto& array) {
    for (std::ptrdiff_t row = 0; row < rows; ++row)
      std::reverse(array.begin() + row * columns, array.begin() + (row + 1) * columns);
  });
}

void transpose(Frame& frame) {
  const auto columns = static_cast<std::size_t>(frame.grid.columns),
             rows = static_cast<std::size_t>(frame.grid.rows);
  each_array(frame, [&](auto& array) {
    const auto stored = array;
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t column = 0; column < columns; ++column)
        array[row * columns + column] = stored[column * rows + row];
    }
  });
}

}  // namespace raincell::io
