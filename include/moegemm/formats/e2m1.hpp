/// \file
/// E2M1: the 4-bit float, ±{0, 0.5, 1, 1.5, 2, 3, 4, 6}, and how two of them share a byte.
/// Source: OCP Microscaling Formats (MX) Specification v1.0, section 5.3.3; PTX ISA, instruction cvt with .satfinite.
#pragma once

#include <cstdint>

#include <moegemm/formats/bits.hpp>

namespace moegemm::formats {

/// 1 sign, 2 exponent, 1 mantissa bit, in the low nibble of a code; neither infinity nor NaN.
struct E2m1 {
    using Code = std::uint8_t;

    static constexpr int mantissa_bits = 1;
    static constexpr int exponent_bias = 1;
    static constexpr float max = 6.0F;
    static constexpr float min_normal = 1.0F;
    static constexpr float min_subnormal = 0.5F;
    static constexpr Code max_code = 0x7;

    /// \param code its low nibble; the high one is ignored
    [[nodiscard]] static constexpr MOEGEMM_HD float decode(Code code) noexcept {
        const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x8U) << 28;
        return bits_float(sign | float_bits(SmallFloat<mantissa_bits, exponent_bias>::decode(code & 0x7U)));
    }

    /// To nearest, ties to even; beyond ±6, infinities included, ±6; every NaN gives +6, as the PTX instruction does.
    [[nodiscard]] static constexpr MOEGEMM_HD Code encode(float value) noexcept {
        const std::uint32_t bits = float_bits(value);
        if (is_nan_bits(bits)) {
            return max_code;
        }
        const std::uint32_t magnitude = SmallFloat<mantissa_bits, exponent_bias>::encode(bits & ~float_sign);
        const std::uint32_t sign = (bits & float_sign) >> 28;
        return static_cast<Code>(sign | (magnitude < max_code ? magnitude : max_code));
    }

    /// A stored byte: element 2j in the low nibble, element 2j+1 in the high one.
    [[nodiscard]] static constexpr MOEGEMM_HD std::uint8_t pack(Code even, Code odd) noexcept {
        return static_cast<std::uint8_t>((even & 0xFU) | ((odd & 0xFU) << 4));
    }
    /// Element 2j of byte j.
    [[nodiscard]] static constexpr MOEGEMM_HD Code unpack_even(std::uint8_t byte) noexcept {
        return static_cast<Code>(byte & 0xFU);
    }
    /// Element 2j+1 of byte j.
    [[nodiscard]] static constexpr MOEGEMM_HD Code unpack_odd(std::uint8_t byte) noexcept {
        return static_cast<Code>(byte >> 4);
    }
};

}  // namespace moegemm::formats
