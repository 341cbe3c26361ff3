/// \file
/// Makes packed weights on the device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "providers/hopper/kernels/weight_packing.hpp"

namespace moegemm::hopper {

/// Starts packing.
/// \return cudaGetLastError's answer
[[nodiscard]] cudaError_t pack_weights(WeightFormat format, const PackCall& call, std::int64_t experts,
                                       cudaStream_t stream);

}  // namespace moegemm::hopper
