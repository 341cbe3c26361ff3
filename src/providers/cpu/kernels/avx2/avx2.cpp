// AVX2, FMA, F16C: eight lanes, 16 registers. 6 rows by two vectors leave room for B and the broadcast of A.
#include "providers/cpu/kernels/avx2/avx2.hpp"

#include <immintrin.h>

#include "providers/cpu/kernels/outer_product.hpp"

namespace moegemm::cpu {
namespace {

struct Avx2 {
    static constexpr int lanes = 8;
    static constexpr int tile_vectors = 2;
    static constexpr int tile_rows = 6;
    static constexpr int direct_rows(Element element) { return element == Element::bf16 ? 12 : 3; }
    static constexpr int direct_step(Element element) { return element == Element::bf16 ? 5 : 3; }
    static constexpr int panels_of(int rows) { return rows <= 1 ? 4 : rows <= 3 ? 2 : 1; }
    static constexpr int prefetch_bytes = 1024;
    using F = __m256;

    static F zero() { return _mm256_setzero_ps(); }
    static F load(const float* at) { return _mm256_loadu_ps(at); }
    static void store(float* at, F value) { _mm256_storeu_ps(at, value); }
    static F broadcast(float value) { return _mm256_set1_ps(value); }
    static F add(F a, F b) { return _mm256_add_ps(a, b); }
    static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
    static void prefetch(const std::uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0); }

    static void add_int(std::int32_t* c, F sums) {
        auto* at = reinterpret_cast<__m256i*>(c);
        _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), _mm256_cvtps_epi32(sums)));
    }
    static void store_f16(std::uint16_t* at, F value) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
    }

    static void store_bf16(std::uint16_t* at, F value) {
        const __m256i bits = _mm256_castps_si256(value);
        const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
        const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
        const __m256i halves = _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), _mm256_set1_epi32(0x7FFF), nan);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(at),
                         _mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
    }

    /// e4m3 has f16's layout with three exponent bits fewer: its code, shifted, is f16 of the value / 2^8, subnormals
    /// included (vcvtph2ps takes them at full speed, where an f32 route through subnormal operands would not).
    static constexpr float unit(Element element) { return element == Element::e4m3 ? 256.0F : 1.0F; }

    static __m128i load_16(const std::uint8_t* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }
    static __m128i load_8(const std::uint8_t* at) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)); }
    static void halves_to_floats(__m256i halves, F& low, F& high) {
        low = _mm256_cvtph_ps(_mm256_castsi256_si128(halves));
        high = _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1));
    }
    /// e2m1 in the last four bits of each lane: a look-up of the magnitude (vpermps looks at three bits), then the
    /// sign.
    static F e2m1(__m256i codes) {
        const F magnitude =
            _mm256_permutevar8x32_ps(_mm256_setr_ps(0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F), codes);
        const __m256i sign = _mm256_and_si256(_mm256_slli_epi32(codes, 28), _mm256_set1_epi32(INT32_MIN));
        return _mm256_or_ps(magnitude, _mm256_castsi256_ps(sign));
    }

    template <Element E>
    static void decode_row(const std::uint8_t* at, F (&out)[4]) {
        if constexpr (E == Element::bf16) {
            for (int v = 0; v < 4; ++v) {
                out[v] = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_16(at + 16 * v)), 16));
            }
        } else if constexpr (E == Element::i8) {
            for (int v = 0; v < 4; ++v) {
                out[v] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_8(at + 8 * v)));
            }
        } else if constexpr (E == Element::e4m3) {
            for (int pair = 0; pair < 2; ++pair) {
                // Sign to bits 15 and 14, magnitude to 13 … 7; then the second copy of the sign goes. A NaN sets all.
                const __m256i words = _mm256_cvtepu8_epi16(load_16(at + 16 * pair));
                const __m256i spread = _mm256_srai_epi16(_mm256_slli_epi16(words, 8), 1);
                const __m256i halves = _mm256_and_si256(spread, _mm256_set1_epi16(static_cast<short>(0xBFFF)));
                const __m256i magnitude = _mm256_set1_epi16(0x3F80);
                const __m256i nan = _mm256_cmpeq_epi16(_mm256_and_si256(spread, magnitude), magnitude);
                halves_to_floats(_mm256_or_si256(halves, nan), out[2 * pair], out[2 * pair + 1]);
            }
        } else if constexpr (E == Element::e5m2) {
            for (int pair = 0; pair < 2; ++pair) {
                const __m256i words = _mm256_cvtepu8_epi16(load_16(at + 16 * pair));
                halves_to_floats(_mm256_slli_epi16(words, 8), out[2 * pair], out[2 * pair + 1]);
            }
        } else {
            for (int v = 0; v < 4; ++v) {
                // A quadword a byte: its low half ends in the low nibble, its high half in the high one.
                std::int32_t four = 0;
                std::memcpy(&four, at + 4 * v, sizeof four);
                const __m256i bytes = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
                out[v] = e2m1(_mm256_or_si256(bytes, _mm256_slli_epi64(bytes, 28)));
            }
        }
    }

    static __m256i bytes(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
    /// Sixteen bytes, in either half.
    static __m256i look_up_table(std::uint64_t low, std::uint64_t high) {
        return _mm256_broadcastsi128_si256(_mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low)));
    }
    /// 32-bit lanes of two bf16 each, from their high and low bytes as a line of 8-bit elements has them.
    static void halves(__m256i high, __m256i low, F* out) {
        const __m256i pairs[2] = {_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high)};
        for (int i = 0; i < 2; ++i) {
            out[2 * i] = _mm256_castsi256_ps(_mm256_slli_epi32(pairs[i], 16));
            out[2 * i + 1] = _mm256_castsi256_ps(_mm256_and_si256(pairs[i], _mm256_set1_epi32(-0x10000)));
        }
    }

    template <Element E>
    static void decode_line(const std::uint8_t* at, F* out) {
        const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
        if constexpr (E == Element::bf16) {
            out[0] = _mm256_castsi256_ps(_mm256_slli_epi32(codes, 16));
            out[1] = _mm256_castsi256_ps(_mm256_and_si256(codes, _mm256_set1_epi32(-0x10000)));
        } else if constexpr (E == Element::i8) {
            out[0] = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(codes, 24), 24));
            out[1] = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(codes, 16), 24));
            out[2] = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(codes, 8), 24));
            out[3] = _mm256_cvtepi32_ps(_mm256_srai_epi32(codes, 24));
        } else if constexpr (E == Element::e4m3 || E == Element::e5m2) {
            // As in the kernels for AVX-512.
            constexpr bool e4m3 = E == Element::e4m3;
            const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(codes, e4m3 ? 4 : 3), bytes(e4m3 ? 0x07 : 0x0F));
            const __m256i high = _mm256_add_epi8(upper, bytes(e4m3 ? 0x3C : 0x38));
            const __m256i low = _mm256_and_si256(_mm256_slli_epi16(codes, e4m3 ? 4 : 5), bytes(e4m3 ? 0xF0 : 0xE0));
            const __m256i moved = _mm256_and_si256(_mm256_add_epi8(codes, bytes(e4m3 ? 1 : 4)), bytes(0x7F));
            const __m256i special = _mm256_cmpgt_epi8(bytes(e4m3 ? 9 : 8), moved);
            const __m256i high_table = e4m3 ? look_up_table(0x3C3C3C3B3B3B007F, 0x000000000000003C)
                                            : look_up_table(0x383837007F7F7F7F, 0x0000000000000000);
            const __m256i low_table = e4m3 ? look_up_table(0x402000C0800000C0, 0x0000000000000060)
                                           : look_up_table(0x40008000C0C0C080, 0x0000000000000000);
            const __m256i sign = _mm256_and_si256(codes, bytes(0x80));
            halves(_mm256_or_si256(_mm256_blendv_epi8(high, _mm256_shuffle_epi8(high_table, moved), special), sign),
                   _mm256_blendv_epi8(low, _mm256_shuffle_epi8(low_table, moved), special), out);
        } else {
            static_assert(E == Element::e2m1);
            const __m256i high_table = look_up_table(0x404040403F3F3F00, 0xC0C0C0C0BFBFBF80);
            const __m256i low_table = look_up_table(0xC0804000C0800000, 0xC0804000C0800000);
            // To the order of 8-bit elements, pairs of k for elements.
            const __m256i pairs = _mm256_shuffle_epi8(codes, look_up_table(0x0D0C090805040100, 0x0F0E0B0A07060302));
            const __m256i even = _mm256_and_si256(pairs, bytes(0x0F));
            const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(pairs, 4), bytes(0x0F));
            F of_even[4];
            F of_odd[4];
            halves(_mm256_shuffle_epi8(high_table, even), _mm256_shuffle_epi8(low_table, even), of_even);
            halves(_mm256_shuffle_epi8(high_table, odd), _mm256_shuffle_epi8(low_table, odd), of_odd);
            for (int i = 0; i < 4; ++i) {
                out[2 * i] = of_even[i];
                out[2 * i + 1] = of_odd[i];
            }
        }
    }

    template <GroupScale G>
    static F scales(const std::uint8_t* at) {
        if constexpr (G == GroupScale::ue8m0) {
            const __m256i codes = _mm256_cvtepu8_epi32(load_8(at));
            // 2^-127 is subnormal, and the last code is NaN, not infinity.
            const __m256i zero = _mm256_cmpeq_epi32(codes, _mm256_setzero_si256());
            const __m256i last = _mm256_cmpeq_epi32(codes, _mm256_set1_epi32(255));
            const __m256i fix = _mm256_or_si256(_mm256_and_si256(zero, _mm256_set1_epi32(0x00400000)),
                                                _mm256_and_si256(last, _mm256_set1_epi32(0x7FC00000)));
            return _mm256_castsi256_ps(_mm256_or_si256(_mm256_slli_epi32(codes, 23), fix));
        } else {
            const __m128i codes = _mm_and_si128(_mm_cvtepu8_epi16(load_8(at)), _mm_set1_epi16(0x7F));
            const __m128i nan = _mm_cmpeq_epi16(codes, _mm_set1_epi16(0x7F));
            const __m128i halves = _mm_or_si128(_mm_slli_epi16(codes, 7), nan);
            return _mm256_mul_ps(_mm256_cvtph_ps(halves), _mm256_set1_ps(256.0F));
        }
    }
};

}  // namespace

constinit const FloatKernels avx2_kernels = make_float_kernels<Avx2>();

}  // namespace moegemm::cpu
