/// \file
/// float16: IEEE 754 binary16.
#pragma once

#include <cstdint>

#include <moegemm/formats/bits.hpp>

namespace moegemm::formats {

/// 1 sign, 5 exponent, 10 mantissa bits; infinities and NaNs as in IEEE 754.
struct F16 {
    using Code = std::uint16_t;

    static constexpr int mantissa_bits = 10;
    static constexpr int exponent_bias = 15;
    static constexpr float max = 65504.0F;
    static constexpr float min_normal = 0x1p-14F;
    static constexpr float min_subnormal = 0x1p-24F;
    static constexpr Code infinity = 0x7C00;
    static constexpr Code nan = 0x7FFF;

    [[nodiscard]] static constexpr MOEGEMM_HD float decode(Code code) noexcept {
        const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x8000U) << 16;
        const std::uint32_t magnitude = code & 0x7FFFU;
        if (magnitude >= infinity) {
            return bits_float(sign | float_infinity | ((magnitude - infinity) << 13));
        }
        return bits_float(sign | float_bits(SmallFloat<mantissa_bits, exponent_bias>::decode(magnitude)));
    }

    /// To nearest, ties to even; from 65520 on infinity; every NaN gives `nan`, as the PTX instruction cvt does.
    [[nodiscard]] static constexpr MOEGEMM_HD Code encode(float value) noexcept {
        const std::uint32_t bits = float_bits(value);
        if (is_nan_bits(bits)) {
            return nan;
        }
        const std::uint32_t magnitude = SmallFloat<mantissa_bits, exponent_bias>::encode(bits & ~float_sign);
        const std::uint32_t sign = (bits & float_sign) >> 16;
        return static_cast<Code>(sign | (magnitude < infinity ? magnitude : infinity));
    }
};

}  // namespace moegemm::formats
