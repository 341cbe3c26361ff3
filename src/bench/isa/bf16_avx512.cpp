#include <immintrin.h>

#include "bench/isa/kernels.hpp"
#include "bench/isa/multiply_add.hpp"

namespace moegemm::bench::isa {
namespace {

double run(std::int64_t rounds) {
    const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5F), _mm512_set1_ps(-0.5F));
    const __m512bh b = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1.5F), _mm512_set1_ps(1.25F));
    return multiply_add<__m512>(rounds, [&](__m512 sum) { return _mm512_dpbf16_ps(sum, a, b); });
}

}  // namespace

Peak bf16_avx512() { return {run, static_cast<std::int64_t>(std::size_t{2} * 32 * independent_sums<64>)}; }

}  // namespace moegemm::bench::isa
