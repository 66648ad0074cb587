#include "model/workspace.hpp"

namespace raincell::model {

kernels::Tensor Workspace::activation(const kernels::Shape& shape, std::string_view what) {
  bytes_ += static_cast<std::size_t>(kernels::stored_elements(shape, backend_.place(shape))) *
            kernels::size_of(backend_.activation_dtype());
  return dry_ ? kernels::Tensor{} : backend_.allocate(shape, what);
}

kernels::Tensor Workspace::memory(const kernels::Shape& shape, std::string_view what) {
  bytes_ += static_cast<std::size_t>(kernels::stored_elements(shape, backend_.place(shape))) *
            kernels::size_of(backend_.dtype());
  return dry_ ? kernels::Tensor{} : backend_.allocate_memory(shape, what);
}

kernels::Tensor Workspace::plain(const kernels::Shape& shape, std::string_view what) {
  bytes_ += static_cast<std::size_t>(shape.elements()) * kernels::size_of(backend_.dtype());
  return dry_ ? kernels::Tensor{} : backend_.allocate_plain(shape, what);
}

std::unique_ptr<kernels::ConvPlan> Workspace::convolution(const kernels::ConvSpec& spec,
                                                          kernels::ConvUse use) {
  if (count_ == Count::tensors) {
    bytes_ += static_cast<std::size_t>(spec.weight_shape().elements()) * kernels::size_of(backend_.dtype());
    return nullptr;
  }
  try {
    auto plan = backend_.plan_convolution(spec, use);
    bytes_ += plan->bytes();
    if (dry_) return nullptr;
    std::string& chosen = implementations_[spec.text()];
    if (std::string name = plan->implementation(); name.size() > chosen.size()) chosen = std::move(name);
    return plan;
  } catch (const kernels::OutOfMemory&) {
    if (!dry_) throw;
  }
  // Not even one plan fits: packed weights for both passes and the packed gradient are the least it would
  // take.
  bytes_ += 3 * static_cast<std::size_t>(spec.weight_shape().elements()) * kernels::size_of(backend_.dtype());
  return nullptr;
}

}  // namespace raincell::model
