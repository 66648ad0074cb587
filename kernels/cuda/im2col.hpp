// Convolutions of few channels as products of matrices: what a kernel sees of the image becomes one row of
// columns, and a convolution of 1x1 does the rest. Libraries are slow at one channel, radar has no more.
#pragma once

#include <memory>
#include <optional>

#include "kernels/cuda/cudnn.hpp"

namespace raincell::kernels::cuda {

/// The convolution of 1x1 that a Correlation becomes, its columns in the place of image a; nothing where a
/// row of columns would be longer than it pays.
std::optional<Correlation> im2col_product(const Correlation&);

/// `product` is an engine for im2col_product(correlation). The columns lie in its workspace.
std::unique_ptr<Engine> im2col_engine(Stream, const Correlation&, DType, std::unique_ptr<Engine> product);

}  // namespace raincell::kernels::cuda
