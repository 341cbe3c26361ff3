/// \file
/// Grouped GEMM where experts have many rows: tiles of 128 rows of A × 256 or 128 rows of W, all of K.
///
/// A CTA an SM runs through its tiles (tile_walk.hpp). One warpgroup's threads keep the copy engine loading a ring of
/// stages, the two others multiply 64 rows each.
///
///   stage (128 bytes of K)                y tile
///   ┌──────────────┬─────────┐            columns →
///   │ W 256 or 128 │ A 128   │          ┌──────────────┐ rows 0–63: warpgroup 1
///   │ rows × 128 B │ × 128 B │  × n     ├──────────────┤ rows 64–127: warpgroup 2
///   └──────────────┴─────────┘          └──────────────┘
///
/// bf16 and int8 add up in the accumulators of the tensor cores. Sums of fp8 are taken over after each stage, 128 of K,
/// in pieces of 128 columns, and added up in float32, scaled where the variant has block scales: meanwhile the tensor
/// cores work for the other warpgroup. The sums of a finished tile leave while the tensor cores do the first piece of
/// the next.
///
/// The last tiles may be cut in two by columns. A warpgroup whose 64 rows are beyond the expert's multiplies nothing,
/// and they are not loaded.
#pragma once

#include <type_traits>

#include "providers/hopper/kernels/block_scales.cuh"
#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/early_weights.cuh"
#include "providers/hopper/kernels/element.hpp"
#include "providers/hopper/kernels/epilogue.cuh"
#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/promoted_sums.cuh"
#include "providers/hopper/kernels/ring.cuh"
#include "providers/hopper/kernels/smem_plan.hpp"
#include "providers/hopper/kernels/tile_queue.cuh"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/ptx/mbarrier.cuh"
#include "providers/hopper/ptx/tma.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"
#include "providers/hopper/ptx/wgmma.cuh"

namespace moegemm::hopper {

struct ManyRowsShape {
    int columns;    ///< of a CTA's tile
    int stages;     ///< of the ring
    int y_buffers;  ///< of each consumer
    bool mixed;     ///< TileShape::mixed

    static constexpr int consumers = 2;  ///< warpgroups
    /// Columns of a CTA's part of a tile that is cut, and of the pieces in which fp8 sums are taken over.
    static constexpr int part = 128;
    [[nodiscard]] constexpr int rows() const { return consumers * wgmma_rows; }
    [[nodiscard]] constexpr int threads() const { return (consumers + 1) * warpgroup; }
    [[nodiscard]] constexpr TileShape tile() const { return {rows(), columns, part, 16, mixed}; }
    /// Whether block scales come through the ring. Tiles of one piece are for weights that come from memory, and so do
    /// their scales, further ahead than registers can hold them.
    [[nodiscard]] constexpr bool scales_in_ring() const { return columns == part; }
    [[nodiscard]] constexpr StageScales scales() const { return {rows(), columns / 128, 1, true}; }
    [[nodiscard]] constexpr int factors() const { return columns + wgmma_rows; }  ///< of a consumer
    [[nodiscard]] constexpr SmemPlan smem(Factors after, bool block_scaled) const {
        return {columns,
                rows(),
                1,
                stages,
                consumers * y_buffers,
                block_scaled && scales_in_ring() ? scales().count() : 0,
                after == Factors::none ? 0 : consumers * factors()};
    }
};

/// One thread's factors of a stage's sums, from the ring: its two rows of A times a block of weights.
template <class E, int blocks>
class RingFactors {
public:
    /// Reads what they are made of: once a stage, not once a piece, whose products would wait for it.
    /// \param scales of the stage
    __device__ __forceinline__ void load(const StageScales& stage, ptx::SharedAddress scales, int row) {
        if constexpr (E::is_block_scaled) {
            a_ = ptx::load_shared_pair(scales + stage.a(0, row) * 4);
#pragma unroll
            for (int block = 0; block < blocks; ++block) {
                w_[block] = ptx::load_shared(scales + stage.w(0, block) * 4);
            }
        }
    }
    /// Of row 0 or 1 in the piece of that block.
    [[nodiscard]] __device__ __forceinline__ float of(int block, int row) const {
        return E::is_block_scaled ? (row == 0 ? a_.x : a_.y) * w_[block] : 1.0F;
    }

private:
    float2 a_;
    float w_[blocks];
};

/// \tparam Shape holds the ManyRowsShape: nvcc makes no kernels of templates over structures
template <class E, class Shape>
__global__ void __launch_bounds__(Shape::value.threads(), 1)
    many_rows(const __grid_constant__ Maps maps, const __grid_constant__ Call call) {
    constexpr ManyRowsShape shape = Shape::value;
    constexpr SmemPlan plan = shape.smem(E::factors, E::is_block_scaled);
    static_assert(plan.is_valid(1), "stages and buffers fit in an SM's shared memory");
    extern __shared__ __align__(swizzle_bytes) std::uint8_t memory[];
    constexpr bool scales_in_ring = E::is_block_scaled && shape.scales_in_ring();
    constexpr bool scales_fetched = E::is_block_scaled && !shape.scales_in_ring();
    const ptx::SharedAddress shared = ptx::shared_address(memory);
    const RingBarriers<shape.stages> ring{shared + plan.barrier_offset()};
    const TileQueue<shape.stages> queue{shared + plan.tile_offset()};

    // Of each thread; together what the launch gives, 168 each.
    constexpr int producer_registers = 56;
    constexpr int consumer_registers = 224;
    // From one lane to all, so that the compiler knows that it is the same for a warp.
    const int role = __shfl_sync(~0U, static_cast<int>(threadIdx.x) / warpgroup, 0);
    if (threadIdx.x == 0) {
        queue.init();
        ring.init(scales_in_ring ? 1 + 32 : 1, shape.consumers * (warpgroup / 32) * warp_arrivals);
    } else if (threadIdx.x == 32) {
        ask_for_weights<shape.tile(), E::bytes>(maps, call);
    }
    __syncthreads();

    const int steps = ceil_div(call.depth, row_bytes);
    RingPlace<shape.stages> place;
    const int thread = static_cast<int>(threadIdx.x) % warpgroup;

    if (role == 0) {
        ptx::setmaxnreg_dec<producer_registers>();
        const int warp = static_cast<int>(threadIdx.x) / 32;
        Tiles<shape.stages> tiles(queue);
        Tile tile{};
        if (warp == 0) {
            const auto policy = weights_policy(call);
            const int telling = telling_step(steps);
            while (tiles.next(tile)) {
                // Rows for all consumers by one copy, for some of them by one each.
                const int consumers = ceil_div(tile.rows, wgmma_rows);
                const bool is_full = consumers == shape.consumers;
                const int a_copies = is_full ? 1 : consumers;
                const CUtensorMap* const a_map = is_full ? &maps.a : &maps.a_part;
                const CUtensorMap* const w_map = tile.columns < shape.columns ? &maps.w_part : &maps.w;
                const int bytes = (consumers * wgmma_rows + tile.columns) * row_bytes;
                for (int step = 0; step < steps; ++step) {
                    ptx::mbarrier_wait(ring.empty(place.stage), place.parity ^ 1);
                    if (threadIdx.x == 0) {
                        const ptx::SharedAddress barrier = ring.full(place.stage);
                        const ptx::SharedAddress w = shared + place.stage * plan.stage_bytes();
                        const int x = step * row_bytes / E::bytes;
                        ptx::mbarrier_arrive_expect(barrier, bytes);
                        ptx::tma_load_3d(w, w_map, barrier, x, tile.column, tile.expert, policy);
                        for (int i = 0; i < a_copies; ++i) {
                            const int row = i * wgmma_rows;
                            ptx::tma_load_2d(w + plan.a_offset() + row * row_bytes, a_map, barrier, x, tile.row + row,
                                             ptx::Evict::normal);
                        }
                    }
                    if (threadIdx.x == 0 && step == telling) {
                        tiles.say_loaded();
                    }
                    __syncwarp();
                    place.advance();
                }
            }
        } else if (warp == 1) {
            TileFinder<shape.stages, shape.tile()>(queue, call, steps).find_all();
        } else if (scales_in_ring && warp == 2) {
            while (tiles.next(tile)) {
                const BlockScaleCopy<shape.scales()> scale_copy(call, tile);
                for (int step = 0; step < steps; ++step) {
                    ptx::mbarrier_wait(ring.empty(place.stage), place.parity ^ 1);
                    scale_copy.start(call, step, shared + plan.scale_offset() + place.stage * plan.scales * 4);
                    ptx::mbarrier_arrive_after_copies(ring.full(place.stage));
                    place.advance();
                }
            }
        }
    } else {
        ptx::setmaxnreg_inc<consumer_registers>();
        const int consumer = role - 1;
        Tiles<shape.stages> tiles(queue);
        Tile tile{};
        const int first_row = consumer * wgmma_rows;
        const auto release = [&](int stage) { warp_arrive(ring.empty(stage), thread); };
        // The descriptor of the present stage's W, made when the stage before is done: made when it is needed, it would
        // keep the tensor cores waiting (fp8: 3 %). With scales in the ring it was the other way round; why is not
        // known.
        const std::uint32_t first_stage = ptx::swizzled_128_descriptor(shared);
        const std::uint32_t to_own_rows = static_cast<std::uint32_t>(plan.a_offset() + first_row * row_bytes) / 16;
        std::uint32_t stage = first_stage;
        const auto advance = [&] {
            place.advance();
            stage = place.stage == 0 ? first_stage : stage + plan.stage_bytes() / 16;
        };
        // The four products of a full stage and some of its columns, in flight when this returns.
        const auto multiply = [&]<class Product>(Product, typename Product::Sum(&sums)[Product::registers],
                                                 int first_column, bool accumulate) {
            const std::uint32_t w =
                scales_in_ring ? ptx::swizzled_128_descriptor(shared + place.stage * plan.stage_bytes()) : stage;
            const std::uint32_t left = w + to_own_rows;
            const std::uint32_t right = w + static_cast<std::uint32_t>(first_column * row_bytes / 16);
            ptx::wgmma_fence();
#pragma unroll
            for (int depth = 0; depth < 4; ++depth) {  // 32 bytes of K each
                Product::issue(sums, left + depth * 2, right + depth * 2, accumulate || depth > 0);
            }
            ptx::wgmma_commit();
        };
        // A tile with nothing for this warpgroup.
        const auto pass = [&] {
            for (int step = 0; step < steps; ++step) {
                ptx::mbarrier_wait(ring.full(place.stage), place.parity);
                __syncwarp();
                release(place.stage);
                advance();
            }
        };
        // By votes, so that the compiler knows that all take the same branches.
        const auto is_mine = [&] { return __any_sync(~0U, static_cast<int>(tile.rows > first_row)) != 0; };
        const auto is_whole = [&] { return __any_sync(~0U, static_cast<int>(tile.columns == shape.columns)) != 0; };
        const auto own_part = [&] {
            return TilePart{tile.expert, tile.row + first_row, tile.rows - first_row, tile.column, tile.columns};
        };
        OutputBuffers<E::factors, shape.columns, shape.y_buffers> output(
            shared + plan.y_offset() + consumer * shape.y_buffers * SmemPlan::y_buffer_bytes,
            shared + plan.factor_offset() + consumer * shape.factors() * 4, 1 + consumer);
        using Product = ptx::Wgmma<typename E::a, typename E::w, shape.columns>;
        using PartProduct = ptx::Wgmma<typename E::a, typename E::w, shape.part>;
        using Sum = typename Product::Sum;

        if constexpr (E::is_promoted) {
            // Crossing takes moves where there are two pieces.
            PromotedSums<Product::registers, shape.columns == shape.part> sums;
            Sum part[PartProduct::registers];
            TilePart finished{};
            constexpr int pieces_of_a_tile = shape.columns / shape.part;
            std::conditional_t<scales_fetched, FetchedFactors<pieces_of_a_tile>, RingFactors<E, pieces_of_a_tile>>
                factors;
            // Asked for while products are under way: no time to ask between two of them.
            bool next_is_full = false;
            const auto begin = [&](int piece) {
                ptx::settle(part);  // no value to carry over: no move to make
                multiply(PartProduct{}, part, piece * shape.part, false);
            };
            const auto end = [&](int piece, bool is_last) {
                if constexpr (scales_fetched) {
                    if (piece == 0) {
                        factors.advance(call);
                    }
                } else if (piece == 0) {
                    factors.load(shape.scales(), shared + plan.scale_offset() + place.stage * plan.scales * 4,
                                 first_row + accumulator_row(thread, 0));
                }
                if (is_last) {
                    RingPlace<shape.stages> next = place;
                    next.advance();
                    next_is_full = ptx::mbarrier_test(ring.full(next.stage), next.parity);
                }
                ptx::wgmma_wait<0>();
                ptx::settle(part);
                if (is_last) {
                    ptx::warp_barrier();
                    release(place.stage);
                    advance();
                }
                const float factor[2] = {factors.of(piece, 0), factors.of(piece, 1)};
#pragma unroll
                for (int i = 0; i < PartProduct::registers; i += 2) {
                    sums.template add<E::is_block_scaled>(piece * PartProduct::registers + i, part[i], part[i + 1],
                                                          factor[i / 2 % 2]);
                }
            };
            // A tile's stages of `pieces` pieces each, the first piece of the first being under way.
            const auto do_tile = [&]<int pieces>(std::integral_constant<int, pieces>) {
                const auto finish_stage = [&] {
                    end(0, pieces == 1);
#pragma unroll
                    for (int piece = 1; piece < pieces; ++piece) {
                        begin(piece);
                        end(piece, piece == pieces - 1);
                    }
                };
                finish_stage();
#pragma unroll 1
                for (int step = 1; step < steps; ++step) {
                    if (!next_is_full) {
                        ptx::mbarrier_wait(ring.full(place.stage), place.parity);
                    }
                    begin(0);
                    finish_stage();
                }
            };
            while (true) {
                const bool more = tiles.next(tile);
                if (more && !is_mine()) {
                    pass();
                    continue;
                }
                if (more) {
                    ptx::mbarrier_wait(ring.full(place.stage), place.parity);
                }
                // After the last tile, of whatever lies there, for nothing: a second copy of the code that stores would
                // have to come from memory.
                begin(0);
                if constexpr (scales_fetched) {
                    if (more) {
                        factors.start(call, own_part(), thread);
                    }
                }
                {
                    Sum values[Product::registers];
                    sums.get(values);
                    output.store(call, &maps.y, values, finished, thread);
                }
                if (!more) {
                    ptx::wgmma_wait<0>();
                    break;
                }
                finished = own_part();
                output.fetch_factors(call, finished, thread);
                sums.clear();
                if (shape.columns == shape.part || !is_whole()) {
                    do_tile(std::integral_constant<int, 1>{});
                } else {
                    do_tile(std::integral_constant<int, shape.columns / shape.part>{});
                }
            }
        } else {
            const auto tile_sums = [&]<class P>(P product, Sum(&sums)[P::registers]) {
                int before = 0;
                for (int step = 0; step < steps; ++step) {
                    ptx::mbarrier_wait(ring.full(place.stage), place.parity);
                    multiply(product, sums, 0, step > 0);
                    if (step > 0) {
                        ptx::wgmma_wait<1>();
                        release(before);
                    }
                    before = place.stage;
                    advance();
                }
                ptx::wgmma_wait<0>();
                ptx::settle(sums);
                release(before);
            };
            while (tiles.next(tile)) {
                if (!is_mine()) {
                    pass();
                    continue;
                }
                output.fetch_factors(call, own_part(), thread);
                Sum sums[Product::registers];
                if (shape.columns == shape.part || is_whole()) {
                    tile_sums(Product{}, sums);
                } else {
                    tile_sums(PartProduct{}, reinterpret_cast<Sum(&)[PartProduct::registers]>(sums));
                }
                output.store(call, &maps.y, sums, own_part(), thread);
            }
        }
        if (thread == 0) {
            ptx::bulk_wait_all();
        }
    }
}

}  // namespace moegemm::hopper
