#include "kernels/cuda/im2col.hpp"

#include "kernels/cuda/pointwise.hpp"

namespace raincell::kernels::cuda {

namespace {

constexpr std::int64_t kLongestRow = 64;  // elements of columns a pixel
constexpr std::int64_t kRowMultiple = 8;  // what tensor cores want
// Towards the image the columns are rounded once more before they are summed: for the gradient of an image,
// not for features that a network computes with.
constexpr std::int64_t kMostChannelsBack = 1;
constexpr std::size_t kAlignment = 256;  // bytes, of the parts of a workspace

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

class Im2colEngine : public Engine {
 public:
  Im2colEngine(Stream stream, const Correlation& correlation, DType type, std::unique_ptr<Engine> product)
      : stream_(stream),
        correlation_(correlation),
        product_correlation_(*im2col_product(correlation)),
        type_(type),
        product_(std::move(product)),
        name_("im2col and " + product_->name()) {
    const Correlation& p = product_correlation_;
    columns_at_ = aligned(product_->workspace_bytes());
    filter_at_ =
        columns_at_ +
        aligned(size_of(type) * static_cast<std::size_t>(p.images * p.a.height * p.a.width * p.a.channels));
    bytes_ = filter_at_ + aligned(size_of(type) * static_cast<std::size_t>(p.b.channels * p.a.channels));
  }
  const std::string& name() const override { return name_; }
  std::size_t workspace_bytes() const override { return bytes_; }

  void run(const Operands& o) override {
    using Result = Correlation::Result;
    auto* const workspace = static_cast<std::byte*>(o.workspace);
    const Operands product{workspace + columns_at_, workspace + filter_at_, o.b, o.bias, o.workspace};
    const std::int64_t row = product_correlation_.a.channels, filters = correlation_.b.channels,
                       used = correlation_.a.channels * correlation_.kernel * correlation_.kernel;
    if (correlation_.result != Result::a) im2col(stream_, correlation_, type_, o.a, row, product.a);
    if (correlation_.result != Result::filter)
      copy_rows(stream_, type_, filters, o.filter, used, product.filter, row);
    product_->run(product);
    if (correlation_.result == Result::a) col2im(stream_, correlation_, type_, product.a, row, o.bias, o.a);
    if (correlation_.result == Result::filter)
      copy_rows(stream_, type_, filters, product.filter, row, o.filter, used);
  }

 private:
  Stream stream_;
  Correlation correlation_, product_correlation_;
  DType type_;
  std::unique_ptr<Engine> product_;
  std::string name_;
  std::size_t columns_at_ = 0, filter_at_ = 0, bytes_ = 0;
};

}  // namespace

std::optional<Correlation> im2col_product(const Correlation& correlation) {
  const std::int64_t used = correlation.a.channels * correlation.kernel * correlation.kernel;
  if (correlation.kernel == 1 || used > kLongestRow) return std::nullopt;
  if (correlation.result == Correlation::Result::a && correlation.a.channels > kMostChannelsBack)
    return std::nullopt;
  Correlation product = correlation;
  product.a = {(used + kRowMultiple - 1) / kRowMultiple * kRowMultiple, correlation.b.height,
               correlation.b.width};
  product.kernel = product.stride = 1;
  product.padding = product.top = product.bottom = 0;
  if (product.result == Correlation::Result::a) product.then = Correlation::Then::nothing;
  return product;
}

std::unique_ptr<Engine> im2col_engine(Stream stream, const Correlation& correlation, DType type,
                                      std::unique_ptr<Engine> product) {
  return std::make_unique<Im2colEngine>(stream, correlation, type, std::move(product));
}

}  // namespace raincell::kernels::cuda
