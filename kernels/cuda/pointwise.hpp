// The elementwise work of the cuda backend, queued on a stream. Views are those of the seam, already checked:
// activations are channels-last f32 or bf16, parameters and the memory of cells plain f32.
#pragma once

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

/// Frames [N,T,C,H,W] in device memory to and from tensors.
void import_frames(Stream, const float* ntchw, const FrameLayout&, View);
void export_frames(Stream, ConstView, const FrameLayout&, float* ntchw);

/// Parameters {1,A,B,k,k} in planes to and from filters [A,k,k,B] of `type`.
void pack_filter(Stream, ConstView weights, DType type, void* filter);
void unpack_filter(Stream, DType type, const void* filter, View weights, Accumulate);
/// y += bias by channel.
void add_bias(Stream, View y, const float* bias);

}  // namespace raincell::kernels::cuda
