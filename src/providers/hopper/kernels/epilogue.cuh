/// \file
/// From accumulators to y: scales of whole rows and columns, one rounding, stores.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "providers/hopper/kernels/call.hpp"
#include "providers/hopper/kernels/element.hpp"
#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/smem_plan.hpp"
#include "providers/hopper/kernels/tile_walk.hpp"
#include "providers/hopper/ptx/tma.cuh"
#include "providers/hopper/ptx/warpgroup.cuh"

namespace moegemm::hopper {

/// Scales of whole rows and columns of y. In the contract's order of rounding: (sum · row's) · column's, or alpha ·
/// sum, which takes the row's place. Columns' loads are volatile, so that those of a tile are not all begun at once:
/// there are no registers for them.
template <Factors factors>
class OutputScales {
public:
    __device__ __forceinline__ OutputScales(const Call& call, int expert)
        : tokens_(call.token_scale),
          channels_(call.token_scale == nullptr
                        ? nullptr
                        : call.channel_scale + static_cast<std::int64_t>(expert) * call.columns) {
        if constexpr (factors == Factors::call) {
            alpha_ = call.alpha == nullptr ? 1.0F : __ldg(call.alpha);
        }
    }
    /// Of row `row` of y, or what stands for it; 0 where it is not to be read.
    [[nodiscard]] __device__ __forceinline__ float token(int row, bool exists) const {
        if constexpr (factors == Factors::none) {
            return 1.0F;
        }
        if (factors == Factors::call && tokens_ == nullptr) {
            return alpha_;
        }
        return exists ? __ldg(tokens_ + row) : 0.0F;
    }
    [[nodiscard]] __device__ __forceinline__ float channel(int column, bool exists) const {
        if (factors == Factors::none || (factors == Factors::call && channels_ == nullptr)) {
            return 1.0F;
        }
        float scale = 0.0F;
        if (exists) {
            asm volatile("ld.global.nc.f32 %0, [%1];" : "=f"(scale) : "l"(channels_ + column));
        }
        return scale;
    }
    /// Of two columns, the first even, of rows that start at a multiple of 8 bytes.
    [[nodiscard]] __device__ __forceinline__ float2 channel_pair(int column, bool exists) const {
        if (factors == Factors::none || (factors == Factors::call && channels_ == nullptr)) {
            return make_float2(1.0F, 1.0F);
        }
        float2 pair = make_float2(0.0F, 0.0F);
        if (exists) {
            asm volatile("ld.global.nc.v2.f32 {%0, %1}, [%2];" : "=f"(pair.x), "=f"(pair.y) : "l"(channels_ + column));
        }
        return pair;
    }
    /// Brings scales near that channel_pair will ask for.
    __device__ __forceinline__ void prefetch_channel(int column, bool exists) const {
        if (factors != Factors::none && channels_ != nullptr && exists) {
            float ignored;
            asm volatile("ld.global.nc.f32 %0, [%1];" : "=f"(ignored) : "l"(channels_ + column));
        }
    }
    template <class Sum>
    [[nodiscard]] __device__ __forceinline__ static float apply(Sum sum, float token, float channel) {
        const auto value = static_cast<float>(sum);
        return factors == Factors::none ? value : value * token * channel;
    }

private:
    const float* tokens_;
    const float* channels_;
    float alpha_ = 1.0F;
};

/// Two values, rounded to nearest even and packed, the first in the low half; beyond the range they become infinite.
template <Dst dst>
__device__ __forceinline__ std::uint32_t pack(float low, float high) {
    std::uint32_t bits;
    if constexpr (dst == Dst::bf16) {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
        memcpy(&bits, &pair, sizeof bits);
    } else {
        const __half2 pair = __floats2half2_rn(low, high);
        memcpy(&bits, &pair, sizeof bits);
    }
    return bits;
}

/// Writes (row, column) and (row, column + 1) of y, the part of it that lies within N columns.
__device__ __forceinline__ void store_pair(const Call& call, int row, int column, float first, float second) {
    if (column >= call.columns) {
        return;
    }
    const bool both = column + 1 < call.columns;
    const std::int64_t at = static_cast<std::int64_t>(row) * call.columns + column;
    if (call.dst == Dst::f32) {
        float* const y = static_cast<float*>(call.y) + at;
        if (both && call.paired) {
            *reinterpret_cast<float2*>(y) = make_float2(first, second);
        } else {
            y[0] = first;
            if (both) {
                y[1] = second;
            }
        }
        return;
    }
    std::uint16_t* const y = static_cast<std::uint16_t*>(call.y) + at;
    const std::uint32_t bits = call.dst == Dst::bf16 ? pack<Dst::bf16>(first, second) : pack<Dst::f16>(first, second);
    if (both && call.paired) {
        *reinterpret_cast<std::uint32_t*>(y) = bits;
    } else {
        y[0] = static_cast<std::uint16_t>(bits);
        if (both) {
            y[1] = static_cast<std::uint16_t>(bits >> 16);
        }
    }
}

/// Stores the first `rows` of a warpgroup's 64 rows × `columns` accumulators whose rows are rows of y: rounded, in
/// chunks of 64 columns, to buffers in shared memory. From there 64 rows leave by the copy engine, which clips what
/// lies past N; what it still reads is waited for when the buffer is needed again. An expert's last rows are copied by
/// the threads, 16 bytes at a time: the rows after them are another's. \param buffers of this warpgroup, `buffer_count`
/// of them \param next    the buffer that comes next, kept between calls \param barrier number of a barrier of this
/// warpgroup alone
template <Factors factors, Dst dst, int columns, int buffer_count, class Sum>
__device__ __forceinline__ void store_rows_by_chunks(const Call& call, const CUtensorMap* y_map,
                                                     const OutputScales<factors>& scales,
                                                     const Sum (&sums)[columns / 2], int row, int rows, int column,
                                                     std::uint8_t* buffers, int& next, int thread, int barrier) {
    constexpr int chunks = columns / 64;
    constexpr bool all_at_once = buffer_count >= chunks;
    asm volatile("" : "+r"(thread));  // addresses are made here, not kept in registers from tile to tile
    const int own_row = accumulator_row(thread, 0);
    const float token[2] = {scales.token(row + own_row, own_row < rows),
                            scales.token(row + own_row + 8, own_row + 8 < rows)};
#pragma unroll
    for (int chunk = 0; chunk < chunks; ++chunk) {
        if (!all_at_once || chunk == 0) {
            if (thread == 0) {
                ptx::bulk_wait_read<all_at_once ? 0 : buffer_count - 1>();
            }
            ptx::named_barrier(barrier, warpgroup);
        }
        std::uint8_t* const buffer = buffers + (all_at_once ? chunk : next) * SmemPlan::y_buffer_bytes;
#pragma unroll
        for (int step = 0; step < 4; ++step) {
            std::uint32_t bits[4];
#pragma unroll
            for (int half = 0; half < 2; ++half) {  // 8 columns each
                const int first = chunk * 32 + step * 8 + half * 4;
                const int at = column + accumulator_column(thread, first);
                const float2 channel = scales.channel_pair(at, at < call.columns);
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    bits[half * 2 + h] = pack<dst>(scales.apply(sums[first + h * 2], token[h], channel.x),
                                                   scales.apply(sums[first + h * 2 + 1], token[h], channel.y));
                }
            }
            ptx::stmatrix_x4(buffer + stmatrix_offset(thread, step), bits[0], bits[1], bits[2], bits[3]);
        }
        if (!all_at_once || chunk == chunks - 1) {
            ptx::fence_async_shared();
            ptx::named_barrier(barrier, warpgroup);
            for (int done = all_at_once ? 0 : chunk; done <= chunk; ++done) {
                const std::uint8_t* const source = all_at_once ? buffers + done * SmemPlan::y_buffer_bytes : buffer;
                const int first = column + done * 64;
                if (rows >= wgmma_rows) {
                    if (thread == 0 && first < call.columns) {
                        ptx::tma_store_2d(y_map, source, first, row);
                    }
                } else {
                    for (int piece = thread; piece < rows * 8; piece += warpgroup) {
                        const int at = first + piece % 8 * 8;
                        if (at < call.columns) {
                            const std::int64_t target = static_cast<std::int64_t>(row + piece / 8) * call.columns + at;
                            *reinterpret_cast<uint4*>(static_cast<std::uint16_t*>(call.y) + target) =
                                *reinterpret_cast<const uint4*>(source + swizzled_offset(piece / 8, piece % 8));
                        }
                    }
                }
            }
            if (thread == 0) {
                ptx::bulk_commit();
            }
            next = next + 1 == buffer_count ? 0 : next + 1;
        }
    }
}

/// Stores the first `rows` (0 or less: none) of a warpgroup's 64 rows.
/// \tparam mapped whether only y that Maps::y describes is ever stored to
template <Factors factors, int columns, int buffer_count, bool mapped, class Sum>
__device__ __forceinline__ void store_rows(const Call& call, const CUtensorMap* y_map, const Sum (&sums)[columns / 2],
                                           int expert, int row, int rows, int column, std::uint8_t* buffers, int& next,
                                           int thread, int barrier) {
    if (rows <= 0 || column >= call.columns) {
        return;
    }
    const OutputScales<factors> scales(call, expert);
    if (mapped || call.y_map) {
        if (call.dst == Dst::bf16) {
            store_rows_by_chunks<factors, Dst::bf16, columns, buffer_count>(call, y_map, scales, sums, row, rows,
                                                                            column, buffers, next, thread, barrier);
        } else {
            store_rows_by_chunks<factors, Dst::f16, columns, buffer_count>(call, y_map, scales, sums, row, rows, column,
                                                                           buffers, next, thread, barrier);
        }
        return;
    }
    asm volatile("" : "+r"(thread));
    const int own_row = accumulator_row(thread, 0);
    const float token[2] = {scales.token(row + own_row, own_row < rows),
                            scales.token(row + own_row + 8, own_row + 8 < rows)};
#pragma unroll
    for (int first = 0; first < columns / 2; first += 4) {
        const int at = column + accumulator_column(thread, first);
        const float channel[2] = {scales.channel(at, at < call.columns), scales.channel(at + 1, at + 1 < call.columns)};
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            if (own_row + h * 8 < rows) {
                store_pair(call, row + own_row + h * 8, at, scales.apply(sums[first + h * 2], token[h], channel[0]),
                           scales.apply(sums[first + h * 2 + 1], token[h], channel[1]));
            }
        }
    }
}

/// One thread's factors of a tile whose rows are 64 columns of y and whose columns are its rows, fetched before the
/// tile's products: from memory they take as long as many of them.
template <Factors factors, int tokens>
struct SwappedScales {
    float token[tokens / 4];
    float channel[2];

    __device__ __forceinline__ SwappedScales(const Call& call, const Tile& tile, int column, int thread) {
        const OutputScales<factors> scales(call, tile.expert);
        const int own_column = column + accumulator_row(thread, 0);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            channel[h] = scales.channel(own_column + h * 8, own_column + h * 8 < call.columns);
        }
#pragma unroll
        for (int i = 0; i < tokens / 4; ++i) {
            const int at = accumulator_column(thread, i / 2 * 4 + i % 2);
            token[i] = scales.token(tile.row + at, at < tile.rows);
        }
    }
};

/// Stores a warpgroup's accumulators whose rows are 64 columns of y from `column` on, and whose columns are its rows.
template <Factors factors, int tokens, class Sum>
__device__ __forceinline__ void store_columns(const Call& call, const SwappedScales<factors, tokens>& scales,
                                              const Sum (&sums)[tokens / 2], const Tile& tile, int column, int thread) {
    const int own_column = column + accumulator_row(thread, 0);
    const int odd = own_column & 1;
#pragma unroll
    for (int first = 0; first < tokens / 2; first += 4) {
        const int at = accumulator_column(thread, first) + odd;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            // Neighbouring columns of y lie in lanes 4 apart: of two rows, each lane ends up with both columns of one.
            const float even_row =
                OutputScales<factors>::apply(sums[first + h * 2], scales.token[first / 2], scales.channel[h]);
            const float odd_row =
                OutputScales<factors>::apply(sums[first + h * 2 + 1], scales.token[first / 2 + 1], scales.channel[h]);
            const float received = __shfl_xor_sync(~0U, odd != 0 ? even_row : odd_row, 4);
            if (at < tile.rows) {
                store_pair(call, tile.row + at, own_column + h * 8 - odd, odd != 0 ? received : even_row,
                           odd != 0 ? odd_row : received);
            }
        }
    }
}

}  // namespace moegemm::hopper
