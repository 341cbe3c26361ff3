/// \file
/// The int8 kernels of every instruction set with a dot product of unsigned by signed bytes, written once over a type
/// `S` that wraps its vectors.
///
/// `S` lives in an anonymous namespace of the file that is compiled for the instruction set (see outer_product.hpp). It
/// has: `lanes`, `tile_rows`, `tile_panels` (of the f32 kernels beside it); the vector `I` of int32 with zero, load,
/// store, add, sub, broadcast (of four bytes) and dot(sums, unsigned, signed); prefetch, into the
/// second-level cache.
///
/// The instructions take unsigned by signed bytes. A comes as A + 128, and 128 times the sum of a column of W is taken
/// off C, before or after: sums of int32 wrap around, so that whatever is too large in between, the difference is
/// exact.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "providers/cpu/kernels/kernel_family.hpp"
#include "providers/cpu/kernels/next_lines.hpp"

namespace moegemm::cpu {

template <class S>
inline constexpr auto int8_vectors = static_cast<std::size_t>(panel_columns / S::lanes);

/// 128 times the sums of the columns of some panels.
template <class S>
using ColumnSums = typename S::I[group_panels][int8_vectors<S>];

template <class S, std::size_t Panels>
inline void column_sums(const PanelGroup& weights, std::int64_t lines, ColumnSums<S>& out) {
    using I = typename S::I;
    constexpr std::size_t vectors = Panels * int8_vectors<S>;
    const I offset = S::broadcast(0x80808080U);
    const auto load = [&](std::int64_t line, std::size_t v) {
        return S::load(weights.elements + static_cast<std::int64_t>(v / int8_vectors<S>) * weights.stride +
                       line * line_bytes + static_cast<std::int64_t>(v % int8_vectors<S>) * 4 * S::lanes);
    };
    // Two sums a vector: one would wait for itself.
    I even[vectors];
    I odd[vectors];
    for (std::size_t v = 0; v < vectors; ++v) {
        even[v] = odd[v] = S::zero();
    }
    std::int64_t line = 0;
    for (; line + 1 < lines; line += 2) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < vectors; ++v) {
            even[v] = S::dot(even[v], offset, load(line, v));
            odd[v] = S::dot(odd[v], offset, load(line + 1, v));
        }
    }
#pragma GCC unroll 8
    for (std::size_t v = 0; v < vectors; ++v) {
        if (line < lines) {
            even[v] = S::dot(even[v], offset, load(line, v));
        }
        out[v / int8_vectors<S>][v % int8_vectors<S>] = S::add(even[v], odd[v]);
    }
}

template <class S, std::size_t Rows, std::size_t Panels>
void int8_rows(const Int8Call& call, std::int64_t row, std::int64_t panel, Asked asked) {
    using I = typename S::I;
    constexpr std::size_t vectors = int8_vectors<S>;
    I sums[Rows][Panels * vectors];
    for (std::size_t r = 0; r < Rows; ++r) {
        for (std::size_t v = 0; v < Panels * vectors; ++v) {
            sums[r][v] = S::zero();
        }
    }
    const std::uint8_t* a = call.a + row * int8_k_block;
    const std::uint8_t* elements = call.weights.elements + panel * call.weights.stride;
    for (std::int64_t line = 0; line < call.lines; ++line) {
#pragma GCC unroll 4
        for (std::size_t p = 0; p < Panels; ++p) {
            S::prefetch(asked.at + static_cast<std::int64_t>(p) * asked.stride);
        }
        asked.at += asked.step;
        I weights[Panels * vectors];
        for (std::size_t v = 0; v < Panels * vectors; ++v) {
            weights[v] = S::load(elements + static_cast<std::int64_t>(v / vectors) * call.weights.stride +
                                 line * line_bytes + static_cast<std::int64_t>(v % vectors) * 4 * S::lanes);
        }
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
            std::uint32_t four = 0;
            std::memcpy(&four, a + static_cast<std::int64_t>(r) * int8_k_block + 4 * line, sizeof four);
            const I ar = S::broadcast(four);
            for (std::size_t v = 0; v < Panels * vectors; ++v) {
                sums[r][v] = S::dot(sums[r][v], ar, weights[v]);
            }
        }
    }
    std::int32_t* c = call.c + panel / S::tile_panels * call.c_tile + row * S::tile_panels * panel_columns;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Panels * vectors; ++v) {
            const std::size_t p = v / vectors;
            std::int32_t* at = c + static_cast<std::int64_t>(p / S::tile_panels) * call.c_tile +
                               (r * S::tile_panels + p % S::tile_panels) * panel_columns + v % vectors * S::lanes;
            const I before = S::load(reinterpret_cast<const std::uint8_t*>(at));
            S::store(at, S::add(before, sums[r][v]));
        }
    }
}

/// All rows of two or four panels, in equal steps.
template <class S, std::size_t Panels, std::size_t... Rows>
void int8_panels(const Int8Call& call, std::int64_t panel, std::index_sequence<Rows...> /*rows less one*/) {
    using Kernel = void (*)(const Int8Call&, std::int64_t, std::int64_t, Asked);
    static constexpr Kernel kernels[] = {int8_rows<S, Rows + 1, Panels>...};
    constexpr auto most = static_cast<std::int64_t>(sizeof...(Rows));
    const std::int64_t steps = (call.rows + most - 1) / most;
    const std::int64_t rows_least = call.rows / steps;
    const std::int64_t longer_steps = call.rows % steps;
    const std::uint8_t* next = call.weights.elements + panel * call.weights.stride + call.next;
    AskedLines<S> asked({next, call.weights.stride, Panels, call.lines}, call.lines, steps, call.times_asked);
    std::int64_t row = 0;
    for (std::int64_t step = 0; step < steps; ++step) {
        const std::int64_t rows = rows_least + (step < longer_steps ? 1 : 0);
        kernels[rows - 1](call, row, panel, asked.next());
        row += rows;
    }
}

template <class S>
void int8_sums(const Int8Call& call) {
    if (call.weights.panels == group_panels && call.rows <= S::tile_rows / 2) {
        int8_panels<S, group_panels>(call, 0, std::make_index_sequence<S::tile_rows / 2>{});
        return;
    }
    for (std::int64_t panel = 0; panel < call.weights.panels; panel += 2) {
        int8_panels<S, 2>(call, panel, std::make_index_sequence<S::tile_rows>{});
    }
}

/// C -= 128 · the sums of the columns.
template <class S>
void int8_take_off(const Int8Call& call) {
    ColumnSums<S> column;
    call.weights.panels == group_panels ? column_sums<S, group_panels>(call.weights, call.lines, column)
                                        : column_sums<S, 2>(call.weights, call.lines, column);
    for (std::int64_t row = 0; row < call.rows; ++row) {
        for (std::int64_t panel = 0; panel < call.weights.panels; ++panel) {
            std::int32_t* at = call.c + panel / S::tile_panels * call.c_tile +
                               (row * S::tile_panels + panel % S::tile_panels) * panel_columns;
            for (std::size_t v = 0; v < int8_vectors<S>; ++v, at += S::lanes) {
                S::store(at, S::sub(S::load(reinterpret_cast<const std::uint8_t*>(at)),
                                    column[static_cast<std::size_t>(panel)][v]));
            }
        }
    }
}

}  // namespace moegemm::cpu
