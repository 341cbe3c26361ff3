/// \file
/// Grouped GEMM where experts have few rows: the weights stream from memory, and all else must keep out of their way.
///
/// The operands are swapped: weights take the product's 64 rows, tokens its columns, which go in steps of 8. A tile is
/// 64 rows of W a consumer warpgroup × up to `tokens` rows of A × all of K; what is loaded and multiplied of A follows
/// the rows that the tile has, so that an expert of one row costs what it must.
///
///   stage (256 bytes of K, 2 chunks)            y tile
///   ┌──────────────┬──────────────┐             columns (rows of W) →
///   │ W 64·c rows  │ W            │            ┌───────────┬───────────┐ rows of A
///   │ × 128 B      │              │   × n      │ consumer 0│ consumer 1│ (8, 16, 32 or 64)
///   ├──────────────┼──────────────┤            └───────────┴───────────┘
///   │ A ≤ tokens   │ A            │
///   └──────────────┴──────────────┘
///
/// A warp loads weights, another rows of A, a third finds the tiles, and one more copies block scales, in a ring all of
/// whose stages are on their way at once.
#pragma once

#include "providers/hopper/kernels/block_scales.cuh"
#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/early_weights.cuh"
#include "providers/hopper/kernels/element.hpp"
#include "providers/hopper/kernels/epilogue.cuh"
#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/ring.cuh"
#include "providers/hopper/kernels/smem_plan.hpp"
#include "providers/hopper/kernels/tile_queue.cuh"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/ptx/mbarrier.cuh"
#include "providers/hopper/ptx/tma.cuh"
#include "providers/hopper/ptx/wgmma.cuh"

namespace moegemm::hopper {

struct FewRowsShape {
    int consumers;  ///< warpgroups, 64 rows of W each
    int tokens;     ///< rows of A in a tile at most: 16, 32, 64 or 128
    int stages;     ///< of the ring
    int ctas;       ///< on an SM
    int part;       ///< TileShape::part: of the last tiles one consumer does

    static constexpr int chunks = 2;
    [[nodiscard]] constexpr int threads(bool block_scaled) const {
        return consumers * warpgroup + (block_scaled ? 4 : 3) * 32;
    }
    /// Rows of A that one copy brings.
    [[nodiscard]] constexpr int box() const { return tokens <= 16 ? 8 : 16; }
    [[nodiscard]] constexpr TileShape tile() const { return {tokens, consumers * wgmma_rows, part, 0}; }
    [[nodiscard]] constexpr StageScales scales() const { return {tokens, 1, chunks, false}; }
    [[nodiscard]] constexpr SmemPlan smem(bool block_scaled) const {
        return {consumers * wgmma_rows, tokens, chunks, stages, 0, block_scaled ? scales().count() : 0, 0};
    }
};

/// A consumer warpgroup's part of one tile of at most `tokens` rows, from the ring to y.
template <class E, FewRowsShape shape, int tokens>
__device__ __forceinline__ void few_rows_tile(const Call& call, const Tile& tile, ptx::SharedAddress shared,
                                              RingBarriers<shape.stages> ring, int steps,
                                              RingPlace<shape.stages>& place, int consumer, int thread) {
    constexpr SmemPlan plan = shape.smem(E::is_block_scaled);
    using Product = ptx::Wgmma<typename E::w, typename E::a, tokens>;
    const auto release = [&](int stage) { warp_arrive(ring.empty(stage), thread); };
    const auto multiply = [&](typename Product::Sum(&sums)[Product::registers], int chunk, bool accumulate) {
        const ptx::SharedAddress stage = shared + place.stage * plan.stage_bytes();
        const std::uint32_t left =
            ptx::swizzled_128_descriptor(stage + chunk * plan.w_chunk_bytes() + consumer * wgmma_rows * row_bytes);
        const std::uint32_t right =
            ptx::swizzled_128_descriptor(stage + plan.a_offset() + chunk * plan.a_chunk_bytes());
#pragma unroll
        for (int piece = 0; piece < 4; ++piece) {  // 32 bytes of K each
            Product::issue(sums, left + piece * 2, right + piece * 2, accumulate || piece > 0);
        }
    };
    const int column = tile.column + consumer * wgmma_rows;
    const SwappedScales<E::factors, tokens> output_scales(call, tile, column, thread);
    typename Product::Sum sums[Product::registers];

    if constexpr (E::is_promoted) {
        typename Product::Sum parts[FewRowsShape::chunks][Product::registers];
#pragma unroll
        for (int i = 0; i < Product::registers; ++i) {
            sums[i] = 0.0F;
        }
        for (int step = 0; step < steps; ++step) {
#pragma unroll
            for (int chunk = 0; chunk < FewRowsShape::chunks; ++chunk) {
                ptx::settle(parts[chunk]);  // no value to carry over: no move to make
            }
            ptx::mbarrier_wait(ring.full(place.stage), place.parity);
            ptx::wgmma_fence();
#pragma unroll
            for (int chunk = 0; chunk < FewRowsShape::chunks; ++chunk) {
                multiply(parts[chunk], chunk, false);
            }
            ptx::wgmma_commit();
            const ptx::SharedAddress scales = shared + plan.scale_offset() + place.stage * plan.scales * 4;
            ptx::wgmma_wait<0>();
#pragma unroll
            for (int chunk = 0; chunk < FewRowsShape::chunks; ++chunk) {
                ptx::settle(parts[chunk]);
                const ptx::SharedAddress a_scale = scales + shape.scales().a(chunk, accumulator_column(thread, 0)) * 4;
                const float w_factor =
                    E::is_block_scaled ? ptx::load_shared(scales + shape.scales().w(chunk, 0) * 4) : 0.0F;
#pragma unroll
                for (int i = 0; i < Product::registers; i += 4) {  // 8 columns: two of this thread's, in two rows
                    float2 factor = make_float2(1.0F, 1.0F);
                    if constexpr (E::is_block_scaled) {
                        factor = ptx::load_shared_pair(a_scale + accumulator_column(0, i) * 4);
                        factor.x *= w_factor;
                        factor.y *= w_factor;
                    }
#pragma unroll
                    for (int j = i; j < i + 4; ++j) {
                        sums[j] = E::is_block_scaled ? fmaf(parts[chunk][j], j % 2 == 0 ? factor.x : factor.y, sums[j])
                                                     : sums[j] + parts[chunk][j];
                    }
                }
            }
            ptx::warp_barrier();
            release(place.stage);
            place.advance();
        }
    } else {
        int before = 0;
        for (int step = 0; step < steps; ++step) {
            ptx::mbarrier_wait(ring.full(place.stage), place.parity);
            ptx::wgmma_fence();
#pragma unroll
            for (int chunk = 0; chunk < FewRowsShape::chunks; ++chunk) {
                multiply(sums, chunk, step > 0 || chunk > 0);
            }
            ptx::wgmma_commit();
            if (step > 0) {
                ptx::wgmma_wait<1>();
                release(before);
            }
            before = place.stage;
            place.advance();
        }
        ptx::wgmma_wait<0>();
        ptx::settle(sums);
        release(before);
    }
    store_columns<E::factors, tokens>(call, output_scales, sums, tile, column, thread);
}

/// \tparam Shape holds the FewRowsShape: nvcc makes no kernels of templates over structures
template <class E, class Shape>
__global__ void __launch_bounds__(Shape::value.threads(E::is_block_scaled), Shape::value.ctas)
    few_rows(const __grid_constant__ Maps maps, const __grid_constant__ Call call) {
    constexpr FewRowsShape shape = Shape::value;
    constexpr SmemPlan plan = shape.smem(E::is_block_scaled);
    static_assert(plan.is_valid(shape.ctas), "the CTAs' stages fit in an SM's shared memory");
    extern __shared__ __align__(swizzle_bytes) std::uint8_t memory[];
    const ptx::SharedAddress shared = ptx::shared_address(memory);
    const RingBarriers<shape.stages> ring{shared + plan.barrier_offset()};
    const TileQueue<shape.stages> queue{shared + plan.tile_offset()};
    if (threadIdx.x == 0) {
        queue.init();
        ring.init(E::is_block_scaled ? 2 + 32 : 2, shape.consumers * (warpgroup / 32) * warp_arrivals);
    } else if (threadIdx.x == 32) {
        ask_for_weights<shape.tile(), E::bytes>(maps, call);
    }
    __syncthreads();

    constexpr int stage_depth = FewRowsShape::chunks * row_bytes;
    const int steps = ceil_div(call.depth, stage_depth);
    Tiles<shape.stages> tiles(queue);
    Tile tile{};
    RingPlace<shape.stages> place;
    // From one lane to all, so that the compiler knows that it is the same for a warp.
    const int role = __shfl_sync(~0U, static_cast<int>(threadIdx.x) / warpgroup, 0);

    if (role >= shape.consumers) {
        const bool leader = threadIdx.x % 32 == 0;
        const int warp = (static_cast<int>(threadIdx.x) - shape.consumers * warpgroup) / 32;
        if (warp == 0) {  // weights
            const auto policy = weights_policy(call);
            const int telling = telling_step(steps);
            while (tiles.next(tile)) {
                const CUtensorMap* const map = tile.columns < shape.tile().columns ? &maps.w_part : &maps.w;
                const int bytes = FewRowsShape::chunks * tile.columns * row_bytes;
                for (int step = 0; step < steps && leader; ++step) {
                    ptx::mbarrier_wait(ring.empty(place.stage), place.parity ^ 1);
                    const ptx::SharedAddress barrier = ring.full(place.stage);
                    const ptx::SharedAddress stage = shared + place.stage * plan.stage_bytes();
                    ptx::mbarrier_arrive_expect(barrier, bytes);
#pragma unroll
                    for (int chunk = 0; chunk < FewRowsShape::chunks; ++chunk) {
                        ptx::tma_load_3d(stage + chunk * plan.w_chunk_bytes(), map, barrier,
                                         (step * stage_depth + chunk * row_bytes) / E::bytes, tile.column, tile.expert,
                                         policy);
                    }
                    if (step == telling) {
                        tiles.say_loaded();
                    }
                    place.advance();
                }
                __syncwarp();
            }
        } else if (warp == 1) {  // rows of A
            while (tiles.next(tile)) {
                const int boxes = ceil_div(tile.rows, shape.box());
                const int box_bytes = shape.box() * row_bytes;
                for (int step = 0; step < steps && leader; ++step) {
                    ptx::mbarrier_wait(ring.empty(place.stage), place.parity ^ 1);
                    const ptx::SharedAddress barrier = ring.full(place.stage);
                    const ptx::SharedAddress a = shared + place.stage * plan.stage_bytes() + plan.a_offset();
                    ptx::mbarrier_arrive_expect(barrier, FewRowsShape::chunks * boxes * box_bytes);
#pragma unroll
                    for (int chunk = 0; chunk < FewRowsShape::chunks; ++chunk) {
                        const int x = (step * stage_depth + chunk * row_bytes) / E::bytes;
                        for (int box = 0; box < boxes; ++box) {
                            ptx::tma_load_2d(a + chunk * plan.a_chunk_bytes() + box * box_bytes, &maps.a, barrier, x,
                                             tile.row + box * shape.box(), ptx::Evict::last);
                        }
                    }
                    place.advance();
                }
                __syncwarp();
            }
        } else if (warp == 2) {
            TileFinder<shape.stages, shape.tile()>(queue, call, steps).find_all();
        } else if constexpr (E::is_block_scaled) {
            while (tiles.next(tile)) {
                const BlockScaleCopy<shape.scales()> scale_copy(call, tile);
                for (int step = 0; step < steps; ++step) {
                    ptx::mbarrier_wait(ring.empty(place.stage), place.parity ^ 1);
                    scale_copy.start(call, step * FewRowsShape::chunks,
                                     shared + plan.scale_offset() + place.stage * plan.scales * 4);
                    ptx::mbarrier_arrive_after_copies(ring.full(place.stage));
                    place.advance();
                }
            }
        }
        return;
    }
    const int thread = static_cast<int>(threadIdx.x) % warpgroup;
    while (tiles.next(tile)) {
        if (role * wgmma_rows >= tile.columns) {  // a part, which others do
            for (int step = 0; step < steps; ++step) {
                ptx::mbarrier_wait(ring.full(place.stage), place.parity);
                __syncwarp();
                warp_arrive(ring.empty(place.stage), thread);
                place.advance();
            }
        } else if (tile.rows <= 8) {
            few_rows_tile<E, shape, 8>(call, tile, shared, ring, steps, place, role, thread);
        } else if (tile.rows <= 16) {
            few_rows_tile<E, shape, 16>(call, tile, shared, ring, steps, place, role, thread);
        } else if (shape.tokens == 32 || tile.rows <= 32) {
            if constexpr (shape.tokens >= 32) {
                few_rows_tile<E, shape, 32>(call, tile, shared, ring, steps, place, role, thread);
            }
        } else if (shape.tokens == 64 || tile.rows <= 64) {
            if constexpr (shape.tokens >= 64) {
                few_rows_tile<E, shape, 64>(call, tile, shared, ring, steps, place, role, thread);
            }
        } else {
            if constexpr (shape.tokens >= 128) {
                few_rows_tile<E, shape, 128>(call, tile, shared, ring, steps, place, role, thread);
            }
        }
    }
}

}  // namespace moegemm::hopper
