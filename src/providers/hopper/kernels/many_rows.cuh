/// \file
/// Grouped GEMM where experts have many rows: tiles of 64 rows of A a consumer × 256 or 128 rows of W, all of K.
///
/// A CTA an SM runs through its tiles (tile_walk.hpp). One warpgroup's threads keep the copy engine loading a ring of
/// stages, the others, two or three, multiply 64 rows each.
///
///   stage (128 bytes of K)                y tile
///   ┌──────────────┬─────────┐            columns →
///   │ W 256 or 128 │ A 128   │          ┌──────────────┐ rows 0–63: warpgroup 1
///   │ rows × 128 B │ or 192  │  × n     ├──────────────┤ rows 64–127: warpgroup 2
///   │              │ × 128 B │          ├──────────────┤ rows 128–191: warpgroup 3
///   └──────────────┴─────────┘          └──────────────┘
///
/// bf16 and int8 add up in the accumulators of the tensor cores. A tile's columns are halves: the tensor cores do the
/// second half's last stages while the first half is stored, and the first half of the next tile's first stages while
/// the second half is.
///
/// Sums of fp8 are taken over after each stage, 128 of K, in pieces of 128 columns, and added up in float32, scaled
/// where the variant has block scales: meanwhile the tensor cores work for the other warpgroups. The sums of a finished
/// tile leave while the tensor cores do the first piece of the next. From a piece's last product to the next one's
/// first a warpgroup takes longer than another's piece does, less than two others': three keep the tensor cores busy.
///
/// The last tiles may be cut in two: parts of 128 columns. A warpgroup whose 64 rows are beyond the expert's multiplies
/// nothing, and they are not loaded.
#pragma once

#include <type_traits>

#include "providers/hopper/kernels/block_scales.cuh"
#include "providers/hopper/kernels/call.hpp"
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
    int consumers;  ///< warpgroups
    int columns;
    int stages;     ///< of the ring
    int y_buffers;  ///< of each consumer

    /// How many of a tile's stages, first and last, are done a half of the columns at a time, where sums are not
    /// promoted: as many others are on their way meanwhile.
    static constexpr int ahead = 2;
    static constexpr int part = 128;  ///< TileShape::part, and columns of the pieces in which fp8 sums are taken over
    [[nodiscard]] constexpr int rows() const { return consumers * wgmma_rows; }
    [[nodiscard]] constexpr int threads() const { return (consumers + 1) * warpgroup; }
    /// About as many rows in a group, whatever a row tile has of them.
    [[nodiscard]] constexpr TileShape tile() const { return {rows(), columns, part, 2048 / rows(), consumers > 2}; }
    [[nodiscard]] constexpr StageScales scales() const { return {rows(), columns / 128, 1, true}; }
    [[nodiscard]] constexpr int factors() const { return columns + wgmma_rows; }  ///< of a consumer
    [[nodiscard]] constexpr SmemPlan smem(Factors after, bool block_scaled) const {
        return {columns,
                rows(),
                1,
                stages,
                consumers * y_buffers,
                block_scaled ? scales().count() : 0,
                after == Factors::none ? 0 : consumers * factors()};
    }
};

/// One thread's factors of a stage's sums: its two rows of A times a block of weights.
template <class E>
class BlockFactors {
public:
    /// \param scales of the stage
    __device__ __forceinline__ void load(const StageScales& stage, ptx::SharedAddress scales, int row, int block) {
        if constexpr (E::is_block_scaled) {
            const float2 a = ptx::load_shared_pair(scales + stage.a(0, row) * 4);
            const float w = ptx::load_shared(scales + stage.w(0, block) * 4);
            of_row_[0] = a.x * w;
            of_row_[1] = a.y * w;
        }
    }
    /// The factor of register `index` of a piece in that block.
    [[nodiscard]] __device__ __forceinline__ float of(int index) const { return of_row_[index / 2 % 2]; }

private:
    float of_row_[2];
};

/// \tparam Shape holds the ManyRowsShape: nvcc makes no kernels of templates over structures
template <class E, class Shape>
__global__ void __launch_bounds__(Shape::value.threads(), 1)
    many_rows(const __grid_constant__ Maps maps, const __grid_constant__ Call call) {
    constexpr ManyRowsShape shape = Shape::value;
    constexpr SmemPlan plan = shape.smem(E::factors, E::is_block_scaled);
    static_assert(plan.is_valid(1), "stages and buffers fit in an SM's shared memory");
    extern __shared__ __align__(swizzle_bytes) std::uint8_t memory[];
    const ptx::SharedAddress shared = ptx::shared_address(memory);
    const RingBarriers<shape.stages> ring{shared + plan.barrier_offset()};
    const TileQueue<shape.stages> queue{shared + plan.tile_offset()};

    static_assert(E::is_promoted || shape.consumers == 2, "two consumers' halves keep the tensor cores busy");

    // Of each thread; together what the launch gives, 168 or 128 each.
    constexpr int producer_registers = E::is_promoted ? 56 : 40;
    constexpr int consumer_registers = shape.consumers == 3 ? 152 : E::is_promoted ? 224 : 232;
    // From one lane to all, so that the compiler knows that it is the same for a warp.
    const int role = __shfl_sync(~0U, static_cast<int>(threadIdx.x) / warpgroup, 0);
    if (threadIdx.x == 0) {
        queue.init();
        ring.init(E::is_block_scaled ? 1 + 32 : 1, shape.consumers * (warpgroup / 32));
    }
    __syncthreads();

    // Beyond K, zeros are loaded.
    const int steps = max(ceil_div(call.depth, row_bytes), E::is_promoted ? 1 : 2 * shape.ahead);
    RingPlace<shape.stages> place;
    const int thread = static_cast<int>(threadIdx.x) % warpgroup;

    if (role == 0) {
        ptx::setmaxnreg_dec<producer_registers>();
        const int warp = static_cast<int>(threadIdx.x) / 32;
        Tiles<shape.stages> tiles(queue);
        Tile tile{};
        if (warp == 0) {
            constexpr int element_bytes = 32 / ptx::Wgmma<typename E::a, typename E::w, 8>::k;
            const auto policy = call.weights_first_out ? ptx::Evict::first : ptx::Evict::normal;
            while (tiles.next(tile)) {
                // Rows for all consumers by one copy, for some of them by one each.
                const int consumers = ceil_div(tile.rows, wgmma_rows);
                const bool is_full = consumers == shape.consumers;
                const CUtensorMap* const a_map = is_full ? &maps.a : &maps.a_part;
                const CUtensorMap* const w_map = tile.columns < shape.columns ? &maps.w_part : &maps.w;
                const int bytes = (consumers * wgmma_rows + tile.columns) * row_bytes;
                for (int step = 0; step < steps; ++step) {
                    ptx::mbarrier_wait(ring.empty(place.stage), place.parity ^ 1);
                    if (threadIdx.x == 0) {
                        const ptx::SharedAddress barrier = ring.full(place.stage);
                        const ptx::SharedAddress w = shared + place.stage * plan.stage_bytes();
                        const int x = step * row_bytes / element_bytes;
                        ptx::mbarrier_arrive_expect(barrier, bytes);
                        ptx::tma_load_3d(w, w_map, barrier, x, tile.column, tile.expert, policy);
                        ptx::SharedAddress a = w + plan.a_offset();
                        ptx::tma_load_2d(a, a_map, barrier, x, tile.row, ptx::Evict::normal);
                        for (int i = 1; i < consumers && !is_full; ++i) {
                            a += wgmma_rows * row_bytes;
                            ptx::tma_load_2d(a, a_map, barrier, x, tile.row + i * wgmma_rows, ptx::Evict::normal);
                        }
                    }
                    __syncwarp();
                    place.advance();
                }
                if (threadIdx.x == 0) {
                    tiles.say_loaded();
                }
            }
        } else if (warp == 1) {
            TileWalk<shape.tile()> walk(call.m_indptr, call.experts, call.rows, call.columns);
            find_tiles(queue, walk, call.columns);
        } else if (E::is_block_scaled && warp == 2) {
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
        const auto release = [&](int stage) {
            if (thread % 32 == 0) {
                ptx::mbarrier_arrive(ring.empty(stage));
            }
        };
        // The descriptor of the present stage's W, made when the stage before is done: made when it is needed, it would
        // keep the tensor cores waiting (fp8: 3 %). With block scales it was the other way round, by 4 % and in every
        // run; why is not known.
        const std::uint32_t first_stage = ptx::swizzled_128_descriptor(shared);
        const std::uint32_t to_own_rows = static_cast<std::uint32_t>(plan.a_offset() + first_row * row_bytes) / 16;
        std::uint32_t stage = first_stage;
        const auto advance = [&] {
            place.advance();
            stage = place.stage == 0 ? first_stage : stage + plan.stage_bytes() / 16;
        };
        // The four products of a full stage and some of its columns, begun when this returns.
        const auto multiply = [&]<class Product>(Product, typename Product::Sum(&sums)[Product::registers],
                                                 std::uint32_t w, int first_column, bool accumulate) {
            const std::uint32_t left = w + to_own_rows;
            const std::uint32_t right = w + static_cast<std::uint32_t>(first_column * row_bytes / 16);
            ptx::wgmma_fence();
#pragma unroll
            for (int depth = 0; depth < 4; ++depth) {  // 32 bytes of K each
                Product::issue(sums, left + depth * 2, right + depth * 2, accumulate || depth > 0);
            }
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
            PromotedSums<Product::registers> sums;
            Sum part[PartProduct::registers];
            TilePart finished{};
            BlockFactors<E> factors;
            const auto begin = [&](int piece) {
                ptx::settle(part);  // no value to carry over: no move to make
                multiply(PartProduct{}, part,
                         E::is_block_scaled ? ptx::swizzled_128_descriptor(shared + place.stage * plan.stage_bytes())
                                            : stage,
                         piece * shape.part, false);
                ptx::wgmma_commit();
            };
            const auto end = [&](int piece, bool is_last) {
                factors.load(shape.scales(), shared + plan.scale_offset() + place.stage * plan.scales * 4,
                             first_row + accumulator_row(thread, 0), piece);
                ptx::wgmma_wait<0>();
                ptx::settle(part);
                if (is_last) {
                    __syncwarp();
                    release(place.stage);
                    advance();
                }
#pragma unroll
                for (int i = 0; i < PartProduct::registers; i += 2) {
                    sums.template add<E::is_block_scaled>(piece * PartProduct::registers + i, part[i], part[i + 1],
                                                          factors.of(i));
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
                    ptx::mbarrier_wait(ring.full(place.stage), place.parity);
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
                {
                    Sum values[Product::registers];
                    sums.get(values);
                    output.template store<0>(call, &maps.y, values, finished, thread);
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
            constexpr int ahead = shape.ahead;
            static_assert(shape.columns == 2 * shape.part && shape.stages >= 2 * ahead);
            Sum first_half[PartProduct::registers];
            Sum second_half[PartProduct::registers];
            // The second half of a tile that is still to be stored, in other registers than the products': those would
            // be waited for. What makes them other ones is a product that the compiler does not know to be by 1.
            float values[PartProduct::registers];
            const float one = call.experts > 0 ? 1.0F : 0.0F;
            TilePart finished{};
            RingPlace<shape.stages> held;  // the first stage that is not released
            const auto release_to = [&](int stage) {
                while (held.stage != stage) {
                    release(held.stage);
                    held.advance();
                }
            };
            const auto descriptor = [&](int stage) { return first_stage + stage * (plan.stage_bytes() / 16); };
            // The first half of the columns of the next stages.
            const auto begin_first_halves = [&](bool exist, bool accumulate) {
                RingPlace<shape.stages> next = place;
                if (exist) {
#pragma unroll
                    for (int i = 0; i < ahead; ++i) {
                        ptx::mbarrier_wait(ring.full(next.stage), next.parity);
                        next.advance();
                    }
                }
                int stage = place.stage;
#pragma unroll
                for (int i = 0; i < ahead; ++i) {
                    multiply(PartProduct{}, first_half, descriptor(stage), 0, accumulate || i > 0);
                    stage = stage + 1 == shape.stages ? 0 : stage + 1;
                }
                ptx::wgmma_commit();
                place = next;
            };
            // Their second half.
            const auto begin_second_halves = [&](bool accumulate) {
                int stage = place.stage < ahead ? place.stage + shape.stages - ahead : place.stage - ahead;
#pragma unroll
                for (int i = 0; i < ahead; ++i) {
                    multiply(PartProduct{}, second_half, descriptor(stage), shape.part, accumulate || i > 0);
                    stage = stage + 1 == shape.stages ? 0 : stage + 1;
                }
                ptx::wgmma_commit();
            };
            // From stage `ahead` on, all but the last `ahead` of whole tiles.
            const auto do_stages = [&](auto whole) {
#pragma unroll 1
                for (int step = ahead; step < steps - (whole ? ahead : 0); ++step) {
                    ptx::mbarrier_wait(ring.full(place.stage), place.parity);
                    const std::uint32_t w = descriptor(place.stage);
                    multiply(PartProduct{}, first_half, w, 0, true);
                    if constexpr (whole) {
                        multiply(PartProduct{}, second_half, w, shape.part, true);
                    }
                    ptx::wgmma_commit();
                    ptx::wgmma_wait<1>();
                    release_to(place.stage);
                    place.advance();
                }
                ptx::wgmma_wait<0>();  // once: the compiler wants it before halves are looked at
                ptx::settle(first_half);
                ptx::settle(second_half);
                release_to(place.stage);
            };
            while (true) {
                const bool more = tiles.next(tile);
                if (more && !is_mine()) {
                    pass();
                    held = place;
                    continue;
                }
                // After the last tile, of whatever lies there, for nothing: so they are always on their way here.
                ptx::settle(first_half);  // no value to carry over: no move to make
                begin_first_halves(more, false);
                output.template store<shape.part>(call, &maps.y, values, finished, thread);
                if (!more) {
                    ptx::wgmma_wait<0>();
                    break;
                }
                finished = own_part();
                output.fetch_factors(call, finished, thread);
                TilePart half = finished;
                if (is_whole()) {
                    ptx::settle(second_half);
                    begin_second_halves(false);
                    do_stages(std::true_type{});
                    begin_first_halves(true, true);
                    begin_second_halves(true);
                    ptx::wgmma_wait<1>();
                    half.columns = shape.part;
                    finished.column += shape.part;
                    finished.columns = shape.part;
                } else {
                    do_stages(std::false_type{});
                    finished.rows = 0;
                }
                ptx::settle(first_half);
                output.template store<0>(call, &maps.y, first_half, half, thread);
                ptx::wgmma_wait<0>();
                ptx::settle(second_half);
                __syncwarp();
                release_to(place.stage);
#pragma unroll
                for (int i = 0; i < PartProduct::registers; ++i) {
                    asm volatile("mul.f32 %0, %1, %2;"
                                 : "=f"(values[i])
                                 : "f"(static_cast<float>(second_half[i])), "f"(one));
                }
            }
        }
        if (thread == 0) {
            ptx::bulk_wait_all();
        }
    }
}

}  // namespace moegemm::hopper
