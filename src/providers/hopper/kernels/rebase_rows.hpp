/// \file
/// Rows of A of 4 bits and their scales to e4m3 with one scale a row, ahead of the products, where nothing is lost.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "providers/hopper/kernels/widen.hpp"

namespace moegemm::hopper {

/// Where they go.
struct RebasedRows {
    std::uint8_t* values;  ///< (R, K) e4m3, groups of 16 in the order of rebased_place
    float* factors;        ///< (R): what a row's sums are multiplied by; negative where its scales are too far apart
    std::uint32_t* rows_differ;  ///< becomes other than 0 where one is negative; 0 before
};

/// Starts writing the rows that m_indptr gives to experts; mxfp4's alone. As with widen_rows, the kernel that follows
/// may start early.
/// \return cudaGetLastError's answer
[[nodiscard]] cudaError_t rebase_rows(const WidenCall& call, const RebasedRows& rebased, cudaStream_t stream);

}  // namespace moegemm::hopper
