/// \file
/// The kernels whose weights are decoded on their way, by the weights' format. They take the arguments Maps, Call,
/// PackedWeights and Route.
#pragma once

#include "providers/hopper/kernels/kernel.hpp"

namespace moegemm::hopper {

[[nodiscard]] const KernelSet& mxfp4_weight_kernels();
[[nodiscard]] const KernelSet& nvfp4_weight_kernels();
[[nodiscard]] const KernelSet& mxfp8_weight_kernels();
/// Of many rows, with rebased activations.
[[nodiscard]] const Kernel& rebased_mxfp4_kernel();
[[nodiscard]] const Kernel& rebased_mxfp8_kernel();

}  // namespace moegemm::hopper
