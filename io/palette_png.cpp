#include "io/palette_png.hpp"

#include <fmt/format.h>
#include <libdeflate.h>

#include <array>
#include <memory>
#include <string_view>

#include "io/frame.hpp"

namespace raincell::io {
namespace {

constexpr std::int64_t kLargestSide = 1 << 15;
constexpr int kEffort = 6;  // of deflate, 1 ... 12: above it a map takes twice as long and is no smaller
constexpr std::array<std::uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

struct CompressorDeleter {
  void operator()(libdeflate_compressor* compressor) const { libdeflate_free_compressor(compressor); }
};

void add_number(std::vector<std::uint8_t>& bytes, std::uint32_t number) {
  for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<std::uint8_t>(number >> shift));
}

/// Length, type, content, and the CRC of type and content (PNG, 5.3).
void add_chunk(std::vector<std::uint8_t>& png, std::string_view type, std::span<const std::uint8_t> content) {
  add_number(png, static_cast<std::uint32_t>(content.size()));
  const std::size_t start = png.size();
  png.insert(png.end(), type.begin(), type.end());
  png.insert(png.end(), content.begin(), content.end());
  add_number(png, libdeflate_crc32(0, png.data() + start, png.size() - start));
}

std::vector<std::uint8_t> deflated(std::span<const std::uint8_t> bytes) {
  const std::unique_ptr<libdeflate_compressor, CompressorDeleter> compressor(
      libdeflate_alloc_compressor(kEffort));
  if (!compressor) throw WriteError("PNG: no memory for a compressor; free some memory");
  std::vector<std::uint8_t> out(libdeflate_zlib_compress_bound(compressor.get(), bytes.size()));
  out.resize(libdeflate_zlib_compress(compressor.get(), bytes.data(), bytes.size(), out.data(), out.size()));
  return out;
}

}  // namespace

std::vector<std::uint8_t> palette_png(std::int64_t columns, std::int64_t rows,
                                      std::span<const std::uint8_t> indices,
                                      std::span<const PaletteEntry> palette) {
  if (columns < 1 || rows < 1 || columns > kLargestSide || rows > kLargestSide ||
      indices.size() != static_cast<std::size_t>(columns * rows) || palette.empty() || palette.size() > 256) {
    throw DataError(
        fmt::format("PNG: {} pixels and {} colours for {} x {}; expected one value a pixel, sides of 1 to {} "
                    "and 1 to 256 colours",
                    indices.size(), palette.size(), columns, rows, kLargestSide));
  }
  std::vector<std::uint8_t> png(kSignature.begin(), kSignature.end());
  std::vector<std::uint8_t> header;
  add_number(header, static_cast<std::uint32_t>(columns));
  add_number(header, static_cast<std::uint32_t>(rows));
  // Eight bits a pixel, palette colours, deflate, the five filters, not interlaced.
  for (const std::uint8_t word : {8, 3, 0, 0, 0}) header.push_back(word);
  add_chunk(png, "IHDR", header);
  std::vector<std::uint8_t> colours, alphas;
  for (const PaletteEntry& entry : palette) {
    colours.insert(colours.end(), {entry.colour.red, entry.colour.green, entry.colour.blue});
    alphas.push_back(entry.alpha);
  }
  add_chunk(png, "PLTE", colours);
  add_chunk(png, "tRNS", alphas);
  std::vector<std::uint8_t> lines;  // each begins with its filter: none, which suits palettes
  lines.reserve(static_cast<std::size_t>((columns + 1) * rows));
  for (std::int64_t row = 0; row < rows; ++row) {
    lines.push_back(0);
    const auto line =
        indices.subspan(static_cast<std::size_t>(row * columns), static_cast<std::size_t>(columns));
    lines.insert(lines.end(), line.begin(), line.end());
  }
  add_chunk(png, "IDAT", deflated(lines));
  add_chunk(png, "IEND", {});
  return png;
}

}  // namespace raincell::io
