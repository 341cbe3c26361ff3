/// \file
/// The kernels for products of tiles without the instructions: the same loops over tiles that are arrays, so that all
/// around AMX is tested on machines that lack it.
#pragma once

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::test {

/// Its name is "amx_emulated". Null where the machine has no AVX-512 VNNI, which what is around the tiles needs.
[[nodiscard]] const cpu::KernelFamily* emulated_tiles();

}  // namespace moegemm::test
