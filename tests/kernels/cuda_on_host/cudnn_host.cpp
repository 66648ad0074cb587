// Stands in for kernels/cuda/cudnn.cpp: the same correlations as plain loops over channels-last images.
#include <vector>

#include "kernels/cuda/cudnn.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/number.hpp"

namespace raincell::kernels::cuda {

namespace {

using std::int64_t;

/// Sums in double; T is what the images and the filter hold.
template <class T>
class Loops : public Engine {
 public:
  explicit Loops(const Correlation& correlation) : c_(correlation) {}
  const std::string& name() const override { return name_; }
  std::size_t workspace_bytes() const override { return 64; }

  void run(const Operands& operands) override {
    queue(nullptr, [=, this] { compute(operands); });
  }

 private:
  void compute(const Operands& operands) const {
    T* const image_a = static_cast<T*>(operands.a);
    T* const taps = static_cast<T*>(operands.filter);
    T* const image_b = static_cast<T*>(operands.b);
    using Result = Correlation::Result;
    T* const result = c_.result == Result::a ? image_a : c_.result == Result::b ? image_b : taps;
    std::vector<double> sums(elements(c_.result), 0.);
    const int64_t k = c_.kernel;
    for (int64_t n = 0; n < c_.images; ++n)
      for (int64_t y = 0; y < c_.b.height; ++y)
        for (int64_t x = 0; x < c_.b.width; ++x)
          for (int64_t p = 0; p < k; ++p)
            for (int64_t q = 0; q < k; ++q) {
              const int64_t row = y * c_.stride + p - c_.top, column = x * c_.stride + q - c_.padding;
              if (row < 0 || row >= c_.a.height || column < 0 || column >= c_.a.width) continue;
              for (int64_t o = 0; o < c_.b.channels; ++o)
                for (int64_t i = 0; i < c_.a.channels; ++i) {
                  const int64_t at_a = ((n * c_.a.height + row) * c_.a.width + column) * c_.a.channels + i;
                  const int64_t at_b = ((n * c_.b.height + y) * c_.b.width + x) * c_.b.channels + o;
                  const int64_t at_f = ((o * k + p) * k + q) * c_.a.channels + i;
                  if (c_.result == Result::b) {
                    sums[std::size_t(at_b)] += double(to_float(image_a[at_a])) * to_float(taps[at_f]);
                  } else if (c_.result == Result::a) {
                    sums[std::size_t(at_a)] += double(to_float(image_b[at_b])) * to_float(taps[at_f]);
                  } else {
                    sums[std::size_t(at_f)] += double(to_float(image_a[at_a])) * to_float(image_b[at_b]);
                  }
                }
            }
    const auto channels = static_cast<std::size_t>((c_.result == Result::a ? c_.a : c_.b).channels);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const double addend = c_.then == Correlation::Then::add_before ? to_float(result[i])
                            : c_.then == Correlation::Then::add_bias ? operands.bias[i % channels]
                                                                     : 0.F;
      result[i] = from_float<T>(static_cast<float>(addend + sums[i]));
    }
  }

  std::size_t elements(Correlation::Result result) const {
    const auto image = [&](const Correlation::Image& i) {
      return c_.images * i.channels * i.height * i.width;
    };
    return static_cast<std::size_t>(result == Correlation::Result::a ? image(c_.a)
                                    : result == Correlation::Result::b
                                        ? image(c_.b)
                                        : c_.a.channels * c_.b.channels * c_.kernel * c_.kernel);
  }
  Correlation c_;
  std::string name_ = "loops";
};

}  // namespace

struct Cudnn::State {};

Cudnn::Cudnn(Stream) : state_(std::make_unique<State>()) {}
Cudnn::Cudnn(const std::string&) : state_(std::make_unique<State>()) {}
Cudnn::~Cudnn() = default;
std::string Cudnn::version() const {
  return "no cuDNN";
}

/// Like cuDNN, it cannot fuse everything: only where the images are odd in number.
std::vector<std::unique_ptr<Engine>> Cudnn::engines(const Correlation& correlation, Arithmetic arithmetic,
                                                    bool, int, std::size_t) {
  std::vector<std::unique_ptr<Engine>> found;
  if (correlation.then != Correlation::Then::nothing && correlation.images % 2 == 0) return found;
  if (arithmetic == Arithmetic::bf16) {
    found.push_back(std::make_unique<Loops<Bf16>>(correlation));
  } else {
    found.push_back(std::make_unique<Loops<float>>(correlation));
  }
  return found;
}

}  // namespace raincell::kernels::cuda
