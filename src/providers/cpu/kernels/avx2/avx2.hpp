/// \file
/// Kernels for AVX2, FMA and F16C.
#pragma once

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

extern const FloatKernels avx2_kernels;
extern const Int8Kernels avx2_int8_kernels;

}  // namespace moegemm::cpu
