/// \file
/// Rows of A of 4 and 8 bits and their scales to bf16, ahead of the products.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moegemm/dtype.hpp>
#include <moegemm/scale_layout.hpp>

namespace moegemm::hopper {

struct WidenCall {
    const std::uint8_t* a;  ///< (R, K) codes, rows aligned to 8 bytes (4-bit) or 16
    const std::uint8_t* a_scale;
    ScaleLayout layout;
    std::int64_t scale_columns;
    const std::int32_t* m_indptr;  ///< (E + 1)
    int experts;
    int rows;            ///< R
    int depth;           ///< K
    std::uint16_t* out;  ///< (R, K) bf16
};

/// Starts writing the rows that m_indptr gives to experts: code · scale, exact wherever bf16 has it as a normal number.
/// The kernel that follows may start before this one has ended: it has to wait where it reads `out`.
/// \param a     e2m1x2, e4m3 or e5m2
/// \param scale ue8m0 or ue4m3
/// \return cudaGetLastError's answer
[[nodiscard]] cudaError_t widen_rows(DType a, DType scale, const WidenCall& call, cudaStream_t stream);

}  // namespace moegemm::hopper
