// Memory of a plan: everything a network needs is taken once, here, or only counted.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "kernels/backend.hpp"

namespace raincell::model {

/// Allocates on a backend and keeps count. A dry workspace counts only: its tensors are empty, its
/// convolution plans null; each plan is made, asked for its bytes and dropped.
class Workspace {
 public:
  /// What is only counted: nothing, everything, or tensors and weights alone, which makes no plan.
  enum class Count : std::uint8_t { off, all, tensors };
  explicit Workspace(kernels::Backend& backend, Count count = Count::off)
      : backend_(backend), count_(count), dry_(count != Count::off) {}
  kernels::Backend& backend() const { return backend_; }
  bool dry() const { return dry_; }
  std::size_t bytes() const { return bytes_; }
  /// Counts memory that is the host's wherever tensors lie; somebody else allocates it.
  void host(std::size_t bytes) { host_bytes_ += bytes; }
  std::size_t host_bytes() const { return host_bytes_; }

  kernels::Tensor activation(const kernels::Shape&, std::string_view what);
  kernels::Tensor memory(const kernels::Shape&, std::string_view what);  // of cells
  kernels::Tensor plain(const kernels::Shape&, std::string_view what);
  std::unique_ptr<kernels::ConvPlan> convolution(const kernels::ConvSpec&, kernels::ConvUse);
  /// The kernels chosen for each convolution, by its text; nothing when dry.
  const std::map<std::string, std::string>& implementations() const { return implementations_; }

 private:
  kernels::Backend& backend_;
  Count count_;
  bool dry_;
  std::size_t bytes_ = 0, host_bytes_ = 0;
  std::map<std::string, std::string> implementations_;
};

/// A value at every step: [slots,N,C,H,W]. Step t lies in slot (t + offset) modulo slots, so that a rolling
/// run keeps one or two steps, and an initial state is step -1.
class StepStore {
 public:
  StepStore() = default;
  StepStore(kernels::Tensor tensor, std::int64_t slots, std::int64_t offset)
      : tensor_(std::move(tensor)), slots_(slots), offset_(offset) {}
  bool empty() const { return tensor_.empty(); }
  /// Steps [first, first + count), which must not wrap.
  kernels::View at(std::int64_t first, std::int64_t count) {
    return tensor_.view().steps((first + offset_) % slots_, count);
  }
  kernels::View step(std::int64_t t) { return at(t, 1); }
  /// How many of `count` steps from `first` on lie side by side.
  std::int64_t contiguous(std::int64_t first, std::int64_t count) const {
    return std::min(count, slots_ - (first + offset_) % slots_);
  }
  /// The step, or an empty view when there is no such value.
  kernels::View step_or_empty(std::int64_t t) { return empty() ? kernels::View{} : step(t); }
  kernels::View all() { return tensor_.view(); }

 private:
  kernels::Tensor tensor_;
  std::int64_t slots_ = 1, offset_ = 0;
};

}  // namespace raincell::model
