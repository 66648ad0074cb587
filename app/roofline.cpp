#include "app/roofline.hpp"

#include <algorithm>

namespace raincell::app {

namespace {

constexpr double kLeastSeconds = 0.05;  // of a trial
constexpr int kTrials = 3;              // the fastest counts
constexpr std::int64_t kSide = 64, kChannels = 2048;
constexpr std::int64_t kCopiedRows = 8192, kCopiedColumns = 4096;  // more than the caches of most devices
constexpr kernels::Shape kProduct{1, 1, kChannels, kSide, kSide},
    kCopied{1, 1, 1, kCopiedRows, kCopiedColumns};

/// Seconds of one call among many.
template <class Work>
double fastest(kernels::Backend& backend, const Work& work) {
  work();  // the first call is slower
  std::int64_t runs = 1;
  double best = 0.;
  for (int trial = 0; trial < kTrials;) {
    const double seconds = backend.seconds_of([&] {
      for (std::int64_t i = 0; i < runs; ++i) work();
    });
    if (seconds < kLeastSeconds) {
      runs *= seconds < kLeastSeconds / 8 ? 8 : 2;
      continue;
    }
    const double once = seconds / static_cast<double>(runs);
    best = trial == 0 ? once : std::min(best, once);
    ++trial;
  }
  return best;
}

}  // namespace

std::size_t Roofline::bytes(const kernels::Backend& backend) {
  const std::size_t activations = kernels::size_of(backend.activation_dtype()),
                    weights = kernels::size_of(backend.dtype()) + activations;  // plain, and packed
  const auto count = [](std::int64_t elements) { return static_cast<std::size_t>(elements); };
  return std::max(2 * activations * count(kProduct.elements()) + weights * count(kChannels * kChannels),
                  2 * activations * count(kCopied.elements()));
}

Roofline Roofline::measured(kernels::Backend& backend) {
  Roofline roofline;
  {
    const kernels::ConvSpec product{.images = 1,
                                    .channels_in = kChannels,
                                    .channels_out = kChannels,
                                    .height = kSide,
                                    .width = kSide,
                                    .kernel = 1,
                                    .padding = 0};
    const auto plan = backend.plan_convolution(product, kernels::ConvUse::inference);
    kernels::Tensor weights = backend.allocate_plain(product.weight_shape(), "weights");
    backend.fill(weights.view(), 0.5F);
    kernels::Tensor x = backend.allocate(kProduct, "input"), y = backend.allocate(kProduct, "output");
    backend.fill(x.view(), 1.F);
    plan->load_weights(weights.view(), {});
    roofline.flop_per_s = 2. * static_cast<double>(product.macs()) / fastest(backend, [&] {
                            plan->forward(x.view(), y.view(), kernels::Accumulate::no);
                          });
  }
  kernels::Tensor x = backend.allocate(kCopied, "copied"), y = backend.allocate(kCopied, "copy");
  const double copied = static_cast<double>(kCopied.elements()) *
                        static_cast<double>(kernels::size_of(backend.activation_dtype()));
  roofline.bytes_per_s = 2. * copied / fastest(backend, [&] { backend.copy(x.view(), y.view()); });
  return roofline;
}

double Roofline::seconds(const std::map<std::string, kernels::CountingBackend::Work>& work) const {
  double sum = 0.;
  for (const auto& [operation, done] : work)
    sum += std::max(done.flop / flop_per_s, done.bytes / bytes_per_s);
  return sum;
}

}  // namespace raincell::app
