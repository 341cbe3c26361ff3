/// \file
/// The loops around the kernels, the same for every variant and instruction set.
#pragma once

#include "providers/cpu/operands.hpp"
#include "providers/cpu/workspace.hpp"

namespace moegemm::cpu {

/// Computes y on up to `threads` threads.
/// \param workspace layout.total_bytes() bytes, aligned to 64
void run_grouped_gemm(const Shape& shape, const PackedLayout& packed, const WorkspaceLayout& layout,
                      const CallOperands& operands, unsigned char* workspace, int threads);

}  // namespace moegemm::cpu
