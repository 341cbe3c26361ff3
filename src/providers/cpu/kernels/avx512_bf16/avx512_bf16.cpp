// AVX-512 BF16: vdpbf16ps, 32 products an instruction. 12 rows by two vectors, as for f32.
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

struct Avx512Bf16 {
    using AsPacked = Avx512Bf16;
    static constexpr std::size_t rows = 12;
    using F = __m512;
    using P = __m512i;
    using W = __m512i;
    static constexpr std::int64_t a_bytes = 2;
    static constexpr bool decodes_e2m1_to_f32 = false;
    static constexpr std::int64_t w_bytes = line_bytes;

    static F zero() { return _mm512_setzero_ps(); }
    static F load(const float* at) { return _mm512_loadu_ps(at); }
    static void store(float* at, F value) { _mm512_storeu_ps(at, value); }
    static F broadcast(float value) { return _mm512_set1_ps(value); }
    static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
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
    static void prefetch(const std::uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1); }
    static void prefetch_near(const std::uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0); }
};

// 32 KiB of two panels of W stay in a first-level cache.
constexpr std::int64_t deep_blocks = 4;
// Of a second-level cache of 1 MiB.
constexpr std::int64_t rows_of_task = 256;
constexpr std::int64_t resident_bytes = std::int64_t{256} << 10;

void do_nothing() {}

}  // namespace

constinit const MatrixKernels avx512_bf16_kernels{"dot",
                                                  false,
                                                  Avx512Bf16::w_bytes,
                                                  deep_blocks,
                                                  Avx512Bf16::a_bytes,
                                                  {},
                                                  0,
                                                  matrix_tile,
                                                  rows_of_task,
                                                  resident_bytes,
                                                  do_nothing,
                                                  do_nothing,
                                                  nullptr,
                                                  dot_sums<Avx512Bf16, false>,
                                                  dot_sums<Avx512Bf16, true>,
                                                  nullptr,
                                                  bf16_stream<Avx512Bf16>,
                                                  bf16_scaled_stream<Avx512Bf16>};

}  // namespace moegemm::cpu
