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

/// What of the codes of e4m3 or e5m2 is no normal number: subnormal numbers, infinity and NaN are looked up by the
/// code, moved so that theirs are the first: of e4m3 NaN, 0, m · 2^-9; of e5m2 infinity, NaN three times, 0, m · 2^-16.
template <Element E>
class Specials {
public:
    explicit Specials(__m512i codes)
        : moved_(_mm512_and_si512(_mm512_add_epi8(codes, bytes(e4m3 ? 1 : 4)), bytes(0x7F))),
          special_(_mm512_cmplt_epu8_mask(moved_, bytes(e4m3 ? 9 : 8))) {}
    [[nodiscard]] bool none() const { return special_ == 0; }
    /// High and low bytes without signs, given those of normal numbers.
    [[nodiscard]] __m512i high(__m512i normal) const {
        const __m512i table = e4m3 ? look_up_table(0x3C3C3C3B3B3B007F, 0x3C) : look_up_table(0x383837007F7F7F7F, 0);
        return _mm512_mask_shuffle_epi8(normal, special_, table, moved_);
    }
    [[nodiscard]] __m512i low(__m512i normal) const {
        const __m512i table = e4m3 ? look_up_table(0x402000C0800000C0, 0x60) : look_up_table(0x40008000C0C0C080, 0);
        return _mm512_mask_shuffle_epi8(normal, special_, table, moved_);
    }

private:
    static constexpr bool e4m3 = E == Element::e4m3;
    __m512i moved_;
    __mmask64 special_;
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
        // the low byte the last bit of the exponent and the mantissa.
        static_assert(E == Element::e4m3 || E == Element::e5m2);
        constexpr bool e4m3 = E == Element::e4m3;
        const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(codes, e4m3 ? 4 : 3), bytes(e4m3 ? 0x07 : 0x0F));
        const __m512i high = _mm512_add_epi8(upper, bytes(e4m3 ? 0x3C : 0x38));
        const __m512i low = _mm512_and_si512(_mm512_slli_epi16(codes, e4m3 ? 4 : 5), bytes(e4m3 ? 0xF0 : 0xE0));
        const Specials<E> specials(codes);
        return {_mm512_or_si512(specials.high(high), _mm512_and_si512(codes, bytes(0x80))), specials.low(low)};
    }
}

/// Of a line of e2m1 the lanes of two bf16 of k = I and k = 4 + I. The look-up takes the last five bits of each word,
/// of which four are a code, so that the table has its sixteen numbers twice.
template <std::size_t I>
inline __m512i e2m1_pair(__m512i codes) {
    const __m512i positive = look_up_table(0x3FC03F803F000000, 0x40C0408040404000);
    const __m512i sign = _mm512_maskz_set1_epi16(0xFF00FF00, static_cast<short>(0x8000));
    const __m512i table = _mm512_or_si512(positive, sign);
    return _mm512_permutexvar_epi16(I == 0 ? codes : _mm512_srli_epi16(codes, 4 * I), table);
}
/// The numbers of e2m1 whose codes are the last four bits of each lane.
inline __m512 e2m1_numbers(__m512i codes) {
    const __m512 table = _mm512_setr_ps(0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F, -0.0F, -0.5F, -1.0F, -1.5F,
                                        -2.0F, -3.0F, -4.0F, -6.0F);
    return _mm512_permutexvar_ps(codes, table);
}
/// Of a line of e2m1 k = I as f32.
template <std::size_t I>
inline __m512 e2m1_number(__m512i codes) {
    return e2m1_numbers(I == 0 ? codes : _mm512_srli_epi32(codes, 4 * I));
}
inline void e2m1_pairs(__m512i codes, __m512i (&out)[4]) {
    out[0] = e2m1_pair<0>(codes);
    out[1] = e2m1_pair<1>(codes);
    out[2] = e2m1_pair<2>(codes);
    out[3] = e2m1_pair<3>(codes);
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
