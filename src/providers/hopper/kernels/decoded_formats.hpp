/// \file
/// The kernels whose weights are decoded on their way, by the weights' format. They take the arguments Maps, Call,
/// PackedWeights and Route.
#pragma once

#include "providers/hopper/kernels/kernel.hpp"

namespace moegemm::hopper {

[[nodiscard]] const KernelSet& mxfp4_weight_kernels();
[[nodiscard]] const KernelSet& nvfp4_weight_kernels();
[[nodiscard]] const KernelSet& mxfp8_weight_kernels();
/// With rebased activations, too.
[[nodiscard]] const KernelSet& rebased_mxfp4_kernels();

}  // namespace moegemm::hopper
