#include "io/moving_mnist.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>

#include "io/frame.hpp"
#include "io/rain_field.hpp"

namespace raincell::io {
namespace {

constexpr int kDigits = 2;
constexpr double kStep = 0.1;  // of the way a digit has, a frame

/// zlib reads plain files as they are.
std::vector<std::uint8_t> unzipped(const std::filesystem::path& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file)
    throw DataError(path.string() + ": cannot open the digits; name an MNIST images file (idx or idx.gz)");
  constexpr std::size_t kLimit = std::size_t{1} << 28;
  std::vector<std::uint8_t> bytes;
  for (;;) {
    const std::size_t have = bytes.size();
    bytes.resize(have + (1U << 20));
    const int got = gzread(file.get(), bytes.data() + have, 1U << 20);
    if (got < 0) throw DataError(path.string() + ": the compressed digits are damaged; fetch the file again");
    bytes.resize(have + static_cast<std::size_t>(got));
    if (got == 0) return bytes;
    if (bytes.size() > kLimit)
      throw DataError(path.string() + ": more than 256 MB of digits; is this MNIST?");
  }
}

std::int64_t big_endian(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  return (std::int64_t{bytes[at]} << 24) | (std::int64_t{bytes[at + 1]} << 16) |
         (std::int64_t{bytes[at + 2]} << 8) | bytes[at + 3];
}

}  // namespace

MovingMnist::MovingMnist(const std::filesystem::path& digits, std::int64_t rows, std::int64_t columns,
                         std::uint64_t seed)
    : rows_(rows), columns_(columns), seed_(seed) {
  if (digits.empty())
    throw DataError("simulate: moving-mnist needs --digits FILE, an MNIST images file (idx or idx.gz)");
  std::vector<std::uint8_t> bytes = unzipped(digits);
  if (bytes.size() < 16 || big_endian(bytes, 0) != 0x803) {
    throw DataError(digits.string() + ": not an MNIST images file (magic number 2051 expected at its start)");
  }
  count_ = big_endian(bytes, 4);
  height_ = big_endian(bytes, 8);
  width_ = big_endian(bytes, 12);
  const bool sensible = count_ > 0 && height_ > 0 && width_ > 0 && height_ <= 1024 && width_ <= 1024;
  if (!sensible || static_cast<std::int64_t>(bytes.size()) - 16 != count_ * height_ * width_) {
    throw DataError(fmt::format("{}: {} images of {}x{} do not fill {} bytes; the file is cut or damaged",
                                digits.string(), count_, width_, height_, bytes.size()));
  }
  if (height_ >= rows || width_ >= columns) {
    throw DataError(
        fmt::format("simulate: digits of {}x{} do not move on a canvas of {}x{}; choose a larger --size",
                    width_, height_, columns, rows));
  }
  bytes.erase(bytes.begin(), bytes.begin() + 16);
  images_ = std::move(bytes);
}

void MovingMnist::draw(std::int64_t sequence, std::int64_t frame, std::span<float> canvas) const {
  std::fill(canvas.begin(), canvas.end(), 0.F);
  for (std::uint64_t digit = 0; digit < kDigits; ++digit) {
    const std::uint64_t which = static_cast<std::uint64_t>(sequence) * kDigits + digit;
    const auto image =
        static_cast<std::int64_t>(random_bits(seed_, 30, which) % static_cast<std::uint64_t>(count_));
    double x = random_unit(seed_, 31, which), y = random_unit(seed_, 32, which);
    const double angle = 2. * std::numbers::pi * random_unit(seed_, 33, which);
    double vx = std::cos(angle), vy = std::sin(angle);
    for (std::int64_t i = 0; i <= frame; ++i) {  // the first frame is one step after the start
      y += vy * kStep;
      x += vx * kStep;
      if (x <= 0. || x >= 1.) vx = -vx;
      if (y <= 0. || y >= 1.) vy = -vy;
      x = std::clamp(x, 0., 1.);
      y = std::clamp(y, 0., 1.);
    }
    const auto top = static_cast<std::int64_t>(y * static_cast<double>(rows_ - height_));
    const auto left = static_cast<std::int64_t>(x * static_cast<double>(columns_ - width_));
    for (std::int64_t r = 0; r < height_; ++r) {
      for (std::int64_t c = 0; c < width_; ++c) {
        const std::uint8_t level = images_[static_cast<std::size_t>((image * height_ + r) * width_ + c)];
        float& pixel = canvas[static_cast<std::size_t>((top + r) * columns_ + left + c)];
        pixel = std::max(pixel, static_cast<float>(level / 255.));
      }
    }
  }
}

}  // namespace raincell::io
