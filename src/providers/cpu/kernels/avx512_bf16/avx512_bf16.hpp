/// \file
/// Kernels for AVX-512 BF16.
#pragma once

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

extern const MatrixKernels avx512_bf16_kernels;

}  // namespace moegemm::cpu
