// A batch of noise for what measures and needs no data.
#pragma once

#include <cstdint>
#include <vector>

#include "model/network.hpp"

namespace raincell::app {

/// Frames of noise in (0, 1), nothing missing; those of the future for training alone.
class NoiseBatch {
 public:
  NoiseBatch(const model::ModelSpec&, std::int64_t batch, std::int64_t rows, std::int64_t columns,
             bool training);
  /// Into memory of this object.
  model::HostBatch view() const;

 private:
  std::vector<float> past_, future_, guide_, tendency_, ones_, thresholds_;
};

}  // namespace raincell::app
