/// \file
/// Rows of A of 4 and 8 bits and their scales to e4m3 with one scale a row, ahead of the products.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "providers/hopper/kernels/widen.hpp"

namespace moegemm::hopper {

/// Where they go, and whether they do.
struct RebasedRows {
    const std::uint32_t* not_rebasable;  ///< of the weights: where other than 0, all rows become bf16
    std::uint8_t* values;        ///< (R, K) e4m3, groups of 16 in the order of rebased_place; aligned to 16 bytes
    float* factors;              ///< (R): what a row's sums are multiplied by; negative where it became bf16
    std::uint32_t* rows_differ;  ///< becomes other than 0 where one is negative; 0 before
};

/// Starts writing the rows that m_indptr gives to experts, each as e4m3, or as widen_rows does to call.out: of e2m1,
/// rows that would lose something, of either those whose scales are out of range, and all where weights cannot be
/// rebased. e4m3 values are rounded. As with widen_rows, the kernel that follows may start early.
/// \param a e2m1x2 or e4m3, with scales of ue8m0
/// \return cudaGetLastError's answer
[[nodiscard]] cudaError_t rebase_rows(DType a, const WidenCall& call, const RebasedRows& rebased, cudaStream_t stream);

}  // namespace moegemm::hopper
