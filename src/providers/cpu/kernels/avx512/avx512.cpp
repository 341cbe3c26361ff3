// AVX-512 F, BW, DQ, VL: sixteen lanes, 32 registers. 12 rows by two vectors leave room for B and the broadcast of A.
#include "providers/cpu/kernels/avx512/avx512.hpp"

#include <immintrin.h>

#include "providers/cpu/kernels/avx512/bf16_bytes.hpp"
#include "providers/cpu/kernels/outer_product.hpp"

// gcc 12's intrinsics pass a deliberately undefined vector where nothing is masked, and are warned about (PR 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace moegemm::cpu {
namespace {

struct Avx512 {
    static constexpr int lanes = 16;
    static constexpr int tile_vectors = 2;
    static constexpr int tile_rows = 12;
    static constexpr int direct_rows(Element element) {
        return element == Element::bf16 ? 8 : element == Element::e2m1 ? 4 : 6;
    }
    static constexpr int direct_step(Element element) { return direct_rows(element); }
    static constexpr int panels_of(int rows) { return rows <= 4 ? 4 : 2; }
    static constexpr int prefetch_bytes = 1024;
    using F = __m512;

    static F zero() { return _mm512_setzero_ps(); }
    static F load(const float* at) { return _mm512_loadu_ps(at); }
    static void store(float* at, F value) { _mm512_storeu_ps(at, value); }
    static F broadcast(float value) { return _mm512_set1_ps(value); }
    static F add(F a, F b) { return _mm512_add_ps(a, b); }
    static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
    static void prefetch(const std::uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0); }

    static void add_int(std::int32_t* c, F sums) {
        _mm512_storeu_si512(c, _mm512_add_epi32(_mm512_loadu_si512(c), _mm512_cvtps_epi32(sums)));
    }
    static void store_f16(std::uint16_t* at, F value) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                            _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }

    static void store_bf16(std::uint16_t* at, F value) {
        const __m512i bits = _mm512_castps_si512(value);
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
        const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
        const __m512i halves = _mm512_mask_mov_epi32(_mm512_srli_epi32(rounded, 16), nan, _mm512_set1_epi32(0x7FFF));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm512_cvtepi32_epi16(halves));
    }

    /// e4m3 has f16's layout with three exponent bits fewer: its code, shifted, is f16 of the value / 2^8, subnormals
    /// included (vcvtph2ps takes them at full speed, where an f32 route through subnormal operands would not).
    static constexpr float unit(Element element) { return element == Element::e4m3 ? 256.0F : 1.0F; }

    static __m512i bytes_to_words(const std::uint8_t* at) {
        return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
    }
    static void halves_to_floats(__m512i halves, F& low, F& high) {
        low = _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
        high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1));
    }
    static __m128i load_16(const std::uint8_t* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

    template <Element E>
    static void decode_row(const std::uint8_t* at, F (&out)[4]) {
        if constexpr (E == Element::bf16) {
            for (int v = 0; v < 4; ++v) {
                const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 32 * v));
                out[v] = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
            }
        } else if constexpr (E == Element::i8) {
            for (int v = 0; v < 4; ++v) {
                out[v] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_16(at + 16 * v)));
            }
        } else if constexpr (E == Element::e4m3) {
            for (int pair = 0; pair < 2; ++pair) {
                // Sign to bits 15 and 14, magnitude to 13 … 7; then the second copy of the sign goes.
                const __m512i spread = _mm512_srai_epi16(_mm512_slli_epi16(bytes_to_words(at + 32 * pair), 8), 1);
                const __m512i halves = _mm512_and_si512(spread, _mm512_set1_epi16(static_cast<short>(0xBFFF)));
                const __m512i magnitude = _mm512_set1_epi16(0x3F80);
                const __mmask32 nan = _mm512_cmpeq_epi16_mask(_mm512_and_si512(spread, magnitude), magnitude);
                halves_to_floats(_mm512_mask_blend_epi16(nan, halves, _mm512_set1_epi16(0x7E00)), out[2 * pair],
                                 out[2 * pair + 1]);
            }
        } else if constexpr (E == Element::e5m2) {
            for (int pair = 0; pair < 2; ++pair) {
                halves_to_floats(_mm512_slli_epi16(bytes_to_words(at + 32 * pair), 8), out[2 * pair],
                                 out[2 * pair + 1]);
            }
        } else {
            for (int v = 0; v < 4; ++v) {
                // A quadword a byte: its low half ends in the low nibble, its high half in the high one.
                const __m512i bytes =
                    _mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at + 8 * v)));
                out[v] = e2m1_numbers(_mm512_or_si512(bytes, _mm512_slli_epi64(bytes, 28)));
            }
        }
    }

    /// 32-bit lanes of two bf16 each, from their bytes as a line of 8-bit elements has them.
    static void floats(const HalfBytes& halves, F* out) {
        const __m512i pairs[2] = {_mm512_unpacklo_epi8(halves.low, halves.high),
                                  _mm512_unpackhi_epi8(halves.low, halves.high)};
        for (int i = 0; i < 2; ++i) {
            out[2 * i] = even_of(pairs[i]);
            out[2 * i + 1] = odd_of(pairs[i]);
        }
    }

    template <Element E>
    static void decode_line(const std::uint8_t* at, F* out) {
        const __m512i codes = _mm512_loadu_si512(at);
        if constexpr (E == Element::bf16) {
            out[0] = even_of(codes);
            out[1] = odd_of(codes);
        } else if constexpr (E == Element::i8) {
            out[0] = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(codes, 24), 24));
            out[1] = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(codes, 16), 24));
            out[2] = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(codes, 8), 24));
            out[3] = _mm512_cvtepi32_ps(_mm512_srai_epi32(codes, 24));
        } else if constexpr (E == Element::e4m3 || E == Element::e5m2) {
            floats(half_bytes<E>(codes), out);
        } else {
            static_assert(E == Element::e2m1);
            __m512i pairs[4];
            e2m1_pairs(codes, pairs);
            for (int i = 0; i < 4; ++i) {
                out[i] = even_of(pairs[i]);
                out[4 + i] = odd_of(pairs[i]);
            }
        }
    }

    template <GroupScale G>
    static F scales(const std::uint8_t* at) {
        return scales_of<G>(at);
    }
};

}  // namespace

constinit const FloatKernels avx512_kernels = make_float_kernels<Avx512>();

}  // namespace moegemm::cpu
