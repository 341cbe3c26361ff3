/// \file
/// Grouped GEMM where experts have many rows: tiles of 128 rows of A by `columns` rows of W, all of K.
///
/// A CTA an SM runs through its tiles (tile_walk.hpp) with three warpgroups: one thread of the first keeps the copy
/// engine loading a ring of stages, the other two multiply 64 rows each.
///
///   stage (128 bytes of K)                y tile
///   ┌────────────────┬─────────┐          columns →
///   │ W columns × 128│ A 128   │        ┌──────────────┐ rows 0–63: warpgroup 1
///   │ rows × 128 B   │ × 128 B │  × n   ├──────────────┤ rows 64–127: warpgroup 2
///   └────────────────┴─────────┘        └──────────────┘
///
/// bf16 and int8 add up in the accumulators of the tensor cores. Sums of fp8 are taken over after each stage, 128 of K,
/// and added up in float32, scaled where the variant has block scales: while one warpgroup adds, the tensor cores work
/// for the other. The accumulators of a finished tile leave while the tensor cores do the first stage of the next.
///
/// In a cluster of two, the CTAs' tiles share either weights or rows of A (tile_walk.hpp): each loads half of what they
/// share, for both.
#pragma once

#include <type_traits>

#include "providers/hopper/kernels/block_scales.cuh"
#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/element.hpp"
#include "providers/hopper/kernels/epilogue.cuh"
#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/ring.cuh"
#include "providers/hopper/kernels/smem_plan.hpp"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/ptx/mbarrier.cuh"
#include "providers/hopper/ptx/tma.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"
#include "providers/hopper/ptx/wgmma.cuh"

namespace moegemm::hopper {

struct ManyRowsShape {
    int columns;    ///< of a tile
    int piece;      ///< of them in one product
    int stages;     ///< of the ring
    int y_buffers;  ///< of each consumer warpgroup
    int group;      ///< TileShape::group
    int cluster;    ///< CTAs in a cluster
    int parts;      ///< sets of accumulators that fp8 sums are taken over from, in turn
    bool turns;     ///< whether the warpgroups take turns at the tensor cores
    bool mapped;    ///< whether y must be what the copy engine takes: Call::y_map

    static constexpr int rows = 128;
    static constexpr int consumers = 2;  // warpgroups
    static constexpr int threads = (consumers + 1) * warpgroup;
    [[nodiscard]] constexpr TileShape tile() const { return {rows, columns, group, cluster}; }
    [[nodiscard]] constexpr StageScales scales() const { return {rows, columns > 128 ? 2 : 1, 1, true}; }
    [[nodiscard]] constexpr int factors() const { return columns + wgmma_rows; }  ///< of a consumer
    [[nodiscard]] constexpr SmemPlan smem(Factors after, bool block_scaled) const {
        return {columns,
                rows,
                1,
                stages,
                consumers * y_buffers,
                block_scaled ? scales().count() : 0,
                after == Factors::none ? 0 : consumers * factors()};
    }
};

/// One thread's factors of a stage's sums: its two rows of A times the weights' blocks of 128 columns. A tile of 192
/// columns starts at a block or in the middle of one; it touches two, as one of 256 does.
template <class E, int columns>
class BlockFactors {
public:
    __device__ __forceinline__ void load(const StageScales& stage, const float* scales, int row, int column) {
        if constexpr (E::is_block_scaled) {
            const float2 a = *reinterpret_cast<const float2*>(scales + stage.a(0, row));
            a_[0] = a.x;
            a_[1] = a.y;
            float first = scales[stage.w(0, 0)];
            float second = first;
            if constexpr (columns > 128) {
                const float2 w = *reinterpret_cast<const float2*>(scales + stage.w(0, 0));
                first = w.x;
                second = w.y;
            }
#pragma unroll
            for (int chunk = 0; chunk < columns / 64; ++chunk) {
                const bool is_second = columns % 128 == 0 ? chunk >= 2 : (column % 128 + chunk * 64) >= 128;
                w_[chunk] = is_second ? second : first;
            }
        }
    }
    /// The factor of register `index` of the tile's.
    [[nodiscard]] __device__ __forceinline__ float of(int index) const { return a_[index / 2 % 2] * w_[index / 32]; }

private:
    float a_[2];
    float w_[columns / 64];
};

/// \tparam Shape holds the ManyRowsShape: nvcc makes no kernels of templates over structures
template <class E, class Shape>
__global__ void __launch_bounds__(ManyRowsShape::threads, 1)
    many_rows(const __grid_constant__ Maps maps, const __grid_constant__ Call call) {
    constexpr ManyRowsShape shape = Shape::value;
    constexpr SmemPlan plan = shape.smem(E::factors, E::is_block_scaled);
    constexpr int cluster = shape.cluster;
    static_assert(plan.is_valid(1), "stages and buffers fit in an SM's shared memory");
    extern __shared__ __align__(swizzle_bytes) std::uint8_t shared[];
    auto* const full = reinterpret_cast<std::uint64_t*>(shared + plan.barrier_offset());
    std::uint64_t* const empty = full + shape.stages;

    // Of each thread; together what the launch gives, 168 each.
    constexpr int producer_registers = E::is_block_scaled ? 56 : 40;
    constexpr int consumer_registers = E::is_block_scaled ? 224 : 232;
    const int role = static_cast<int>(threadIdx.x) / warpgroup;
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < shape.stages; ++stage) {
            ptx::mbarrier_init(full + stage, E::is_block_scaled ? 2 : 1);
            ptx::mbarrier_init(empty + stage, cluster * ManyRowsShape::consumers * (warpgroup / 32));
        }
        ptx::fence_mbarrier_init();
    }
    if constexpr (cluster > 1) {
        ptx::cluster_sync();
    } else {
        __syncthreads();
    }

    const int steps = ceil_div(call.depth, row_bytes);
    TileWalk<shape.tile()> walk(call.m_indptr, call.experts, call.rows, call.columns);
    Tile tile;
    RingPlace<shape.stages> place;
    const int thread = static_cast<int>(threadIdx.x) % warpgroup;

    if (role == 0) {
        ptx::setmaxnreg_dec<producer_registers>();
        if (threadIdx.x < 32) {
            constexpr int a_box = ManyRowsShape::rows / cluster;
            constexpr int w_box = shape.columns / cluster;
            constexpr std::uint16_t everyone = (1 << cluster) - 1;
            constexpr int element_bytes = 32 / ptx::Wgmma<typename E::a, typename E::w, 8>::k;
            const auto policy = call.weights_first_out ? ptx::Evict::first : ptx::Evict::normal;
            const int rank = cluster > 1 ? static_cast<int>(ptx::cluster_rank()) : 0;
            while (walk.next(tile)) {
                for (int step = 0; step < steps; ++step) {
                    ptx::mbarrier_wait(empty + place.stage, place.parity ^ 1);
                    std::uint64_t* const barrier = full + place.stage;
                    if (threadIdx.x == 0) {
                        std::uint8_t* const w = shared + place.stage * plan.stage_bytes();
                        std::uint8_t* const a = w + plan.a_offset();
                        const int x = step * row_bytes / element_bytes;
                        ptx::mbarrier_arrive_expect(barrier, plan.stage_bytes());
                        if (cluster == 1 || tile.sharing == Sharing::weights) {
#pragma unroll
                            for (int part = 0; part < cluster; ++part) {
                                ptx::tma_load_2d(a + part * a_box * row_bytes, &maps.a, barrier, x,
                                                 tile.row + part * a_box, ptx::Evict::normal);
                            }
                        } else {
                            ptx::tma_load_2d_multicast(a + rank * a_box * row_bytes, &maps.a, barrier, x,
                                                       tile.row + rank * a_box, everyone, ptx::Evict::normal);
                        }
                        if (cluster == 1 || tile.sharing == Sharing::rows) {
#pragma unroll
                            for (int part = 0; part < cluster; ++part) {
                                ptx::tma_load_3d(w + part * w_box * row_bytes, &maps.w, barrier, x,
                                                 tile.column + part * w_box, tile.expert, policy);
                            }
                        } else {
                            ptx::tma_load_3d_multicast(w + rank * w_box * row_bytes, &maps.w, barrier, x,
                                                       tile.column + rank * w_box, tile.expert, everyone, policy);
                        }
                    }
                    __syncwarp();
                    place.advance();
                }
            }
        } else if (E::is_block_scaled) {
            // The other three warps take the stages' scales in turn, so that each may wait for its copies and arrive
            // once: arrivals of every lane are as many accesses to shared memory, and those are what the products wait
            // for.
            constexpr int warps = 3;
            const int first = static_cast<int>(threadIdx.x) / 32 - 1;
            int stages_before = 0;
            while (walk.next(tile)) {
                const BlockScaleCopy<shape.scales()> scale_copy(call, tile);
                for (int step = 0; step < steps; ++step) {
                    if ((stages_before + step) % warps == first) {
                        ptx::mbarrier_wait(empty + place.stage, place.parity ^ 1);
                        scale_copy.start(
                            call, step,
                            reinterpret_cast<float*>(shared + plan.scale_offset()) + place.stage * plan.scales);
                        ptx::cp_async_wait();
                        __syncwarp();
                        if (threadIdx.x % 32 == 0) {
                            ptx::mbarrier_arrive(full + place.stage);
                        }
                    }
                    place.advance();
                }
                stages_before = (stages_before + steps) % warps;
            }
        }
    } else {
        ptx::setmaxnreg_inc<consumer_registers>();
        using Product = ptx::Wgmma<typename E::a, typename E::w, shape.piece>;
        using Sum = typename Product::Sum;
        static_assert(E::is_promoted || shape.piece == shape.columns, "only sums that are taken over come in pieces");
        const int consumer = role - 1;
        const int first_row = consumer * wgmma_rows;
        const auto release = [&](int stage) {
            if constexpr (cluster > 1) {
                if (thread % 32 < cluster) {
                    ptx::mbarrier_arrive_remote(empty + stage, static_cast<std::uint32_t>(thread % 32));
                }
            } else {
                if (thread % 32 == 0) {
                    ptx::mbarrier_arrive(empty + stage);
                }
            }
        };
        // The four products of a full stage and `piece` of its columns, in flight when this returns.
        const auto multiply = [&](Sum(&sums)[Product::registers], int piece, bool accumulate) {
            const std::uint8_t* const w = shared + place.stage * plan.stage_bytes();
            const std::uint64_t left = ptx::swizzled_128_descriptor(w + plan.a_offset() + first_row * row_bytes);
            const std::uint64_t right = ptx::swizzled_128_descriptor(w + piece * shape.piece * row_bytes);
            ptx::wgmma_fence();
#pragma unroll
            for (int depth = 0; depth < 4; ++depth) {  // 32 bytes of K each
                Product::issue(sums, left + depth * 2, right + depth * 2, accumulate || depth > 0);
            }
            ptx::wgmma_commit();
        };
        OutputBuffers<E::factors, shape.columns, shape.y_buffers> output(
            shared + plan.y_offset() + consumer * shape.y_buffers * SmemPlan::y_buffer_bytes,
            reinterpret_cast<float*>(shared + plan.factor_offset()) + consumer * shape.factors(), 1 + consumer);
        const auto part_of = [&](const Tile& whole) {
            return TilePart{whole.expert, whole.row + first_row, whole.rows - first_row, whole.column};
        };

        Sum sums[shape.columns / 2];
        if constexpr (E::is_promoted) {
            // With turns, one warpgroup's products end before the other's begin: left alone they may share the tensor
            // cores, end together, and both add while the tensor cores wait.
            constexpr int turn = 3;  // barriers 3 and 4
            constexpr bool turns = shape.turns;
            if (turns && consumer == 1) {
                ptx::named_barrier_arrive(turn, 2 * warpgroup);
            }
            RingPlace<shape.stages> behind;  // the stage whose products are to end next
            const auto begin = [&](Sum(&part)[Product::registers], int piece) {
#pragma unroll
                for (int i = 0; i < Product::registers; ++i) {
                    asm volatile("" : "+f"(part[i])::"memory");  // no value to carry over: no move to make
                }
                if (piece == 0) {
                    ptx::mbarrier_wait(full + place.stage, place.parity);
                }
                if constexpr (turns) {
                    ptx::named_barrier(turn + consumer, 2 * warpgroup);
                }
                multiply(part, piece, false);
                if constexpr (turns) {
                    ptx::named_barrier_arrive(turn + 1 - consumer, 2 * warpgroup);
                }
                if ((piece + 1) * shape.piece == shape.columns) {
                    place.advance();
                }
            };
            BlockFactors<E, shape.columns> factors;
            const auto end = [&]<int pending>(std::integral_constant<int, pending>, Sum(&part)[Product::registers],
                                              int piece) {
                if (piece == 0) {
                    factors.load(
                        shape.scales(),
                        reinterpret_cast<const float*>(shared + plan.scale_offset()) + behind.stage * plan.scales,
                        first_row + accumulator_row(thread, 0), tile.column);
                }
                ptx::wgmma_wait<pending>();
                if ((piece + 1) * shape.piece == shape.columns) {
                    __syncwarp();
                    release(behind.stage);
                    behind.advance();
                }
#pragma unroll
                for (int i = 0; i < Product::registers; ++i) {
                    const int at = piece * Product::registers + i;
                    sums[at] = E::is_block_scaled ? fmaf(part[i], factors.of(at), sums[at]) : sums[at] + part[i];
                }
            };
            constexpr std::integral_constant<int, 0> none;
            constexpr std::integral_constant<int, 1> one;
            constexpr int pieces = shape.columns / shape.piece;
            Sum part[Product::registers];
            TilePart finished{};
            const auto leave = [&] { output.template store<shape.mapped>(call, &maps.y, sums, finished, thread); };
            const auto enter = [&] {
                finished = part_of(tile);
                output.fetch_factors(call, finished, thread);
#pragma unroll
                for (int i = 0; i < shape.columns / 2; ++i) {
                    sums[i] = 0.0F;
                }
            };
            if constexpr (shape.parts == 2) {
                static_assert(pieces == 1 && !shape.turns);
                Sum other[Product::registers];
                // Products for one part while the other is added. Every fourth stage both end: no two sets of
                // accumulators may be in flight from one turn of a loop to the next, or ptxas orders all products.
                const auto stages = [&](int count) {
                    if (count >= 4) {
                        begin(other, 0);
                        end(one, part, 0);
                        begin(part, 0);
                        end(one, other, 0);
                        begin(other, 0);
                        end(one, part, 0);
                        end(none, other, 0);
                        return 4;
                    }
                    end(none, part, 0);
                    return 1;
                };
                while (walk.next(tile)) {
                    begin(part, 0);
                    leave();
                    enter();
                    int step = stages(steps);
#pragma unroll 1
                    while (step < steps) {
                        begin(part, 0);
                        step += stages(steps - step);
                    }
                }
            } else {
                while (walk.next(tile)) {
                    begin(part, 0);
                    leave();
                    enter();
                    end(none, part, 0);
#pragma unroll
                    for (int piece = 1; piece < pieces; ++piece) {
                        begin(part, piece);
                        end(none, part, piece);
                    }
#pragma unroll 1
                    for (int step = 1; step < steps; ++step) {
#pragma unroll
                        for (int piece = 0; piece < pieces; ++piece) {
                            begin(part, piece);
                            end(none, part, piece);
                        }
                    }
                }
            }
            if (turns && consumer == 0) {
                ptx::named_barrier(turn, 2 * warpgroup);  // the other's last arrival
            }
            leave();
        } else {
            while (walk.next(tile)) {
                output.fetch_factors(call, part_of(tile), thread);
                int before = 0;
                for (int step = 0; step < steps; ++step) {
                    ptx::mbarrier_wait(full + place.stage, place.parity);
                    multiply(sums, 0, step > 0);
                    if (step > 0) {
                        ptx::wgmma_wait<1>();
                        release(before);
                    }
                    before = place.stage;
                    place.advance();
                }
                ptx::wgmma_wait<0>();
                release(before);
                output.template store<shape.mapped>(call, &maps.y, sums, part_of(tile), thread);
            }
        }
        if (thread == 0) {
            ptx::bulk_wait_all();
        }
    }
    if constexpr (cluster > 1) {
        ptx::cluster_sync();  // the other CTA may still arrive at this one's barriers
    }
}

}  // namespace moegemm::hopper
