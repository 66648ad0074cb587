// Moving MNIST by the rules of OpenSTL: two digits that drift and bounce on a dark canvas.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace raincell::io {

class MovingMnist {
 public:
  /// `digits`: an MNIST images file, idx or idx.gz. The canvas must be larger than a digit. Throws DataError.
  MovingMnist(const std::filesystem::path& digits, std::int64_t rows, std::int64_t columns,
              std::uint64_t seed);
  /// Grey levels / 255 of a frame, a pure function of (seed, sequence, frame); `canvas` is [rows, columns].
  void draw(std::int64_t sequence, std::int64_t frame, std::span<float> canvas) const;
  std::int64_t digits() const { return count_; }

 private:
  std::int64_t rows_, columns_, count_ = 0, height_ = 0, width_ = 0;
  std::uint64_t seed_;
  std::vector<std::uint8_t> images_;  // [count, height, width]
};

}  // namespace raincell::io
