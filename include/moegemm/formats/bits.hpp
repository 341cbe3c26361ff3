/// \file
/// A float as its 32 bits and back, and the arithmetic that the small floating-point formats share.
#pragma once

#include <cstdint>

#include <moegemm/hd.hpp>

namespace moegemm::formats {

/// The bits of an IEEE binary32. The builtin, not std::bit_cast: a device may call it without relaxed constexpr rules.
[[nodiscard]] constexpr MOEGEMM_HD std::uint32_t float_bits(float value) noexcept {
    return __builtin_bit_cast(std::uint32_t, value);
}

/// The IEEE binary32 of these bits.
[[nodiscard]] constexpr MOEGEMM_HD float bits_float(std::uint32_t bits) noexcept {
    return __builtin_bit_cast(float, bits);
}

inline constexpr std::uint32_t float_sign = 0x80000000U;
inline constexpr std::uint32_t float_infinity = 0x7F800000U;

/// Whether these are the bits of a NaN.
[[nodiscard]] constexpr MOEGEMM_HD bool is_nan_bits(std::uint32_t bits) noexcept {
    return (bits & ~float_sign) > float_infinity;
}

/// 2^exponent for −126 … 127.
[[nodiscard]] constexpr MOEGEMM_HD float power_of_two(int exponent) noexcept {
    return bits_float(static_cast<std::uint32_t>(exponent + 127) << 23);
}

/// Magnitudes of a binary format with an exponent and a mantissa as in IEEE 754, subnormals included, narrower than
/// binary32 in both. What its highest codes mean (infinity, NaN, more numbers) is left to the format.
/// \tparam MantissaBits stored bits of the mantissa
/// \tparam Bias         of the exponent
template <int MantissaBits, int Bias>
struct SmallFloat {
    static_assert(MantissaBits < 23 && Bias < 127, "binary32 holds every number of the format as a normal number");

    static constexpr int dropped_bits = 23 - MantissaBits;

    /// The number that a code without its sign bit stands for.
    [[nodiscard]] static constexpr MOEGEMM_HD float decode(std::uint32_t magnitude) noexcept {
        if ((magnitude >> MantissaBits) == 0) {
            return static_cast<float>(magnitude) * power_of_two(1 - Bias - MantissaBits);  // exact
        }
        return bits_float((magnitude << dropped_bits) + (static_cast<std::uint32_t>(127 - Bias) << 23));
    }

    /// The code nearest to a finite number, ties to the even code, as if exponents had no upper end: a result above the
    /// format's largest code is an overflow. \param magnitude bits of |value|
    [[nodiscard]] static constexpr MOEGEMM_HD std::uint32_t encode(std::uint32_t magnitude) noexcept {
        constexpr std::uint32_t rebias = static_cast<std::uint32_t>(127 - Bias) << 23;
        const std::uint32_t exponent = magnitude >> 23;
        if (exponent > static_cast<std::uint32_t>(127 - Bias)) {
            return round_shift(magnitude - rebias, dropped_bits);
        }
        // Subnormal in the format. Numbers below half of its smallest one, binary32 subnormals among them, become 0.
        const auto shift = static_cast<std::uint32_t>(dropped_bits + 127 - Bias + 1) - exponent;
        if (shift > 24) {
            return 0;
        }
        return round_shift((magnitude & 0x7FFFFFU) | 0x800000U, shift);
    }

private:
    /// value / 2^shift to nearest, ties to even; shift 1 … 24, value < 2^31.
    static constexpr MOEGEMM_HD std::uint32_t round_shift(std::uint32_t value, std::uint32_t shift) noexcept {
        const std::uint32_t odd = (value >> shift) & 1U;
        return (value + (1U << (shift - 1)) - 1U + odd) >> shift;
    }
};

}  // namespace moegemm::formats
