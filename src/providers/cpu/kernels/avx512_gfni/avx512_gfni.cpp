// AVX-512 with GFNI: weights decoded to bf16 by bit matrices, and multiplied as f32. Where there is no vdpbf16ps, or a
// slow one: two multiply-adds of f32 do its work, and processors of Intel do four of them in its time.
#include "providers/cpu/kernels/avx512_gfni/avx512_gfni.hpp"

#include <immintrin.h>

// See avx512/bf16_lines.cpp; before the templates that use those intrinsics.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "providers/cpu/kernels/avx512/direct_stream.hpp"

namespace moegemm::cpu {
namespace {

struct PackedWeights : DirectVectors {
    static constexpr std::int64_t a_bytes = 4;
    static constexpr bool decodes_e2m1_to_f32 = true;
    static constexpr std::int64_t w_bytes = line_bytes;
    struct P {
        F even;
        F odd;
    };
    using W = P;

    static W weights_of(__m512i line) { return {even_of(line), odd_of(line)}; }
    template <std::size_t I, class Codes>
    static W scaled(const Codes& codes, F scale) {
        return {mul(codes.template even<I>(), scale), mul(codes.template odd<I>(), scale)};
    }
    static W load_weights(const std::uint8_t* at) { return weights_of(_mm512_loadu_si512(at)); }
    static P broadcast_pair(const std::uint8_t* at) {
        float pair[2];
        std::memcpy(pair, at, sizeof pair);
        return {broadcast(pair[0]), broadcast(pair[1])};
    }
    static F dot(F sums, const P& a, const W& w) { return fma(a.odd, w.odd, fma(a.even, w.even, sums)); }
};

struct Avx512Gfni : PackedWeights {
    using AsPacked = PackedWeights;
    static constexpr std::int64_t w_bytes = 2 * line_bytes;
    static W load_weights(const std::uint8_t* at) {
        const auto* numbers = reinterpret_cast<const float*>(at);
        return {load(numbers), load(numbers + panel_columns)};
    }
    static void keep(std::uint8_t* at, const W& weights) {
        auto* numbers = reinterpret_cast<float*>(at);
        store(numbers, weights.even);
        store(numbers + panel_columns, weights.odd);
    }
};

constexpr std::int64_t deep_blocks = 1;  // 16 KiB of two panels of W stay in a first-level cache beside A
constexpr std::int64_t resident_bytes = std::int64_t{512} << 10;  // of a second-level cache of 1.25 MiB

}  // namespace

constinit const MatrixKernels avx512_gfni_kernels = make_direct_kernels<Avx512Gfni>("fma", deep_blocks, resident_bytes);

}  // namespace moegemm::cpu
