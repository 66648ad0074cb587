// Is it right? Every case on every backend against the reference in double, canaries round every tensor.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/kernels/backends.hpp"
#include "tests/kernels/cases.hpp"

namespace raincell::test {
namespace {

using namespace kernels;

constexpr double kWinograd = 5.;  // its rounding over that of a direct convolution

void expect_equal(const std::vector<double>& have, const std::vector<double>& want, double tolerance,
                  const std::string& tensor) {
  ASSERT_EQ(have.size(), want.size()) << tensor;
  double largest = 0;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  int wrong = 0;
  for (std::size_t i = 0; i < want.size() && wrong < 5; ++i) {
    if (std::abs(have[i] - want[i]) <= tolerance * (largest + std::abs(want[i]))) continue;
    ++wrong;
    ADD_FAILURE() << tensor << "[" << i << "] is " << have[i] << ", wanted " << want[i] << ", largest "
                  << largest;
  }
}

class Cases : public OnEveryBackend {
 protected:
  /// With the numbers that the backend's tensors really hold, so that only its own rounding is judged.
  Case as_held(Case item) {
    for (Slot& slot : item.slots) {
      if (slot.values.empty() || slot.plain || slot.memory) continue;
      Tensor tensor = backend_->allocate(slot.shape, slot.name);
      backend_->write(tensor.view(), slot.values);
      backend_->read(tensor.view(), slot.values);
    }
    return item;
  }
  std::string implementation_of(const Case& item) {
    if (!item.convolution) return "";
    return backend_->plan_convolution(*item.convolution, ConvUse::training)->implementation();
  }
  static bool is_winograd(const std::string& implementation) {
    return implementation.find("Winograd") != std::string::npos;
  }
  void run_all(const std::vector<Case>& cases) {
    const auto truth = make_backend("reference", {});
    GuardedBackend guarded(*backend_);
    for (const Case& original : cases) {
      const std::string implementation = implementation_of(original);
      SCOPED_TRACE(original.name + " by " + implementation);
      const Case item = as_held(original);
      const auto want = run_case(*truth, item);
      const auto have = run_case(guarded, item);
      guarded.verify();
      const bool winograd = is_winograd(implementation);
      // cuDNN has engines for f32 that transform and do not say so.
      const bool transforms =
          winograd || (backend_->info().name == "cuda" && GetParam().precision == Precision::f32);
      const bool exact = item.exact && !transforms && backend_->activation_dtype() != DType::bf16;
      const double tolerance = winograd ? kWinograd * GetParam().tolerance : GetParam().tolerance;
      for (std::size_t i = 0; i < want.size(); ++i) {
        expect_equal(have[i], want[i], exact ? 0. : tolerance, item.slots[i].name);
      }
    }
  }
};

TEST_P(Cases, Convolutions) {
  run_all(convolution_cases());
}
/// With both kernels and several paddings: or nothing would look at it.
TEST_P(Cases, WinogradIsAmongThem) {
  std::set<std::pair<std::int64_t, std::int64_t>> found;
  for (const Case& item : convolution_cases()) {
    const auto& spec = item.convolution;
    if (is_winograd(implementation_of(item))) found.emplace(spec->kernel, spec->padding);
  }
  const bool expected = backend_->info().name == "cpu" && backend_->activation_dtype() == DType::f32;
  EXPECT_EQ(found, expected ? (std::set<std::pair<std::int64_t, std::int64_t>>{
                                  {3, 0}, {3, 1}, {3, 2}, {5, 0}, {5, 2}})
                            : (std::set<std::pair<std::int64_t, std::int64_t>>{}));
}
TEST_P(Cases, Cells) {
  run_all(cell_cases());
}
TEST_P(Cases, Pointwise) {
  run_all(pointwise_cases());
}
TEST_P(Cases, Losses) {
  run_all(loss_cases());
}
TEST_P(Cases, Optimizers) {
  run_all(optimizer_cases());
}

TEST_P(Cases, RunTwiceGivesTheSameBits) {
  backend_.reset();
  backend_ = deterministic();
  for (const Case& item : all_cases()) {
    SCOPED_TRACE(item.name);
    const auto first = run_case(*backend_, item), second = run_case(*backend_, item);
    for (std::size_t i = 0; i < first.size(); ++i) {
      for (std::size_t k = 0; k < first[i].size(); ++k)
        ASSERT_EQ(first[i][k], second[i][k]) << item.slots[i].name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Cases, testing::ValuesIn(tested_backends()), name_of_backend);

}  // namespace
}  // namespace raincell::test
