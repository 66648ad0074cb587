// The one table of kernel cases: every operation with odd sizes, one channel, 1x1 kernels, T = 1 and the
// like. Asked of every backend: is it right (cases_test), is it differentiable (gradients_test), is it fast
// (tests/bench).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/decorators.hpp"

namespace raincell::test {

/// One tensor of a case. No elements: the view stays empty.
struct Slot {
  std::string name;
  kernels::Shape shape;
  kernels::Access access = kernels::Access::in;
  bool plain = false;          // a parameter or scalar
  std::vector<double> values;  // before the operation; empty: not given
  bool memory = false;         // of a cell
};

struct Case {
  std::string name;
  std::vector<Slot> slots;
  std::function<void(kernels::Backend&, const std::vector<kernels::View>&)> run;
  bool exact = false;                                 // integers: bit-equal in f32
  std::optional<kernels::ConvSpec> convolution = {};  // what it is about
};

/// Slots after the operation, in order; inputs and absent ones are empty.
std::vector<std::vector<double>> run_case(kernels::Backend&, const Case&);

/// Convolutions worth trying, transposed ones among them.
std::vector<kernels::ConvSpec> convolution_specs();
std::vector<kernels::CellSpec> cell_specs();
std::vector<std::pair<std::string, kernels::LossSpec>> loss_specs();

std::vector<Case> convolution_cases();
std::vector<Case> cell_cases();
std::vector<Case> pointwise_cases();
std::vector<Case> loss_cases();
std::vector<Case> optimizer_cases();
std::vector<Case> all_cases();

}  // namespace raincell::test
