// Where a band of rows is summed in another order than the whole, and equal to rounding only.
#pragma once

#include <string>

#include "kernels/backend.hpp"

namespace raincell::test {

/// oneDNN orders the sums of all convolutions by the size of the image and the number of threads where there
/// is no AVX.
inline bool sums_follow_size(const kernels::BackendInfo& info) {
  return info.libraries.find("oneDNN") != std::string::npos && info.device.find("AVX") == std::string::npos;
}

/// Those of strided adjoints it orders so except in 2.x with AVX-512.
inline bool adjoint_sums_follow_size(const kernels::BackendInfo& info) {
  const bool two_with_avx512 = info.libraries.find("oneDNN 2.") != std::string::npos &&
                               info.device.find("AVX-512") != std::string::npos;
  return info.libraries.find("oneDNN") != std::string::npos && !two_with_avx512;
}

}  // namespace raincell::test
