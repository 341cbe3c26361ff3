/// \file
/// E5M2: the 8-bit float with infinities. Source: OCP 8-bit Floating Point Specification (OFP8) v1.0, section 5.2.
#pragma once

#include <cstdint>

#include <moegemm/formats/bits.hpp>

namespace moegemm::formats {

/// 1 sign, 5 exponent, 2 mantissa bits; infinities and NaNs as in IEEE 754.
struct E5m2 {
    using Code = std::uint8_t;

    static constexpr int mantissa_bits = 2;
    static constexpr int exponent_bias = 15;
    static constexpr float max = 57344.0F;
    static constexpr float min_normal = 0x1p-14F;
    static constexpr float min_subnormal = 0x1p-16F;
    static constexpr Code max_code = 0x7B;
    static constexpr Code infinity = 0x7C;
    static constexpr Code nan = 0x7F;

    [[nodiscard]] static constexpr MOEGEMM_HD float decode(Code code) noexcept {
        const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x80U) << 24;
        const std::uint32_t magnitude = code & 0x7FU;
        if (magnitude >= infinity) {
            return bits_float(sign | float_infinity | ((magnitude - infinity) << 21));
        }
        return bits_float(sign | float_bits(SmallFloat<mantissa_bits, exponent_bias>::decode(magnitude)));
    }

    /// To nearest, ties to even; finite numbers beyond ±57344 give ±57344, infinities stay infinities, so that scaling
    /// by the largest magnitude never makes an infinity and a real one is not lost; every NaN gives 0x7F.
    [[nodiscard]] static constexpr MOEGEMM_HD Code encode(float value) noexcept {
        const std::uint32_t bits = float_bits(value);
        if (is_nan_bits(bits)) {
            return nan;
        }
        const std::uint32_t sign = (bits & float_sign) >> 24;
        if ((bits & ~float_sign) == float_infinity) {
            return static_cast<Code>(sign | infinity);
        }
        const std::uint32_t magnitude = SmallFloat<mantissa_bits, exponent_bias>::encode(bits & ~float_sign);
        return static_cast<Code>(sign | (magnitude < max_code ? magnitude : max_code));
    }
};

}  // namespace moegemm::formats
