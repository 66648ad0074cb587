// The shell of the seam: what is refused, with which words, and the list of backends.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/kernels/backends.hpp"

namespace raincell::test {
namespace {

using namespace kernels;

template <class Error, class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

bool says(const std::string& message, const std::string& words) {
  return message.find(words) != std::string::npos;
}

TEST(Registry, ListsNamesInTheOrderOfAuto) {
  EXPECT_EQ(backend_names(), (std::vector<std::string>{"cuda", "cpu", "reference", "reference-f32"}));
  const std::string message = message_of<BackendUnavailable>([] { make_backend("gpu", {}); });
  EXPECT_TRUE(says(message, "'gpu'") && says(message, "auto, cuda, cpu, reference, reference-f32"))
      << message;
}

/// A machine that cannot run what the build has is worth a word; a build without it is not.
TEST(Registry, AutoTellsWhatItPassedOver) {
  const auto found = make_backend("auto", {.threads = 1});
  std::string expected;
  try {
    make_backend("cuda", {});
  } catch (const BackendNotBuilt&) {
  } catch (const BackendUnavailable& absence) {
    expected = std::string("cuda: ") + absence.what();
  }
  EXPECT_EQ(found->info().passed_over, expected);
}

TEST(Registry, TypesAndNames) {
  EXPECT_EQ(make_backend("reference", {})->dtype(), DType::f64);
  EXPECT_EQ(make_backend("reference-f32", {})->dtype(), DType::f32);
  const auto cpu = make_backend("cpu", {.threads = 2});
  EXPECT_EQ(cpu->dtype(), DType::f32);
  EXPECT_EQ(cpu->info().name, "cpu");
  EXPECT_EQ(cpu->info().threads, 2);
  EXPECT_TRUE(says(cpu->info().libraries, "oneDNN "));
}

class Contract : public OnEveryBackend {};

TEST_P(Contract, FreshTensorsAreZero) {
  const Tensor tensor = backend_->allocate({2, 1, 3, 5, 5}, "x");
  std::vector<float> values(150, 1.F);
  backend_->read(tensor.view(), values);
  EXPECT_EQ(values, std::vector<float>(150, 0.F));
}

/// A view of some steps begins where no pack of 16 bytes does; the sanitizers look at that.
TEST_P(Contract, StepsOfOddSizeAreTensorsToo) {
  Tensor x = backend_->allocate({5, 1, 1, 5, 5}, "x"), y = backend_->allocate({5, 1, 1, 5, 5}, "y");
  backend_->fill(y.view(), 2.F);
  backend_->activate(Activation::sigmoid, 0.F, x.view().steps(1, 4));
  backend_->add_scaled(x.view().steps(3, 2), 1.F, y.view().steps(1, 2));
  std::vector<float> values(125);
  backend_->read(x.view(), values);
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(values[i], i < 25 ? 0.F : i < 75 ? 0.5F : 2.5F) << i;
}

/// Kept operations are not done, replayed ones are, with the tensors and numbers of before.
TEST_P(Contract, RecordingsReplayUntilMemoryIsGivenBack) {
  Tensor x = backend_->allocate({1, 1, 1, 2, 2}, "x"), y = backend_->allocate({1, 1, 1, 2, 2}, "y");
  backend_->fill(x.view(), 1.F);
  float factor = 1.F;
  const auto add = [&] { backend_->add_scaled(y.view(), factor, x.view()); };
  const auto sum = [&] {
    std::vector<float> values(4);
    backend_->read(y.view(), values);
    return values[3];
  };
  add();
  const auto recording = backend_->record(add);
  EXPECT_EQ(recording != nullptr, backend_->info().own_memory);
  EXPECT_EQ(sum(), 1.F);
  if (recording == nullptr) return;
  factor = 100.F;
  EXPECT_TRUE(recording->replay());
  EXPECT_TRUE(recording->replay());
  EXPECT_EQ(sum(), 3.F);
  backend_->allocate({1, 1, 1, 2, 2}, "z");  // and gone
  EXPECT_FALSE(recording->replay());
  EXPECT_EQ(sum(), 3.F);
  // What cannot be kept is said so, and the backend goes on.
  EXPECT_EQ(backend_->record([&] { sum(); }), nullptr);
  factor = 1.F;
  add();
  EXPECT_EQ(sum(), 4.F);
}

TEST_P(Contract, WrongShapesAreNamed) {
  Tensor x = backend_->allocate({1, 1, 2, 3, 3}, "x"), y = backend_->allocate({1, 1, 3, 3, 3}, "y");
  const std::string message =
      message_of<std::logic_error>([&] { backend_->add_scaled(x.view(), 1.F, y.view()); });
  EXPECT_TRUE(says(message, "add_scaled: x is [1,1,3,3,3]") && says(message, "wanted [1,1,2,3,3]") &&
              says(message, "backend.cpp:"))
      << message;
  EXPECT_THROW(backend_->allocate({1, 1, 0, 3, 3}, "x"), std::logic_error);
  EXPECT_THROW(backend_->copy(x.view(), y.view()), std::logic_error);
  EXPECT_THROW(backend_->fill({}, 1.F), std::logic_error);
  std::vector<float> few(3);
  EXPECT_THROW(backend_->read(x.view(), few), std::logic_error);
}

TEST_P(Contract, PlansRefuseWhatTheyWereNotMadeFor) {
  const ConvSpec spec{.channels_in = 2, .channels_out = 3, .height = 4, .width = 4};
  const auto plan = backend_->plan_convolution(spec, ConvUse::training_no_input_gradient);
  Tensor x = backend_->allocate({1, 1, 2, 4, 4}, "x"), y = backend_->allocate({1, 1, 3, 4, 4}, "y");
  Tensor w = backend_->allocate_plain(spec.weight_shape(), "w"),
         b = backend_->allocate_plain({1, 1, 3, 1, 1}, "b");
  EXPECT_TRUE(says(message_of<std::logic_error>([&] { plan->forward(x.view(), y.view(), Accumulate::no); }),
                   "no weights yet"));
  EXPECT_THROW(plan->load_weights(w.view(), b.view()), std::logic_error);
  plan->load_weights(w.view(), {});
  EXPECT_NO_THROW(plan->forward(x.view(), y.view(), Accumulate::no));
  EXPECT_TRUE(
      says(message_of<std::logic_error>([&] { plan->backward_data(y.view(), x.view(), Accumulate::no); }),
           "was made without it"));
  EXPECT_THROW(plan->forward(y.view(), x.view(), Accumulate::no), std::logic_error);
  EXPECT_FALSE(plan->implementation().empty());
  EXPECT_THROW(
      backend_->plan_convolution({.height = 2, .width = 2, .kernel = 5, .padding = 1}, ConvUse::inference),
      std::logic_error);
}

TEST_P(Contract, CellsRefuseTensorsTheyDoNotHave) {
  const CellSpec gru{CellKind::convgru, 2, Peephole::none};
  Tensor gates = backend_->allocate({1, 1, 6, 2, 2}, "gates"), h = backend_->allocate({1, 1, 2, 2, 2}, "h");
  EXPECT_NO_THROW(backend_->cell_forward(gru, gates.view(), {}, {}, {}, {}, {}, h.view()));
  EXPECT_THROW(backend_->cell_forward(gru, gates.view(), {}, {}, {}, {}, h.view(), h.view()),
               std::logic_error);
  const CellSpec lstm{CellKind::convlstm, 2, Peephole::none};
  EXPECT_THROW(backend_->cell_forward(lstm, gates.view(), {}, {}, {}, {}, h.view(), h.view()),
               std::logic_error);
}

TEST_P(Contract, OutOfMemoryNamesTheTensorAndTheSizes) {
  const std::int64_t side = std::int64_t{1} << 21;
  const std::string message = message_of<OutOfMemory>([&] {
    backend_->allocate({1, 1, 1, side, side}, "the whole continent");
  });
  EXPECT_TRUE(says(message, "the whole continent") && says(message, "wanted ")) << message;
  const std::int64_t huge = std::int64_t{1} << 40;
  EXPECT_THROW(backend_->allocate({huge, huge, 1, 1, 1}, "x"), std::overflow_error);
}

/// A sum that is not finite must be seen as such by whoever reads it.
TEST_P(Contract, NotFiniteStaysNotFinite) {
  const CellSpec lstm{CellKind::convlstm, 1, Peephole::none};
  Tensor gates = backend_->allocate({1, 1, 4, 1, 1}, "gates"),
         c = backend_->allocate_memory({1, 1, 1, 1, 1}, "c");
  Tensor h = backend_->allocate({1, 1, 1, 1, 1}, "h");
  std::vector<double> out(1);
  for (const std::size_t gate : {0U, 1U, 2U, 3U}) {
    std::vector<double> sums(4, 0.5);
    sums[gate] = std::numeric_limits<double>::quiet_NaN();
    backend_->write(gates.view(), sums);
    backend_->fill(c.view(), 0.5F);
    Tensor c_prev = backend_->allocate_memory({1, 1, 1, 1, 1}, "c_prev");
    backend_->fill(c_prev.view(), 1.F);
    backend_->cell_forward(lstm, gates.view(), {}, {}, c_prev.view(), {}, c.view(), h.view());
    backend_->read(h.view(), out);
    EXPECT_TRUE(std::isnan(out[0])) << "gate " << gate;
  }
}

/// Large sums saturate instead of overflowing.
TEST_P(Contract, ActivationsSaturate) {
  Tensor x = backend_->allocate({1, 1, 1, 1, 4}, "x");
  const std::vector<double> large{-1000., 1000., -87.5, 88.5};
  std::vector<double> out(4);
  backend_->write(x.view(), large);
  backend_->activate(Activation::sigmoid, 0.F, x.view());
  backend_->read(x.view(), out);
  EXPECT_LT(out[0], 1e-30);
  EXPECT_EQ(out[1], 1.);
  backend_->write(x.view(), large);
  backend_->activate(Activation::tanh, 0.F, x.view());
  backend_->read(x.view(), out);
  for (const double value : out) {
    EXPECT_NEAR(std::abs(value), 1., 1e-6);
    EXPECT_LE(std::abs(value), 1.);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Contract, testing::ValuesIn(tested_backends()), name_of_backend);

}  // namespace
}  // namespace raincell::test
