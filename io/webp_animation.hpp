// Lossless animated WebP.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace raincell::io {

/// Frames of one size, shown one after the other without end. Throws WriteError when libwebp fails.
class WebpAnimation {
 public:
  WebpAnimation(int width, int height);
  ~WebpAnimation();
  WebpAnimation(const WebpAnimation&) = delete;
  WebpAnimation& operator=(const WebpAnimation&) = delete;

  /// Rows of 32-bit pixels, blue first, `stride` bytes apart (Cairo's RGB24 on a little-endian machine).
  void add(const std::uint8_t* pixels, int stride, int milliseconds);
  std::vector<std::uint8_t> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace raincell::io
