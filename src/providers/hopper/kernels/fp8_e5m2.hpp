/// \file
/// The kernels of fp8 operands of which one or both are e5m2.
#pragma once

#include "providers/hopper/kernels/kernel.hpp"

namespace moegemm::hopper {

[[nodiscard]] const KernelSet& fp8_e5m2_kernels(DType a, DType w);
[[nodiscard]] const KernelSet& fp8_block_e5m2_kernels(DType a, DType w);

}  // namespace moegemm::hopper
