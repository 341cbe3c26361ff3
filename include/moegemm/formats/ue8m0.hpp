/// \file
/// UE8M0 (E8M0): a power of two, the scale of the MX formats.
/// Source: OCP Microscaling Formats (MX) Specification v1.0, section 5.4.1.
#pragma once

#include <cstdint>

#include <moegemm/formats/bits.hpp>

namespace moegemm::formats {

/// 2^(code − 127) for codes 0 … 254; 255 is NaN. No sign, no zero, no infinity.
struct Ue8m0 {
    using Code = std::uint8_t;

    static constexpr int mantissa_bits = 0;
    static constexpr int exponent_bias = 127;
    static constexpr float max = 0x1p127F;
    static constexpr float min_normal = 0x1p-127F;      ///< code 0, a binary32 subnormal
    static constexpr float min_subnormal = min_normal;  ///< the format has no subnormals
    static constexpr Code max_code = 254;
    static constexpr Code nan = 255;

    [[nodiscard]] static constexpr MOEGEMM_HD float decode(Code code) noexcept {
        if (code == nan) {
            return bits_float(0x7FC00000U);
        }
        return bits_float(code == 0 ? 0x00400000U : static_cast<std::uint32_t>(code) << 23);
    }

    /// The power of two that is nearest by difference, so 1.5·2^e is a tie, which goes to the even code. Numbers above
    /// 2^127, infinity included, give 254; zero and negative numbers give 0 (2^-127); every NaN gives 255.
    [[nodiscard]] static constexpr MOEGEMM_HD Code encode(float value) noexcept {
        const std::uint32_t bits = float_bits(value);
        if (is_nan_bits(bits)) {
            return nan;
        }
        if ((bits & float_sign) != 0) {
            return 0;
        }
        const std::uint32_t exponent = bits >> 23;
        if (exponent == 0) {
            // A binary32 subnormal: 2^-127 or below, or between it and 2^-126, where the middle is a tie to code 0.
            return bits > 0x00600000U ? 1 : 0;
        }
        const std::uint32_t rounded = (bits + 0x3FFFFFU + (exponent & 1U)) >> 23;
        return static_cast<Code>(rounded < max_code ? rounded : max_code);
    }
};

}  // namespace moegemm::formats
