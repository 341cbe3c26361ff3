/// \file
/// fp8_block's scales on their way through the ring, beside the operands that they belong to.
#pragma once

#include <moegemm/hd.hpp>

#include "providers/hopper/kernels/call.hpp"
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

}  // namespace moegemm::hopper
