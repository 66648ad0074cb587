// The devices of several processes that work on one thing.
#pragma once

#include <string>

#include "kernels/tensor.hpp"

namespace raincell::kernels {

/// Used by all of its processes in the same order.
class DeviceGroup {
 public:
  virtual ~DeviceGroup() = default;
  /// values: plain f32, of the same size on all; becomes the sum over them, taken in the order of the ranks:
  /// the same bits on each. Queued as other work of the device.
  virtual void sum(View values) = 0;
  /// What carries it: "NCCL 2.28.9"
  virtual std::string text() const = 0;
};

}  // namespace raincell::kernels
