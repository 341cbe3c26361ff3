/// \file
/// Grouped GEMM of weights and activations that become fp8 with one factor a row each (Rebased, weight_decode.hpp),
/// where experts have many rows: tiles of 256 rows of A × 128 rows of W, all of K.
///
/// Activations have become e4m3 in a pass before (rebase_rows.hpp). Of weights, e2m1 becomes e5m2, exactly, and e4m3 is
/// lowered, which may round. One warpgroup does that, from a ring of packed blocks to a ring of stages, where the copy
/// engine brings rows of A beside them. What two others do with a stage is what they would do with fp8: 128 rows each,
/// in two pieces of 64, whose sums are taken over into float32 every 128 of K while the tensor cores work for the other
/// warpgroup.
///
///   stage (128 of K)                      y tile
///   ┌───────────────┬─────────┐           columns →
///   │ W 128 rows    │ A 256   │         ┌──────────────┐ rows 0–63, 128–191: warpgroup 1
///   │ decoded       │ × 128 B │  × n    ├──────────────┤
///   │ × 128 B       │         │         │              │ rows 64–127, 192–255: warpgroup 2
///   └───────────────┴─────────┘         └──────────────┘
///
/// Decoding eight values takes some 16 instructions, and storing them a share of what shared memory can do: with fewer
/// rows than 256 to a tile the products would wait for it.
///
/// Whether it is used, data decide: with weights that cannot be rebased it ends at once, and rows of A that cannot be
/// are left to the kernel of bf16, which runs after it (Route, packed_weights.hpp).
#pragma once

#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/epilogue.cuh"
#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/kernel.hpp"
#include "providers/hopper/kernels/lowered_values.cuh"
#include "providers/hopper/kernels/packed_weights.hpp"
#include "providers/hopper/kernels/ring.cuh"
#include "providers/hopper/kernels/smem_plan.hpp"
#include "providers/hopper/kernels/tile_queue.cuh"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/kernels/weight_decode.hpp"
#include "providers/hopper/ptx/mbarrier.cuh"
#include "providers/hopper/ptx/tma.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"
#include "providers/hopper/ptx/wgmma.cuh"

namespace moegemm::hopper {
namespace rebased {

constexpr int consumers = 2;
constexpr int pieces = 2;  ///< of 64 rows of A, of a consumer
constexpr int columns = 128;
constexpr int stages = 3;
constexpr int y_buffers = 2;  ///< of a consumer
constexpr int tile_rows = consumers * pieces * wgmma_rows;
constexpr int row_blocks = columns / WeightBlock::rows;  ///< of W, of a tile
constexpr int depths = row_bytes / WeightBlock::depth;   ///< blocks along K, of a stage
constexpr TileShape tile_shape{tile_rows, columns, columns, 8};
constexpr int threads = (1 + consumers + 1) * warpgroup;  ///< a warpgroup that loads, and one that decodes

/// A consumer's factors of a tile: of its columns, then of its pieces' rows.
constexpr int own_factors = columns + pieces * wgmma_rows;
constexpr SmemPlan plan{columns, tile_rows, 1, stages, consumers* y_buffers, 0, consumers* own_factors};
static_assert(plan.is_valid(1) && own_factors == 2 * warpgroup);

/// Behind that, a ring of packed blocks on their way: of stages yet to be decoded, as many as fit.
template <WeightFormat format>
struct PackedRing {
    static constexpr int block_bytes = block_of(format).bytes();
    static constexpr int depth_bytes = row_blocks * block_bytes;
    static constexpr int stage_bytes = depths * depth_bytes;
    static constexpr int most_stages = 4;
    static constexpr int offset = (plan.bytes() + 127) / 128 * 128;
    static constexpr int stages = [] {
        int count = most_stages;
        while (offset + count * (stage_bytes + 2 * 8) > shared_bytes_per_cta) {
            --count;
        }
        return count;
    }();
    static_assert(stages >= 2 && stage_bytes % 8 == 0);
    static constexpr int barrier_offset = offset + stages * stage_bytes;
    static constexpr int bytes = barrier_offset + 2 * stages * 8;  ///< of the whole of shared memory
};

// Of each thread: together the 128 a thread that the launch gives.
constexpr int producer_registers = 32;
constexpr int consumer_registers = 216;
constexpr int decoder_registers = 48;

/// The first of a consumer's rows of piece `piece`, in a tile: with few rows, both consumers have as many pieces, or
/// one more.
__device__ __forceinline__ int first_row(int consumer, int piece) {
    return (piece * consumers + consumer) * wgmma_rows;
}

/// A consumer's way out of its sums: rounded, in chunks of 64 columns, to buffers in shared memory, and from there by
/// the copy engine where all of 64 rows are the kernel's to store.
class Output {
public:
    /// \param shared the CTA's shared memory
    __device__ __forceinline__ Output(ptx::SharedAddress shared, int consumer) : shared_(shared), consumer_(consumer) {}

    /// Waits for all threads of the consumer.
    __device__ __forceinline__ void barrier() const { ptx::named_barrier(1 + consumer_, warpgroup); }

    /// Starts copying the factors that store() will need of a tile. Each thread copies the factor of the row that it
    /// will vote for.
    __device__ __forceinline__ void fetch_factors(const PackedWeights& packed, const Route& route, const Tile& tile,
                                                  int thread) const {
        asm volatile("" : "+r"(thread));  // addresses are made here, not kept in registers from tile to tile
        const int rows_of_w = packed.shape.row_blocks * WeightBlock::rows;
        const int column = tile.column + thread;
        const bool has_column = column < rows_of_w;
        ptx::cp_async_4(
            factors() + thread * 4,
            packed.rebased_factors + static_cast<std::int64_t>(tile.expert) * rows_of_w + (has_column ? column : 0),
            has_column);
        const int row = first_row(consumer_, thread / wgmma_rows) + thread % wgmma_rows;
        const bool has_row = row < tile.rows;
        ptx::cp_async_4(factors() + (columns + thread) * 4, route.token_factors + tile.row + (has_row ? row : 0),
                        has_row);
    }

    /// Stores the sums of a piece, once it is sure that fetch_factors' copies of this thread have ended.
    /// \param part of the tile: up to 64 rows
    __device__ __forceinline__ void store(const Call& call, const CUtensorMap* y_map, const float (&sums)[columns / 2],
                                          const TilePart& part, int piece, int thread) {
        asm volatile("" : "+r"(thread));
        const ptx::SharedAddress tokens = factors() + (columns + piece * wgmma_rows) * 4;
        const int own_row = accumulator_row(thread, 0);
        wait_for_buffer(thread);
        const bool stores = thread / wgmma_rows != piece || thread % wgmma_rows >= part.rows ||
                            !is_left(ptx::load_shared(factors() + (columns + thread) * 4));
        const bool all = ptx::named_barrier_all(1 + consumer_, warpgroup, stores);
        const float token[2] = {ptx::load_shared(tokens + own_row * 4), ptx::load_shared(tokens + (own_row + 8) * 4)};
        if (!call.y_map) {
            store_from_registers(call, sums, part, token, thread);
            return;
        }
#pragma unroll
        for (int chunk = 0; chunk < columns / 64; ++chunk) {
            const int column = part.column + chunk * 64;
            if (column >= call.columns) {
                break;
            }
            if (chunk > 0) {
                wait_for_buffer(thread);
                barrier();
            }
            const ptx::SharedAddress buffer =
                shared_ + plan.y_offset() + (consumer_ * y_buffers + next_) * SmemPlan::y_buffer_bytes;
#pragma unroll
            for (int step = 0; step < 4; ++step) {
                std::uint32_t bits[4];
#pragma unroll
                for (int half = 0; half < 2; ++half) {  // 8 columns each
                    const int first = chunk * 32 + step * 8 + half * 4;
                    const float2 channel = channels(accumulator_column(thread, first));
#pragma unroll
                    for (int h = 0; h < 2; ++h) {
                        bits[half * 2 + h] = pack(call.dst, sums[first + h * 2] * token[h] * channel.x,
                                                  sums[first + h * 2 + 1] * token[h] * channel.y);
                    }
                }
                ptx::stmatrix_x4(buffer + stmatrix_offset(thread, step), bits[0], bits[1], bits[2], bits[3]);
            }
            ptx::fence_async_shared();
            barrier();
            if (all) {
                copy_out(call, y_map, buffer, part, column, thread);
            } else {
                copy_rows(call, buffer, part, column, thread,
                          [&](int row) { return !is_left(ptx::load_shared(tokens + row * 4)); });
            }
            if (thread == 0) {
                ptx::bulk_commit();
            }
            next_ = next_ + 1 == y_buffers ? 0 : next_ + 1;
        }
    }

private:
    /// Of one thread, until the buffer that comes next has been read.
    __device__ __forceinline__ static void wait_for_buffer(int thread) {
        if (thread == 0) {
            ptx::bulk_wait_read<y_buffers - 1>();
        }
    }
    [[nodiscard]] __device__ __forceinline__ ptx::SharedAddress factors() const {
        return shared_ + plan.factor_offset() + consumer_ * own_factors * 4;
    }
    /// Whether a row of this factor is left to the kernel of bf16.
    [[nodiscard]] __device__ __forceinline__ static bool is_left(float factor) { return factor < 0.0F; }
    /// Factors of two columns, an even one and the next.
    [[nodiscard]] __device__ __forceinline__ float2 channels(int column) const {
        return ptx::load_shared_pair(factors() + column * 4);
    }
    __device__ __forceinline__ void store_from_registers(const Call& call, const float (&sums)[columns / 2],
                                                         const TilePart& part, const float (&token)[2],
                                                         int thread) const {
        const int own_row = accumulator_row(thread, 0);
#pragma unroll
        for (int first = 0; first < columns / 2; first += 4) {
            const int column = accumulator_column(thread, first);
            const float2 channel = channels(column);
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                if (own_row + h * 8 < part.rows && !is_left(token[h])) {
                    store_pair(call, part.row + own_row + h * 8, part.column + column,
                               sums[first + h * 2] * token[h] * channel.x,
                               sums[first + h * 2 + 1] * token[h] * channel.y);
                }
            }
        }
    }

    ptx::SharedAddress shared_;
    int consumer_;
    int next_ = 0;
};

/// How the words of a thread's two rows of a block (packed_weights.hpp) become fp8: a word of four values a step and
/// row, in the order of rebased_place.
template <WeightFormat format>
struct Decoding;

template <>
struct Decoding<WeightFormat::e2m1_ue8m0> {
    using Type = ptx::E5m2;

    /// What a thread keeps of its rows, in the place of a byte of scales.
    [[nodiscard]] __device__ __forceinline__ static std::uint32_t row_base(std::uint32_t factor) {
        return scale_offset_base(factor);
    }
    __device__ __forceinline__ static void decode(const std::uint32_t (&words)[4], std::uint32_t scales,
                                                  std::uint32_t bases, std::uint32_t (&first)[4],
                                                  std::uint32_t (&second)[4]) {
        const std::uint32_t offsets = scales - bases;
#pragma unroll
        for (int group = 0; group < 2; ++group) {
            const E5m2Magnitudes of_first = e5m2_magnitudes(offsets, group * 2U);
            const E5m2Magnitudes of_second = e5m2_magnitudes(offsets, group * 2U + 1U);
#pragma unroll
            for (int step = group * 2; step < group * 2 + 2; ++step) {
                const E5m2Words decoded = e5m2_words(words[step], of_first, of_second);
                first[step] = decoded.first;
                second[step] = decoded.second;
            }
        }
    }
};

template <>
struct Decoding<WeightFormat::e4m3_ue8m0> {
    using Type = ptx::E4m3;

    [[nodiscard]] __device__ __forceinline__ static std::uint32_t row_base(std::uint32_t factor) {
        return packed_top(factor, Rebased::e4m3_top, ScaleCode::e4m3_exponent, 255);
    }
    __device__ __forceinline__ static void decode(const std::uint32_t (&words)[8], std::uint32_t scales,
                                                  std::uint32_t tops, std::uint32_t (&first)[4],
                                                  std::uint32_t (&second)[4]) {
        const std::uint32_t binades = tops - scales;
        const auto lowered_in_order = [](std::uint32_t values, std::uint32_t factors) {
            return __byte_perm(lowered(values, factors), 0, 0x2301);  // packed words have k = 2c + 8 before 2c
        };
#pragma unroll
        for (int group = 0; group < 2; ++group) {
            const std::uint32_t of_first = lowering_factors(binades >> (16 * group) & 0xFFU);
            const std::uint32_t of_second = lowering_factors(binades >> (16 * group + 8) & 0xFFU);
#pragma unroll
            for (int step = group * 2; step < group * 2 + 2; ++step) {
                first[step] = lowered_in_order(words[step * 2], of_first);
                second[step] = lowered_in_order(words[step * 2 + 1], of_second);
            }
        }
    }
};

/// A thread's part of the decoding of a tile: of every block, the words of rows g and g + 8.
template <WeightFormat format>
class Decoder {
public:
    __device__ __forceinline__ Decoder(const PackedWeights& packed, const Tile& tile, int thread)
        : own_values_(WeightBlock::value_offset(thread, 0)),
          own_scales_(block_scale_offset(accumulator_row(thread, 0))) {
        const int row_block = tile.column / WeightBlock::rows;
        const auto row =
            (static_cast<std::int64_t>(tile.expert) * packed.shape.row_blocks + row_block) * WeightBlock::rows;
#pragma unroll
        for (int i = 0; i < row_blocks; ++i) {
            const bool exists = row_block + i < packed.shape.row_blocks;
            const float* const factors =
                packed.rebased_factors + row + accumulator_row(thread, 0) + (exists ? i * WeightBlock::rows : 0);
            const std::uint32_t both = Decoding<format>::row_base(__float_as_uint(__ldg(factors))) |
                                       Decoding<format>::row_base(__float_as_uint(__ldg(factors + 8))) << 8;
            bases_[i] = both * 0x00010001U;
        }
    }

    /// Writes a thread's part of a stage, whose first blocks have been asked for; two are on their way at a time.
    /// \param source the stage's packed blocks, depth by depth
    /// \param target of the stage's W, what decoded_offset says
    /// \param next   gives the packed blocks of the stage that comes next, once they are there
    template <class Next>
    __device__ __forceinline__ void decode(ptx::SharedAddress source, ptx::SharedAddress target, const Next& next) {
#pragma unroll
        for (int number = 0; number < blocks; ++number) {
            std::uint32_t first[4];
            std::uint32_t second[4];
            Decoding<format>::decode(words_[number % ahead], scales_[number % ahead], bases_[number % row_blocks],
                                     first, second);
            if (number == blocks - ahead) {
                source = next();
            }
            load(source, (number + ahead) % blocks);
            // The blocks along K lie beside each other, swizzled or not.
            const ptx::SharedAddress at = (target ^ (number / row_blocks * WeightBlock::depth)) +
                                          number % row_blocks * (WeightBlock::rows * row_bytes);
            ptx::stmatrix_x4(at, first[0], first[1], first[2], first[3]);
            ptx::stmatrix_x4(at + 8 * row_bytes, second[0], second[1], second[2], second[3]);
        }
    }
    /// Asks for the first blocks of a tile's first stage.
    __device__ __forceinline__ void begin(ptx::SharedAddress source) {
#pragma unroll
        for (int number = 0; number < ahead; ++number) {
            load(source, number);
        }
    }

private:
    static constexpr int bits = block_of(format).bits;
    static constexpr int blocks = row_blocks * depths;  ///< of a stage
    static constexpr int ahead = 2;

    __device__ __forceinline__ void load(ptx::SharedAddress source, int number) {
        const ptx::SharedAddress from = source + number * block_of(format).bytes();
        std::uint32_t* const words = words_[number % ahead];
#pragma unroll
        for (int piece = 0; piece < bits / 4; ++piece) {
            const int4 four = ptx::load_shared_4(from + own_values_ + WeightBlock::value_offset(0, piece));
            words[piece * 4] = static_cast<std::uint32_t>(four.x);
            words[piece * 4 + 1] = static_cast<std::uint32_t>(four.y);
            words[piece * 4 + 2] = static_cast<std::uint32_t>(four.z);
            words[piece * 4 + 3] = static_cast<std::uint32_t>(four.w);
        }
        scales_[number % ahead] = ptx::load_shared_word(from + own_scales_);
    }
    [[nodiscard]] __device__ __forceinline__ static int block_scale_offset(int row) {
        constexpr WeightBlock own = block_of(format);  // its address is not known on the device
        return own.scale_offset(row, 0);
    }

    int own_values_;
    int own_scales_;
    std::uint32_t bases_[row_blocks];
    std::uint32_t words_[ahead][bits];
    std::uint32_t scales_[ahead];
};

}  // namespace rebased

template <WeightFormat format>
__global__ void __launch_bounds__(rebased::threads, 1)
    rebased_weights(const __grid_constant__ Maps maps, const __grid_constant__ Call call,
                    const __grid_constant__ PackedWeights packed, const __grid_constant__ Route route) {
    using namespace rebased;
    extern __shared__ __align__(swizzle_bytes) std::uint8_t memory[];
    ptx::let_next_kernel_start();
    if (__ldg(packed.not_rebasable) != 0) {
        ptx::wait_for_kernel_before();  // who comes after this kernel needs what that one wrote
        return;
    }
    const ptx::SharedAddress shared = ptx::shared_address(memory);
    const RingBarriers<stages> ring{shared + plan.barrier_offset()};
    using Packed = PackedRing<format>;
    const RingBarriers<Packed::stages> packed_ring{shared + Packed::barrier_offset};
    const TileQueue<stages> queue{shared + plan.tile_offset()};
    // From one lane to all, so that the compiler knows that it is the same for a warp.
    const int role = __shfl_sync(~0U, static_cast<int>(threadIdx.x) / warpgroup, 0);
    if (threadIdx.x == 0) {
        queue.init();
        ring.init(1 + warpgroup / 32 * warp_arrivals, consumers * (warpgroup / 32) * warp_arrivals);
        packed_ring.init(1, warpgroup / 32 * warp_arrivals);
    }
    __syncthreads();

    const int steps = ceil_div(packed.shape.depths, depths);
    const int thread = static_cast<int>(threadIdx.x) % warpgroup;
    RingPlace<stages> place;
    Tiles<stages> tiles(queue);
    Tile tile{};

    if (role == 0) {
        ptx::setmaxnreg_dec<producer_registers>();
        const int warp = thread / 32;
        if (warp == 0) {  // rows of A, which the kernel before may still be writing
            ptx::wait_for_kernel_before();
            const int telling = telling_step(steps);
            while (tiles.next(tile)) {
                const bool is_full = tile.rows > tile_rows - wgmma_rows;
                const CUtensorMap* const map = is_full ? &maps.a : &maps.a_part;
                const int boxes = is_full ? 1 : ceil_div(tile.rows, wgmma_rows);
                const int bytes = (is_full ? tile_rows : boxes * wgmma_rows) * row_bytes;
                for (int step = 0; step < steps; ++step) {
                    ptx::mbarrier_wait(ring.empty(place.stage), place.parity ^ 1);
                    if (threadIdx.x == 0) {
                        const ptx::SharedAddress barrier = ring.full(place.stage);
                        const ptx::SharedAddress a = shared + place.stage * plan.stage_bytes() + plan.a_offset();
                        ptx::mbarrier_arrive_expect(barrier, bytes);
                        for (int i = 0; i < boxes; ++i) {
                            const int row = i * wgmma_rows;
                            ptx::tma_load_2d(a + row * row_bytes, map, barrier, step * row_bytes, tile.row + row,
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
            TileFinder<stages, tile_shape>(queue, call, steps).find_all();
        } else if (warp == 2) {  // packed blocks
            RingPlace<Packed::stages> packed_place;
            const bool leader = thread % 32 == 0;
            while (tiles.next(tile)) {
                const int row_block = tile.column / WeightBlock::rows;
                const int bytes = min(row_blocks, packed.shape.row_blocks - row_block) * Packed::block_bytes;
                const int stride = packed.shape.band_height(row_block) * Packed::block_bytes;
                const std::uint8_t* source =
                    packed.blocks + packed.shape.block(tile.expert, row_block, 0) * Packed::block_bytes;
                for (int step = 0; step < steps && leader; ++step) {
                    ptx::mbarrier_wait(packed_ring.empty(packed_place.stage), packed_place.parity ^ 1);
                    const ptx::SharedAddress barrier = packed_ring.full(packed_place.stage);
                    ptx::mbarrier_arrive_expect(barrier, depths * bytes);
#pragma unroll
                    for (int depth = 0; depth < depths; ++depth) {
                        ptx::bulk_load(shared + Packed::offset + packed_place.stage * Packed::stage_bytes +
                                           depth * Packed::depth_bytes,
                                       source, bytes, barrier, ptx::Evict::normal);
                        // Beyond K the last block comes once more: it meets zeros of A, and must be numbers.
                        source += step * depths + depth + 1 < packed.shape.depths ? stride : 0;
                    }
                    packed_place.advance();
                }
                __syncwarp();
            }
        }
    } else if (role == consumers + 1) {
        ptx::setmaxnreg_dec<decoder_registers>();
        const ptx::SharedAddress own = shared + decoded_offset(thread);
        RingPlace<Packed::stages> packed_place;
        while (tiles.next(tile)) {
            Decoder<format> decoder(packed, tile, thread);
            const auto packed_stage = [&] {
                ptx::mbarrier_wait(packed_ring.full(packed_place.stage), packed_place.parity);
                return shared + Packed::offset + packed_place.stage * Packed::stage_bytes;
            };
            ptx::SharedAddress source = packed_stage();
            decoder.begin(source);
            for (int step = 0; step < steps; ++step) {
                const int decoded = packed_place.stage;
                packed_place.advance();
                ptx::mbarrier_wait(ring.empty(place.stage), place.parity ^ 1);
                decoder.decode(source, own + place.stage * plan.stage_bytes(), [&] {
                    // After the last one, of whatever lies there, for nothing.
                    return step + 1 < steps ? source = packed_stage() : source;
                });
                ptx::fence_async_shared();
                ptx::warp_barrier();
                warp_arrive(packed_ring.empty(decoded), thread);
                warp_arrive(ring.full(place.stage), thread);
                place.advance();
            }
        }
    } else {
        ptx::setmaxnreg_inc<consumer_registers>();
        ptx::wait_for_kernel_before();  // factors of rows
        const int consumer = role - 1;
        using Product = ptx::Wgmma<ptx::E4m3, typename Decoding<format>::Type, columns>;
        const std::uint32_t to_own_rows =
            static_cast<std::uint32_t>(plan.a_offset() + first_row(consumer, 0) * row_bytes) / 16;
        std::uint32_t stage = ptx::swizzled_128_descriptor(shared);  // made ahead of the products that wait for it
        const auto advance = [&] {
            warp_arrive(ring.empty(place.stage), thread);
            place.advance();
            stage = ptx::swizzled_128_descriptor(shared + place.stage * plan.stage_bytes());
        };
        float sums[pieces][Product::registers];
        float part[Product::registers];
        const auto begin = [&](int piece) {
            ptx::settle(part);  // no value to carry over: no move to make
            const std::uint32_t left =
                stage + to_own_rows + static_cast<std::uint32_t>(piece * consumers * wgmma_rows * row_bytes / 16);
            ptx::wgmma_fence();
#pragma unroll
            for (int depth = 0; depth < 4; ++depth) {  // 32 of K each
                Product::issue(part, left + depth * 2, stage + depth * 2, depth > 0);
            }
            ptx::wgmma_commit();
        };
        const auto end = [&](int piece, bool is_last) {
            ptx::wgmma_wait<0>();
            ptx::settle(part);
            if (is_last) {
                __syncwarp();
                advance();
            }
#pragma unroll
            for (int i = 0; i < Product::registers; ++i) {
                sums[piece][i] += part[i];
            }
        };
        // A tile's stages of `count` pieces each, the first piece of the first being under way.
        const auto do_tile = [&]<int count>(std::integral_constant<int, count>) {
            const auto finish_stage = [&] {
                end(0, count == 1);
#pragma unroll
                for (int piece = 1; piece < count; ++piece) {
                    begin(piece);
                    end(piece, piece == count - 1);
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
        Output output(shared, consumer);
        // By votes, so that the compiler knows that all take the same branches.
        const auto has_piece = [&](const Tile& of, int piece) {
            return __any_sync(~0U, static_cast<int>(of.rows > first_row(consumer, piece))) != 0;
        };
        Tile finished{};
        while (true) {
            const bool more = tiles.next(tile);
            const bool has_any = has_piece(tile, 0);
            if (more && !has_any) {
                for (int step = 0; step < steps; ++step) {
                    ptx::mbarrier_wait(ring.full(place.stage), place.parity);
                    __syncwarp();
                    advance();
                }
                continue;
            }
            if (has_any) {
                ptx::mbarrier_wait(ring.full(place.stage), place.parity);
            }
            // After the last tile, of whatever lies there, for nothing: a second copy of the code that stores would
            // have to come from memory.
            begin(0);
            ptx::cp_async_wait();
#pragma unroll
            for (int piece = 0; piece < pieces; ++piece) {
                if (has_piece(finished, piece)) {
                    const int row = first_row(consumer, piece);
                    output.store(call, &maps.y, sums[piece],
                                 {finished.expert, finished.row + row, finished.rows - row, finished.column, columns},
                                 piece, thread);
                }
            }
            if (!has_piece(tile, 0)) {
                ptx::wgmma_wait<0>();
                break;
            }
            finished = tile;
            output.barrier();  // the factors before are not needed any more
            output.fetch_factors(packed, route, tile, thread);
#pragma unroll
            for (auto& of_piece : sums) {
#pragma unroll
                for (float& sum : of_piece) {
                    sum = 0.0F;
                }
            }
            if (has_piece(tile, pieces - 1)) {
                do_tile(std::integral_constant<int, pieces>{});
            } else {
                do_tile(std::integral_constant<int, 1>{});
            }
        }
        if (thread == 0) {
            ptx::bulk_wait_all();
        }
    }
}

template <WeightFormat format>
[[nodiscard]] Kernel rebased_kernel() {
    Kernel kernel{"rebased_256x128", reinterpret_cast<const void*>(&rebased_weights<format>), rebased::threads,
                  rebased::PackedRing<format>::bytes};
    kernel.tile_rows = rebased::tile_rows;
    kernel.tile_columns = rebased::columns;
    kernel.a_box = rebased::tile_rows;
    kernel.a_part_box = wgmma_rows;
    return kernel;
}

}  // namespace moegemm::hopper
