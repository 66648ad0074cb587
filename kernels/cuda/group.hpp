// GPUs that sum what each of them has.
#pragma once

#include "kernels/cuda/nccl.hpp"
#include "kernels/device_group.hpp"

namespace raincell::kernels::cuda {

/// Each GPU sums a slice, in the order of the ranks, and sends it to all: as much on the way as in a ring,
/// and an order of additions that does not hang on how the GPUs are wired.
class Group final : public DeviceGroup {
 public:
  Group(Device&, const std::string& id, int rank, int size);
  void sum(View values) override;
  std::string text() const override { return Nccl::version(); }

 private:
  Device& device_;
  int rank_, size_;
  Nccl nccl_;
  Scratch parts_, sums_, all_;
};

}  // namespace raincell::kernels::cuda
