#include "app/roofline.hpp"

#include <algorithm>

namespace raincell::app {

namespace {

constexpr double kLeastSeconds = 0.05;  // of a trial
constexpr int kTrials = 3;              // the fastest counts
constexpr std::int64_t kSide = 64, kChannels = 2048;
constexpr std::int64_t kCopiedRows = 8192, kCopiedColumns = 4096;  // far more than any cache holds

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
    const kernels::Shape shape{1, 1, kChannels, kSide, kSide};
    kernels::Tensor x = backend.allocate(shape, "input"), y = backend.allocate(shape, "output");
    backend.fill(x.view(), 1.F);
    plan->load_weights(weights.view(), {});
    roofline.flop_per_s = 2. * static_cast<double>(product.macs()) / fastest(backend, [&] {
                            plan->forward(x.view(), y.view(), kernels::Accumulate::no);
                          });
  }
  const kernels::Shape shape{1, 1, 1, kCopiedRows, kCopiedColumns};
  kernels::Tensor x = backend.allocate(shape, "copied"), y = backend.allocate(shape, "copy");
  const double bytes = static_cast<double>(shape.elements()) *
                       static_cast<double>(kernels::size_of(backend.activation_dtype()));
  roofline.bytes_per_s = 2. * bytes / fastest(backend, [&] { backend.copy(x.view(), y.view()); });
  return roofline;
}

double Roofline::seconds(const std::map<std::string, kernels::CountingBackend::Work>& work) const {
  double sum = 0.;
  for (const auto& [operation, done] : work)
    sum += std::max(done.flop / flop_per_s, done.bytes / bytes_per_s);
  return sum;
}

}  // namespace raincell::app
