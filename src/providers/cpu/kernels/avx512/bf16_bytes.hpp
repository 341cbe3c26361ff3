/// \file
/// 8-bit codes to the high and low bytes of bf16, 64 at a time, by byte look-ups.
/// Internal linkage: see kernel_family.hpp.
#pragma once

#include <immintrin.h>

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {
namespace {

inline __m512i bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }

/// Sixteen bytes, in each quarter.
inline __m512i look_up_table(std::uint64_t low, std::uint64_t high) {
    return _mm512_broadcast_i32x4(_mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low)));
}

struct HalfBytes {
    __m512i high;
    __m512i low;
};

/// \tparam E e4m3, e5m2, or e2m1: of that, codes below 16
template <Element E>
inline HalfBytes half_bytes(__m512i codes) {
    if constexpr (E == Element::e2m1) {
        // 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.
        return {_mm512_shuffle_epi8(look_up_table(0x404040403F3F3F00, 0xC0C0C0C0BFBFBF80), codes),
                _mm512_shuffle_epi8(look_up_table(0xC0804000C0800000, 0xC0804000C0800000), codes)};
    } else {
        // A normal number's bf16: the high byte is the sign and the upper bits of the exponent plus 120 (e5m2: 112),
        // the low byte the last bit of the exponent and the mantissa. Subnormal numbers, infinity and NaN are looked up
        // by the code, moved so that theirs are the first: of e4m3 NaN, 0, m · 2^-9; of e5m2 infinity, NaN three times,
        // 0, m · 2^-16.
        static_assert(E == Element::e4m3 || E == Element::e5m2);
        constexpr bool e4m3 = E == Element::e4m3;
        const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(codes, e4m3 ? 4 : 3), bytes(e4m3 ? 0x07 : 0x0F));
        __m512i high = _mm512_add_epi8(upper, bytes(e4m3 ? 0x3C : 0x38));
        __m512i low = _mm512_and_si512(_mm512_slli_epi16(codes, e4m3 ? 4 : 5), bytes(e4m3 ? 0xF0 : 0xE0));
        const __m512i moved = _mm512_and_si512(_mm512_add_epi8(codes, bytes(e4m3 ? 1 : 4)), bytes(0x7F));
        const __mmask64 special = _mm512_cmplt_epu8_mask(moved, bytes(e4m3 ? 9 : 8));
        const __m512i high_table =
            e4m3 ? look_up_table(0x3C3C3C3B3B3B007F, 0x3C) : look_up_table(0x383837007F7F7F7F, 0);
        const __m512i low_table = e4m3 ? look_up_table(0x402000C0800000C0, 0x60) : look_up_table(0x40008000C0C0C080, 0);
        high = _mm512_mask_shuffle_epi8(high, special, high_table, moved);
        low = _mm512_mask_shuffle_epi8(low, special, low_table, moved);
        return {_mm512_or_si512(high, _mm512_and_si512(codes, bytes(0x80))), low};
    }
}

/// One scale each of sixteen columns.
template <GroupScale G>
inline __m512 scales_of(const std::uint8_t* at) {
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    if constexpr (G == GroupScale::ue8m0) {
        const __m512i wide = _mm512_cvtepu8_epi32(codes);
        __m512i bits = _mm512_slli_epi32(wide, 23);
        // 2^-127 is subnormal, and the last code is NaN, not infinity.
        bits = _mm512_mask_mov_epi32(bits, _mm512_testn_epi32_mask(wide, wide), _mm512_set1_epi32(0x00400000));
        bits = _mm512_mask_mov_epi32(bits, _mm512_cmpeq_epi32_mask(wide, _mm512_set1_epi32(255)),
                                     _mm512_set1_epi32(0x7FC00000));
        return _mm512_castsi512_ps(bits);
    } else {
        const __m256i wide = _mm256_and_si256(_mm256_cvtepu8_epi16(codes), _mm256_set1_epi16(0x7F));
        const __mmask16 nan = _mm256_cmpeq_epi16_mask(wide, _mm256_set1_epi16(0x7F));
        const __m256i halves = _mm256_mask_blend_epi16(nan, _mm256_slli_epi16(wide, 7), _mm256_set1_epi16(0x7E00));
        return _mm512_mul_ps(_mm512_cvtph_ps(halves), _mm512_set1_ps(256.0F));
    }
}

/// The two bf16 of each 32-bit lane as f32.
inline __m512 even_of(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
inline __m512 odd_of(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-0x10000)));
}

}  // namespace
}  // namespace moegemm::cpu
