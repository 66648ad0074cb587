// The texture of a forecast: what a loss compares tile by tile, wherever in the tile the rain is. The same
// text serves CPU and GPU kernels of planes whose channels lie innermost.
#pragma once

#include <cmath>
#include <cstdint>
#include <iterator>

#include "kernels/bf16.hpp"
#include "kernels/tensor.hpp"

namespace raincell::kernels {

inline constexpr std::int64_t kTextureTiles[] = {4, 8, 16};  // pixels wide and high
inline constexpr std::int64_t kTextureScales = std::size(kTextureTiles);
inline constexpr double kTextureLeast = 1e-6;  // added to a variance: its root has a derivative everywhere

/// Squares of one size that cover planes; those at the right and bottom edges may be smaller.
struct TextureGrid {
  std::int64_t size, channels, height, width, down, across;
  TextureGrid(const Shape& shape, std::int64_t tile)
      : size(tile),
        channels(shape.c),
        height(shape.h),
        width(shape.w),
        down((shape.h + tile - 1) / tile),
        across((shape.w + tile - 1) / tile) {}
  /// Of one image.
  std::int64_t tiles() const { return channels * down * across; }
};

/// Number of valid pixels of one tile, and the deviations of forecast and truth there.
struct TileTexture {
  double valid = 0., mean = 0., forecast = 0., truth = 0.;
  /// Its part of the sum: weighed by its pixels, each scale as much as the others.
  RAINCELL_HOST_DEVICE double term() const {
    return valid * (forecast - truth) * (forecast - truth) / static_cast<double>(kTextureScales);
  }
};

/// f, y, mask: one image. visit(pixel's offset) for the valid pixels of a tile.
template <class T, class Visit>
RAINCELL_HOST_DEVICE void each_of_tile(const TextureGrid& grid, std::int64_t tile, const T* mask,
                                       const Visit& visit) {
  const std::int64_t c = tile % grid.channels, place = tile / grid.channels;
  const std::int64_t top = place / grid.across * grid.size, left = place % grid.across * grid.size;
  for (std::int64_t row = top; row < top + grid.size && row < grid.height; ++row) {
    for (std::int64_t column = left; column < left + grid.size && column < grid.width; ++column) {
      const std::int64_t at = (row * grid.width + column) * grid.channels + c;
      if (to_float(mask[at]) != 0.F) visit(at);
    }
  }
}

template <class T>
RAINCELL_HOST_DEVICE TileTexture texture_of(const TextureGrid& grid, std::int64_t tile, const T* f,
                                            const T* y, const T* mask) {
  double n = 0., sum_f = 0., sum_y = 0., square_f = 0., square_y = 0.;
  each_of_tile(grid, tile, mask, [&](std::int64_t at) {
    n += 1.;
    sum_f += static_cast<double>(to_float(f[at]));
    sum_y += static_cast<double>(to_float(y[at]));
  });
  if (n < 2.) return {};
  const double mean_f = sum_f / n, mean_y = sum_y / n;
  each_of_tile(grid, tile, mask, [&](std::int64_t at) {
    const double df = static_cast<double>(to_float(f[at])) - mean_f,
                 dy = static_cast<double>(to_float(y[at])) - mean_y;
    square_f += df * df;
    square_y += dy * dy;
  });
  return {n, mean_f, sqrt(square_f / n + kTextureLeast), sqrt(square_y / n + kTextureLeast)};
}

/// gradient += factor * d term / d f of one tile.
template <class T>
RAINCELL_HOST_DEVICE void add_texture_gradient(const TextureGrid& grid, std::int64_t tile, double factor,
                                               const T* f, const T* y, const T* mask, T* gradient) {
  const TileTexture texture = texture_of(grid, tile, f, y, mask);
  if (texture.valid < 2.) return;
  const double slope = factor * 2. * (texture.forecast - texture.truth) /
                       (texture.forecast * static_cast<double>(kTextureScales));
  each_of_tile(grid, tile, mask, [&](std::int64_t at) {
    const double change = slope * (static_cast<double>(to_float(f[at])) - texture.mean);
    gradient[at] = from_float<T>(to_float(gradient[at]) + static_cast<float>(change));
  });
}

}  // namespace raincell::kernels
