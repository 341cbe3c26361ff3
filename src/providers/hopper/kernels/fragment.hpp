/// \file
/// Which element of a product each thread of a warpgroup holds, and where bytes of a swizzled tile lie.
#pragma once

#include <moegemm/hd.hpp>

namespace moegemm::hopper {

/// Threads of a warpgroup, and rows of one wgmma.
inline constexpr int warpgroup = 128;
inline constexpr int wgmma_rows = 64;

/// Row of the 64-row product that register `index` of thread `thread` holds (PTX ISA, figure "WGMMA .m64nNk… D
/// fragment"): registers come in groups of four for 8 columns, two of row r and two of row r + 8.
[[nodiscard]] MOEGEMM_HD constexpr int accumulator_row(int thread, int index) noexcept {
    return thread / 32 * 16 + thread % 32 / 4 + (index / 2 % 2) * 8;
}
/// Its column.
[[nodiscard]] MOEGEMM_HD constexpr int accumulator_column(int thread, int index) noexcept {
    return index / 4 * 8 + thread % 4 * 2 + index % 2;
}

/// Tiles lie in shared memory as rows of 128 bytes whose 16-byte pieces are permuted within groups of 8 rows: the copy
/// engine's and wgmma's 128-byte swizzle (CUDA driver API, CU_TENSOR_MAP_SWIZZLE_128B).
inline constexpr int row_bytes = 128;
/// The byte of 16-byte piece `piece` of row `row`.
[[nodiscard]] MOEGEMM_HD constexpr int swizzled_offset(int row, int piece) noexcept {
    return row * row_bytes + ((piece ^ (row % 8)) * 16);
}

/// What a lane passes to stmatrix.x4 to store 16 rows × 16 columns of 16-bit elements, registers 8·j … 8·j + 7 of the
/// fragment as four 8×8 matrices: (rows 0–7, columns 0–7), (rows 8–15, columns 0–7), then columns 8–15. The offset is
/// that within a chunk of 64 columns by 64 rows, `step` (0 … 3) counting 16 columns.
[[nodiscard]] MOEGEMM_HD constexpr int stmatrix_offset(int thread, int step) noexcept {
    const int lane = thread % 32;
    return swizzled_offset(thread / 32 * 16 + lane % 16, step * 2 + lane / 16);
}

/// What a lane passes to stmatrix.x4 to store the words that it has decoded of its warp's rows 0 … 7 of a block of
/// weights, 16 by 64 of K: one word of each of four steps of 16, which is 4 of the step's 16 bytes in row lane / 4. Of
/// rows 8 … 15 it is eight rows further.
[[nodiscard]] MOEGEMM_HD constexpr int decoded_offset(int thread) noexcept {
    const int lane = thread % 32;
    return swizzled_offset(thread / 32 * 16 + lane % 8, lane / 8);
}

/// The same of accumulators whose rows are columns of y, for stmatrix.x4.trans: 64 columns by 64 tokens, stored as rows
/// of tokens. `step` (0 … 3) counts 16 tokens; the four matrices are (columns 0–7, tokens 0–7), (columns 8–15, tokens
/// 0–7), then tokens 8–15, of the 16 columns of the thread's warp.
[[nodiscard]] MOEGEMM_HD constexpr int stmatrix_transposed_offset(int thread, int step) noexcept {
    const int lane = thread % 32;
    return swizzled_offset(step * 16 + lane / 16 * 8 + lane % 8, thread / 32 * 2 + lane / 8 % 2);
}

}  // namespace moegemm::hopper
