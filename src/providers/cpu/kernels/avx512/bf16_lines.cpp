#include "providers/cpu/kernels/avx512/bf16_lines.hpp"

#include <cstring>

#include "providers/cpu/kernels/avx512/bf16_bytes.hpp"

// gcc 12's intrinsics pass a deliberately undefined vector where nothing is masked, and are warned about (PR 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace moegemm::cpu {
namespace {

/// For VPTERNLOG: the first operand, or what the two others have in common.
constexpr int first_or_both_others = 0xF8;

/// Both bf16 of each lane times a number; exact, so that what is cut off is zero.
__m512i scale_pairs(__m512i pairs, __m512 scale) {
    const __m512i even = _mm512_castps_si512(_mm512_mul_ps(even_of(pairs), scale));
    const __m512i odd = _mm512_castps_si512(_mm512_mul_ps(odd_of(pairs), scale));
    return _mm512_ternarylogic_epi32(_mm512_srli_epi32(even, 16), odd, _mm512_set1_epi32(-0x10000),
                                     first_or_both_others);
}

__m512i low_pairs(const HalfBytes& halves) { return _mm512_unpacklo_epi8(halves.low, halves.high); }
__m512i high_pairs(const HalfBytes& halves) { return _mm512_unpackhi_epi8(halves.low, halves.high); }

/// As half_bytes, in two bit matrices a normal number's high and low byte: of the exponent, the first bit of the code
/// and its complement take the place of adding 120 (e5m2: 112). (GF2P8AFFINEQB: byte 7 − i of a matrix gives bit i.)
template <Element E>
HalfBytes half_bytes_of_8_bits(__m512i codes) {
    constexpr bool e4m3 = E == Element::e4m3;
    const __m512i high_bits = _mm512_set1_epi64(e4m3 ? 0x1020404040404000 : 0x0810204040404000);
    const __m512i low_bits = _mm512_set1_epi64(e4m3 ? 0x01020408 : 0x010204);
    const Specials<E> specials(codes);
    const __m512i high = specials.high(_mm512_gf2p8affine_epi64_epi8(codes, high_bits, e4m3 ? 0x3C : 0x38));
    const __m512i low = specials.low(_mm512_gf2p8affine_epi64_epi8(codes, low_bits, 0));
    return {_mm512_ternarylogic_epi64(high, codes, bytes(0x80), first_or_both_others), low};
}

/// A line of a format to lines of bf16.
template <Element E, std::size_t Lines>
void decode_line(const std::uint8_t* at, __m512i (&out)[Lines]) {
    const __m512i codes = _mm512_loadu_si512(at);
    if constexpr (E == Element::e2m1) {
        e2m1_pairs(codes, out);
    } else {
        const HalfBytes halves = half_bytes_of_8_bits<E>(codes);
        out[0] = low_pairs(halves);
        out[1] = high_pairs(halves);
    }
}

/// Whether ue8m0 codes, 64 of them, are of tiles.
bool are_of_tiles(__m512i codes) {
    const __m512i from_first = _mm512_sub_epi8(codes, bytes(first_tile_scale));
    return _mm512_cmpgt_epu8_mask(from_first, bytes(last_tile_scale - first_tile_scale)) == 0;
}

/// What multiplies a line of bf16 by the scales of its columns, given that scales are of tiles. Products are exact.
template <Element E, GroupScale G>
struct LineScale;

template <Element E>
struct LineScale<E, GroupScale::none> {
    explicit LineScale(const std::uint8_t* /*scales*/) {}
    __m512i operator()(__m512i pairs) const { return pairs; }
};
/// Of e2m1, which is 0 or a normal number: added to the exponent.
template <>
struct LineScale<Element::e2m1, GroupScale::ue8m0> {
    explicit LineScale(const std::uint8_t* scales) {
        const __m512i codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales)));
        const __m512i exponent = _mm512_slli_epi32(_mm512_sub_epi32(codes, _mm512_set1_epi32(127)), 23);
        added = _mm512_or_si512(exponent, _mm512_srli_epi32(exponent, 16));
    }
    __m512i operator()(__m512i pairs) const {
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
    __m512i operator()(__m512i pairs) const {
        const __m512i above_zero = _mm512_sub_epi16(_mm512_slli_epi16(pairs, 1), _mm512_set1_epi16(1));
        const __mmask32 finite = _mm512_cmplt_epu16_mask(above_zero, _mm512_set1_epi16(static_cast<short>(0xFEFF)));
        return _mm512_mask_add_epi16(pairs, finite, pairs, added);
    }
};
template <Element E, GroupScale G>
struct LineScale {
    explicit LineScale(const std::uint8_t* scales) : scale(scales_of<G>(scales)) {}
    __m512i operator()(__m512i pairs) const { return scale_pairs(pairs, scale); }
    __m512 scale;
};

void prefetch(const std::uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0); }

template <Element E, GroupScale G>
bool decode_panel(const std::uint8_t* elements, const std::uint8_t* scales, std::int64_t depth, std::int64_t ahead,
                  std::uint8_t* lines) {
    constexpr std::int64_t line_depth = line_depths[static_cast<std::size_t>(E)];
    constexpr std::int64_t group = group_sizes[static_cast<std::size_t>(G)];
    constexpr auto count = static_cast<std::size_t>(line_depth / 2);
    if constexpr (G != GroupScale::none) {
        prefetch(scales + ahead);
    }
    bool of_tiles = true;
    if constexpr (G == GroupScale::ue8m0) {
        const std::int64_t codes = depth / group * panel_columns;
        const __mmask64 all = codes < 64 ? (std::uint64_t{1} << codes) - 1 : ~std::uint64_t{0};
        of_tiles = are_of_tiles(_mm512_mask_loadu_epi8(bytes(first_tile_scale), all, scales));
    }
    for (std::int64_t begin = 0; begin < depth; begin += group) {
        const LineScale<E, G> scale(scales + begin / group * panel_columns);
        const std::int64_t end = depth < begin + group ? depth : begin + group;
        for (std::int64_t k = begin; k < end; k += line_depth) {
            const std::uint8_t* at = elements + k / line_depth * line_bytes;
            prefetch(at + ahead);
            __m512i out[count];
            decode_line<E>(at, out);
            for (std::size_t i = 0; i < count; ++i) {
                _mm512_storeu_si512(lines + (k / 2 + static_cast<std::int64_t>(i)) * line_bytes, scale(out[i]));
            }
        }
    }
    return of_tiles;
}

constexpr std::int64_t row_step = 64;  // elements of a row at a time: two vectors of bf16

/// 64 consecutive elements to bf16.
template <Element E>
void decode_step(const std::uint8_t* at, __m512i (&out)[2]) {
    if constexpr (E == Element::bf16) {
        out[0] = _mm512_loadu_si512(at);
        out[1] = _mm512_loadu_si512(at + 64);
    } else {
        __m512i codes;
        if constexpr (E == Element::e2m1) {
            const __m512i words = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
            codes = _mm512_and_si512(_mm512_or_si512(words, _mm512_slli_epi16(words, 4)), bytes(0x0F));
        } else {
            codes = _mm512_loadu_si512(at);
        }
        // Quarter q: eight bytes of the first half, then eight of the second, so that the interleaved are in order.
        const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
        const HalfBytes halves = half_bytes<E>(_mm512_permutexvar_epi64(order, codes));
        out[0] = low_pairs(halves);
        out[1] = high_pairs(halves);
    }
}

/// 64 elements of a row, `left` of them given, with their scales and in their order.
template <Element E>
void finish_step(const std::uint8_t* from, std::int64_t left, const float* scales, int group_shift, PairOrder order,
                 std::uint16_t* out) {
    __m512i halves[2];
    decode_step<E>(from, halves);
    for (std::int64_t i = 0; i < 2; ++i) {
        const std::int64_t first = 32 * i;
        __m512i pairs = halves[i];
        if (scales != nullptr) {
            // Groups of 16 or 32: the halves of a vector may have two scales.
            const float low = first < left ? scales[first >> group_shift] : 0.0F;
            const float high = first + 16 < left ? scales[(first + 16) >> group_shift] : 0.0F;
            pairs = scale_pairs(pairs, _mm512_mask_blend_ps(0xFF00, _mm512_set1_ps(low), _mm512_set1_ps(high)));
        }
        if (order == PairOrder::of_e2m1) {
            pairs = _mm512_shuffle_epi8(pairs, look_up_table(0x0B0A030209080100, 0x0F0E07060D0C0504));
        }
        _mm512_storeu_si512(out + first, pairs);
    }
}

template <Element E>
void decode_row(const std::uint8_t* elements, std::int64_t count, const float* scales, int group_shift, PairOrder order,
                std::uint16_t* out) {
    constexpr std::int64_t bits = element_bits[static_cast<std::size_t>(E)];
    constexpr std::int64_t step_bytes = row_step * bits / 8;
    std::int64_t k = 0;
    const auto scales_from = [&] { return scales == nullptr ? nullptr : scales + (k >> group_shift); };
    for (; k + row_step <= count; k += row_step) {
        finish_step<E>(elements + k * bits / 8, row_step, scales_from(), group_shift, order, out + k);
    }
    if (k < count) {
        // The row's last elements may be the last bytes of the tensor.
        std::uint8_t rest[static_cast<std::size_t>(step_bytes)] = {};
        std::memcpy(rest, elements + k * bits / 8, static_cast<std::size_t>((count - k) * bits / 8));
        finish_step<E>(rest, count - k, scales_from(), group_shift, order, out + k);
    }
}

}  // namespace

using enum Element;
using enum GroupScale;

constinit const Bf16Decoders avx512_bf16_decoders{
    {decode_row<bf16>, nullptr, decode_row<e4m3>, decode_row<e5m2>, decode_row<e2m1>},
    {nullptr, nullptr, decode_panel<e4m3, none>, decode_panel<e5m2, none>, decode_panel<e4m3, ue8m0>,
     decode_panel<e5m2, ue8m0>, decode_panel<e2m1, ue8m0>, decode_panel<e2m1, ue4m3>}};

}  // namespace moegemm::cpu
