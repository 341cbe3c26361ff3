/// \file
/// fp8_block's scales on their way to the sums that they belong to: through the ring, beside the operands, or straight
/// to registers.
#pragma once

#include <moegemm/hd.hpp>

#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/epilogue.cuh"
#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/ptx/mbarrier.cuh"

namespace moegemm::hopper {

/// The scales of a stage: (chunks, rows) of A's rows, then (chunks, blocks) of W's blocks of 128 rows. Paired, those of
/// rows r and r + 8 lie together, as a thread needs them where rows of A are rows of the product.
struct StageScales {
    int rows;    ///< of A
    int blocks;  ///< of 128 rows of W that a tile touches
    int chunks;  ///< blocks of 128 along K
    bool paired;

    [[nodiscard]] MOEGEMM_HD constexpr int a(int chunk, int row) const {
        return chunk * rows + (paired ? row / 16 * 16 + row % 8 * 2 + row % 16 / 8 : row);
    }
    [[nodiscard]] MOEGEMM_HD constexpr int w(int chunk, int block) const {
        return chunks * rows + chunk * blocks + block;
    }
    [[nodiscard]] constexpr int count() const { return (chunks * (rows + blocks) + 1) / 2 * 2; }
};

/// One lane's copies of a tile's scales: its rows of A are every 32nd.
template <StageScales stage>
class BlockScaleCopy {
public:
    __device__ __forceinline__ BlockScaleCopy(const Call& call, const Tile& tile)
        : lane_(static_cast<int>(threadIdx.x % 32)),
          rows_(tile.rows),
          depth_blocks_(ceil_div(call.depth, row_bytes)),
          a_(call.a_block_scale + (tile.row + lane_) * call.a_scale_row),
          w_(call.w_block_scale + tile.expert * call.w_scale_expert +
             min(tile.column / 128 + lane_ % stage.blocks, (call.columns - 1) / 128) * call.w_scale_column) {}

    /// Starts copying those of blocks `block` … of K to a stage. All lanes of a warp call.
    __device__ __forceinline__ void start(const Call& call, int block, ptx::SharedAddress target) const {
#pragma unroll
        for (int chunk = 0; chunk < stage.chunks; ++chunk) {
            // A stage may reach past K: sums of 0 there, which a factor of 0 leaves at 0.
            const bool inside = block + chunk < depth_blocks_;
            const int source = inside ? block + chunk : 0;
            if (lane_ < stage.blocks) {
                ptx::cp_async_4(target + stage.w(chunk, lane_) * 4, w_ + source * call.w_scale_block, inside);
            }
            const float* const a = a_ + source * call.a_scale_block;
#pragma unroll
            for (int i = 0; i < (stage.rows + 31) / 32; ++i) {
                if (lane_ + i * 32 < rows_) {  // those past the expert's are not written: any factor will do
                    ptx::cp_async_4(target + stage.a(chunk, lane_ + i * 32) * 4, a + i * 32 * call.a_scale_row, inside);
                }
            }
        }
    }

private:
    int lane_;
    int rows_;
    int depth_blocks_;
    const float* a_;
    const float* w_;
};

/// One thread's factors of the sums of a tile, stage by stage of 128 of K: its two rows' scales times those of W's
/// `blocks` blocks of 128 rows, which come from global memory to registers while the stage before is multiplied.
/// Through the ring they took time from the products: 32 arrivals more a stage, and loads that the factors waited for.
template <int blocks>
class FetchedFactors {
public:
    /// Fetches the scales of the part's first stage. Rows past A's last get some other row's.
    __device__ __forceinline__ void start(const Call& call, const TilePart& part, int thread) {
        const int row = min(part.row + accumulator_row(thread, 0), call.rows - 1);
        a_ = call.a_block_scale + row * call.a_scale_row;
        to_second_row_ = (min(row + 8, call.rows - 1) - row) * static_cast<int>(call.a_scale_row);
        w_ = call.w_block_scale + part.expert * call.w_scale_expert;
        first_block_ = part.column / 128;
        left_ = ceil_div(call.depth, row_bytes);
        fetch(call);
    }
    /// Makes the factors of the stage whose scales were fetched, and fetches those of the next. The scales are
    /// multiplied here, and not moved to where they would be later: ptxas puts moves into the stage that fetches them,
    /// which then waits for them.
    __device__ __forceinline__ void advance(const Call& call) {
#pragma unroll
        for (int block = 0; block < blocks; ++block) {
            factors_[block][0] = a_scales_[0] * w_scales_[block];
            factors_[block][1] = a_scales_[1] * w_scales_[block];
        }
        fetch(call);
    }
    /// Of row 0 or 1 in that block.
    [[nodiscard]] __device__ __forceinline__ float of(int block, int row) const { return factors_[block][row]; }

private:
    __device__ __forceinline__ void fetch(const Call& call) {
        if (left_ == 0) {
            return;
        }
        --left_;
        a_scales_[0] = __ldg(a_);
        a_scales_[1] = __ldg(a_ + to_second_row_);
        a_ += call.a_scale_block;
#pragma unroll
        for (int block = 0; block < blocks; ++block) {
            const int at = min(first_block_ + block, (call.columns - 1) / 128);
            w_scales_[block] = __ldg(w_ + at * call.w_scale_column);
        }
        w_ += call.w_scale_block;
    }

    const float* a_;  ///< of the stage that is fetched next, as w_
    const float* w_;
    int to_second_row_;  ///< elements; at most 8 rows of K / 128
    int first_block_;
    int left_ = 0;  ///< stages whose scales have not been fetched
    float a_scales_[2];
    float w_scales_[blocks];
    float factors_[blocks][2];
};

}  // namespace moegemm::hopper
