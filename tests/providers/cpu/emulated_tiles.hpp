/// \file
/// Kernels without their instructions: the same loops over tiles and vectors that are arrays, so that all around AMX
/// and AVX-512 BF16 is tested on machines that lack them.
#pragma once

#include <vector>

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::test {

/// "amx_emulated" and "avx512_bf16_emulated"; none where the machine lacks AVX-512 VNNI or GFNI, which what is
/// around them needs.
[[nodiscard]] const std::vector<const cpu::KernelFamily*>& emulated_families();

}  // namespace moegemm::test
