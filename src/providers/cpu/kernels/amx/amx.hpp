/// \file
/// Products of tiles for AMX (TILE, BF16, INT8).
#pragma once

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

extern const MatrixKernels amx_kernels;

}  // namespace moegemm::cpu
