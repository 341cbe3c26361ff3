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
/// sum, which takes the row's place.
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
    /// Whether rows and columns have scales.
    [[nodiscard]] __device__ __forceinline__ bool any() const {
        return factors == Factors::token_channel || (factors == Factors::call && tokens_ != nullptr);
    }
    [[nodiscard]] __device__ __forceinline__ float alpha() const { return alpha_; }
    [[nodiscard]] __device__ __forceinline__ const float* tokens() const { return tokens_; }
    [[nodiscard]] __device__ __forceinline__ const float* channels() const { return channels_; }
    /// Of row `row` of y, or what stands for it; 0 where it is not to be read.
    [[nodiscard]] __device__ __forceinline__ float token(int row, bool exists) const {
        return !any() ? alpha_ : exists ? __ldg(tokens_ + row) : 0.0F;
    }
    [[nodiscard]] __device__ __forceinline__ float channel(int column, bool exists) const {
        return !any() ? 1.0F : exists ? __ldg(channels_ + column) : 0.0F;
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
/// Both types are made and one is taken: code for each apart would be twice as long, and what a call runs once is slow
/// because of its length, coming from memory.
__device__ __forceinline__ std::uint32_t pack(Dst dst, float low, float high) {
    const __nv_bfloat162 as_bf16 = __floats2bfloat162_rn(low, high);
    const __half2 as_f16 = __floats2half2_rn(low, high);
    std::uint32_t bf16_bits;
    std::uint32_t f16_bits;
    memcpy(&bf16_bits, &as_bf16, sizeof bf16_bits);
    memcpy(&f16_bits, &as_f16, sizeof f16_bits);
    return dst == Dst::bf16 ? bf16_bits : f16_bits;
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
    const std::uint32_t bits = pack(call.dst, first, second);
    if (both && call.paired) {
        *reinterpret_cast<std::uint32_t*>(y) = bits;
    } else {
        y[0] = static_cast<std::uint16_t>(bits);
        if (both) {
            y[1] = static_cast<std::uint16_t>(bits >> 16);
        }
    }
}

/// What one warpgroup stores of a tile: up to 64 rows, and no rows at all where `rows` is 0 or less.
struct TilePart {
    int expert;
    int row;
    int rows;
    int column;
    int columns;  ///< of the sums, from the first on: a multiple of 64
};

/// Rows of a full buffer, 64 rows × 64 columns of 2 bytes, swizzled, to y's columns from `column` on, those of the
/// expert's that `wanted` is true of: by the warpgroup's threads, 16 bytes at a time.
template <class Wanted>
__device__ __forceinline__ void copy_rows(const Call& call, ptx::SharedAddress buffer, const TilePart& part, int column,
                                          int thread, const Wanted& wanted) {
    const int rows = min(part.rows, wgmma_rows);
    for (int piece = thread; piece < rows * 8; piece += warpgroup) {
        const int at = column + piece % 8 * 8;
        if (at < call.columns && wanted(piece / 8)) {
            const std::int64_t target = static_cast<std::int64_t>(part.row + piece / 8) * call.columns + at;
            *reinterpret_cast<int4*>(static_cast<std::uint16_t*>(call.y) + target) =
                ptx::load_shared_4(buffer + swizzled_offset(piece / 8, piece % 8));
        }
    }
}

/// All of the expert's rows of a full buffer: by the copy engine where it has 64.
__device__ __forceinline__ void copy_out(const Call& call, const CUtensorMap* y_map, ptx::SharedAddress buffer,
                                         const TilePart& part, int column, int thread) {
    if (part.rows < wgmma_rows) {
        copy_rows(call, buffer, part, column, thread, [](int) { return true; });
    } else if (thread == 0 && column < call.columns) {
        ptx::tma_store_2d(y_map, buffer, column, part.row);
    }
}

/// One warpgroup's way out of its accumulators, whose rows are rows of y: rounded, in chunks of 64 columns, to buffers
/// in shared memory. From there 64 rows leave by the copy engine, which clips what lies past N; what it still reads is
/// waited for when the buffer is needed again. An expert's last rows are copied by the threads, 16 bytes at a time: the
/// rows after them are another's. y that no tensor map describes is written by each thread from its registers.
template <Factors factors, int columns, int buffer_count>
class OutputBuffers {
public:
    /// \param buffers of this warpgroup: `buffer_count` of SmemPlan::y_buffer_bytes
    /// \param scales  of this warpgroup: columns + 64 floats, where there are factors
    /// \param barrier number of a barrier of this warpgroup alone
    __device__ __forceinline__ OutputBuffers(ptx::SharedAddress buffers, ptx::SharedAddress scales, int barrier)
        : buffers_(buffers), scales_(scales), barrier_(barrier) {}

    /// Starts copying the scales that store() will need, those of the tile before not being needed any more.
    __device__ __forceinline__ void fetch_factors(const Call& call, const TilePart& part, int thread) {
        if constexpr (factors != Factors::none) {
            const OutputScales<factors> scales(call, part.expert);
            // Where nothing will be stored, nothing waits for the copies either.
            if (!call.y_map || !scales.any() || part.rows <= 0 || part.column >= call.columns) {
                return;
            }
            for (int at = thread; at < columns; at += warpgroup) {
                const bool exists = part.column + at < call.columns;
                ptx::cp_async_4(scales_ + at * 4, scales.channels() + (exists ? part.column + at : 0), exists);
            }
            if (thread < wgmma_rows) {
                const bool exists = thread < part.rows;
                ptx::cp_async_4(scales_ + (columns + thread) * 4, scales.tokens() + (exists ? part.row + thread : 0),
                                exists);
            }
        }
    }

    template <class Sum, int count>
    __device__ __forceinline__ void store(const Call& call, const CUtensorMap* y_map, const Sum (&sums)[count],
                                          const TilePart& part, int thread) {
        if (part.rows <= 0 || part.column >= call.columns) {
            return;
        }
        asm volatile("" : "+r"(thread));  // addresses are made here, not kept in registers from tile to tile
        if (!call.y_map) {
            store_from_registers(call, sums, part, thread);
        } else {
            store_by_chunks(call, y_map, sums, part, thread);
        }
    }

private:
    template <class Sum, int count>
    __device__ __forceinline__ void store_by_chunks(const Call& call, const CUtensorMap* y_map,
                                                    const Sum (&sums)[count], const TilePart& part, int thread) {
        constexpr int chunks = count / 32;
        const OutputScales<factors> scales(call, part.expert);
        const bool scaled = scales.any();
        const int own_row = accumulator_row(thread, 0);
        float token[2] = {scales.alpha(), scales.alpha()};
#pragma unroll
        for (int chunk = 0; chunk < chunks; ++chunk) {
            if (chunk * 64 >= part.columns) {
                break;
            }
            if (thread == 0) {
                ptx::bulk_wait_read<buffer_count - 1>();
            }
            if (factors != Factors::none && chunk == 0) {
                ptx::cp_async_wait();
            }
            ptx::named_barrier(barrier_, warpgroup);
            if (factors != Factors::none && chunk == 0 && scaled) {
                token[0] = ptx::load_shared(scales_ + (columns + own_row) * 4);
                token[1] = ptx::load_shared(scales_ + (columns + own_row + 8) * 4);
            }
            const ptx::SharedAddress buffer = buffers_ + next_ * SmemPlan::y_buffer_bytes;
#pragma unroll
            for (int step = 0; step < 4; ++step) {
                std::uint32_t bits[4];
#pragma unroll
                for (int half = 0; half < 2; ++half) {  // 8 columns each
                    const int first = chunk * 32 + step * 8 + half * 4;
                    float2 channel = make_float2(1.0F, 1.0F);
                    if (factors != Factors::none && scaled) {
                        channel = ptx::load_shared_pair(scales_ + accumulator_column(thread, first) * 4);
                    }
#pragma unroll
                    for (int h = 0; h < 2; ++h) {
                        bits[half * 2 + h] = pack(call.dst, scales.apply(sums[first + h * 2], token[h], channel.x),
                                                  scales.apply(sums[first + h * 2 + 1], token[h], channel.y));
                    }
                }
                ptx::stmatrix_x4(buffer + stmatrix_offset(thread, step), bits[0], bits[1], bits[2], bits[3]);
            }
            ptx::fence_async_shared();
            ptx::named_barrier(barrier_, warpgroup);
            copy_out(call, y_map, buffer, part, part.column + chunk * 64, thread);
            if (thread == 0) {
                ptx::bulk_commit();
            }
            next_ = next_ + 1 == buffer_count ? 0 : next_ + 1;
        }
    }

    template <class Sum, int count>
    __device__ __forceinline__ static void store_from_registers(const Call& call, const Sum (&sums)[count],
                                                                const TilePart& part, int thread) {
        const OutputScales<factors> scales(call, part.expert);
        const int own_row = accumulator_row(thread, 0);
        const float token[2] = {scales.token(part.row + own_row, own_row < part.rows),
                                scales.token(part.row + own_row + 8, own_row + 8 < part.rows)};
#pragma unroll
        for (int first = 0; first < count; first += 4) {
            const int at = part.column + accumulator_column(thread, first);
            if (at >= part.column + part.columns) {
                break;
            }
            const float channel[2] = {scales.channel(at, at < call.columns),
                                      scales.channel(at + 1, at + 1 < call.columns)};
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                if (own_row + h * 8 < part.rows) {
                    store_pair(call, part.row + own_row + h * 8, at,
                               scales.apply(sums[first + h * 2], token[h], channel[0]),
                               scales.apply(sums[first + h * 2 + 1], token[h], channel[1]));
                }
            }
        }
    }

    ptx::SharedAddress buffers_;
    ptx::SharedAddress scales_;
    int barrier_;
    int next_ = 0;
};

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
