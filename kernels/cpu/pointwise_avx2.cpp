// The pointwise kernels for AVX2; CMakeLists.txt gives the compiler flags.
#define RAINCELL_POINTWISE_TABLE kPointwiseAvx2
#define RAINCELL_POINTWISE_NAME "AVX2"
#include "kernels/cpu/pointwise_kernels.inc"
