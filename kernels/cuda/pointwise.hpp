// The elementwise work of the cuda backend, queued on a stream. Views are those of the seam, already checked:
// activations are channels-last f32 or bf16, parameters and the memory of cells plain f32.
#pragma once

#include "kernels/cuda/cudnn.hpp"
#include "kernels/cuda/device.hpp"

namespace raincell::kernels::cuda {

void cell_forward(Stream, const CellSpec&, View gates, ConstView recurrent, ConstView h_prev,
                  ConstView c_prev, ConstView peephole, View c, View h);
/// parts: scratch for d_peephole, peephole_scratch() bytes; may be null without peepholes.
void cell_backward(Stream, const CellSpec&, View gates, View recurrent, ConstView h_prev, ConstView c_prev,
                   ConstView c, ConstView peephole, ConstView dh, ConstView dh_recurrent, View dc,
                   View dh_prev, View d_peephole, double* parts);
std::size_t peephole_scratch(const CellSpec&, const Shape& gates);

void activate(Stream, Activation, float slope, View);
void activate_backward(Stream, Activation, float slope, ConstView y, View dy);
void fill(Stream, View, float);
void add_scaled(Stream, View y, float a, ConstView x);
void lerp(Stream, View y, float a, ConstView x);
void mix(Stream, View y, ConstView a, ConstView b, ConstView weights);
void mix_backward(Stream, View y, ConstView x, ConstView weights, Accumulate);

/// sums [columns] of rows [rows, columns], taken in double, in the order of the rows.
void sum_rows(Stream, std::int64_t rows, std::int64_t columns, const float* values, float* sums);

/// Frames [N,T,C,H,W] in device memory to and from tensors.
void import_frames(Stream, const float* ntchw, const FrameLayout&, View);
void export_frames(Stream, ConstView, const FrameLayout&, float* ntchw);

/// Parameters {1,A,B,k,k} in planes to and from filters [A,k,k,B] of `type`.
void pack_filter(Stream, ConstView weights, DType type, void* filter);
void unpack_filter(Stream, DType type, const void* filter, View weights, Accumulate);
/// y += bias by channel.
void add_bias(Stream, View y, const float* bias);

/// Image a of a correlation to columns: for every pixel of image b a row [kernel, kernel, a.channels] of what
/// the filter sees there, filled with zeros up to `row` elements.
void im2col(Stream, const Correlation&, DType, const void* a, std::int64_t row, void* columns);
/// The way back: every pixel of a becomes the sum of its places in the columns, and of what Correlation::then
/// says.
void col2im(Stream, const Correlation&, DType, const void* columns, std::int64_t row, const float* bias,
            void* a);
/// `rows` rows from one length to another, cut or filled with zeros.
void copy_rows(Stream, DType, std::int64_t rows, const void* from, std::int64_t length, void* to,
               std::int64_t new_length);

}  // namespace raincell::kernels::cuda
