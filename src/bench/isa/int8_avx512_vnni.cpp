#include <immintrin.h>

#include "bench/isa/kernels.hpp"
#include "bench/isa/multiply_add.hpp"

namespace moegemm::bench::isa {
namespace {

double run(std::int64_t rounds) {
    const __m512i a = _mm512_set1_epi32(0x01020304);
    const __m512i b = _mm512_set1_epi32(0x7F810203);
    return multiply_add<__m512i>(rounds, [&](__m512i sum) { return _mm512_dpbusd_epi32(sum, a, b); });
}

}  // namespace

Peak int8_avx512_vnni() { return {run, static_cast<std::int64_t>(std::size_t{2} * 64 * independent_sums<64>)}; }

}  // namespace moegemm::bench::isa
