/// \file
/// The kernels of every instruction set, written once over a type `S` that wraps its vectors.
///
/// `S` lives in an anonymous namespace of the file that is compiled for the instruction set, so every instantiation is
/// that file's own. It has: `lanes`, `tile_rows`, `panel_rows`; the vector `F` of f32 with zero, load, store,
/// broadcast, mul, fma; `decode<Element>` and `decode_e2m1_panel` (four vectors at once, times 1/unit(Element));
/// `scales<GroupScale>`; `add_int`, `store_f16`, `transpose`, `prefetch`.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

template <Element E>
inline constexpr std::int64_t bits_of = element_bits[static_cast<std::size_t>(E)];

/// Adds the sums of `Rows` rows of `Tiles` tiles to C, as `combine` says.
template <class S, std::size_t Rows, std::size_t Vectors>
inline void combine_sums(const typename S::F (&sums)[Rows][Vectors], void* c, std::int64_t c_tile,
                         const RowFactor* factors, Combine combine) {
    const auto offset = [c_tile](std::size_t row, std::size_t vector) {
        return static_cast<std::size_t>(c_tile) * (vector / 2) + (2 * row + vector % 2) * S::lanes;
    };
    switch (combine) {
        case Combine::store:
            for (std::size_t r = 0; r < Rows; ++r) {
                for (std::size_t v = 0; v < Vectors; ++v) {
                    S::store(static_cast<float*>(c) + offset(r, v), sums[r][v]);
                }
            }
            break;
        case Combine::add:
            for (std::size_t r = 0; r < Rows; ++r) {
                for (std::size_t v = 0; v < Vectors; ++v) {
                    float* at = static_cast<float*>(c) + offset(r, v);
                    S::store(at, S::add(S::load(at), sums[r][v]));
                }
            }
            break;
        case Combine::add_int:
            for (std::size_t r = 0; r < Rows; ++r) {
                for (std::size_t v = 0; v < Vectors; ++v) {
                    S::add_int(static_cast<std::int32_t*>(c) + offset(r, v), sums[r][v]);
                }
            }
            break;
        case Combine::add_scaled:
            for (std::size_t r = 0; r < Rows; ++r) {
                const typename S::F mantissa = S::broadcast(factors[r].mantissa);
                const typename S::F power = S::broadcast(factors[r].power);
                for (std::size_t v = 0; v < Vectors; ++v) {
                    float* at = static_cast<float*>(c) + offset(r, v);
                    S::store(at, S::fma(S::mul(sums[r][v], mantissa), power, S::load(at)));
                }
            }
            break;
    }
}

/// `Rows` rows by two vectors: the accumulators fill the register file.
template <class S, std::size_t Rows>
void tile_rows(const float* a, const float* b, std::int64_t depth, float* c, const RowFactor* factors,
               Combine combine) {
    using F = typename S::F;
    F sums[Rows][2];
    for (std::size_t r = 0; r < Rows; ++r) {
        sums[r][0] = sums[r][1] = S::zero();
    }
    for (std::int64_t k = 0; k < depth; ++k) {
        const F b0 = S::load(b + k * 2 * S::lanes);
        const F b1 = S::load(b + k * 2 * S::lanes + S::lanes);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
            const F ar = S::broadcast(a[static_cast<std::int64_t>(r) * k_block + k]);
            sums[r][0] = S::fma(ar, b0, sums[r][0]);
            sums[r][1] = S::fma(ar, b1, sums[r][1]);
        }
    }
    combine_sums<S>(sums, c, 0, factors, combine);
}

/// All rows of a call, in equal steps: 13 rows by 12 are 7 and 6, never 12 and a lone one.
template <class S, std::size_t... Rows>
void tile_sums(const TileCall& call, std::index_sequence<Rows...> /*rows less one*/) {
    using Kernel = void (*)(const float*, const float*, std::int64_t, float*, const RowFactor*, Combine);
    static constexpr Kernel kernels[] = {tile_rows<S, Rows + 1>...};
    const std::int64_t steps = (call.rows + S::tile_rows - 1) / S::tile_rows;
    const std::int64_t rows_least = call.rows / steps;
    const std::int64_t longer_steps = call.rows % steps;
    std::int64_t row = 0;
    for (std::int64_t step = 0; step < steps; ++step) {
        const std::int64_t rows = rows_least + (step < longer_steps ? 1 : 0);
        kernels[rows - 1](call.a + row * k_block, call.b, call.depth, static_cast<float*>(call.c) + row * 2 * S::lanes,
                          call.factors + row, call.combine);
        row += rows;
    }
}

template <class S>
void tile_sums(const TileCall& call) {
    tile_sums<S>(call, std::make_index_sequence<S::tile_rows>{});
}

/// Row k of a packed panel: four vectors.
template <class S, Element E>
inline void load_panel_row(const std::uint8_t* at, typename S::F (&out)[4]) {
    if constexpr (E == Element::e2m1) {
        S::decode_e2m1_panel(at, out);
    } else {
        S::template decode<E>(at, out);
    }
}

/// Walks over a packed panel: `use(k, weights)` gets the decoded four vectors of every k.
template <class S, Element E, GroupScale G, class Use>
inline void walk_panel(const std::uint8_t* elements, const std::uint8_t* scales, std::int64_t depth,
                       const std::uint8_t* prefetch, Use use) {
    using F = typename S::F;
    constexpr std::int64_t row_bytes = 4 * S::lanes * bits_of<E> / 8;
    constexpr float unit = S::unit(E);
    constexpr bool scaled = G != GroupScale::none;
    constexpr std::int64_t group = group_sizes[static_cast<std::size_t>(G)];
    for (std::int64_t begin = 0; begin < depth; begin += group) {
        const std::int64_t end = depth < begin + group ? depth : begin + group;
        F scale[4];
        for (int v = 0; v < 4; ++v) {
            if constexpr (scaled) {
                scale[v] = S::template scales<G>(scales + (begin / group) * 4 * S::lanes + v * S::lanes);
                if constexpr (unit != 1.0F) {
                    scale[v] = S::mul(scale[v], S::broadcast(unit));
                }
            } else {
                scale[v] = S::broadcast(unit);
            }
        }
        for (std::int64_t k = begin; k < end; ++k) {
            F weights[4];
            load_panel_row<S, E>(elements + k * row_bytes, weights);
            if constexpr (scaled || unit != 1.0F) {
                for (int v = 0; v < 4; ++v) {
                    weights[v] = S::mul(weights[v], scale[v]);
                }
            }
            if (prefetch != nullptr) {
                for (std::int64_t byte = 0; byte < row_bytes; byte += 64) {
                    S::prefetch(prefetch + k * row_bytes + byte);
                }
            }
            use(k, weights);
        }
    }
}

template <class S, Element E, GroupScale G>
void decode_panel(const std::uint8_t* elements, const std::uint8_t* scales, std::int64_t depth, float* out) {
    constexpr std::int64_t width = 2 * S::lanes;
    walk_panel<S, E, G>(elements, scales, depth, nullptr, [out](std::int64_t k, const typename S::F(&weights)[4]) {
        S::store(out + k * width, weights[0]);
        S::store(out + k * width + S::lanes, weights[1]);
        S::store(out + (k_block + k) * width, weights[2]);
        S::store(out + (k_block + k) * width + S::lanes, weights[3]);
    });
}

template <class S, Element E, GroupScale G, std::size_t Rows>
void panel_rows(const PanelCall& call) {
    using F = typename S::F;
    F sums[Rows][4];
    for (std::size_t r = 0; r < Rows; ++r) {
        for (int v = 0; v < 4; ++v) {
            sums[r][v] = S::zero();
        }
    }
    walk_panel<S, E, G>(call.elements, call.scales, call.depth, call.prefetch,
                        [&](std::int64_t k, const F(&weights)[4]) {
#pragma GCC unroll 4
                            for (std::size_t r = 0; r < Rows; ++r) {
                                const F ar = S::broadcast(call.a[static_cast<std::int64_t>(r) * k_block + k]);
                                for (int v = 0; v < 4; ++v) {
                                    sums[r][v] = S::fma(ar, weights[v], sums[r][v]);
                                }
                            }
                        });
    combine_sums<S>(sums, call.c, call.c_tile, call.factors, call.combine);
}

template <class S, Element E, GroupScale G, std::size_t... Rows>
void panel_sums(const PanelCall& call, std::index_sequence<Rows...> /*rows less one*/) {
    static constexpr void (*kernels[])(const PanelCall&) = {panel_rows<S, E, G, Rows + 1>...};
    kernels[call.rows - 1](call);
}

template <class S, Element E, GroupScale G>
void panel_sums(const PanelCall& call) {
    panel_sums<S, E, G>(call, std::make_index_sequence<S::panel_rows>{});
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
        S::template decode<E>(from, values);
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

template <class S>
void transpose(const float* in, std::int64_t depth, float* out) {
    constexpr std::int64_t width = 2 * S::lanes;
    for (std::int64_t tile = 0; tile < 2; ++tile) {
        for (std::int64_t k = 0; k < depth; k += S::lanes) {
            for (std::int64_t half = 0; half < 2; ++half) {
                S::transpose(in + (tile * width + half * S::lanes) * k_block + k,
                             out + (tile * k_block + k) * width + half * S::lanes, width);
            }
        }
    }
}

/// To bfloat16, to nearest even; every NaN gives 0x7FFF.
template <class S>
inline void store_bf16(std::uint16_t* out, const float* values, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
        const auto bits = __builtin_bit_cast(std::uint32_t, values[i]);
        const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
        out[i] = static_cast<std::uint16_t>((bits & 0x7FFFFFFFU) > 0x7F800000U ? 0x7FFFU : rounded);
    }
}

/// The f32 values of one tile's row.
template <class S>
inline void scale_tile_row(const FinishCall& call, const void* c, const float* column_scale, float* values) {
    constexpr std::size_t width = 2 * S::lanes;
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

template <class S>
void finish_row(const FinishCall& call) {
    constexpr std::int64_t width = 2 * S::lanes;
    const auto y_bytes = static_cast<std::int64_t>(call.dst == Dst::f32 ? sizeof(float) : sizeof(std::uint16_t));
    for (std::int64_t column = 0; column < call.columns; column += width) {
        const std::int64_t columns = call.columns - column < width ? call.columns - column : width;
        // C's elements have 4 bytes in either type.
        const auto* c = static_cast<const unsigned char*>(call.c) + (column / width) * call.c_tile * 4;
        float column_scale[2 * S::lanes] = {};
        if (call.column_scale != nullptr) {
            std::memcpy(column_scale, call.column_scale + column, static_cast<std::size_t>(columns) * sizeof(float));
        }
        float values[2 * S::lanes];
        scale_tile_row<S>(call, c, column_scale, values);
        std::uint16_t halves[2 * S::lanes];
        const void* result = values;
        if (call.dst == Dst::bf16) {
            store_bf16<S>(halves, values, width);
            result = halves;
        } else if (call.dst == Dst::f16) {
            S::store_f16(halves, S::load(values));
            S::store_f16(halves + S::lanes, S::load(values + S::lanes));
            result = halves;
        }
        std::memcpy(static_cast<unsigned char*>(call.y) + column * y_bytes, result,
                    static_cast<std::size_t>(columns * y_bytes));
    }
}

/// The table of an instruction set's kernels.
template <class S>
constexpr KernelFamily make_family(const char* name) {
    using enum Element;
    using enum GroupScale;
    return {name,
            4 * S::lanes,
            2 * S::lanes,
            S::panel_rows,
            {decode_row<S, bf16>, decode_row<S, i8>, decode_row<S, e4m3>, decode_row<S, e5m2>, decode_row<S, e2m1>},
            {decode_panel<S, bf16, none>, decode_panel<S, i8, none>, decode_panel<S, e4m3, none>,
             decode_panel<S, e5m2, none>, decode_panel<S, e4m3, ue8m0>, decode_panel<S, e5m2, ue8m0>,
             decode_panel<S, e2m1, ue8m0>, decode_panel<S, e2m1, ue4m3>},
            {panel_sums<S, bf16, none>, panel_sums<S, i8, none>, panel_sums<S, e4m3, none>, panel_sums<S, e5m2, none>,
             panel_sums<S, e4m3, ue8m0>, panel_sums<S, e5m2, ue8m0>, panel_sums<S, e2m1, ue8m0>,
             panel_sums<S, e2m1, ue4m3>},
            transpose<S>,
            tile_sums<S>,
            finish_row<S>};
}

}  // namespace moegemm::cpu
