// The pointwise kernels for any processor; CMakeLists.txt gives the compiler flags.
#define RAINCELL_POINTWISE_TABLE kPointwisePortable
#define RAINCELL_POINTWISE_NAME "any processor"
#include "kernels/cpu/pointwise_kernels.inc"
