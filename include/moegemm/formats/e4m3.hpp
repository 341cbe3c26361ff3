/// \file
/// E4M3 (E4M3FN): the 8-bit float without infinities. Source: OCP 8-bit Floating Point Specification (OFP8) v1.0,
/// section 5.2; PTX ISA, instruction cvt with .satfinite.
#pragma once

#include <cstdint>

#include <moegemm/formats/bits.hpp>

namespace moegemm::formats {

/// 1 sign, 4 exponent, 3 mantissa bits; NaN is S.1111.111, there is no infinity.
struct E4m3 {
    using Code = std::uint8_t;

    static constexpr int mantissa_bits = 3;
    static constexpr int exponent_bias = 7;
    static constexpr float max = 448.0F;
    static constexpr float min_normal = 0x1p-6F;
    static constexpr float min_subnormal = 0x1p-9F;
    static constexpr Code max_code = 0x7E;
    static constexpr Code nan = 0x7F;

    [[nodiscard]] static constexpr MOEGEMM_HD float decode(Code code) noexcept {
        const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x80U) << 24;
        const std::uint32_t magnitude = code & 0x7FU;
        if (magnitude == nan) {
            return bits_float(sign | 0x7FC00000U);
        }
        return bits_float(sign | float_bits(SmallFloat<mantissa_bits, exponent_bias>::decode(magnitude)));
    }

    /// To nearest, ties to even; beyond ±448, infinities included, ±448; every NaN gives 0x7F.
    [[nodiscard]] static constexpr MOEGEMM_HD Code encode(float value) noexcept {
        const std::uint32_t bits = float_bits(value);
        if (is_nan_bits(bits)) {
            return nan;
        }
        const std::uint32_t magnitude = SmallFloat<mantissa_bits, exponent_bias>::encode(bits & ~float_sign);
        const std::uint32_t sign = (bits & float_sign) >> 24;
        return static_cast<Code>(sign | (magnitude < max_code ? magnitude : max_code));
    }
};

}  // namespace moegemm::formats
