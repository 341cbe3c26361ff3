/// \file
/// fp8_block's scales on their way through the ring, beside the operands that they belong to.
#pragma once

#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/ptx/mbarrier.cuh"

namespace moegemm::hopper {

/// The scales of a stage: (chunks, rows) of A's rows, then (chunks, blocks) of W's blocks of 128 rows.
struct StageScales {
    int rows;    ///< of A
    int blocks;  ///< of 128 rows of W that a tile touches
    int chunks;  ///< blocks of 128 along K

    [[nodiscard]] constexpr int a(int chunk, int row) const { return chunk * rows + row; }
    [[nodiscard]] constexpr int w(int chunk, int block) const { return chunks * rows + chunk * blocks + block; }
    [[nodiscard]] constexpr int count() const { return (chunks * (rows + blocks) + 1) / 2 * 2; }
};

/// Starts copying a tile's scales of blocks `depth_block` … of K to a stage. All lanes of the producing warp call; each
/// arrives at `full` when its copies have ended: 32 arrivals more than the operands'.
template <StageScales stage>
__device__ __forceinline__ void copy_block_scales(const Call& call, const Tile& tile, int depth_block, float* target,
                                                  std::uint64_t* full) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int depth_blocks = ceil_div(call.depth, row_bytes);
    const int last_block = (call.columns - 1) / 128;
#pragma unroll
    for (int chunk = 0; chunk < stage.chunks; ++chunk) {
        // A stage may reach past K: sums of 0 there, which a factor of 0 leaves at 0.
        const bool inside = depth_block + chunk < depth_blocks;
        const int source_block = inside ? depth_block + chunk : 0;
        if (lane < stage.blocks) {
            const int block = min(tile.column / 128 + lane, last_block);
            ptx::cp_async_4(target + stage.w(chunk, lane),
                            call.w_block_scale + tile.expert * call.w_scale_expert + block * call.w_scale_column +
                                source_block * call.w_scale_block,
                            inside);
        }
        const float* const source = call.a_block_scale + source_block * call.a_scale_block;
        for (int row = lane; row < tile.rows;
             row += 32) {  // those past the expert's are not written: any factor will do
            ptx::cp_async_4(target + stage.a(chunk, row), source + (tile.row + row) * call.a_scale_row, inside);
        }
    }
    ptx::cp_async_arrive(full);
}

}  // namespace moegemm::hopper
