/// \file
/// The loop of every peak kernel on vector registers. Internal linkage, as in unrolled.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bench/isa/unrolled.hpp"

// The compiler must have this value in a vector register here, and knows nothing of it afterwards: it can neither merge
// nor re-order the rounds of a loop that measures instructions.
#if defined(__AVX512F__)
#define MOEGEMM_KEEP_IN_REGISTER(vector) __asm__ volatile("" : "+v"(vector))
#elif defined(__x86_64__)
#define MOEGEMM_KEEP_IN_REGISTER(vector) __asm__ volatile("" : "+x"(vector))
#elif defined(__aarch64__)
#define MOEGEMM_KEEP_IN_REGISTER(vector) __asm__ volatile("" : "+w"(vector))
#else
#define MOEGEMM_KEEP_IN_REGISTER(vector) __asm__ volatile("" : "+m"(vector))
#endif

namespace moegemm::bench::isa {
namespace {

/// Independent sums: two instructions a cycle × a latency of 6 is 12, and with two factors that fits 16 registers.
/// Vectors of 64 bytes have 32: so many that the order in which a processor's units take them costs nothing.
template <std::size_t VectorBytes>
inline constexpr std::size_t independent_sums = VectorBytes == 64 ? 24 : 12;

/// Adds to independent sums, all in registers.
/// \tparam Vector a register of float or int
/// \param step    one multiply-add: the sum that follows a sum
template <class Vector, class Step>
[[gnu::always_inline]] inline double multiply_add(std::int64_t rounds, const Step& step) {
    Vector sums[independent_sums<sizeof(Vector)>] = {};
    for (std::int64_t round = 0; round < rounds; ++round) {
        unrolled<independent_sums<sizeof(Vector)>>([&](auto s) {
            Vector sum = step(sums[s]);
            MOEGEMM_KEEP_IN_REGISTER(sum);
            sums[s] = sum;
        });
    }
    double total = 0;
    unrolled<independent_sums<sizeof(Vector)>>([&](auto s) {
        std::int32_t first = 0;
        std::memcpy(&first, &sums[s], sizeof(first));
        total += static_cast<double>(first);
    });
    return total;
}

/// f32: x ← x·m + a per lane, which tends to a/(1−m), so the numbers stay normal. Compiled with contraction: a product
/// and a sum are one instruction where the machine has it.
template <class Vector>
double f32_multiply_add(std::int64_t rounds) {
    const Vector factor = Vector{} + 0.75F;
    const Vector addend = Vector{} + 0.5F;
    return multiply_add<Vector>(rounds, [&](Vector sum) { return sum * factor + addend; });
}

template <class Vector>
constexpr std::int64_t f32_operations = static_cast<std::int64_t>(2 * independent_sums<sizeof(Vector)> *
                                                                  sizeof(Vector) / sizeof(float));

}  // namespace
}  // namespace moegemm::bench::isa
