// One pixel of a recurrent cell, forward and backward; the same text serves CPU and GPU kernels.
// Math supplies sigmoid(Real) and tanh(Real) of the device. Notation: i, f, o, g gates, c memory, h hidden
// state, d_ gradient of the loss by what follows, "sum" a gate before its activation.
#pragma once

#if defined(__CUDACC__)
#define RAINCELL_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define RAINCELL_HOST_DEVICE [[gnu::always_inline]] inline
#endif

namespace raincell::kernels {

/// Peephole weights of one channel: i and f see the old memory, o the new one.
template <class Real>
struct PeepholeWeights {
  Real i = 0, f = 0, o = 0;
};

/// Sums before the cell, activated gates after it; after lstm_backward the gradients of the sums.
template <class Real>
struct LstmGates {
  Real i, f, o, g;
};

template <class Real>
struct LstmState {
  Real c, h;
};

/// i = s(i' + p_i c-), f = s(f' + p_f c-), g = tanh(g'), c = f c- + i g, o = s(o' + p_o c), h = o tanh(c).
template <class Math, class Real>
RAINCELL_HOST_DEVICE LstmState<Real> lstm_forward(LstmGates<Real>& gates, Real c_prev,
                                                  PeepholeWeights<Real> peephole) {
  gates.i = Math::sigmoid(gates.i + peephole.i * c_prev);
  gates.f = Math::sigmoid(gates.f + peephole.f * c_prev);
  gates.g = Math::tanh(gates.g);
  const Real c = gates.f * c_prev + gates.i * gates.g;
  gates.o = Math::sigmoid(gates.o + peephole.o * c);
  return {c, gates.o * Math::tanh(c)};
}

/// Takes the gradients of h and c; returns the gradient of c_prev. gates: activations in, gradients of the
/// sums out.
template <class Math, class Real>
RAINCELL_HOST_DEVICE Real lstm_backward(LstmGates<Real>& gates, Real c_prev, Real c, Real dh, Real dc,
                                        PeepholeWeights<Real> peephole) {
  const Real squashed = Math::tanh(c);
  const LstmGates<Real> a = gates;
  gates.o = dh * squashed * a.o * (1 - a.o);
  const Real d_c = dc + dh * a.o * (1 - squashed * squashed) + gates.o * peephole.o;
  gates.i = d_c * a.g * a.i * (1 - a.i);
  gates.f = d_c * c_prev * a.f * (1 - a.f);
  gates.g = d_c * a.i * (1 - a.g * a.g);
  return d_c * a.f + gates.i * peephole.i + gates.f * peephole.f;
}

/// Input sums before, activated gates after; after gru_backward the gradients of the input sums.
template <class Real>
struct GruGates {
  Real z, r, n;
};

/// z = s(z' + z''), r = s(r' + r''), n = tanh(n' + r n''), h = (1 - z) n + z h-; '' are the recurrent sums.
template <class Math, class Real>
RAINCELL_HOST_DEVICE Real gru_forward(GruGates<Real>& gates, GruGates<Real> recurrent, Real h_prev) {
  gates.z = Math::sigmoid(gates.z + recurrent.z);
  gates.r = Math::sigmoid(gates.r + recurrent.r);
  gates.n = Math::tanh(gates.n + gates.r * recurrent.n);
  return gates.n + gates.z * (h_prev - gates.n);
}

/// recurrent_n: the saved recurrent sum of n. Returns the gradient of that sum; those of z and r equal the
/// gates'.
template <class Real>
RAINCELL_HOST_DEVICE Real gru_backward(GruGates<Real>& gates, Real recurrent_n, Real h_prev, Real dh) {
  const GruGates<Real> a = gates;
  gates.n = dh * (1 - a.z) * (1 - a.n * a.n);
  gates.z = dh * (h_prev - a.n) * a.z * (1 - a.z);
  gates.r = gates.n * recurrent_n * a.r * (1 - a.r);
  return gates.n * a.r;
}

/// h = tanh(sum): the gradient of the sum.
template <class Real>
RAINCELL_HOST_DEVICE Real rnn_backward(Real h, Real dh) {
  return dh * (1 - h * h);
}

}  // namespace raincell::kernels
