/// \file
/// e4m3 values made smaller by powers of two, rounded to nearest even where they lose bits.
#pragma once

#include <cstdint>

namespace moegemm::hopper {

/// Four values times a power of two each. NaN stays NaN.
/// \param factors f16: that of the first and third value in the low half, that of the others in the high one
__device__ __forceinline__ std::uint32_t lowered(std::uint32_t values, std::uint32_t factors) {
    std::uint32_t made;
    asm("{\n.reg .b16 low, high;\n.reg .b32 first, second;\n"
        "mov.b32 {low, high}, %1;\n"
        "cvt.rn.f16x2.e4m3x2 first, low;\n"
        "cvt.rn.f16x2.e4m3x2 second, high;\n"
        "mul.rn.f16x2 first, first, %2;\n"
        "mul.rn.f16x2 second, second, %2;\n"
        "cvt.rn.satfinite.e4m3x2.f16x2 low, first;\n"
        "cvt.rn.satfinite.e4m3x2.f16x2 high, second;\n"
        "mov.b32 %0, {low, high};\n}"
        : "=r"(made)
        : "r"(values), "r"(factors));
    return made;
}

}  // namespace moegemm::hopper
