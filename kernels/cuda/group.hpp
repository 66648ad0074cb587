// GPUs that sum what each of them has.
#pragma once

#include "kernels/cuda/nccl.hpp"
#include "kernels/device_group.hpp"

namespace raincell::kernels::cuda {

/// Each GPU sums a slice, in the order of the ranks, and sends it to all: as much on the way as in a ring,
/// and an order of additions that does not hang on how the GPUs are wired.
class Group final : public DeviceGroup {
 public:
  /// For sums of at most `count` numbers.
  Group(Device&, const std::string& id, int rank, int size, std::int64_t count);
  void sum(View values) override;
  std::string text() const override { return Nccl::version(); }

 private:
  Device& device_;
  int rank_, size_;
  std::int64_t slice_;
  Scratch parts_, sums_, all_;
  Nccl nccl_;  // goes first: what is under way uses the memory
};

}  // namespace raincell::kernels::cuda
