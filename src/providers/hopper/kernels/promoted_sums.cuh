/// \file
/// Sums in float32 that the tensor cores' are added to.
#pragma once

#include <cstdint>

namespace moegemm::hopper {

/// `count` sums of a thread.
/// \tparam crossed whether two of them lie in a register of 64 bits, the second one below
///
/// Registers lie in two banks, the even and the odd ones. A product's sums are numbered in order, so that two which
/// belong together would lie in the same bank, and be read one after the other: an addition would take twice as long, a
/// multiply-add up to three times. Crossed over, each comes from the other bank than what is added to it.
template <int count, bool crossed>
class PromotedSums {
public:
    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < count / 2; ++i) {
            if constexpr (crossed) {
                pairs_[i] = 0;
            } else {
                sums_[2 * i] = 0.0F;
                sums_[2 * i + 1] = 0.0F;
            }
        }
    }
    /// Adds `first` and `second`, each times `factor` where `scaled`, to the sums `index`, which is even, and the next.
    template <bool scaled>
    __device__ __forceinline__ void add(int index, float first, float second, float factor) {
        if constexpr (!crossed) {
            sums_[index] = scaled ? fmaf(first, factor, sums_[index]) : sums_[index] + first;
            sums_[index + 1] = scaled ? fmaf(second, factor, sums_[index + 1]) : sums_[index + 1] + second;
        } else if constexpr (scaled) {
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
            if constexpr (crossed) {
                asm("mov.b64 {%0, %1}, %2;" : "=f"(sums[i + 1]), "=f"(sums[i]) : "l"(pairs_[i / 2]));
            } else {
                sums[i] = sums_[i];
                sums[i + 1] = sums_[i + 1];
            }
        }
    }

private:
    std::uint64_t pairs_[crossed ? count / 2 : 1];
    float sums_[crossed ? 1 : count];
};

}  // namespace moegemm::hopper
