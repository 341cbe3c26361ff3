/// \file
/// What tiles do, done by a dot product of pairs of bf16: written over a type `S` that wraps the vectors.
///
/// `S` lives in an anonymous namespace of the file that is compiled for the instruction set (see outer_product.hpp). It
/// has `rows`, how many rows by two panels the register file holds; the vector `F` of sixteen f32 with zero, load,
/// store, mul, fma, broadcast; `W`, sixteen pairs of weights, with load_weights, from lines of `w_bytes`; `P`, a pair
/// of A's numbers, with a_bytes of each, broadcast_pair, and dot(sums, a, w); prefetch, into the second-level cache.
///
/// Only rows that exist are multiplied. A sum runs over k in ascending pairs, whatever the rows beside it.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "providers/cpu/kernels/kernel_family.hpp"
#include "providers/cpu/kernels/next_lines.hpp"

namespace moegemm::cpu {

inline constexpr std::int64_t pair_columns = 2 * panel_columns;
/// Bytes from row to row of A, whose rows are K blocks: a constant, or each row's address would take a register.
template <class S>
inline constexpr std::int64_t dot_row_bytes = k_block* S::a_bytes;
/// Of what a line of W meets.
template <class S>
inline constexpr std::int64_t dot_pair_bytes = 2 * S::a_bytes;

/// K blocks [first, first + blocks) of `Rows` rows from `row` on, added to `sums`.
template <class S, std::size_t Rows>
inline void add_dots(const MatrixCall& call, std::int64_t row, std::int64_t first, std::int64_t blocks, Asked& asked,
                     typename S::F (&sums)[Rows][2]) {
    for (std::int64_t block = first; block < first + blocks; ++block) {
        const std::uint8_t* a = call.a.data + block * call.a.block + row * dot_row_bytes<S>;
        const std::uint8_t* b = call.b + block * call.b_block;
        for (std::int64_t line = 0; line < call.depth_tiles * matrix_tile; ++line) {
            const std::uint8_t* at = b + line * S::w_bytes;
            S::prefetch(asked.at);
            S::prefetch(asked.at + asked.stride);
            asked.at += asked.step;
            const typename S::W left = S::load_weights(at);
            const typename S::W right = S::load_weights(at + call.b_stride);
#pragma GCC unroll 16
            for (std::size_t r = 0; r < Rows; ++r) {
                const typename S::P pair =
                    S::broadcast_pair(a + static_cast<std::int64_t>(r) * dot_row_bytes<S> + line * dot_pair_bytes<S>);
                sums[r][0] = S::dot(sums[r][0], pair, left);
                sums[r][1] = S::dot(sums[r][1], pair, right);
            }
        }
    }
}

template <class S, std::size_t Rows>
void dot_rows(const MatrixCall& call, std::int64_t row, Asked asked) {
    typename S::F sums[Rows][2];
    float* c = static_cast<float*>(call.c) + row * pair_columns;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Rows; ++r) {
        const float* row_c = c + r * pair_columns;
        sums[r][0] = call.start == Start::from_zero ? S::zero() : S::load(row_c);
        sums[r][1] = call.start == Start::from_zero ? S::zero() : S::load(row_c + panel_columns);
    }
    add_dots<S, Rows>(call, row, 0, call.blocks, asked, sums);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Rows; ++r) {
        S::store(c + r * pair_columns, sums[r][0]);
        S::store(c + r * pair_columns + panel_columns, sums[r][1]);
    }
}

template <class S, std::size_t Rows>
void scaled_dot_rows(const MatrixCall& call, std::int64_t row, Asked asked) {
    float* c = static_cast<float*>(call.c) + row * pair_columns;
    for (std::int64_t block = 0; block < call.blocks; ++block) {
        const bool to_zero = block == 0 && call.start == Start::from_zero;
        typename S::F sums[Rows][2];
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
            sums[r][0] = sums[r][1] = S::zero();
        }
        add_dots<S, Rows>(call, row, block, 1, asked, sums);
        const RowFactor* factors = call.factors + block * call.rows + row;
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
            const typename S::F mantissa = S::broadcast(factors[r].mantissa);
            const typename S::F power = S::broadcast(factors[r].power);
            for (std::size_t p = 0; p < 2; ++p) {
                float* at = c + r * pair_columns + p * panel_columns;
                const typename S::F before = to_zero ? S::zero() : S::load(at);
                S::store(at, S::fma(S::mul(sums[r][p], mantissa), power, before));
            }
        }
    }
}

/// All rows of a call in equal steps.
template <class S, bool Scaled, std::size_t... Rows>
void dot_sums(const MatrixCall& call, std::index_sequence<Rows...> /*rows less one*/) {
    using Kernel = void (*)(const MatrixCall&, std::int64_t, Asked);
    static constexpr Kernel kernels[] = {(Scaled ? scaled_dot_rows<S, Rows + 1> : dot_rows<S, Rows + 1>)...};
    constexpr auto most = static_cast<std::int64_t>(sizeof...(Rows));
    const std::int64_t steps = (call.rows + most - 1) / most;
    const std::int64_t rows_least = call.rows / steps;
    const std::int64_t longer_steps = call.rows % steps;
    // Where nothing is wanted, what is there already.
    const LineRuns wanted = call.next[0].runs > 0 ? call.next[0] : LineRuns{call.b, call.b_stride, 2, 0};
    AskedLines<S> lines(wanted, call.blocks * call.depth_tiles * matrix_tile, steps, call.times_asked);
    NextLines<S> rows_of_a(call.next[1], steps);
    std::int64_t row = 0;
    for (std::int64_t step = 0; step < steps; ++step) {
        const std::int64_t rows = rows_least + (step < longer_steps ? 1 : 0);
        rows_of_a.step();
        kernels[rows - 1](call, row, lines.next());
        row += rows;
    }
}

template <class S, bool Scaled>
void dot_sums(const MatrixCall& call) {
    dot_sums<S, Scaled>(call, std::make_index_sequence<S::rows>{});
}

/// Weights as packed, K block by K block and pair by pair, while the pair's next K block is asked for.
template <class S>
std::int64_t dot_stream(const StreamCall& call) {
    MatrixCall part{};
    part.a = call.a;
    part.depth_tiles = call.depth_tiles;
    part.rows = call.rows;
    part.start = Start::from_c;
    part.blocks = 1;
    part.b_stride = call.weights.stride;
    part.times_asked = call.times_asked;
    for (std::int64_t block = 0; block < call.blocks; ++block) {
        part.a.data = call.a.data + block * call.a.block;
        for (std::int64_t pair = 0; pair < call.weights.panels / 2; ++pair) {
            part.b = call.weights.elements + 2 * pair * call.weights.stride + block * call.block_bytes;
            part.next[0] = {part.b + call.block_bytes, call.weights.stride, 2, call.block_bytes / line_bytes};
            part.c = static_cast<float*>(call.c) + pair * call.c_tile;
            dot_sums<S, false>(part);
        }
    }
    return call.blocks;
}

}  // namespace moegemm::cpu
