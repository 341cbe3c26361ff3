#include <immintrin.h>

#include "bench/isa/kernels.hpp"
#include "bench/isa/multiply_add.hpp"

namespace moegemm::bench::isa {
namespace {

double run(std::int64_t rounds) {
    const __m256i a = _mm256_set1_epi32(0x01020304);
    const __m256i b = _mm256_set1_epi32(0x7F810203);
    return multiply_add<__m256i>(rounds, [&](__m256i sum) { return _mm256_dpbusd_avx_epi32(sum, a, b); });
}

}  // namespace

Peak int8_avx_vnni() { return {run, static_cast<std::int64_t>(std::size_t{2} * 32 * independent_sums<32>)}; }

}  // namespace moegemm::bench::isa
