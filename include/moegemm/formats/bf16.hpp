/// \file
/// bfloat16: the upper half of a binary32.
#pragma once

#include <cstdint>

#include <moegemm/formats/bits.hpp>

namespace moegemm::formats {

/// 1 sign, 8 exponent, 7 mantissa bits; infinities and NaNs as in IEEE 754.
struct Bf16 {
    using Code = std::uint16_t;

    static constexpr int mantissa_bits = 7;
    static constexpr int exponent_bias = 127;
    static constexpr float max = 0x1.FEp127F;
    static constexpr float min_normal = 0x1p-126F;
    static constexpr float min_subnormal = 0x1p-133F;
    static constexpr Code infinity = 0x7F80;
    static constexpr Code nan = 0x7FFF;

    [[nodiscard]] static constexpr MOEGEMM_HD float decode(Code code) noexcept {
        return bits_float(static_cast<std::uint32_t>(code) << 16);
    }

    /// To nearest, ties to even; overflow gives infinity; every NaN gives `nan`, as the PTX instruction cvt does.
    [[nodiscard]] static constexpr MOEGEMM_HD Code encode(float value) noexcept {
        const std::uint32_t bits = float_bits(value);
        if (is_nan_bits(bits)) {
            return nan;
        }
        return static_cast<Code>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
    }
};

}  // namespace moegemm::formats
