/// \file
/// Kernels for AVX-512 with GFNI.
#pragma once

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

extern const MatrixKernels avx512_gfni_kernels;

}  // namespace moegemm::cpu
