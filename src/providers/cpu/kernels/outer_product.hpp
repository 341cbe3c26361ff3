/// \file
/// The f32 kernels of every instruction set, written once over a type `S` that wraps its vectors.
///
/// `S` lives in an anonymous namespace of the file that is compiled for the instruction set, so every instantiation is
/// that file's own. It has: `lanes`, `tile_vectors`, `tile_rows`, `direct_rows(Element)`, `direct_step(Element)`,
/// `panels_of(rows)`; the vector
/// `F` of f32 with zero, load, store, broadcast, mul, fma; `decode_row<Element>` (four vectors of consecutive elements,
/// times 1/unit(Element)); `decode_line<Element>` (`lanes` columns of a line); `scales<GroupScale>`; `add_int`,
/// `store_f16`, `store_bf16` (to nearest even; every NaN gives 0x7FFF), `prefetch`.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

template <Element E>
inline constexpr std::int64_t bits_of = element_bits[static_cast<std::size_t>(E)];

/// `use(row, vector, index in C)` for every vector of `Rows` rows, unrolled: an accumulator that a loop's index chose
/// would have to lie in memory.
template <class S, std::size_t Rows, std::size_t Vectors, class Use>
inline void each_sum(std::int64_t c_tile, Use use) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) {
            use(r, v,
                static_cast<std::size_t>(c_tile) * (v / S::tile_vectors) +
                    (S::tile_vectors * r + v % S::tile_vectors) * S::lanes);
        }
    }
}

/// Adds the sums of `Rows` rows to C, as `combine` says.
template <class S, std::size_t Rows, std::size_t Vectors>
inline void combine_sums(const typename S::F (&sums)[Rows][Vectors], void* c, std::int64_t c_tile,
                         const RowFactor* factors, Combine combine) {
    auto* numbers = static_cast<float*>(c);
    switch (combine) {
        case Combine::store:
            each_sum<S, Rows, Vectors>(
                c_tile, [&](std::size_t r, std::size_t v, std::size_t at) { S::store(numbers + at, sums[r][v]); });
            break;
        case Combine::add:
            each_sum<S, Rows, Vectors>(c_tile, [&](std::size_t r, std::size_t v, std::size_t at) {
                S::store(numbers + at, S::add(S::load(numbers + at), sums[r][v]));
            });
            break;
        case Combine::add_int:
            each_sum<S, Rows, Vectors>(c_tile, [&](std::size_t r, std::size_t v, std::size_t at) {
                S::add_int(static_cast<std::int32_t*>(c) + at, sums[r][v]);
            });
            break;
        case Combine::add_scaled:
            each_sum<S, Rows, Vectors>(c_tile, [&](std::size_t r, std::size_t v, std::size_t at) {
                const typename S::F scaled = S::mul(sums[r][v], S::broadcast(factors[r].mantissa));
                S::store(numbers + at, S::fma(scaled, S::broadcast(factors[r].power), S::load(numbers + at)));
            });
            break;
    }
}

template <class S>
inline constexpr std::int64_t tile_columns_of = static_cast<std::int64_t>(S::tile_vectors) * S::lanes;

/// `Rows` rows from `row` on by a tile's vectors: the accumulators fill the register file.
/// \tparam Ask whether to ask for what comes next
template <class S, std::size_t Rows, bool Ask>
void tile_rows(const TileCall& call, std::int64_t row) {
    using F = typename S::F;
    constexpr std::size_t vectors = S::tile_vectors;
    constexpr std::int64_t panels = tile_columns_of<S> / panel_columns;
    const float* a = call.a + row * k_block;
    F sums[Rows][vectors];
    for (std::size_t r = 0; r < Rows; ++r) {
        for (std::size_t v = 0; v < vectors; ++v) {
            sums[r][v] = S::zero();
        }
    }
    for (std::int64_t k = 0; k < call.depth; ++k) {
        if constexpr (Ask) {
            for (std::int64_t panel = 0; panel < panels; ++panel) {
                S::prefetch(call.next + panel * call.next_stride + k * call.next_step);
            }
        }
        F weights[vectors];
        for (std::size_t v = 0; v < vectors; ++v) {
            weights[v] = S::load(call.b + k * tile_columns_of<S> + static_cast<std::int64_t>(v) * S::lanes);
        }
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
            const F ar = S::broadcast(a[static_cast<std::int64_t>(r) * k_block + k]);
            for (std::size_t v = 0; v < vectors; ++v) {
                sums[r][v] = S::fma(ar, weights[v], sums[r][v]);
            }
        }
    }
    combine_sums<S>(sums, static_cast<float*>(call.c) + row * tile_columns_of<S>, 0, call.factors + row, call.combine);
}

/// All rows of a call, in equal steps: 13 rows by 12 are 7 and 6, never 12 and a lone one. The first step asks for what
/// comes next.
template <class S, std::size_t... Rows>
void tile_sums(const TileCall& call, std::index_sequence<Rows...> /*rows less one*/) {
    using Kernel = void (*)(const TileCall&, std::int64_t);
    static constexpr Kernel kernels[] = {tile_rows<S, Rows + 1, false>...};
    static constexpr Kernel asking[] = {tile_rows<S, Rows + 1, true>...};
    const std::int64_t steps = (call.rows + S::tile_rows - 1) / S::tile_rows;
    const std::int64_t rows_least = call.rows / steps;
    const std::int64_t longer_steps = call.rows % steps;
    std::int64_t row = 0;
    for (std::int64_t step = 0; step < steps; ++step) {
        const std::int64_t rows = rows_least + (step < longer_steps ? 1 : 0);
        (step == 0 ? asking : kernels)[rows - 1](call, row);
        row += rows;
    }
}

template <class S>
void tile_sums(const TileCall& call) {
    tile_sums<S>(call, std::make_index_sequence<S::tile_rows>{});
}

/// Vectors of a panel's sixteen columns.
template <class S>
inline constexpr auto panel_vectors = static_cast<std::size_t>(panel_columns / S::lanes);

/// Vectors that a line's part of one vector's columns decodes to: one for each k.
template <Element E>
inline constexpr auto line_vectors = static_cast<std::size_t>(line_depths[static_cast<std::size_t>(E)]);

/// The scales of group `group` of a panel: its vectors.
template <class S, GroupScale G>
inline void load_scales(const std::uint8_t* scales, std::int64_t group, typename S::F (&out)[panel_vectors<S>]) {
    for (std::size_t v = 0; v < panel_vectors<S>; ++v) {
        out[v] = S::template scales<G>(scales + group * panel_columns + static_cast<std::int64_t>(v) * S::lanes);
    }
}

template <class S, Element E, GroupScale G>
void decode_panel(const std::uint8_t* elements, const std::uint8_t* scales, std::int64_t depth, float* out,
                  std::int64_t stride) {
    using F = typename S::F;
    constexpr auto line_depth = static_cast<std::int64_t>(line_vectors<E>);
    constexpr std::int64_t group = group_sizes[static_cast<std::size_t>(G)];
    F scale[panel_vectors<S>];
    for (std::int64_t begin = 0; begin < depth; begin += group) {
        if constexpr (G != GroupScale::none) {
            load_scales<S, G>(scales, begin / group, scale);
        }
        const std::int64_t end = depth < begin + group ? depth : begin + group;
        for (std::int64_t k = begin; k < end; k += line_depth) {
            for (std::size_t v = 0; v < panel_vectors<S>; ++v) {
                const auto lane = static_cast<std::int64_t>(v) * S::lanes;
                F weights[line_vectors<E>];
                S::template decode_line<E>(elements + k / line_depth * line_bytes + 4 * lane, weights);
                for (std::size_t i = 0; i < line_vectors<E>; ++i) {
                    if constexpr (G != GroupScale::none) {
                        weights[i] = S::mul(weights[i], scale[v]);
                    }
                    S::store(out + (k + static_cast<std::int64_t>(i)) * stride + lane, weights[i]);
                }
            }
        }
    }
}

/// What a step of a panel's lines asks for: at k, what lies `first` + k · `step` bytes after the panel's first line.
struct Ahead {
    std::int64_t first;
    std::int64_t step;
};

/// `Rows` rows by `Panels` panels over a K block, weights decoded in registers.
template <class S, Element E, GroupScale G, std::size_t Rows, std::size_t Panels>
void panel_rows(const float* a, std::int64_t depth, const PanelGroup& weights, Ahead ahead, float* c,
                std::int64_t c_tile, const RowFactor* factors, Combine combine) {
    using F = typename S::F;
    constexpr std::size_t vectors = panel_vectors<S>;
    constexpr auto line_depth = static_cast<std::int64_t>(line_vectors<E>);
    constexpr std::int64_t group = group_sizes[static_cast<std::size_t>(G)];
    // From three rows on, a panel's vectors share the numbers of A, where registers are there for what they decode to.
    constexpr std::size_t together = Rows > 2 && vectors * line_vectors<E> <= 4 ? vectors : 1;
    F sums[Rows][Panels * vectors];
    for (std::size_t r = 0; r < Rows; ++r) {
        for (std::size_t v = 0; v < Panels * vectors; ++v) {
            sums[r][v] = S::zero();
        }
    }
    F scale[Panels][vectors];
    for (std::int64_t begin = 0; begin < depth; begin += group) {
        if constexpr (G != GroupScale::none) {
#pragma GCC unroll 4
            for (std::size_t p = 0; p < Panels; ++p) {
                load_scales<S, G>(weights.scales + static_cast<std::int64_t>(p) * weights.stride, begin / group,
                                  scale[p]);
            }
        }
        const std::int64_t end = depth < begin + group ? depth : begin + group;
        for (std::int64_t k = begin; k < end; k += line_depth) {
            const std::uint8_t* line = weights.elements + k / line_depth * line_bytes;
#pragma GCC unroll 4
            for (std::size_t p = 0; p < Panels; ++p) {
                const std::int64_t panel = static_cast<std::int64_t>(p) * weights.stride;
                const std::uint8_t* at = line + panel;
                S::prefetch(weights.elements + panel + ahead.first + k * ahead.step);
#pragma GCC unroll 4
                for (std::size_t first = 0; first < vectors; first += together) {
                    F w[together][line_vectors<E>];
#pragma GCC unroll 4
                    for (std::size_t v = 0; v < together; ++v) {
                        S::template decode_line<E>(at + static_cast<std::int64_t>(first + v) * 4 * S::lanes, w[v]);
                        if constexpr (G != GroupScale::none) {
                            for (std::size_t i = 0; i < line_vectors<E>; ++i) {
                                w[v][i] = S::mul(w[v][i], scale[p][first + v]);
                            }
                        }
                    }
#pragma GCC unroll 8
                    for (std::size_t i = 0; i < line_vectors<E>; ++i) {
#pragma GCC unroll 16
                        for (std::size_t r = 0; r < Rows; ++r) {
                            const std::int64_t at_a = static_cast<std::int64_t>(r) * k_block + k;
                            const F ar = S::broadcast(a[at_a + static_cast<std::int64_t>(i)]);
#pragma GCC unroll 4
                            for (std::size_t v = 0; v < together; ++v) {
                                F& sum = sums[r][p * vectors + first + v];
                                sum = S::fma(ar, w[v][i], sum);
                            }
                        }
                    }
                }
            }
        }
    }
    combine_sums<S>(sums, c, c_tile, factors, combine);
}

/// All panels of a call, as many at a time as the accumulators of its rows leave room for.
template <class S, Element E, GroupScale G, std::size_t Rows>
void direct_sums(const PanelCall& call, Ahead ahead) {
    constexpr std::int64_t tile_panels = tile_columns_of<S> / panel_columns;
    constexpr std::int64_t most = S::panels_of(Rows);
    PanelGroup weights = call.weights;
    for (std::int64_t panel = 0; panel < call.weights.panels;) {
        auto* c = static_cast<float*>(call.c) + panel / tile_panels * call.c_tile;
        const bool whole = most <= call.weights.panels - panel;
        if (whole) {
            panel_rows<S, E, G, Rows, most>(call.a, call.depth, weights, ahead, c, call.c_tile, call.factors,
                                            call.combine);
        } else {
            // Panels come in pairs.
            panel_rows<S, E, G, Rows, 2>(call.a, call.depth, weights, ahead, c, call.c_tile, call.factors,
                                         call.combine);
        }
        const std::int64_t step = whole ? most : 2;
        panel += step;
        weights.elements += step * weights.stride;
        weights.scales += step * weights.stride;
    }
}

/// All rows of a call, in equal steps. One step asks for lines a little ahead; each of several for its share of the
/// next K block, for the others find the lines of this one in the cache.
template <class S, Element E, GroupScale G, std::size_t... Rows>
void panel_sums(PanelCall call, std::index_sequence<Rows...> /*rows less one*/) {
    static constexpr void (*kernels[])(const PanelCall&, Ahead) = {direct_sums<S, E, G, Rows + 1>...};
    constexpr auto most = static_cast<std::int64_t>(sizeof...(Rows));
    constexpr std::int64_t bytes_of_k = line_bytes / line_depths[static_cast<std::size_t>(E)];
    const std::int64_t all_steps = (call.rows + most - 1) / most;
    Ahead ahead{S::prefetch_bytes, bytes_of_k};
    if (all_steps > 1) {
        ahead = {call.depth * bytes_of_k, bytes_of_k / all_steps};
    }
    std::int64_t rest = call.rows;
    for (std::int64_t steps = all_steps; steps > 0; --steps) {
        call.rows = (rest + steps - 1) / steps;
        kernels[call.rows - 1](call, ahead);
        ahead.first += call.depth * ahead.step;
        rest -= call.rows;
        call.a += call.rows * k_block;
        call.c = static_cast<float*>(call.c) + call.rows * tile_columns_of<S>;
        call.factors += call.rows;
    }
}

template <class S, Element E, GroupScale G>
void panel_sums(const PanelCall& call) {
    panel_sums<S, E, G>(call, std::make_index_sequence<S::direct_step(E)>{});
}

template <class S, Element E>
void decode_row(const std::uint8_t* elements, std::int64_t count, const float* scales, int group_shift, float* out) {
    using F = typename S::F;
    constexpr std::int64_t step = 4 * S::lanes;
    constexpr std::int64_t step_bytes = step * bits_of<E> / 8;
    constexpr float unit = S::unit(E);
    for (std::int64_t k = 0; k < count; k += step) {
        // The row's last elements may be the last bytes of the tensor: what a whole step would read goes through here.
        std::uint8_t rest[static_cast<std::size_t>(step_bytes)] = {};
        const std::uint8_t* from = elements + k / step * step_bytes;
        if (count - k < step) {
            std::memcpy(rest, from, static_cast<std::size_t>((count - k) * bits_of<E> / 8));
            from = rest;
        }
        F values[4];
        S::template decode_row<E>(from, values);
        for (int v = 0; v < 4; ++v) {
            const std::int64_t first = k + v * S::lanes;
            if (scales != nullptr) {
                const float scale = first < count ? scales[first >> group_shift] : 0.0F;
                values[v] = S::mul(values[v], S::broadcast(scale * unit));
            } else if constexpr (unit != 1.0F) {
                values[v] = S::mul(values[v], S::broadcast(unit));
            }
            S::store(out + first, values[v]);
        }
    }
}

/// The f32 values of one tile's row.
template <class S>
inline void scale_tile_row(const FinishCall& call, const void* c, const float* column_scale, float* values) {
    constexpr auto width = static_cast<std::size_t>(tile_columns_of<S>);
    if (call.finish == Finish::row_column_int) {
        const auto* sums = static_cast<const std::int32_t*>(c);
        const auto row_scale = static_cast<float>(call.row_scale);
        for (std::size_t i = 0; i < width; ++i) {
            values[i] = static_cast<float>(sums[i]) * row_scale * column_scale[i];
        }
        return;
    }
    const auto* sums = static_cast<const float*>(c);
    if (call.finish == Finish::row_column) {
        for (std::size_t i = 0; i < width; ++i) {
            values[i] = static_cast<float>(static_cast<double>(sums[i]) * call.row_scale *
                                           static_cast<double>(column_scale[i]));
        }
        return;
    }
    if (call.row_scale == 1.0) {
        std::memcpy(values, sums, width * sizeof(float));
        return;
    }
    for (std::size_t i = 0; i < width; ++i) {
        values[i] = static_cast<float>(static_cast<double>(sums[i]) * call.row_scale);
    }
}

/// A tile's row of y in its type.
template <class S>
inline void finish_tile_row(const FinishCall& call, const void* c, const float* column_scale, void* y) {
    constexpr std::int64_t width = tile_columns_of<S>;
    float values[static_cast<std::size_t>(width)];
    scale_tile_row<S>(call, c, column_scale, values);
    if (call.dst == Dst::f32) {
        std::memcpy(y, values, sizeof values);
        return;
    }
    std::uint16_t halves[static_cast<std::size_t>(width)];
    for (std::int64_t i = 0; i < width; i += S::lanes) {
        call.dst == Dst::bf16 ? S::store_bf16(halves + i, S::load(values + i))
                              : S::store_f16(halves + i, S::load(values + i));
    }
    std::memcpy(y, halves, sizeof halves);
}

template <class S>
void finish_row(const FinishCall& call) {
    constexpr std::int64_t width = tile_columns_of<S>;
    constexpr auto size = static_cast<std::size_t>(width);
    const auto y_bytes = static_cast<std::int64_t>(call.dst == Dst::f32 ? sizeof(float) : sizeof(std::uint16_t));
    for (std::int64_t column = 0; column < call.columns; column += width) {
        // C's elements have 4 bytes in either type.
        const auto* c = static_cast<const unsigned char*>(call.c) + (column / width) * call.c_tile * 4;
        auto* y = static_cast<unsigned char*>(call.y) + column * y_bytes;
        const float* scale = call.column_scale == nullptr ? nullptr : call.column_scale + column;
        const std::int64_t columns = call.columns - column;
        if (columns >= width) {
            finish_tile_row<S>(call, c, scale, y);
            continue;
        }
        float column_scale[size] = {};
        float last[size];
        if (scale != nullptr) {
            std::memcpy(column_scale, scale, static_cast<std::size_t>(columns) * sizeof(float));
        }
        finish_tile_row<S>(call, c, column_scale, last);
        std::memcpy(y, last, static_cast<std::size_t>(columns * y_bytes));
    }
}

/// The table of an instruction set's kernels.
template <class S>
constexpr FloatKernels make_float_kernels() {
    using enum Element;
    using enum GroupScale;
    return {tile_columns_of<S>,
            {decode_row<S, bf16>, decode_row<S, i8>, decode_row<S, e4m3>, decode_row<S, e5m2>, decode_row<S, e2m1>},
            {decode_panel<S, bf16, none>, decode_panel<S, i8, none>, decode_panel<S, e4m3, none>,
             decode_panel<S, e5m2, none>, decode_panel<S, e4m3, ue8m0>, decode_panel<S, e5m2, ue8m0>,
             decode_panel<S, e2m1, ue8m0>, decode_panel<S, e2m1, ue4m3>},
            {S::direct_rows(bf16), S::direct_rows(i8), S::direct_rows(e4m3), S::direct_rows(e5m2), S::direct_rows(e4m3),
             S::direct_rows(e5m2), S::direct_rows(e2m1), S::direct_rows(e2m1)},
            {panel_sums<S, bf16, none>, panel_sums<S, i8, none>, panel_sums<S, e4m3, none>, panel_sums<S, e5m2, none>,
             panel_sums<S, e4m3, ue8m0>, panel_sums<S, e5m2, ue8m0>, panel_sums<S, e2m1, ue8m0>,
             panel_sums<S, e2m1, ue4m3>},
            tile_sums<S>,
            finish_row<S>};
}

}  // namespace moegemm::cpu
