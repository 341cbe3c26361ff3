/// \file
/// The kernels whose weights are decoded on their way, by the weights' format. They take the arguments Maps, Call and
/// PackedWeights.
#pragma once

#include "providers/hopper/kernels/kernel.hpp"

namespace moegemm::hopper {

[[nodiscard]] const KernelSet& mxfp4_weight_kernels();
[[nodiscard]] const KernelSet& nvfp4_weight_kernels();
[[nodiscard]] const KernelSet& mxfp8_weight_kernels();

}  // namespace moegemm::hopper
