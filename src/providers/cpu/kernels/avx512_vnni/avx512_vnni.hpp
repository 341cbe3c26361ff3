/// \file
/// Products of int8 for AVX-512 VNNI.
#pragma once

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

void avx512_vnni_int8_sums(const Int8Call& call);

}  // namespace moegemm::cpu
