// Int8 for AVX2: VPMADDWD multiplies pairs of int16 and adds their products, exactly, where VPMADDUBSW saturates. A
// line's bytes become two vectors of int16, of the even and of the odd k, which meet A's numbers in that order.
#include <immintrin.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "providers/cpu/kernels/avx2/avx2.hpp"

namespace moegemm::cpu {
namespace {

constexpr std::int64_t a_row_bytes = 2 * int8_k_block;
constexpr std::int64_t most_rows = 4;  // eight sums, a line's four vectors, and the pairs of A
constexpr std::int64_t near_bytes = 1024;

/// What a step asks for: at a line, what lies `first` + line · `step` bytes after the panel's first one.
struct Ahead {
    std::int64_t first;
    std::int64_t step;
};

__m256i pair_of(const std::uint8_t* at) {
    int pair = 0;
    std::memcpy(&pair, at, sizeof pair);
    return _mm256_set1_epi32(pair);
}

/// `Rows` rows by a panel.
template <std::size_t Rows>
void add_rows(const std::uint8_t* a, const std::uint8_t* elements, std::int64_t lines, Ahead ahead, std::int32_t* c) {
    __m256i sums[Rows][2];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < Rows; ++r) {
        sums[r][0] = sums[r][1] = _mm256_setzero_si256();
    }
    for (std::int64_t line = 0; line < lines; ++line) {
        const std::uint8_t* at = elements + line * line_bytes;
        _mm_prefetch(reinterpret_cast<const char*>(elements + ahead.first + line * ahead.step), _MM_HINT_T0);
        __m256i even[2];
        __m256i odd[2];
        for (std::size_t v = 0; v < 2; ++v) {
            const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 32 * v));
            even[v] = _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8);
            odd[v] = _mm256_srai_epi16(bytes, 8);
        }
#pragma GCC unroll 4
        for (std::size_t r = 0; r < Rows; ++r) {
            const std::uint8_t* pairs = a + static_cast<std::int64_t>(r) * a_row_bytes + 8 * line;
            const __m256i of_even = pair_of(pairs);
            const __m256i of_odd = pair_of(pairs + 4);
            for (std::size_t v = 0; v < 2; ++v) {
                const __m256i four =
                    _mm256_add_epi32(_mm256_madd_epi16(of_even, even[v]), _mm256_madd_epi16(of_odd, odd[v]));
                sums[r][v] = _mm256_add_epi32(sums[r][v], four);
            }
        }
    }
#pragma GCC unroll 4
    for (std::size_t r = 0; r < Rows; ++r) {
        for (std::size_t v = 0; v < 2; ++v) {
            auto* at = reinterpret_cast<__m256i*>(c + static_cast<std::int64_t>(r) * panel_columns + 8 * v);
            _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), sums[r][v]));
        }
    }
}

/// All rows of a panel, in equal steps. One step asks for lines a little ahead; each of several for its share of the
/// next K block, for the others find the lines of this one in the cache.
template <std::size_t... Rows>
void add_panel(const Int8Call& call, std::int64_t panel, std::index_sequence<Rows...> /*rows less one*/) {
    using Kernel = void (*)(const std::uint8_t*, const std::uint8_t*, std::int64_t, Ahead, std::int32_t*);
    static constexpr Kernel kernels[] = {add_rows<Rows + 1>...};
    const std::int64_t all_steps = (call.rows + most_rows - 1) / most_rows;
    Ahead ahead{near_bytes, line_bytes};
    if (all_steps > 1) {
        ahead = {call.lines * line_bytes, line_bytes / all_steps};
    }
    std::int64_t row = 0;
    for (std::int64_t steps = all_steps; steps > 0; --steps) {
        const std::int64_t rows = (call.rows - row + steps - 1) / steps;
        kernels[rows - 1](call.a + row * a_row_bytes, call.weights.elements + panel * call.weights.stride, call.lines,
                          ahead, call.c + panel * call.c_tile + row * panel_columns);
        ahead.first += call.lines * ahead.step;
        row += rows;
    }
}

void int8_sums(const Int8Call& call) {
    for (std::int64_t panel = 0; panel < call.weights.panels; ++panel) {
        add_panel(call, panel, std::make_index_sequence<most_rows>{});
    }
}

}  // namespace

constinit const Int8Kernels avx2_int8_kernels{int8_sums, nullptr, 2};

}  // namespace moegemm::cpu
