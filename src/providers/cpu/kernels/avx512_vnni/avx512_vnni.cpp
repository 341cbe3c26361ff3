// AVX-512 VNNI: vpdpbusd, 64 products an instruction. 12 rows by two vectors, as for f32.
#include "providers/cpu/kernels/avx512_vnni/avx512_vnni.hpp"

#include <immintrin.h>

#include "providers/cpu/kernels/int8_dot.hpp"

namespace moegemm::cpu {
namespace {

struct Avx512Vnni {
    static constexpr int lanes = 16;
    static constexpr int tile_rows = 12;
    static constexpr int tile_panels = 2;
    using I = __m512i;

    static I zero() { return _mm512_setzero_si512(); }
    static I load(const std::uint8_t* at) { return _mm512_loadu_si512(at); }
    static void store(std::int32_t* at, I value) { _mm512_storeu_si512(at, value); }
    static I broadcast(std::uint32_t four) { return _mm512_set1_epi32(static_cast<int>(four)); }
    static I add(I a, I b) { return _mm512_add_epi32(a, b); }
    static I sub(I a, I b) { return _mm512_sub_epi32(a, b); }
    /// Not _mm512_dpbusd_epi32: gcc 12 copies its accumulator before and stores it after each one.
    static I dot(I sums, I a, I w) {
        __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(a), "v"(w));
        return sums;
    }
    static void prefetch(const std::uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1); }
};

}  // namespace

constinit const Int8Kernels avx512_vnni_int8_kernels{int8_sums<Avx512Vnni>, int8_take_off<Avx512Vnni>, 1};

}  // namespace moegemm::cpu
