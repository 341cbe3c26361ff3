/// \file
/// What lies where in shared memory. Every stage of the ring holds a slice of K of the tile's weights and tokens, as
/// they are stored in global memory, and their scales, decoded:
///
///      stage 0                                                      stage 1 …
///      | weights: rows × bytes | tokens: rows × bytes | scales |    | …
///
/// The 16-byte chunks of the rows are permuted (`chunk_offset`), so that the reads below and the copies from global
/// memory touch all 32 banks.
///
/// A fragment of values to be decoded: of 32 consecutive k, lane (g, c) = (lane / 4, lane % 4) of a warp takes the
/// eight from 8c of row g, in one load of 4, 8 or 16 bytes. mma.sync expects other k there, but the sum does not depend
/// on their order, and both operands are read alike. Values that are multiplied as they are come by ldmatrix.
#pragma once

#include <cstdint>

#include <moegemm/hd.hpp>

namespace moegemm::cuda {

inline constexpr int chunk_bytes = 16;  ///< what cp.async copies at most
inline constexpr int step_depth = 32;   ///< k of a fragment

/// The byte of 16-byte chunk `chunk` of row `row`, in rows of `row_bytes` (32, 64 or 128).
///
/// 128 bytes, all banks once, hold 1, 2 or 4 rows. A lane's 16, 8 or 4 bytes are served 8, 16 or 32 lanes at a time:
/// 2, 4 or 8 rows must fall on different banks, which the exclusive or with the row's number, bits reversed, does.
[[nodiscard]] constexpr MOEGEMM_HD int chunk_offset(int row_bytes, int row, int chunk) noexcept {
    const int rows_a_line = 128 / row_bytes;
    const int reversed = ((row & 1) << 2) | (row & 2) | ((row >> 2) & 1);
    const int position = (row % rows_a_line) * (row_bytes / chunk_bytes) + chunk;
    return row / rows_a_line * 128 + (position ^ (reversed & (8 / rows_a_line - 1))) * chunk_bytes;
}

/// Where lane column c = 0 … 3 finds its eight values of step `step` in row `row`. \param bits of a value
[[nodiscard]] constexpr MOEGEMM_HD int fragment_offset(int row_bytes, int bits, int row, int step, int c) noexcept {
    const int byte = (step * step_depth + 8 * c) * bits / 8;
    return chunk_offset(row_bytes, row, byte / chunk_bytes) + byte % chunk_bytes;
}

/// How many weights (rows of W, columns of y) and tokens (rows of A and y) a thread block's tile has, and a warp's.
template <int Weights, int Tokens, int WarpWeights, int WarpTokens, int BlocksAnSm>
struct TileShape {
    static constexpr int weights = Weights;
    static constexpr int tokens = Tokens;
    static constexpr int warp_weights = WarpWeights;
    static constexpr int warp_tokens = WarpTokens;
    static constexpr int warps_along_weights = Weights / WarpWeights;
    static constexpr int warps_along_tokens = Tokens / WarpTokens;
    static constexpr int threads = 32 * warps_along_weights * warps_along_tokens;
    static constexpr int blocks_an_sm = BlocksAnSm;  ///< what the registers must leave room for
    static_assert(Weights % WarpWeights == 0 && WarpWeights % 16 == 0, "mma.sync has 16 rows");
    static_assert(Tokens % WarpTokens == 0 && WarpTokens % 8 == 0, "mma.sync has 8 columns");
    static_assert(Weights <= threads && Tokens <= threads, "a thread fetches the scales of one row of either operand");
};

/// Sizes and places of a stage. \tparam Recipe what a variant multiplies and how it is scaled (grouped_gemm.cuh)
template <class Recipe, class Tile>
struct StagePlan {
    static constexpr int depth = Recipe::depth;
    static constexpr int steps = depth / step_depth;
    static constexpr int weight_row_bytes = depth * Recipe::Weight::bits / 8;
    static constexpr int token_row_bytes = depth * Recipe::Token::bits / 8;
    static constexpr int scales_a_row = Recipe::group == 0 ? 0 : depth / (Recipe::group == 0 ? 1 : Recipe::group);
    static constexpr int weight_scale_row_bytes = scales_a_row * static_cast<int>(sizeof(typename Recipe::StagedScale));
    static constexpr int token_scale_row_bytes = Recipe::tokens_scaled ? weight_scale_row_bytes : 0;

    static constexpr int tokens_at = Tile::weights * weight_row_bytes;
    static constexpr int weight_scales_at = tokens_at + Tile::tokens * token_row_bytes;
    static constexpr int token_scales_at = weight_scales_at + Tile::weights * weight_scale_row_bytes;
    static constexpr int bytes = (token_scales_at + Tile::tokens * token_scale_row_bytes + 127) / 128 * 128;
    static_assert(tokens_at % 128 == 0 && weight_scales_at % 128 == 0, "rows begin where banks do");
};

/// Stages of the ring: as many as fit, no more than what hides a load.
inline constexpr int fewest_stages = 2;
inline constexpr int most_stages = 6;

}  // namespace moegemm::cuda
