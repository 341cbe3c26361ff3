// AVX-512 BF16: vdpbf16ps, 32 products an instruction.
#include "providers/cpu/kernels/avx512_bf16/avx512_bf16.hpp"

#include <immintrin.h>

// See avx512/bf16_lines.cpp; before the templates that use those intrinsics.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "providers/cpu/kernels/avx512/direct_stream.hpp"

namespace moegemm::cpu {
namespace {

struct Avx512Bf16 : DirectVectors {
    using AsPacked = Avx512Bf16;
    using P = __m512i;
    using W = __m512i;
    static constexpr std::int64_t a_bytes = 2;
    static constexpr bool decodes_e2m1_to_f32 = false;
    static constexpr std::int64_t w_bytes = line_bytes;

    static W load_weights(const std::uint8_t* at) { return _mm512_loadu_si512(at); }
    static W weights_of(__m512i line) { return line; }
    template <std::size_t I, class Codes>
    static W scaled(const Codes& codes, F scale) {
        return scale_pairs(codes.template line<I>(), scale);
    }
    static void keep(std::uint8_t* at, W weights) { _mm512_storeu_si512(at, weights); }
    static P broadcast_pair(const std::uint8_t* at) {
        int pair = 0;
        std::memcpy(&pair, at, sizeof pair);
        return _mm512_set1_epi32(pair);
    }
    /// Not _mm512_dpbf16_ps: see avx512_vnni.cpp.
    static F dot(F sums, P a, W w) {
        __asm__("vdpbf16ps %2, %1, %0" : "+v"(sums) : "v"(a), "v"(w));
        return sums;
    }
};

constexpr std::int64_t deep_blocks = 4;  // 32 KiB of two panels of W stay in a first-level cache
constexpr std::int64_t resident_bytes = std::int64_t{256} << 10;  // of a second-level cache of 1 MiB

}  // namespace

constinit const MatrixKernels avx512_bf16_kernels = make_direct_kernels<Avx512Bf16>("dot", deep_blocks, resident_bytes);

}  // namespace moegemm::cpu
