// The pointwise kernels for AVX-512; CMakeLists.txt gives the compiler flags.
#define RAINCELL_POINTWISE_TABLE kPointwiseAvx512
#define RAINCELL_POINTWISE_NAME "AVX-512"
#include "kernels/cpu/pointwise_kernels.inc"
