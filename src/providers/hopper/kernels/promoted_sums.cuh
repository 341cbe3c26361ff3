/// \file
/// Sums in float32 that the tensor cores' are added to.
#pragma once

#include <cstdint>

namespace moegemm::hopper {

/// `count` sums of a thread, two in a register of 64 bits, the second one below.
///
/// Registers lie in two banks, the even and the odd ones. A product's sums are numbered in order, so that two which
/// belong together would lie in the same bank, and be read one after the other: an addition would take twice as long, a
/// multiply-add up to three times. Crossed over, each comes from the other bank than what is added to it.
template <int count>
class PromotedSums {
public:
    __device__ __forceinline__ void clear() {
#pragma unroll
        for (std::uint64_t& pair : pairs_) {
            pair = 0;
        }
    }
    /// Adds `first` and `second`, each times `factor` where `scaled`, to the sums `index`, which is even, and the next.
    template <bool scaled>
    __device__ __forceinline__ void add(int index, float first, float second, float factor) {
        if constexpr (scaled) {
            asm("{\n.reg .f32 low, high;\n"
                "mov.b64 {low, high}, %0;\n"
                "fma.rn.f32 high, %1, %3, high;\n"
                "fma.rn.f32 low, %2, %3, low;\n"
                "mov.b64 %0, {low, high};\n}"
                : "+l"(pairs_[index / 2])
                : "f"(first), "f"(second), "f"(factor));
        } else {
            asm("{\n.reg .f32 low, high;\n"
                "mov.b64 {low, high}, %0;\n"
                "add.rn.f32 high, %1, high;\n"
                "add.rn.f32 low, %2, low;\n"
                "mov.b64 %0, {low, high};\n}"
                : "+l"(pairs_[index / 2])
                : "f"(first), "f"(second));
        }
    }
    /// In order.
    __device__ __forceinline__ void get(float (&sums)[count]) const {
#pragma unroll
        for (int i = 0; i < count; i += 2) {
            asm("mov.b64 {%0, %1}, %2;" : "=f"(sums[i + 1]), "=f"(sums[i]) : "l"(pairs_[i / 2]));
        }
    }

private:
    std::uint64_t pairs_[count / 2];
};

}  // namespace moegemm::hopper
