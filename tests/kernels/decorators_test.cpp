// The watchers see what they are there for.
#include <gtest/gtest.h>

#include "kernels/decorators.hpp"
#include "tests/kernels/cases.hpp"

namespace raincell::test {
namespace {

using namespace kernels;

/// Writes one element too far, as a kernel with a wrong bound would.
class Careless : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;

 protected:
  void do_fill(View view, float value) override {
    static_cast<double*>(view.memory)[view.shape.elements()] = double(value);
  }
};

/// Adds a thousandth too much.
class Wrong : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;

 protected:
  void do_add_scaled(View y, float a, ConstView x) override {
    ForwardingBackend::do_add_scaled(y, a * 1.001F, x);
  }
};

TEST(Guarded, NamesTheTensorAndTheOperation) {
  const auto reference = make_backend("reference", {});
  Careless careless(*reference);
  GuardedBackend guarded(careless);
  Tensor tensor = guarded.allocate({1, 1, 3, 2, 2}, "the rain");
  EXPECT_NO_THROW(guarded.verify());
  try {
    guarded.fill(tensor.view(), 1.F);
    FAIL() << "the write behind the tensor was not seen";
  } catch (const std::logic_error& error) {
    EXPECT_NE(std::string(error.what()).find("behind 'the rain' was written to by fill"), std::string::npos)
        << error.what();
  }
}

TEST(Guarded, RemembersWhatWasFoundOnFree) {
  const auto reference = make_backend("reference", {});
  GuardedBackend guarded(*reference);
  {
    Tensor tensor = guarded.allocate({1, 1, 1, 2, 2}, "the sun");
    static_cast<double*>(tensor.view().memory)[-1] = 0.;
  }
  EXPECT_THROW(guarded.verify(), std::logic_error);
  EXPECT_NO_THROW(guarded.verify());
}

TEST(Counting, CountsAndRefusesOnceArmed) {
  const auto reference = make_backend("reference", {});
  CountingBackend counting(*reference);
  Tensor x = counting.allocate({1, 1, 1, 1, 2}, "x");
  const std::vector<double> values{1., 2.};
  std::vector<double> back(2);
  counting.write(x.view(), values);
  counting.read(x.view(), back);
  counting.synchronize();
  EXPECT_EQ(counting.counts().allocations, 1);
  EXPECT_EQ(counting.counts().writes, 1);
  EXPECT_EQ(counting.counts().reads, 1);
  EXPECT_EQ(counting.counts().synchronizations, 1);
  counting.arm(true);
  const std::vector<float> frames{1.F, 2.F};
  EXPECT_NO_THROW(counting.fill(x.view(), 1.F));
  EXPECT_NO_THROW(counting.import_frames(frames, {.height = 1, .width = 2}, x.view()));
  EXPECT_EQ(counting.counts().imports, 1);
  EXPECT_THROW(counting.read(x.view(), back), std::logic_error);
  EXPECT_THROW(counting.write(x.view(), values), std::logic_error);
  EXPECT_THROW(counting.allocate({}, "y"), std::logic_error);
  EXPECT_THROW(counting.plan_convolution({}, ConvUse::inference), std::logic_error);
  EXPECT_THROW(counting.synchronize(), std::logic_error);
}

TEST(Checking, AgreesOnEveryCase) {
  const auto truth = make_backend("reference", {});
  const auto cpu = make_backend("cpu", {.threads = 1});
  CheckingBackend checking(*cpu, *truth, 1e-5);
  for (const Case& item : all_cases()) run_case(checking, item);
  EXPECT_FALSE(checking.first_divergence()) << checking.first_divergence()->text();
  EXPECT_GT(checking.operations(), 500);
  EXPECT_GT(checking.worst().error, 0);
}

TEST(Checking, NamesTheFirstWrongOperation) {
  const auto truth = make_backend("reference", {});
  const auto inner = make_backend("reference-f32", {});
  Wrong wrong(*inner);
  CheckingBackend checking(wrong, *truth, 1e-5);
  Tensor x = checking.allocate({1, 1, 1, 1, 4}, "x"), y = checking.allocate({1, 1, 1, 1, 4}, "y");
  checking.fill(x.view(), 1.F);
  checking.add_scaled(y.view(), 2.F, x.view());
  checking.add_scaled(y.view(), 2.F, x.view());
  ASSERT_TRUE(checking.first_divergence());
  EXPECT_EQ(checking.first_divergence()->operation, "add_scaled");
  EXPECT_EQ(checking.first_divergence()->tensor, "y");
  EXPECT_NEAR(checking.first_divergence()->error, 1e-3, 1e-5);
}

TEST(Failing, FailsOnceAtTheGivenCall) {
  const auto reference = make_backend("reference", {});
  FailingBackend failing(*reference);
  Tensor x = failing.allocate({}, "x");
  failing.fail_at(2, FailingBackend::Fault::device_error);
  EXPECT_NO_THROW(failing.fill(x.view(), 1.F));
  EXPECT_THROW(failing.fill(x.view(), 1.F), DeviceError);
  EXPECT_NO_THROW(failing.fill(x.view(), 1.F));
  failing.fail_at(1, FailingBackend::Fault::out_of_memory);
  EXPECT_THROW(failing.allocate({}, "y"), OutOfMemory);
  EXPECT_NO_THROW(failing.allocate({}, "y"));
}

}  // namespace
}  // namespace raincell::test
