// PNG of an image that has a few colours: smaller than true colours, and made in milliseconds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/colours.hpp"

namespace raincell::io {

struct PaletteEntry {
  Colour colour;
  std::uint8_t alpha = 255;  // 0: transparent
};

/// PNG bytes of `indices` [rows, columns], row 0 on top, each the number of an entry of `palette` (256 at
/// most). Throws DataError when sizes differ, WriteError without memory.
std::vector<std::uint8_t> palette_png(std::int64_t columns, std::int64_t rows,
                                      std::span<const std::uint8_t> indices,
                                      std::span<const PaletteEntry> palette);

}  // namespace raincell::io
