/// \file
/// Few rows: weights are multiplied out of the registers that they are decoded in, and kept in lines for rows that find
/// no room in the registers beside these. `S` as of bf16_dot.hpp, with weights_of(line), scaled<I>(codes,
/// scale), decodes_e2m1_to_f32, keep(at, weights), to a line of w_bytes, AsPacked, the same for lines as packed, and
/// prefetch_near, into the first-level cache. Internal linkage: see kernel_family.hpp.
#pragma once

#include <type_traits>
#include <utility>

#include "providers/cpu/kernels/avx512/bf16_decode.hpp"
#include "providers/cpu/kernels/bf16_dot.hpp"

namespace moegemm::cpu {
namespace {

/// What every `S` here has: 12 rows by two vectors, as for f32.
struct DirectVectors {
    static constexpr std::size_t rows = 12;
    using F = __m512;
    static F zero() { return _mm512_setzero_ps(); }
    static F load(const float* at) { return _mm512_loadu_ps(at); }
    static void store(float* at, F value) { _mm512_storeu_ps(at, value); }
    static F broadcast(float value) { return _mm512_set1_ps(value); }
    static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
    static void prefetch(const std::uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1); }
    static void prefetch_near(const std::uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0); }
};

/// More rows' sums of two panels leave no registers to decode in.
inline constexpr std::int64_t most_direct_rows = 8;
/// Of more rows, so many at least are multiplied like that.
inline constexpr std::int64_t least_keeping_rows = 5;
/// So many rows leave room for the sums of four panels, whose chains of products wait less for each other.
inline constexpr std::int64_t most_rows_of_four_panels = 4;

/// Bytes of a K block of a panel's lines that are kept.
template <class S>
inline constexpr std::int64_t kept_block_bytes = k_block / 2 * S::w_bytes;

/// The scales of a line's columns: numbers where decoding is to f32, also of e2m1 by ue8m0, else LineScale.
template <GroupScale G>
struct NumberScale {
    explicit NumberScale(const std::uint8_t* scales) : scale(scales_of<G>(scales)) {}
    __m512 scale;
};
template <class S, Element E, GroupScale G>
using DirectScale = std::conditional_t<S::decodes_e2m1_to_f32 && E == Element::e2m1, NumberScale<G>, LineScale<E, G>>;

/// Line `I` of bf16 of a line's codes, scaled.
template <class S, std::size_t I, Codes C, Element E, class Scale>
inline typename S::W weights(const LineCodes<E, C>& codes, const Scale& scale) {
    if constexpr (requires { scale.scale; }) {
        return S::template scaled<I>(codes, scale.scale);
    } else {
        return S::weights_of(scale.template times<C>(codes.template line<I>()));
    }
}

/// Line `I` of bf16 of each panel's codes times `Rows` rows, which panels share.
/// \param[out] kept the first panel's line; null: none is kept
template <class S, std::size_t I, Codes C, Element E, class Scale, std::size_t Rows, std::size_t Panels>
inline void add_line(const std::uint8_t* a, const LineCodes<E, C> (&codes)[Panels], const Scale (&scales)[Panels],
                     typename S::F (&sums)[Rows][Panels], std::uint8_t* kept) {
    typename S::W lines[Panels];
#pragma GCC unroll 4
    for (std::size_t p = 0; p < Panels; ++p) {
        lines[p] = weights<S, I, C>(codes[p], scales[p]);
        if (kept != nullptr) {
            S::keep(kept + static_cast<std::int64_t>(p) * kept_block_bytes<S>, lines[p]);
        }
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
        const typename S::P pair = S::broadcast_pair(a + static_cast<std::int64_t>(r) * dot_row_bytes<S> +
                                                     static_cast<std::int64_t>(I) * dot_pair_bytes<S>);
#pragma GCC unroll 4
        for (std::size_t p = 0; p < Panels; ++p) {
            sums[r][p] = S::dot(sums[r][p], pair, lines[p]);
        }
    }
}
template <class S, Codes C, Element E, class Scale, std::size_t Rows, std::size_t Panels, std::size_t... P,
          std::size_t... I>
inline void add_lines(const std::uint8_t* a, const std::uint8_t* elements, std::int64_t stride,
                      const Scale (&scales)[Panels], typename S::F (&sums)[Rows][Panels], std::uint8_t* kept,
                      std::index_sequence<P...> /*panels*/, std::index_sequence<I...> /*lines of bf16*/) {
    const LineCodes<E, C> codes[Panels] = {LineCodes<E, C>(elements + static_cast<std::int64_t>(P) * stride)...};
    (add_line<S, I>(a, codes, scales, sums,
                    kept == nullptr ? nullptr : kept + static_cast<std::int64_t>(I) * S::w_bytes),
     ...);
}

/// A K block of `Rows` rows by `Panels` panels, added to C in the order of add_dots().
/// \tparam Keeps whether `kept` gets the panels' lines
template <class S, Element E, GroupScale G, bool Scaled, std::size_t Rows, bool Keeps, std::size_t... P>
void direct_rows(const std::uint8_t* a, const PanelGroup& weights, std::int64_t ahead, float* c, std::int64_t c_tile,
                 const RowFactor* factors, std::uint8_t* kept, std::index_sequence<P...> panels) {
    constexpr std::size_t count = sizeof...(P);
    constexpr std::int64_t line_depth = line_depths[static_cast<std::size_t>(E)];
    constexpr std::int64_t group = group_sizes[static_cast<std::size_t>(G)];
    const auto c_at = [&](std::size_t r, std::size_t p) {
        return c + static_cast<std::int64_t>(p / 2) * c_tile + r * pair_columns + p % 2 * panel_columns;
    };
    typename S::F sums[Rows][count];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t p = 0; p < count; ++p) {
            sums[r][p] = Scaled ? S::zero() : S::load(c_at(r, p));
        }
    }
    for (std::int64_t begin = 0; begin < k_block; begin += group) {
        const DirectScale<S, E, G> scales[count] = {DirectScale<S, E, G>(
            weights.scales + static_cast<std::int64_t>(P) * weights.stride + begin / group * panel_columns)...};
        for (std::int64_t k = begin; k < begin + group; k += line_depth) {
            const std::uint8_t* at = weights.elements + k / line_depth * line_bytes;
            (S::prefetch_near(at + static_cast<std::int64_t>(P) * weights.stride + ahead), ...);
            std::uint8_t* keep = Keeps ? kept + k / 2 * S::w_bytes : nullptr;
            if ((are_normal<E>(at + static_cast<std::int64_t>(P) * weights.stride) && ...)) {
                add_lines<S, Codes::of_normal_numbers, E>(a + k * S::a_bytes, at, weights.stride, scales, sums, keep,
                                                          panels, Bf16Lines<E>{});
            } else {
                add_lines<S, Codes::any, E>(a + k * S::a_bytes, at, weights.stride, scales, sums, keep, panels,
                                            Bf16Lines<E>{});
            }
        }
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t p = 0; p < count; ++p) {
            if constexpr (Scaled) {
                const typename S::F mantissa = S::broadcast(factors[r].mantissa);
                const typename S::F power = S::broadcast(factors[r].power);
                sums[r][p] = S::fma(S::mul(sums[r][p], mantissa), power, S::load(c_at(r, p)));
            }
            S::store(c_at(r, p), sums[r][p]);
        }
    }
}

/// K block by K block. \return how many are in C: the next one has scales that are not of tiles
/// \tparam Rows the call's, or of more rows those that are multiplied first
template <class S, Element E, GroupScale G, bool Scaled, std::size_t Rows, bool Keeps>
std::int64_t direct_stream(const StreamCall& call) {
    MatrixCall rest{};
    rest.a = call.a;
    rest.depth_tiles = call.depth_tiles;
    rest.blocks = 1;
    rest.rows = call.rows - static_cast<std::int64_t>(Rows);
    rest.start = Start::from_c;
    rest.b = call.lines;
    rest.times_asked = call.times_asked;
    rest.b_stride = kept_block_bytes<S>;
    for (std::int64_t block = 0; block < call.blocks; ++block) {
        PanelGroup weights = call.weights;
        weights.elements += block * call.block_bytes;
        weights.scales += block * call.block_bytes;
        for (std::int64_t panel = 0; panel < weights.panels; ++panel) {
            if (!are_of_tiles<G>(weights.scales + panel * weights.stride, k_block)) {
                return block;
            }
        }
        const std::uint8_t* a = call.a.data + block * call.a.block;
        const RowFactor* factors = Scaled ? call.factors + block * call.rows : nullptr;
        auto* c = static_cast<float*>(call.c);
        if constexpr (Rows <= most_rows_of_four_panels) {
            if (weights.panels == group_panels) {
                direct_rows<S, E, G, Scaled, Rows, false>(a, weights, call.block_bytes, c, call.c_tile, factors,
                                                          nullptr, std::make_index_sequence<group_panels>{});
                continue;
            }
        }
        for (std::int64_t panel = 0; panel < weights.panels; panel += 2) {
            direct_rows<S, E, G, Scaled, Rows, Keeps>(a, weights, call.block_bytes, c, call.c_tile, factors, call.lines,
                                                      std::make_index_sequence<2>{});
            if constexpr (Keeps) {
                constexpr auto rows = static_cast<std::int64_t>(Rows);
                rest.a.data = a + rows * dot_row_bytes<S>;
                rest.factors = Scaled ? factors + rows : nullptr;
                rest.c = c + rows * pair_columns;
                rest.next[0] = {weights.scales + call.block_bytes, weights.stride, 2, call.block_bytes / line_bytes};
                dot_sums<S, Scaled>(rest);
            }
            weights.elements += 2 * weights.stride;
            weights.scales += 2 * weights.stride;
            c += call.c_tile;
        }
    }
    return call.blocks;
}

template <class S, Element E, GroupScale G, bool Scaled, std::size_t... Rows, std::size_t... Keeping>
std::int64_t direct_stream(const StreamCall& call, std::index_sequence<Rows...> /*less one*/,
                           std::index_sequence<Keeping...> /*less the least*/) {
    using Kernel = std::int64_t (*)(const StreamCall&);
    static constexpr Kernel all[] = {direct_stream<S, E, G, Scaled, Rows + 1, false>...};
    static constexpr Kernel some[] = {direct_stream<S, E, G, Scaled, Keeping + least_keeping_rows, true>...};
    if (call.rows <= most_direct_rows) {
        return all[call.rows - 1](call);
    }
    constexpr auto most = static_cast<std::int64_t>(S::rows);
    const std::int64_t steps = 1 + (call.rows - most_direct_rows + most - 1) / most;
    const std::int64_t equal = (call.rows + steps - 1) / steps;
    return some[(equal < most_direct_rows ? equal : most_direct_rows) - least_keeping_rows](call);
}
template <class S, Element E, GroupScale G, bool Scaled>
std::int64_t direct_stream(const StreamCall& call) {
    return direct_stream<S, E, G, Scaled>(call, std::make_index_sequence<most_direct_rows>{},
                                          std::make_index_sequence<most_direct_rows - least_keeping_rows + 1>{});
}

/// What is decoded.
template <class S>
std::int64_t bf16_stream(const StreamCall& call) {
    using enum Element;
    using enum GroupScale;
    switch (call.format) {
        case WeightFormat::e4m3:
            return direct_stream<S, e4m3, none, false>(call);
        case WeightFormat::e5m2:
            return direct_stream<S, e5m2, none, false>(call);
        case WeightFormat::e4m3_ue8m0:
            return direct_stream<S, e4m3, ue8m0, false>(call);
        case WeightFormat::e5m2_ue8m0:
            return direct_stream<S, e5m2, ue8m0, false>(call);
        case WeightFormat::e2m1_ue8m0:
            return direct_stream<S, e2m1, ue8m0, false>(call);
        case WeightFormat::e2m1_ue4m3:
            return direct_stream<S, e2m1, ue4m3, false>(call);
        default:  // bf16: of more rows, those after the first find its lines where they are
            return call.rows > most_direct_rows ? dot_stream<typename S::AsPacked>(call)
                                                : direct_stream<S, bf16, none, false>(call);
    }
}
/// fp8_block's.
template <class S>
std::int64_t bf16_scaled_stream(const StreamCall& call) {
    return call.format == WeightFormat::e4m3 ? direct_stream<S, Element::e4m3, GroupScale::none, true>(call)
                                             : direct_stream<S, Element::e5m2, GroupScale::none, true>(call);
}

inline void do_nothing() {}

/// The table of kernels over `S`.
/// \param unit, deep_blocks, resident_bytes MatrixKernels's
template <class S>
constexpr MatrixKernels make_direct_kernels(const char* unit, std::int64_t deep_blocks, std::int64_t resident_bytes) {
    constexpr std::int64_t rows_of_task = 256;
    return {unit,
            false,
            S::w_bytes,
            deep_blocks,
            S::a_bytes,
            {},
            0,
            matrix_tile,
            rows_of_task,
            resident_bytes,
            do_nothing,
            do_nothing,
            nullptr,
            dot_sums<S, false>,
            dot_sums<S, true>,
            nullptr,
            bf16_stream<S>,
            bf16_scaled_stream<S>};
}

}  // namespace
}  // namespace moegemm::cpu
