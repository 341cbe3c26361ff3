#include "providers/cpu/kernels/avx512/bf16_lines.hpp"

#include <cstring>
#include <utility>

#include "providers/cpu/kernels/avx512/bf16_decode.hpp"

// gcc 12's intrinsics pass a deliberately undefined vector where nothing is masked, and are warned about (PR 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace moegemm::cpu {
namespace {

void prefetch(const std::uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0); }

/// Lines of bf16.
struct AsBf16 {
    static constexpr std::int64_t bytes = line_bytes;
    template <Codes C, Element E, GroupScale G>
    static void store(std::uint8_t* at, __m512i pairs, const LineScale<E, G>& scale) {
        _mm512_storeu_si512(at, scale.template times<C>(pairs));
    }
    static void store_row(std::uint8_t* at, __m512i numbers) { _mm512_storeu_si512(at, numbers); }
};
/// Lines of f32, scaled by multiplying where bf16 would be multiplied as f32.
struct AsF32 {
    static constexpr std::int64_t bytes = 2 * line_bytes;
    template <Codes C, Element E, GroupScale G>
    static void store(std::uint8_t* at, __m512i pairs, const LineScale<E, G>& scale) {
        if constexpr (G == GroupScale::ue4m3) {
            store(at, _mm512_mul_ps(even_of(pairs), scale.scale), _mm512_mul_ps(odd_of(pairs), scale.scale));
        } else {
            const __m512i scaled = scale.template times<C>(pairs);
            store(at, even_of(scaled), odd_of(scaled));
        }
    }
    static void store_row(std::uint8_t* at, __m512i numbers) {
        const __m512i first = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(numbers));
        const __m512i last = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(numbers, 1));
        store(at, even_of(first), even_of(last));
    }

private:
    static void store(std::uint8_t* at, __m512 even, __m512 odd) {
        _mm512_storeu_ps(at, even);
        _mm512_storeu_ps(at + line_bytes, odd);
    }
};

template <class Lines, Codes C, Element E, GroupScale G, std::size_t... I>
void decode_line(const std::uint8_t* at, const LineScale<E, G>& scale, std::uint8_t* lines,
                 std::index_sequence<I...> /*lines of bf16*/) {
    const LineCodes<E, C> codes(at);
    (Lines::template store<C>(lines + static_cast<std::int64_t>(I) * Lines::bytes, codes.template line<I>(), scale),
     ...);
}

template <class Lines, Element E, GroupScale G>
bool decode_panel(const std::uint8_t* elements, const std::uint8_t* scales, std::int64_t depth, std::int64_t ahead,
                  std::uint8_t* lines) {
    constexpr std::int64_t line_depth = line_depths[static_cast<std::size_t>(E)];
    constexpr std::int64_t group = group_sizes[static_cast<std::size_t>(G)];
    if constexpr (G != GroupScale::none) {
        prefetch(scales + ahead);
    }
    for (std::int64_t begin = 0; begin < depth; begin += group) {
        const LineScale<E, G> scale(scales + begin / group * panel_columns);
        const std::int64_t end = depth < begin + group ? depth : begin + group;
        for (std::int64_t k = begin; k < end; k += line_depth) {
            const std::uint8_t* at = elements + k / line_depth * line_bytes;
            prefetch(at + ahead);
            std::uint8_t* out = lines + k / 2 * Lines::bytes;
            are_normal<E>(at) ? decode_line<Lines, Codes::of_normal_numbers>(at, scale, out, Bf16Lines<E>{})
                              : decode_line<Lines, Codes::any>(at, scale, out, Bf16Lines<E>{});
        }
    }
    return are_of_tiles<G>(scales, depth);
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
template <class Lines, Element E>
void finish_step(const std::uint8_t* from, std::int64_t left, const float* scales, int group_shift, PairOrder order,
                 std::int64_t stride, std::uint8_t* out) {
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
        Lines::store_row(out + i * stride, pairs);
    }
}

template <class Lines, Element E>
void decode_row(const std::uint8_t* elements, std::int64_t count, const float* scales, int group_shift, PairOrder order,
                std::int64_t stride, std::uint8_t* out) {
    constexpr std::int64_t bits = element_bits[static_cast<std::size_t>(E)];
    constexpr std::int64_t step_bytes = row_step * bits / 8;
    std::int64_t k = 0;
    const auto scales_from = [&] { return scales == nullptr ? nullptr : scales + (k >> group_shift); };
    for (; k + row_step <= count; k += row_step) {
        finish_step<Lines, E>(elements + k * bits / 8, row_step, scales_from(), group_shift, order, stride,
                              out + k / 32 * stride);
    }
    if (k < count) {
        // The row's last elements may be the last bytes of the tensor.
        std::uint8_t rest[static_cast<std::size_t>(step_bytes)] = {};
        std::memcpy(rest, elements + k * bits / 8, static_cast<std::size_t>((count - k) * bits / 8));
        finish_step<Lines, E>(rest, count - k, scales_from(), group_shift, order, stride, out + k / 32 * stride);
    }
}

}  // namespace

using enum Element;
using enum GroupScale;

namespace {

template <class Lines>
constexpr Bf16Decoders make_decoders(DecodePanelBf16 of_bf16) {
    return {
        {decode_row<Lines, bf16>, nullptr, decode_row<Lines, e4m3>, decode_row<Lines, e5m2>, decode_row<Lines, e2m1>},
        {of_bf16, nullptr, decode_panel<Lines, e4m3, none>, decode_panel<Lines, e5m2, none>,
         decode_panel<Lines, e4m3, ue8m0>, decode_panel<Lines, e5m2, ue8m0>, decode_panel<Lines, e2m1, ue8m0>,
         decode_panel<Lines, e2m1, ue4m3>}};
}

}  // namespace

constinit const Bf16Decoders avx512_bf16_decoders = make_decoders<AsBf16>(nullptr);
constinit const Bf16Decoders avx512_f32_decoders = make_decoders<AsF32>(decode_panel<AsF32, bf16, none>);

}  // namespace moegemm::cpu
