#include "model/parameters.hpp"

#include <algorithm>
#include <stdexcept>

#include "model/random.hpp"

namespace raincell::model {

namespace {

constexpr std::int64_t kAlignment = 16;  // elements: 64 bytes of f32

std::vector<double> initial_values(const ParameterSlice& slice, std::uint64_t seed) {
  std::vector<double> values(static_cast<std::size_t>(slice.shape.elements()));
  const std::uint64_t stream = hash_of(slice.name);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = (2. * uniform(seed, stream, i) - 1.) * slice.initial.bound;
    if (slice.initial.forget_gate && i >= values.size() / 4 && i < values.size() / 2) values[i] += 1.;
  }
  return values;
}

}  // namespace

int ParameterLayout::add(std::string name, const kernels::Shape& shape, InitialValues initial) {
  if (find(name) >= 0) throw std::logic_error("parameter " + name + " is defined twice");
  const std::int64_t size = shape.elements();
  slices_.push_back({std::move(name), shape, stored_, initial});
  count_ += size;
  stored_ += (size + kAlignment - 1) / kAlignment * kAlignment;
  return static_cast<int>(slices_.size()) - 1;
}

int ParameterLayout::find(std::string_view name) const {
  for (std::size_t i = 0; i < slices_.size(); ++i) {
    if (slices_[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

Parameters::Parameters(ParameterLayout layout, kernels::Backend& backend, std::uint64_t seed)
    : layout_(std::move(layout)), backend_(backend) {
  if (layout_.stored() == 0) return;  // a dry run
  values_ = block("parameters");
  for (int i = 0; i < static_cast<int>(layout_.slices().size()); ++i) {
    write(i, initial_values(layout_.slice(i), seed));
  }
}

void Parameters::need_gradients() {
  if (gradients_.empty()) gradients_ = block("gradients");
}

kernels::Tensor Parameters::block(std::string_view what) {
  return backend_.allocate_plain({1, 1, std::max<std::int64_t>(1, layout_.stored()), 1, 1}, what);
}

kernels::View Parameters::cut(kernels::View block, int slice) const {
  const ParameterSlice& part = layout_.slice(slice);
  block.memory = static_cast<std::byte*>(block.memory) +
                 static_cast<std::size_t>(part.offset) * kernels::size_of(block.dtype);
  block.shape = part.shape;
  return block;
}

std::vector<double> Parameters::read(int slice) {
  std::vector<double> values(static_cast<std::size_t>(layout_.slice(slice).shape.elements()));
  backend_.read(value(slice), std::span<double>(values));
  return values;
}

void Parameters::write(int slice, std::span<const double> values) {
  backend_.write(value(slice), values);
}

}  // namespace raincell::model
