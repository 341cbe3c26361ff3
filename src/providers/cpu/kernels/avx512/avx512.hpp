/// \file
/// Kernels for AVX-512 F, BW, DQ and VL.
#pragma once

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

extern const FloatKernels avx512_kernels;

}  // namespace moegemm::cpu
