/// \file
/// Products of int8 for AVX-512 VNNI.
#pragma once

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

extern const Int8Kernels avx512_vnni_int8_kernels;

}  // namespace moegemm::cpu
