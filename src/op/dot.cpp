#include "op/dot.hpp"

#include <cstddef>
#include <cstring>

namespace moegemm {
namespace {

/// 8 lanes, which the compiler splits to what the target has.
using Lanes = double __attribute__((vector_size(64)));
constexpr std::size_t lanes = 8;

__attribute__((always_inline)) inline void multiply_add(const double* left, const double* right, Lanes& sum) {
    Lanes a;
    Lanes b;
    std::memcpy(&a, left, sizeof a);
    std::memcpy(&b, right, sizeof b);
    sum += a * b;
}

__attribute__((always_inline)) inline double dot_of(const double* left, const double* right, std::size_t size) {
    Lanes even{};
    Lanes odd{};
    std::size_t i = 0;
    for (; i + 2 * lanes <= size; i += 2 * lanes) {
        multiply_add(left + i, right + i, even);
        multiply_add(left + i + lanes, right + i + lanes, odd);
    }
    even += odd;
    for (std::size_t lane = 0; i < size; ++i, lane = (lane + 1) % lanes) {
        even[lane] += left[i] * right[i];
    }
    return ((even[0] + even[1]) + (even[2] + even[3])) + ((even[4] + even[5]) + (even[6] + even[7]));
}

using Dot = double (*)(const double*, const double*, std::size_t);

double dot_baseline(const double* left, const double* right, std::size_t size) { return dot_of(left, right, size); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) double dot_avx2(const double* left, const double* right, std::size_t size) {
    return dot_of(left, right, size);
}

__attribute__((target("avx512f"))) double dot_avx512(const double* left, const double* right, std::size_t size) {
    return dot_of(left, right, size);
}
#endif

Dot widest_dot() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") != 0) {
        return dot_avx512;
    }
    if (__builtin_cpu_supports("avx2") != 0) {
        return dot_avx2;
    }
#endif
    return dot_baseline;
}

}  // namespace

double dot(std::span<const double> left, std::span<const double> right) noexcept {
    static const Dot chosen = widest_dot();
    return chosen(left.data(), right.data(), left.size());
}

}  // namespace moegemm
