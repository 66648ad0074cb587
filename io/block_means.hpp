// A field in fewer pixels.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace raincell::io {

/// The mean of the observed values in each block of `factor` x `factor` pixels of values [rows, columns];
/// missing where less than half of a block is observed. Blocks at the right and lower edge may be smaller.
std::vector<float> block_means(std::span<const float> values, std::int64_t columns, std::int64_t rows,
                               int factor);

}  // namespace raincell::io
