/// \file
/// A line of a panel to lines of bf16, in registers. Internal linkage: see kernel_family.hpp.
#pragma once

#include <utility>

#include "providers/cpu/kernels/avx512/bf16_bytes.hpp"

namespace moegemm::cpu {
namespace {

/// For VPTERNLOG: the first operand, or what the two others have in common.
inline constexpr int first_or_both_others = 0xF8;

/// f32 that are bf16 exactly to the lanes of even_of() and odd_of().
inline __m512i pairs_of(__m512 even, __m512 odd) {
    return _mm512_ternarylogic_epi32(_mm512_srli_epi32(_mm512_castps_si512(even), 16), _mm512_castps_si512(odd),
                                     _mm512_set1_epi32(-0x10000), first_or_both_others);
}
/// Both bf16 of each lane times a number; exact, so that what is cut off is zero.
inline __m512i scale_pairs(__m512i pairs, __m512 scale) {
    return pairs_of(_mm512_mul_ps(even_of(pairs), scale), _mm512_mul_ps(odd_of(pairs), scale));
}

inline __m512i low_pairs(const HalfBytes& halves) { return _mm512_unpacklo_epi8(halves.low, halves.high); }
inline __m512i high_pairs(const HalfBytes& halves) { return _mm512_unpackhi_epi8(halves.low, halves.high); }

/// What is known of the codes of a line. Weights that were quantised to their largest have hardly ever a special one,
/// which would take a look-up, and no exponent added to it.
enum class Codes : std::uint8_t { any, of_normal_numbers };

/// As half_bytes, in two bit matrices a normal number's high and low byte: of the exponent, the first bit of the code
/// and its complement take the place of adding 120 (e5m2: 112). (GF2P8AFFINEQB: byte 7 − i of a matrix gives bit i.)
template <Element E, Codes C>
inline HalfBytes half_bytes_of_8_bits(__m512i codes) {
    constexpr bool e4m3 = E == Element::e4m3;
    const __m512i high_bits = _mm512_set1_epi64(e4m3 ? 0x1020404040404000 : 0x0810204040404000);
    const __m512i low_bits = _mm512_set1_epi64(e4m3 ? 0x01020408 : 0x010204);
    __m512i high = _mm512_gf2p8affine_epi64_epi8(codes, high_bits, e4m3 ? 0x3C : 0x38);
    __m512i low = _mm512_gf2p8affine_epi64_epi8(codes, low_bits, 0);
    if constexpr (C == Codes::any) {
        const Specials<E> specials(codes);
        high = specials.high(high);
        low = specials.low(low);
    }
    return {_mm512_ternarylogic_epi64(high, codes, bytes(0x80), first_or_both_others), low};
}

/// Numbers the lines of bf16 that a line of a format makes.
template <Element E>
using Bf16Lines = std::make_index_sequence<static_cast<std::size_t>(line_depths[static_cast<std::size_t>(E)]) / 2>;

/// Whether a line's codes are all of normal numbers, or are decoded alike anyway.
template <Element E>
inline bool are_normal([[maybe_unused]] const std::uint8_t* at) {
    if constexpr (E == Element::e4m3 || E == Element::e5m2) {
        return Specials<E>(_mm512_loadu_si512(at)).none();
    } else {
        return true;
    }
}

/// A line of a format on its way to lines of bf16.
template <Element E, Codes C>
class LineCodes {
public:
    explicit LineCodes(const std::uint8_t* at) : halves_(half_bytes_of_8_bits<E, C>(_mm512_loadu_si512(at))) {}
    /// \tparam I which of its lines of bf16
    template <std::size_t I>
    [[nodiscard]] __m512i line() const {
        return I == 0 ? low_pairs(halves_) : high_pairs(halves_);
    }

private:
    HalfBytes halves_;
};
template <Codes C>
class LineCodes<Element::bf16, C> {
public:
    explicit LineCodes(const std::uint8_t* at) : line_(_mm512_loadu_si512(at)) {}
    template <std::size_t I>
    [[nodiscard]] __m512i line() const {
        return line_;
    }

private:
    __m512i line_;
};
template <Codes C>
class LineCodes<Element::e2m1, C> {
public:
    explicit LineCodes(const std::uint8_t* at) : codes_(_mm512_loadu_si512(at)) {}
    template <std::size_t I>
    [[nodiscard]] __m512i line() const {
        return e2m1_pair<I>(codes_);
    }
    /// What even_of() and odd_of() of the line are.
    template <std::size_t I>
    [[nodiscard]] __m512 even() const {
        return e2m1_number<I>(codes_);
    }
    template <std::size_t I>
    [[nodiscard]] __m512 odd() const {
        return e2m1_number<4 + I>(codes_);
    }

private:
    __m512i codes_;
};

/// Whether ue8m0 codes, 64 of them, are of tiles.
inline bool are_of_tiles(__m512i codes) {
    const __m512i from_first = _mm512_sub_epi8(codes, bytes(first_tile_scale));
    return _mm512_cmpgt_epu8_mask(from_first, bytes(last_tile_scale - first_tile_scale)) == 0;
}

/// What multiplies a line of bf16 by the scales of its columns, given that scales are of tiles. Products are exact.
template <Element E, GroupScale G>
struct LineScale;

template <Element E>
struct LineScale<E, GroupScale::none> {
    explicit LineScale(const std::uint8_t* /*scales*/) {}
    template <Codes>
    [[nodiscard]] __m512i times(__m512i pairs) const {
        return pairs;
    }
};
/// Of e2m1, which is 0 or a normal number: added to the exponent.
template <>
struct LineScale<Element::e2m1, GroupScale::ue8m0> {
    explicit LineScale(const std::uint8_t* scales) {
        const __m512i codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales)));
        const __m512i exponent = _mm512_slli_epi32(_mm512_sub_epi32(codes, _mm512_set1_epi32(127)), 23);
        added = _mm512_or_si512(exponent, _mm512_srli_epi32(exponent, 16));
    }
    template <Codes>
    [[nodiscard]] __m512i times(__m512i pairs) const {
        const __mmask32 not_zero = _mm512_test_epi16_mask(pairs, _mm512_set1_epi16(0x7FFF));
        return _mm512_mask_add_epi16(pairs, not_zero, pairs, added);
    }
    __m512i added;
};
/// Of 8-bit floats, likewise, where they are neither 0 nor infinite nor NaN: without its sign such a number lies
/// between.
template <Element E>
struct LineScale<E, GroupScale::ue8m0> : LineScale<Element::e2m1, GroupScale::ue8m0> {
    using LineScale<Element::e2m1, GroupScale::ue8m0>::LineScale;
    template <Codes C>
    [[nodiscard]] __m512i times(__m512i pairs) const {
        if constexpr (C == Codes::of_normal_numbers) {
            return _mm512_add_epi16(pairs, added);
        }
        const __m512i above_zero = _mm512_sub_epi16(_mm512_slli_epi16(pairs, 1), _mm512_set1_epi16(1));
        const __mmask32 finite = _mm512_cmplt_epu16_mask(above_zero, _mm512_set1_epi16(static_cast<short>(0xFEFF)));
        return _mm512_mask_add_epi16(pairs, finite, pairs, added);
    }
};
template <Element E, GroupScale G>
struct LineScale {
    explicit LineScale(const std::uint8_t* scales) : scale(scales_of<G>(scales)) {}
    template <Codes>
    [[nodiscard]] __m512i times(__m512i pairs) const {
        return scale_pairs(pairs, scale);
    }
    __m512 scale;
};

/// Whether all of a panel's scales in a K block are of tiles.
template <GroupScale G>
inline bool are_of_tiles(const std::uint8_t* scales, std::int64_t depth) {
    if constexpr (G != GroupScale::ue8m0) {
        return true;
    } else {
        const std::int64_t codes = depth / group_sizes[static_cast<std::size_t>(G)] * panel_columns;
        const __mmask64 all = codes < 64 ? (std::uint64_t{1} << codes) - 1 : ~std::uint64_t{0};
        return are_of_tiles(_mm512_mask_loadu_epi8(bytes(first_tile_scale), all, scales));
    }
}

}  // namespace
}  // namespace moegemm::cpu
