// PNG read by Cairo, which did not write it.
#pragma once

#include <cairo.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace raincell::io {

/// The caller destroys it. used: how many bytes were looked at.
inline cairo_surface_t* read_png(const std::vector<std::uint8_t>& png, std::size_t& used) {
  struct Cursor {
    const std::vector<std::uint8_t>& bytes;
    std::size_t at = 0;
  } cursor{png};
  const auto read = [](void* closure, unsigned char* out, unsigned int length) {
    auto* from = static_cast<Cursor*>(closure);
    if (from->at + length > from->bytes.size()) return CAIRO_STATUS_READ_ERROR;
    std::memcpy(out, from->bytes.data() + from->at, length);
    from->at += length;
    return CAIRO_STATUS_SUCCESS;
  };
  cairo_surface_t* const surface = cairo_image_surface_create_from_png_stream(read, &cursor);
  used = cursor.at;
  return surface;
}

}  // namespace raincell::io
