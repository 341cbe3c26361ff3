/// \file
/// Makes packed weights on the device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moegemm/scale_layout.hpp>

#include "providers/hopper/kernels/packed_weights.hpp"

namespace moegemm::hopper {

/// The contract's W and b_scale, and where they go.
struct PackCall {
    std::uint8_t* blocks;
    float* row_factors;
    std::uint8_t* row_tops;
    std::uint32_t* not_rebasable;  ///< 0 before
    const std::uint8_t* w;         ///< (E, N, K · bits / 8)
    const std::uint8_t* w_scale;   ///< codes of E matrices of (N, scale_columns)
    ScaleLayout layout;
    std::int64_t n;
    std::int64_t row_bytes;  ///< of W
    std::int64_t scale_columns;
    PackedShape shape;
    bool in_words;  ///< whether rows of W are aligned to 4 bytes
};

/// Starts packing.
/// \return cudaGetLastError's answer
[[nodiscard]] cudaError_t pack_weights(WeightFormat format, const PackCall& call, std::int64_t experts,
                                       cudaStream_t stream);

}  // namespace moegemm::hopper
