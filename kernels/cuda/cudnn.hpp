// Convolutions of cuDNN: its graph interface, loaded at run time. cudnn.cpp is the only code that sees
// cudnn.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/device.hpp"

namespace raincell::kernels::cuda {

/// One convolution as cuDNN sees it: a cross-correlation of channels-last images `a` with a filter
/// [b.channels, kernel, kernel, a.channels] that gives images `b`; or a gradient of it.
struct Correlation {
  enum class Result : std::uint8_t { b, a, filter };
  struct Image {
    std::int64_t channels = 1, height = 1, width = 1;
    bool operator==(const Image&) const = default;
  };
  Result result = Result::b;
  std::int64_t images = 1;
  Image a, b;
  std::int64_t kernel = 1, stride = 1, padding = 0;  // the latter left and right
  std::int64_t top = 0, bottom = 0;                  // paddings above and below
  /// What follows, in f32 before the result is rounded: a bias by channel is added, or what is there.
  enum class Then : std::uint8_t { nothing, add_bias, add_before };
  Then then = Then::nothing;

  std::string text() const;
  bool operator==(const Correlation&) const = default;
};

/// A transposed convolution is the gradient of a plain one by its input, with the roles of x and y exchanged.
Correlation correlation_of(const ConvSpec&, Correlation::Result);

/// How a convolution may compute; sums are always taken in f32.
enum class Arithmetic : std::uint8_t { f32, tf32, bf16 };

/// Device memory of a Correlation. One of the first three is the result, the others are read.
struct Operands {
  void *a = nullptr, *filter = nullptr, *b = nullptr;
  const float* bias = nullptr;  // one a channel of the result; only with Then::add_bias
  void* workspace = nullptr;
  auto operator<=>(const Operands&) const = default;
};

/// An engine of cuDNN, ready to run one Correlation.
class Engine {
 public:
  virtual ~Engine() = default;
  /// "engine 3, runtime compiled"
  virtual const std::string& name() const = 0;
  virtual std::size_t workspace_bytes() const = 0;
  /// Queues it.
  virtual void run(const Operands&) = 0;
};

class Cudnn {
 public:
  /// Loads libcudnn.so.9 and opens a handle on the stream. Throws BackendUnavailable with what is missing.
  explicit Cudnn(Stream stream);
  /// Without a GPU: answers for the one that `device_properties` (JSON, as cuDNN writes it) describes.
  /// Engines can be built then, not run.
  explicit Cudnn(const std::string& device_properties);
  ~Cudnn();
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;

  /// "cuDNN 9.19.0"
  std::string version() const;
  /// At most `count` engines that take at most `workspace` bytes, the one that cuDNN recommends first.
  /// deterministic: only such that give the same bits each time. May be empty.
  std::vector<std::unique_ptr<Engine>> engines(const Correlation&, Arithmetic, bool deterministic, int count,
                                               std::size_t workspace);

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace raincell::kernels::cuda
