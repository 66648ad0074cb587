#include "io/webp_animation.hpp"

#include <fmt/format.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include "io/frame.hpp"

namespace raincell::io {
namespace {

constexpr int kEffort =
    1;  // 0..9 of the lossless presets: higher costs seconds and saves little on flat colours

struct EncoderDeleter {
  void operator()(WebPAnimEncoder* encoder) const { WebPAnimEncoderDelete(encoder); }
};

/// libwebp's picture, freed at the end of the scope.
struct Picture {
  WebPPicture picture;
  Picture() {
    if (!WebPPictureInit(&picture))
      throw WriteError("animation: libwebp has another version than its headers");
  }
  ~Picture() { WebPPictureFree(&picture); }
  Picture(const Picture&) = delete;
  Picture& operator=(const Picture&) = delete;
};

}  // namespace

struct WebpAnimation::State {
  int width = 0, height = 0, time_ms = 0;
  WebPConfig config;
  std::unique_ptr<WebPAnimEncoder, EncoderDeleter> encoder;

  void check(int good, const char* what) const {
    if (!good) {
      throw WriteError(fmt::format("animation: {} failed: {}; check free memory", what,
                                   encoder ? WebPAnimEncoderGetError(encoder.get()) : "no encoder"));
    }
  }
};

WebpAnimation::WebpAnimation(int width, int height) : state_(std::make_unique<State>()) {
  state_->width = width;
  state_->height = height;
  WebPAnimEncoderOptions options;
  state_->check(WebPAnimEncoderOptionsInit(&options), "set-up");
  options.anim_params.loop_count = 0;
  state_->check(WebPConfigInit(&state_->config) && WebPConfigLosslessPreset(&state_->config, kEffort),
                "set-up");
  state_->encoder.reset(WebPAnimEncoderNew(width, height, &options));
  state_->check(state_->encoder != nullptr, "set-up");
}

WebpAnimation::~WebpAnimation() = default;

void WebpAnimation::add(const std::uint8_t* pixels, int stride, int milliseconds) {
  Picture frame;
  frame.picture.width = state_->width;
  frame.picture.height = state_->height;
  frame.picture.use_argb = 1;
  state_->check(WebPPictureImportBGRX(&frame.picture, pixels, stride), "frame");
  state_->check(WebPAnimEncoderAdd(state_->encoder.get(), &frame.picture, state_->time_ms, &state_->config),
                "frame");
  state_->time_ms += milliseconds;
}

std::vector<std::uint8_t> WebpAnimation::finish() {
  state_->check(WebPAnimEncoderAdd(state_->encoder.get(), nullptr, state_->time_ms, nullptr), "last frame");
  WebPData data;
  WebPDataInit(&data);
  const int good = WebPAnimEncoderAssemble(state_->encoder.get(), &data);
  std::vector<std::uint8_t> bytes(data.bytes, data.bytes + (good ? data.size : 0));
  WebPDataClear(&data);
  state_->check(good, "assembly");
  return bytes;
}

}  // namespace raincell::io
