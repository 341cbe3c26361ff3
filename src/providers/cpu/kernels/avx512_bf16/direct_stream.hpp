/// \file
/// Few rows with AVX-512 BF16: weights are multiplied out of the registers that they are decoded in. Internal linkage:
/// see kernel_family.hpp.
#pragma once

#include <utility>

#include "providers/cpu/kernels/avx512/bf16_decode.hpp"
#include "providers/cpu/kernels/bf16_dot.hpp"

namespace moegemm::cpu {
namespace {

/// More rows' sums of two panels leave no registers to decode in.
inline constexpr std::int64_t most_direct_rows = 8;
/// So many rows leave room for the sums of four panels, whose chains of products wait less for each other.
inline constexpr std::int64_t most_rows_of_four_panels = 4;

/// Line `I` of bf16 of each panel's codes times `Rows` rows, which panels share.
template <class S, std::size_t I, Codes C, Element E, GroupScale G, std::size_t Rows, std::size_t Panels>
inline void add_line(const std::uint8_t* a, const LineCodes<E, C> (&codes)[Panels],
                     const LineScale<E, G> (&scales)[Panels], typename S::F (&sums)[Rows][Panels]) {
    __m512i lines[Panels];
#pragma GCC unroll 4
    for (std::size_t p = 0; p < Panels; ++p) {
        lines[p] = scales[p].template times<C>(codes[p].template line<I>());
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
        const typename S::P pair =
            S::broadcast_pair(a + static_cast<std::int64_t>(r) * dot_row_bytes + static_cast<std::int64_t>(I) * 4);
#pragma GCC unroll 4
        for (std::size_t p = 0; p < Panels; ++p) {
            sums[r][p] = S::dot(sums[r][p], pair, lines[p]);
        }
    }
}
template <class S, Codes C, Element E, GroupScale G, std::size_t Rows, std::size_t Panels, std::size_t... P,
          std::size_t... I>
inline void add_lines(const std::uint8_t* a, const std::uint8_t* elements, std::int64_t stride,
                      const LineScale<E, G> (&scales)[Panels], typename S::F (&sums)[Rows][Panels],
                      std::index_sequence<P...> /*panels*/, std::index_sequence<I...> /*lines of bf16*/) {
    const LineCodes<E, C> codes[Panels] = {LineCodes<E, C>(elements + static_cast<std::int64_t>(P) * stride)...};
    (add_line<S, I>(a, codes, scales, sums), ...);
}

/// A K block of `Rows` rows by `Panels` panels, added to C in the order of add_dots().
template <class S, Element E, GroupScale G, bool Scaled, std::size_t Rows, std::size_t... P>
void direct_rows(const std::uint8_t* a, const PanelGroup& weights, std::int64_t ahead, float* c, std::int64_t c_tile,
                 const RowFactor* factors, std::index_sequence<P...> panels) {
    constexpr std::size_t Panels = sizeof...(P);
    constexpr std::int64_t line_depth = line_depths[static_cast<std::size_t>(E)];
    constexpr std::int64_t group = group_sizes[static_cast<std::size_t>(G)];
    const auto c_at = [&](std::size_t r, std::size_t p) {
        return c + static_cast<std::int64_t>(p / 2) * c_tile + r * pair_columns + p % 2 * panel_columns;
    };
    typename S::F sums[Rows][Panels];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t p = 0; p < Panels; ++p) {
            sums[r][p] = Scaled ? S::zero() : S::load(c_at(r, p));
        }
    }
    for (std::int64_t begin = 0; begin < k_block; begin += group) {
        const LineScale<E, G> scales[Panels] = {LineScale<E, G>(
            weights.scales + static_cast<std::int64_t>(P) * weights.stride + begin / group * panel_columns)...};
        for (std::int64_t k = begin; k < begin + group; k += line_depth) {
            const std::uint8_t* at = weights.elements + k / line_depth * line_bytes;
            (S::prefetch(at + static_cast<std::int64_t>(P) * weights.stride + ahead), ...);
            if ((are_normal<E>(at + static_cast<std::int64_t>(P) * weights.stride) && ...)) {
                add_lines<S, Codes::of_normal_numbers, E, G>(a + k * 2, at, weights.stride, scales, sums, panels,
                                                             Bf16Lines<E>{});
            } else {
                add_lines<S, Codes::any, E, G>(a + k * 2, at, weights.stride, scales, sums, panels, Bf16Lines<E>{});
            }
        }
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t p = 0; p < Panels; ++p) {
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
template <class S, Element E, GroupScale G, bool Scaled, std::size_t Rows>
std::int64_t direct_stream(const StreamCall& call) {
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
                direct_rows<S, E, G, Scaled, Rows>(a, weights, call.block_bytes, c, call.c_tile, factors,
                                                   std::make_index_sequence<group_panels>{});
                continue;
            }
        }
        for (std::int64_t panel = 0; panel < weights.panels; panel += 2) {
            direct_rows<S, E, G, Scaled, Rows>(a, weights, call.block_bytes, c, call.c_tile, factors,
                                               std::make_index_sequence<2>{});
            weights.elements += 2 * weights.stride;
            weights.scales += 2 * weights.stride;
            c += call.c_tile;
        }
    }
    return call.blocks;
}

template <class S, Element E, GroupScale G, bool Scaled, std::size_t... Rows>
std::int64_t direct_stream(const StreamCall& call, std::index_sequence<Rows...> /*rows less one*/) {
    static constexpr std::int64_t (*kernels[])(const StreamCall&) = {direct_stream<S, E, G, Scaled, Rows + 1>...};
    return kernels[call.rows - 1](call);
}

/// Few rows of any number: out of registers as long as these suffice.
template <class S, bool Scaled>
std::int64_t direct_or_dot_stream(const StreamCall& call) {
    using enum Element;
    using enum GroupScale;
    if (call.rows > most_direct_rows) {
        return dot_stream<S, Scaled>(call);
    }
    constexpr auto rows = std::make_index_sequence<most_direct_rows>{};
    switch (call.format) {
        case WeightFormat::e4m3:
            return direct_stream<S, e4m3, none, Scaled>(call, rows);
        case WeightFormat::e5m2:
            return direct_stream<S, e5m2, none, Scaled>(call, rows);
        default:
            break;
    }
    if constexpr (!Scaled) {
        switch (call.format) {
            case WeightFormat::bf16:
                return direct_stream<S, bf16, none, Scaled>(call, rows);
            case WeightFormat::e4m3_ue8m0:
                return direct_stream<S, e4m3, ue8m0, Scaled>(call, rows);
            case WeightFormat::e5m2_ue8m0:
                return direct_stream<S, e5m2, ue8m0, Scaled>(call, rows);
            case WeightFormat::e2m1_ue8m0:
                return direct_stream<S, e2m1, ue8m0, Scaled>(call, rows);
            case WeightFormat::e2m1_ue4m3:
                return direct_stream<S, e2m1, ue4m3, Scaled>(call, rows);
            default:
                break;
        }
    }
    return dot_stream<S, Scaled>(call);
}

}  // namespace
}  // namespace moegemm::cpu
