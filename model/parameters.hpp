// All parameters of a network in one flat block, with a name for every tensor in it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.hpp"

namespace raincell::model {

/// How a tensor is drawn: uniform in (-bound, bound), plus one for the forget gate's quarter of an LSTM bias.
struct InitialValues {
  double bound = 0.;
  bool forget_gate = false;  // channels [hidden, 2 hidden) of [4 hidden] start one higher
};

struct ParameterSlice {
  std::string name;         // checkpoint key, e.g. "encoder.0.layer.state.weight"
  kernels::Shape shape;     // {1,O,I,k,k} or {1,1,C,1,1}
  std::int64_t offset = 0;  // in elements of the flat block
  InitialValues initial;
};

/// Names, shapes and places of all parameters; allocates nothing.
class ParameterLayout {
 public:
  /// Index of the new slice. Throws std::logic_error when the name is taken.
  int add(std::string name, const kernels::Shape&, InitialValues);
  const std::vector<ParameterSlice>& slices() const { return slices_; }
  const ParameterSlice& slice(int index) const { return slices_[static_cast<std::size_t>(index)]; }
  /// Index of a name, or -1.
  int find(std::string_view name) const;
  /// Number of parameters.
  std::int64_t count() const { return count_; }
  /// Elements of the flat block: slices start at multiples of 16 elements, gaps stay zero for ever.
  std::int64_t stored() const { return stored_; }

 private:
  std::vector<ParameterSlice> slices_;
  std::int64_t count_ = 0, stored_ = 0;
};

/// The values, and in training the gradients, on a device.
class Parameters {
 public:
  /// Draws initial values from (seed, name, index) alone, so that every backend starts from the same.
  Parameters(ParameterLayout, kernels::Backend&, std::uint64_t seed);
  const ParameterLayout& layout() const { return layout_; }
  kernels::Backend& backend() const { return backend_; }
  kernels::View values() { return values_.view(); }
  kernels::View gradients() { return gradients_.view(); }
  kernels::View value(int slice) { return cut(values_.view(), slice); }
  kernels::View gradient(int slice) { return cut(gradients_.view(), slice); }
  /// Allocates the gradients (zero) when they are not there yet.
  void need_gradients();
  /// A further block of the same size (moments, averages), zero-filled.
  kernels::Tensor block(std::string_view what);
  /// The part of any such block that belongs to a slice.
  kernels::View cut(kernels::View block, int slice) const;
  /// Exchanges the values with another block of the same size, e.g. an average. No copy.
  void swap_values(kernels::Tensor& block) { std::swap(values_, block); }
  std::vector<double> read(int slice);
  void write(int slice, std::span<const double>);

 private:
  ParameterLayout layout_;
  kernels::Backend& backend_;
  kernels::Tensor values_, gradients_;  // {1,1,stored,1,1}, plain
};

}  // namespace raincell::model
