/// \file
/// Rows of A of 4 and 8 bits and their scales to bf16, ahead of the products.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moegemm/dtype.hpp>
#include <moegemm/hd.hpp>
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

/// What a kernel gets of rows of A that it widens itself; `call.a` is null where there are none.
struct RawRows {
    WidenCall call;
    DType type;               ///< of A: e2m1x2, e4m3 or e5m2
    int first;                ///< rows before it are in `call.out` already; a multiple of RowProgress::rows
    std::uint32_t* progress;  ///< RowProgress::words
};

/// How far the rows that a kernel widens beside its products are: words of the workspace, all 0 at first.
struct RowProgress {
    static constexpr int rows = 64;  ///< of a block
    /// The first word counts rows that some warp has taken, the others how many of each block of rows are done.
    [[nodiscard]] MOEGEMM_HD static constexpr std::int64_t words(std::int64_t all_rows) {
        return 1 + (all_rows + rows - 1) / rows;
    }
};

/// Starts writing the rows before `end` that m_indptr gives to experts: code · scale, exact wherever bf16 has it as a
/// normal number. The kernel that follows may start before this one has ended: it has to wait where it reads `out`.
/// \param a        e2m1x2, e4m3 or e5m2
/// \param scale    ue8m0 or ue4m3
/// \param end      1 … call.rows
/// \param progress becomes 0 for the kernel that follows, where it is not null
/// \return cudaGetLastError's answer
[[nodiscard]] cudaError_t widen_rows(DType a, DType scale, const WidenCall& call, int end, std::uint32_t* progress,
                                     cudaStream_t stream);

}  // namespace moegemm::hopper
