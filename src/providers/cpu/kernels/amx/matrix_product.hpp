/// \file
/// Products of tiles, written over a type `T` that has the instructions on them: `zero<t>()`, `load<t>(address,
/// stride)`, `load_once` likewise, `store<t>(address, stride)`, `dot_bf16<c, a, b>()`, `dot_int8<c, a, b>()`.
///
///                    panel 0   panel 1
///                    tile 6    tile 7     16 lines of 64 bytes: 16 columns by 32 k of bf16 or 64 of int8
///   16 rows: tile 4  tile 0    tile 1
///   16 rows: tile 5  tile 2    tile 3     16 rows of 16 sums
#pragma once

#include <cstdint>

#include "providers/cpu/kernels/kernel_family.hpp"
#include "providers/cpu/kernels/next_lines.hpp"

namespace moegemm::cpu {

inline constexpr std::int64_t matrix_columns = 2 * panel_columns;
inline constexpr std::int64_t matrix_c_stride = matrix_columns * 4;
inline constexpr std::int64_t half_c_stride = matrix_c_stride / 2;

struct DotBf16 {
    template <class T, int C, int A, int B>
    static void run() {
        T::template dot_bf16<C, A, B>();
    }
};
struct DotInt8 {
    template <class T, int C, int A, int B>
    static void run() {
        T::template dot_int8<C, A, B>();
    }
};

/// Asks for what a call wants next, a little at every step.
template <class T>
class NextOfCall {
public:
    explicit NextOfCall(const MatrixCall& call)
        : weights_(call.next[0], steps_of(call)),
          rows_(call.next[1], steps_of(call)),
          c_(static_cast<const std::uint8_t*>(call.c) + 2 * matrix_tile * matrix_c_stride),
          c_end_(c_ + call.next_c * line_bytes),
          c_per_step_((call.next_c + steps_of(call) - 1) / steps_of(call)) {}
    void step() {
        weights_.step();
        rows_.step();
        for (std::int64_t count = 0; count < c_per_step_ && c_ < c_end_; ++count) {
            __builtin_prefetch(c_, 1, 3);
            c_ += line_bytes;
        }
    }

private:
    [[nodiscard]] static std::int64_t steps_of(const MatrixCall& call) {
        return (call.a.row_tiles + 1) / 2 * call.blocks * call.depth_tiles;
    }

    NextLines<T> weights_;
    NextLines<T> rows_;
    const std::uint8_t* c_;
    const std::uint8_t* c_end_;
    std::int64_t c_per_step_;
};

/// One or two row tiles from `first` on over some K blocks.
template <class T, class Dot, int RowTiles>
inline void multiply_tiles(const MatrixCall& call, std::int64_t first, std::int64_t first_block, std::int64_t blocks,
                           unsigned char* c, Start start, NextOfCall<T>& next) {
    constexpr bool two = RowTiles == 2;
    if (start == Start::from_c) {
        T::template load<0>(c, matrix_c_stride);
        T::template load<1>(c + half_c_stride, matrix_c_stride);
        if constexpr (two) {
            T::template load<2>(c + matrix_tile * matrix_c_stride, matrix_c_stride);
            T::template load<3>(c + matrix_tile * matrix_c_stride + half_c_stride, matrix_c_stride);
        }
    } else {
        T::template zero<0>();
        T::template zero<1>();
        if constexpr (two) {
            T::template zero<2>();
            T::template zero<3>();
        }
    }
    for (std::int64_t block = first_block; block < first_block + blocks; ++block) {
        const std::uint8_t* a = call.a.data + block * call.a.block + first * call.a.tile;
        const std::uint8_t* b = call.b + block * call.b_block;
        for (std::int64_t depth = 0; depth < call.depth_tiles; ++depth) {
            next.step();
            T::template load_once<4>(a, call.a.stride);
            T::template load<6>(b, line_bytes);
            Dot::template run<T, 0, 4, 6>();
            T::template load<7>(b + call.b_stride, line_bytes);
            Dot::template run<T, 1, 4, 7>();
            if constexpr (two) {
                T::template load_once<5>(a + call.a.tile, call.a.stride);
                Dot::template run<T, 2, 5, 6>();
                Dot::template run<T, 3, 5, 7>();
            }
            a += call.a.depth;
            b += matrix_tile * line_bytes;
        }
    }
    T::template store<0>(c, matrix_c_stride);
    T::template store<1>(c + half_c_stride, matrix_c_stride);
    if constexpr (two) {
        T::template store<2>(c + matrix_tile * matrix_c_stride, matrix_c_stride);
        T::template store<3>(c + matrix_tile * matrix_c_stride + half_c_stride, matrix_c_stride);
    }
}

/// All row tiles, C += P, or C = P.
template <class T, class Dot>
void multiply(const MatrixCall& call) {
    auto* c = static_cast<unsigned char*>(call.c);
    NextOfCall<T> next(call);
    std::int64_t tile = 0;
    for (; tile + 1 < call.a.row_tiles; tile += 2) {
        multiply_tiles<T, Dot, 2>(call, tile, 0, call.blocks, c + tile * matrix_tile * matrix_c_stride, call.start,
                                  next);
    }
    if (tile < call.a.row_tiles) {
        multiply_tiles<T, Dot, 1>(call, tile, 0, call.blocks, c + tile * matrix_tile * matrix_c_stride, call.start,
                                  next);
    }
}

/// C += sums · mantissa · power of `rows` rows of two panels, or C = that.
template <class T>
void add_scaled_rows(const float* sums, const RowFactor* factors, std::int64_t rows, Start start, float* c) {
    for (std::int64_t row = 0; row < rows; ++row) {
        const RowFactor factor = factors[row];
        for (std::int64_t i = row * matrix_columns; i < (row + 1) * matrix_columns; ++i) {
            const float before = start == Start::from_zero ? 0.0F : c[i];
            c[i] = __builtin_fmaf(sums[i] * factor.mantissa, factor.power, before);
        }
    }
}

/// C += P · mantissa · power of the rows that exist, K block by K block, or C = the first block's and so on.
template <class T>
void multiply_scaled(const MatrixCall& call) {
    alignas(64) float sums[2 * matrix_tile * matrix_columns];
    auto* bytes = reinterpret_cast<unsigned char*>(sums);
    NextOfCall<T> next(call);
    for (std::int64_t tile = 0; tile < call.a.row_tiles; tile += 2) {
        const std::int64_t first = tile * matrix_tile;
        const std::int64_t rest = call.rows - first;
        const std::int64_t rows = rest < 2 * matrix_tile ? rest : 2 * matrix_tile;
        for (std::int64_t block = 0; block < call.blocks; ++block) {
            tile + 1 < call.a.row_tiles
                ? multiply_tiles<T, DotBf16, 2>(call, tile, block, 1, bytes, Start::from_zero, next)
                : multiply_tiles<T, DotBf16, 1>(call, tile, block, 1, bytes, Start::from_zero, next);
            add_scaled_rows<T>(sums, call.factors + block * call.rows + first, rows,
                               block == 0 ? call.start : Start::from_c,
                               static_cast<float*>(call.c) + first * matrix_columns);
        }
    }
}

}  // namespace moegemm::cpu
