/// \file
/// Grouped GEMM with weights of 4 or 8 bits that are decoded to bf16 on their way to the tensor cores.
///
/// The operands are swapped: weights take the product's 64 rows, which come from registers, so that nothing decoded
/// goes back to shared memory; tokens, in bf16, its columns. A decoded fragment serves all tokens of the tile.
///
///   stage (64 of K or more)                 y tile
///   ┌──────────────┬────────────────────┐   columns (rows of W) →
///   │ A ≤ tokens   │ packed blocks of W │   ┌───────────┬───────────┬──
///   │ × 128 B      │ 64 rows each       │   │ consumer 0│ consumer 1│ …  rows of A
///   └──────────────┴────────────────────┘   └───────────┴───────────┴──
///
/// Each consumer warpgroup has a block of W's rows. While the products of one stage are under way it takes apart the
/// words of the next. A warp loads weights, by plain copies of packed blocks (packed_weights.hpp), another rows of A, a
/// third finds the tiles. Where rows are many, the third and a fourth widen those of 4 and 8 bits (raw_rows.cuh).
///
/// Shapes: four consumers and up to 32 tokens where the weights' way from memory is all that counts, two and up to 128
/// or 256 where the products are. Where there are few tiles, two consumers share each block of W's rows: they take
/// different parts of K, and one adds the other's sums to its own.
#pragma once

#include <type_traits>

#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/epilogue.cuh"
#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/packed_weights.hpp"
#include "providers/hopper/kernels/raw_rows.cuh"
#include "providers/hopper/kernels/ring.cuh"
#include "providers/hopper/kernels/smem_plan.hpp"
#include "providers/hopper/kernels/tile_queue.cuh"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/kernels/weight_fragments.cuh"
#include "providers/hopper/ptx/mbarrier.cuh"
#include "providers/hopper/ptx/tma.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"
#include "providers/hopper/ptx/wgmma.cuh"

namespace moegemm::hopper {

struct DecodedShape {
    int consumers;  ///< warpgroups, 64 rows of W each
    int tokens;     ///< rows of A in a tile at most: 32, 96, 128 or 256
    int small_box;  ///< rows of A that one copy brings to tiles of up to so many rows
    int large_box;  ///< and to larger ones
    int y_buffers;  ///< of each consumer; none: y is written from registers
    int group;      ///< TileShape::group
    int depths;     ///< blocks of weights along K in a stage
    int splits;     ///< consumers that share a block of rows: 1, or 2 that take half of a stage's depths each
    int part;       ///< TileShape::part
    bool widens;    ///< whether spare warps widen rows of A (raw_rows.cuh)

    [[nodiscard]] constexpr int row_blocks() const { return consumers / splits; }
    [[nodiscard]] constexpr int own_depths() const { return depths / splits; }
    [[nodiscard]] constexpr int threads() const { return (consumers + 1) * warpgroup; }
    /// Whether the kernel of rebased operands, whose tiles have as many rows, may have stored some rows (Route).
    [[nodiscard]] constexpr bool takes_a_route() const { return tokens == 256; }
    /// Registers of a thread: the launch's go to the consumers as far as they can.
    [[nodiscard]] constexpr int producer_registers() const { return widens ? 88 : consumers == 2 ? 40 : 32; }
    [[nodiscard]] constexpr int consumer_registers() const { return widens ? 208 : consumers == 2 ? 232 : 112; }
    [[nodiscard]] constexpr TileShape tile() const { return {tokens, row_blocks() * wgmma_rows, part, group}; }
};

/// What lies where in shared memory: stages of A, in chunks of 128 bytes a row, then W; buffers for y, or for sums on
/// their way to another consumer; rows of A that are to be widened; barriers; the queue of tiles.
struct DecodedSmem {
    DecodedShape shape;
    int block_bytes;

    static constexpr int most_stages = 12;
    [[nodiscard]] constexpr int a_chunk_bytes() const { return shape.tokens * row_bytes; }
    [[nodiscard]] constexpr int w_offset() const { return shape.depths * a_chunk_bytes(); }       ///< in a stage
    [[nodiscard]] constexpr int depth_bytes() const { return shape.row_blocks() * block_bytes; }  ///< of W
    [[nodiscard]] constexpr int stage_bytes() const {
        return (w_offset() + shape.depths * depth_bytes() + swizzle_bytes - 1) / swizzle_bytes * swizzle_bytes;
    }
    [[nodiscard]] constexpr int sums_bytes() const { return shape.tokens / 2 * warpgroup * 4; }  ///< of a consumer
    [[nodiscard]] constexpr int y_bytes() const {
        return shape.splits > 1 ? shape.row_blocks() * sums_bytes()
                                : shape.consumers * shape.y_buffers * SmemPlan::y_buffer_bytes;
    }
    [[nodiscard]] constexpr int raw_bytes() const { return shape.widens ? 2 * raw_ring_bytes : 0; }
    [[nodiscard]] static constexpr int rest_bytes(int stages) {
        return (2 * stages * 8 + 15) / 16 * 16 + tile_slots(stages) * (tile_slot_bytes + 2 * 8);
    }
    /// As many as fit.
    [[nodiscard]] constexpr int stages() const {
        int count = most_stages;
        while (count * stage_bytes() + y_bytes() + raw_bytes() + rest_bytes(count) > shared_bytes_per_cta) {
            --count;
        }
        return count;
    }
    [[nodiscard]] constexpr int y_offset() const { return stages() * stage_bytes(); }
    [[nodiscard]] constexpr int raw_offset() const { return y_offset() + y_bytes(); }
    [[nodiscard]] constexpr int barrier_offset() const { return raw_offset() + raw_bytes(); }
    [[nodiscard]] constexpr int tile_offset() const { return barrier_offset() + (2 * stages() * 8 + 15) / 16 * 16; }
    [[nodiscard]] constexpr int bytes() const { return barrier_offset() + rest_bytes(stages()); }
};

/// One thread's factors of the two columns of y that it has, powers of two, or NaN, and the expert's alpha; and which
/// rows are this kernel's to store.
/// \tparam some whether that may be some of them
template <bool some>
class OwnFactors {
public:
    __device__ __forceinline__ OwnFactors(const Call& call, const PackedWeights& packed, const Route& route,
                                          bool some_rows, const Tile& tile, int column, int thread)
        : tokens_(route.token_factors + tile.row), some_rows_(some_rows) {
        const std::int64_t own = static_cast<std::int64_t>(tile.expert) * packed.shape.row_blocks * WeightBlock::rows +
                                 column + accumulator_row(thread, 0);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            of_column_[h] = __ldg(packed.row_factors + own + h * 8);
        }
        alpha_ = call.alpha == nullptr ? 1.0F : __ldg(call.alpha + tile.expert);
    }
    /// Whether this kernel stores the tile's row `at`, one that the tile has.
    [[nodiscard]] __device__ __forceinline__ bool stores(int at) const {
        return !some_rows() || __ldg(tokens_ + at) < 0.0F;
    }
    [[nodiscard]] __device__ __forceinline__ bool some_rows() const { return some && some_rows_; }
    /// \param which of the thread's two columns
    [[nodiscard]] __device__ __forceinline__ float apply(float sum, int which) const {
        return sum * of_column_[which] * alpha_;
    }

private:
    const float* tokens_;
    bool some_rows_;
    float of_column_[2];
    float alpha_;
};

/// Stores accumulators whose rows are 64 columns of y from `column` on, straight from registers.
template <int tokens, class Factors>
__device__ __forceinline__ void store_from_registers(const Call& call, const Factors& factors,
                                                     const float (&sums)[tokens / 2], const Tile& tile, int column,
                                                     int thread) {
    const int own_column = column + accumulator_row(thread, 0);
    const int odd = own_column & 1;
#pragma unroll
    for (int first = 0; first < tokens / 2; first += 4) {
        const int at = accumulator_column(thread, first) + odd;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            // Neighbouring columns of y lie in lanes 4 apart: of two rows, each lane ends up with both columns of one.
            const float even_row = factors.apply(sums[first + h * 2], h);
            const float odd_row = factors.apply(sums[first + h * 2 + 1], h);
            const float received = __shfl_xor_sync(~0U, odd != 0 ? even_row : odd_row, 4);
            if (at < tile.rows && factors.stores(at)) {
                store_pair(call, tile.row + at, own_column + h * 8 - odd, odd != 0 ? received : even_row,
                           odd != 0 ? odd_row : received);
            }
        }
    }
}

/// The same by way of shared memory, 64 tokens at a time.
/// \param buffers  of this warpgroup: `count` of SmemPlan::y_buffer_bytes
/// \param next     the buffer that comes next
/// \param barrier  number of a barrier of this warpgroup alone
template <int tokens, int count, class Factors>
__device__ __forceinline__ void store_by_buffers(const Call& call, const CUtensorMap* y_map, const Factors& factors,
                                                 const float (&sums)[tokens / 2], const Tile& tile, int column,
                                                 ptx::SharedAddress buffers, int& next, int barrier, int thread) {
#pragma unroll
    for (int chunk = 0; chunk < ceil_div(tokens, 64); ++chunk) {
        if (chunk * 64 >= tile.rows) {
            break;
        }
        if (thread == 0) {
            ptx::bulk_wait_read<count - 1>();
        }
        const int own = chunk * 64 + thread % 64;
        const bool all = !factors.some_rows()
                             ? (ptx::named_barrier(barrier, warpgroup), true)
                             : ptx::named_barrier_all(barrier, warpgroup, own >= tile.rows || factors.stores(own));
        const ptx::SharedAddress buffer = buffers + next * SmemPlan::y_buffer_bytes;
#pragma unroll
        for (int step = 0; step < min(4, tokens / 16 - chunk * 4); ++step) {
            std::uint32_t bits[4];
#pragma unroll
            for (int half = 0; half < 2; ++half) {  // 8 tokens
                const int first = chunk * 32 + (step * 2 + half) * 4;
#pragma unroll
                for (int h = 0; h < 2; ++h) {  // 8 columns each
                    bits[half * 2 + h] = pack(call.dst, factors.apply(sums[first + h * 2], h),
                                              factors.apply(sums[first + h * 2 + 1], h));
                }
            }
            ptx::stmatrix_x4_transposed(buffer + stmatrix_transposed_offset(thread, step), bits[0], bits[1], bits[2],
                                        bits[3]);
        }
        ptx::fence_async_shared();
        ptx::named_barrier(barrier, warpgroup);
        const TilePart part{tile.expert, tile.row + chunk * 64, tile.rows - chunk * 64, column, wgmma_rows};
        if (all) {
            copy_out(call, y_map, buffer, part, column, thread);
        } else {
            copy_rows(call, buffer, part, column, thread, [&](int row) { return factors.stores(chunk * 64 + row); });
        }
        if (thread == 0) {
            ptx::bulk_commit();
        }
        next = next + 1 == count ? 0 : next + 1;
    }
}

/// Sums on their way from one consumer to another: a thread's to the thread of the same place.
/// \param at of this thread
template <int tokens>
__device__ __forceinline__ void give_sums(ptx::SharedAddress at, const float (&sums)[tokens / 2]) {
#pragma unroll
    for (int i = 0; i < tokens / 2; i += 4) {
        ptx::store_shared_4(at + i * warpgroup * 4,
                            make_int4(__float_as_int(sums[i]), __float_as_int(sums[i + 1]), __float_as_int(sums[i + 2]),
                                      __float_as_int(sums[i + 3])));
    }
}
template <int tokens>
__device__ __forceinline__ void add_given(ptx::SharedAddress at, float (&sums)[tokens / 2]) {
#pragma unroll
    for (int i = 0; i < tokens / 2; i += 4) {
        const int4 given = ptx::load_shared_4(at + i * warpgroup * 4);
        sums[i] += __int_as_float(given.x);
        sums[i + 1] += __int_as_float(given.y);
        sums[i + 2] += __int_as_float(given.z);
        sums[i + 3] += __int_as_float(given.w);
    }
}

/// Calls `act` with the narrowest product that has a column for each of `rows`, of those of `least`, least + `step`, …
/// `most` columns; where `step` is 0, each is twice as wide as the one before.
template <int least, int step, int most, class Act>
__device__ __forceinline__ void with_columns(int rows, const Act& act) {
    if constexpr (least < most) {
        if (rows > least) {
            with_columns<least + (step == 0 ? least : step), step, most>(rows, act);
            return;
        }
    }
    act(std::integral_constant<int, least>{});
}

/// \tparam Kind holds the DecodedShape `shape` and the WeightFormat `format`
template <class Kind>
__global__ void __launch_bounds__(Kind::shape.threads(), 1)
    decoded_weights(const __grid_constant__ Maps maps, const __grid_constant__ Call call,
                    const __grid_constant__ PackedWeights packed, const __grid_constant__ Route route,
                    const __grid_constant__ RawRows raw) {
    constexpr DecodedShape shape = Kind::shape;
    using Fragments = WeightFragments<Kind::format>;
    constexpr int block_bytes = Fragments::block.bytes();
    constexpr int depths = shape.depths;
    constexpr DecodedSmem plan = Kind::smem;
    constexpr int stages = plan.stages();
    static_assert(stages >= 3 && block_bytes % 16 == 0);
    extern __shared__ __align__(swizzle_bytes) std::uint8_t memory[];
    const ptx::SharedAddress shared = ptx::shared_address(memory);
    const RingBarriers<stages> ring{shared + plan.barrier_offset()};
    const TileQueue<stages> queue{shared + plan.tile_offset()};
    bool some_rows = false;
    if (shape.takes_a_route() && route.rows_differ != nullptr) {
        ptx::wait_for_kernel_before();
        some_rows = __ldcg(packed.not_rebasable) == 0;
        if (some_rows && __ldcg(route.rows_differ) == 0) {
            return;
        }
    }
    if (threadIdx.x == 0) {
        queue.init();
        ring.init(2, shape.consumers * (warpgroup / 32) * warp_arrivals);
    }
    __syncthreads();

    // From one lane to all, so that the compiler knows that it is the same for a warp.
    const int role = __shfl_sync(~0U, static_cast<int>(threadIdx.x) / warpgroup, 0);
    const int steps = ceil_div(packed.shape.depths, depths);
    Tiles<stages> tiles(queue);
    Tile tile{};
    RingPlace<stages> place;

    if (role == shape.consumers) {
        ptx::setmaxnreg_dec<shape.producer_registers()>();
        const bool leader = threadIdx.x % 32 == 0;
        const int lane = static_cast<int>(threadIdx.x) % 32;
        const int warp = (static_cast<int>(threadIdx.x) - shape.consumers * warpgroup) / 32;
        if (warp == 0) {  // weights
            const auto policy = call.weights_first_out ? ptx::Evict::first : ptx::Evict::normal;
            const int telling = telling_step(steps);
            while (tiles.next(tile)) {
                const int row_block = tile.column / WeightBlock::rows;
                const int blocks = min(tile.columns / WeightBlock::rows, packed.shape.row_blocks - row_block);
                const int stride = packed.shape.band_height(row_block) * block_bytes;
                const std::uint8_t* source =
                    packed.blocks + packed.shape.block(tile.expert, row_block, 0) * block_bytes;
                for (int step = 0; step < steps && leader; ++step) {
                    ptx::mbarrier_wait(ring.empty(place.stage), place.parity ^ 1);
                    const ptx::SharedAddress barrier = ring.full(place.stage);
                    ptx::mbarrier_arrive_expect(barrier, depths * blocks * block_bytes);
#pragma unroll
                    for (int depth = 0; depth < depths; ++depth) {
                        ptx::bulk_load(
                            shared + place.stage * plan.stage_bytes() + plan.w_offset() + depth * plan.depth_bytes(),
                            source, blocks * block_bytes, barrier, policy);
                        // Beyond K the last block comes once more: it meets zeros of A, and must be numbers.
                        source += step * depths + depth + 1 < packed.shape.depths ? stride : 0;
                    }
                    if (step == telling) {
                        tiles.say_loaded();
                    }
                    place.advance();
                }
                __syncwarp();
            }
        } else if (warp == 1) {  // rows of A, which the kernel before may still be writing
            ptx::wait_for_kernel_before();
            const int copies = call.a_chunks ? 1 : depths;  // for the chunks of a stage
            while (tiles.next(tile)) {
                if (shape.widens && raw.call.a != nullptr) {
                    wait_for_rows(raw, tile, lane);
                }
                const bool small = tile.rows <= shape.small_box;
                const CUtensorMap* const map = small ? &maps.a_part : &maps.a;
                const int box_rows = small ? shape.small_box : shape.large_box;
                const int boxes = ceil_div(tile.rows, box_rows);
                for (int step = 0; step < steps && leader; ++step) {
                    ptx::mbarrier_wait(ring.empty(place.stage), place.parity ^ 1);
                    const ptx::SharedAddress barrier = ring.full(place.stage);
                    const ptx::SharedAddress a = shared + place.stage * plan.stage_bytes();
                    ptx::mbarrier_arrive_expect(barrier, depths * boxes * box_rows * row_bytes);
                    for (int copy = 0; copy < copies; ++copy) {
                        const int chunk = step * depths + copy;
                        for (int box = 0; box < boxes; ++box) {
                            ptx::tma_load_3d(a + (copy * boxes + box) * box_rows * row_bytes, map, barrier,
                                             call.a_chunks ? 0 : chunk * WeightBlock::depth, tile.row + box * box_rows,
                                             call.a_chunks ? chunk : 0, ptx::Evict::last);
                        }
                    }
                    place.advance();
                }
                __syncwarp();
            }
        } else if (shape.widens && raw.call.a != nullptr) {  // tiles and rows to widen, or these alone
            TileFinder<stages, shape.tile()> finder(queue, call, steps);
            const bool finds = warp == 2;
            while (finds && finder.more() && finder.is_due()) {
                finder.find();
            }
            ptx::wait_for_kernel_before();
            with_row_type<Kind::format>(raw.type, [&]<DType a, DType scale>() {
                RowWidener<a, scale> widener(raw, shared + plan.raw_offset() + warp % 2 * raw_ring_bytes);
                bool widening = true;
                while (widening || (finds && finder.more())) {
                    if (finds && finder.more() && (!widening || finder.is_due())) {
                        finder.find();
                    } else {
                        widening = widener.step();
                    }
                }
            });
        } else if (warp == 2) {
            TileFinder<stages, shape.tile()>(queue, call, steps).find_all();
        }
    } else {
        ptx::setmaxnreg_inc<shape.consumer_registers()>();
        const int thread = static_cast<int>(threadIdx.x) % warpgroup;
        const auto own = Fragments::places(thread);
        constexpr int own_depths = shape.own_depths();
        const int row_block = role / shape.splits;
        const int first_depth = role % shape.splits * own_depths;  // of a stage's
        const ptx::SharedAddress own_block =
            shared + plan.w_offset() + row_block * block_bytes + first_depth * plan.depth_bytes();
        int next_buffer = 0;
        bool adds = role % shape.splits != 0;
        const auto release = [&](int stage) {
            ptx::warp_barrier();  // what other lanes have read is read
            warp_arrive(ring.empty(stage), thread);
        };
        const auto release_before = [&] { release(place.stage == 0 ? stages - 1 : place.stage - 1); };
        const auto fragments_of = [&](ptx::SharedAddress stage, int depth) {
            return Fragments(own_block + stage + depth * plan.depth_bytes(), own);
        };
        const auto sum_decoded = [&]<int tokens>(float(&sums)[tokens / 2]) {
            using Product = ptx::WgmmaRegisters<ptx::Bf16, tokens>;
            // Fragments are made in parts, a block or half of one, each while the products of the one before are under
            // way. Their words are loaded before that: while products keep the warp waiting anyhow.
            constexpr bool part_is_block = own_depths > 1;
            constexpr int part_steps = part_is_block ? WeightBlock::steps : WeightBlock::steps / 2;
            constexpr int pairs = part_is_block ? own_depths / 2 : 1;  // of parts in a stage
            std::uint32_t fragments[2][part_steps * 4];
            ptx::mbarrier_wait(ring.full(place.stage), place.parity);
            Fragments stored = fragments_of(place.stage * plan.stage_bytes(), 0);
            for (int step = 0; step < steps; ++step) {
                const ptx::SharedAddress at = place.stage * plan.stage_bytes();
                const int before = place.stage == 0 ? stages - 1 : place.stage - 1;
                place.advance();
#pragma unroll 1
                for (int pair = 0; pair < pairs; ++pair) {
                    const ptx::SharedAddress pair_at = at + pair * 2 * plan.depth_bytes();
                    const std::uint32_t right =
                        ptx::swizzled_128_descriptor(shared + at + (first_depth + pair * 2) * plan.a_chunk_bytes());
#pragma unroll
                    for (int part = 0; part < 2; ++part) {
#pragma unroll
                        for (int i = 0; i < part_steps; i += 2) {
                            stored.decode(part_is_block ? i / 2 : part, fragments[part] + i * 4);
                        }
                        ptx::wgmma_fence();
#pragma unroll
                        for (int i = 0; i < part_steps; ++i) {
                            const int piece = part_is_block ? i : part * 2 + i;  // 32 bytes of a row of A
                            const int chunk = part_is_block ? part : 0;
                            Product::issue(sums, fragments[part] + i * 4,
                                           right + chunk * plan.a_chunk_bytes() / 16 + piece * 2, 1);
                        }
                        ptx::wgmma_commit();
                        if (part_is_block && part == 0) {
                            stored = fragments_of(pair_at, 1);
                        } else if (part == 1 && pair + 1 < pairs) {
                            stored = fragments_of(pair_at, 2);
                        } else if (part == 1 && step + 1 < steps) {
                            ptx::mbarrier_wait(ring.full(place.stage), place.parity);
                            stored = fragments_of(place.stage * plan.stage_bytes(), 0);
                        }
                        ptx::wgmma_wait<1>();
                        if (part == 0 && pair == 0 && step > 0) {
                            release(before);
                        }
                    }
                }
            }
            ptx::wgmma_wait<0>();
            ptx::settle(sums);
            release_before();
        };
        // Of up to 8 rows, warp by warp: the warpgroup's product would keep the tensor cores longer than decoding
        // takes.
        const auto sum_by_warps = [&](float(&sums)[4]) {
            const int lane = thread % 32;
            constexpr int chunk_bytes = shape.small_box * row_bytes;
            const ptx::SharedAddress own_row = shared + first_depth * chunk_bytes + swizzled_offset(lane % 8, lane / 8);
            for (int step = 0; step < steps; ++step) {
                ptx::mbarrier_wait(ring.full(place.stage), place.parity);
                const ptx::SharedAddress at = place.stage * plan.stage_bytes();
#pragma unroll
                for (int depth = 0; depth < own_depths; ++depth) {
                    const Fragments stored = fragments_of(at, depth);
#pragma unroll
                    for (int half = 0; half < 2; ++half) {
                        std::uint32_t left[8];
                        std::uint32_t right[4];
                        // Pieces 4 to 7 of a row lie 64 bytes from pieces 0 to 3, swizzled or not.
                        ptx::ldmatrix_x4((own_row + at + depth * chunk_bytes) ^ (half * 64), right);
                        stored.decode(half, left);
                        ptx::mma_bf16(sums, left, right[0], right[1]);
                        ptx::mma_bf16(sums, left + 4, right[2], right[3]);
                    }
                }
                release(place.stage);
                place.advance();
            }
        };
        // A tile of at most `tokens` rows, from the ring to y.
        const auto do_tile = [&]<int tokens>(std::integral_constant<int, tokens>) {
            const int column = tile.column + row_block * wgmma_rows;
            const OwnFactors<shape.takes_a_route()> factors(call, packed, route, some_rows, tile, column, thread);
            float sums[tokens / 2];
#pragma unroll
            for (float& sum : sums) {
                sum = 0.0F;  // not left to the first product: all shapes' sums would be live from tile to tile
            }
            if constexpr (tokens == 8) {
                sum_by_warps(sums);
            } else {
                sum_decoded.template operator()<tokens>(sums);
            }
            if constexpr (Kind::shape.splits > 1) {
                // Both halves' sums are added by one of the two consumers, from tile to tile by another, so that both
                // have as much to do.
                adds = !adds;
                const ptx::SharedAddress exchange =
                    shared + plan.y_offset() + row_block * plan.sums_bytes() + thread * 16;
                const int written = 1 + row_block * 2;
                const int read = written + 1;
                if (!adds) {
                    give_sums<tokens>(exchange, sums);
                    ptx::named_barrier_arrive(written, 2 * warpgroup);
                    ptx::named_barrier(read, 2 * warpgroup);
                    return;
                }
                ptx::named_barrier(written, 2 * warpgroup);
                add_given<tokens>(exchange, sums);
                ptx::named_barrier_arrive(read, 2 * warpgroup);
            }
            int storing = thread;
            int storing_role = role;
            // Addresses are made here, not kept in registers from tile to tile.
            asm volatile("" : "+r"(storing), "+r"(storing_role));
            if constexpr (Kind::shape.y_buffers > 0) {
                if (call.y_map) {
                    const ptx::SharedAddress buffers =
                        shared + plan.y_offset() + storing_role * shape.y_buffers * SmemPlan::y_buffer_bytes;
                    store_by_buffers<tokens, Kind::shape.y_buffers>(call, &maps.y, factors, sums, tile, column, buffers,
                                                                    next_buffer, 1 + role, storing);
                    return;
                }
            }
            store_from_registers<tokens>(call, factors, sums, tile, column, storing);
        };
        while (tiles.next(tile)) {
            if (row_block * wgmma_rows >= tile.columns || tile.column + row_block * wgmma_rows >= call.columns) {
                for (int step = 0; step < steps; ++step) {  // nothing for this warpgroup
                    ptx::mbarrier_wait(ring.full(place.stage), place.parity);
                    release(place.stage);
                    place.advance();
                }
            } else {
                with_columns<Kind::least_tokens, Kind::tokens_step, shape.tokens>(tile.rows, do_tile);
            }
        }
        if (shape.y_buffers > 0 && thread == 0) {
            ptx::bulk_wait_all();
        }
    }
}

}  // namespace moegemm::hopper
