/// \file
/// Stored codes to the 16-bit numbers that tensor cores multiply, as bit patterns: two numbers a 32-bit register.
///
/// Everything here is plain integer arithmetic, the same on the host, where tests hold every code against formats/.
#pragma once

#include <cstdint>

#include <moegemm/formats/bits.hpp>
#include <moegemm/hd.hpp>

namespace moegemm::cuda {

/// Left for a positive count, right for a negative one.
[[nodiscard]] constexpr MOEGEMM_HD std::uint32_t shifted(std::uint32_t value, int left) noexcept {
    return left >= 0 ? value << left : value >> -left;
}

/// Values `pair` and `pair` + 4 of eight packed e2m1 values as two bf16, × 2^-126 each: the format's two exponent bits
/// and its mantissa bit become the lowest exponent bits and the highest mantissa bit, so that even its subnormal, 0.5,
/// is one here.
[[nodiscard]] constexpr MOEGEMM_HD std::uint32_t e2m1_as_bf16(std::uint32_t eight, int pair) noexcept {
    return (shifted(eight, 12 - 4 * pair) & 0x80008000U) | (shifted(eight, 6 - 4 * pair) & 0x01C001C0U);
}
inline constexpr std::uint32_t bf16_two_126 = 0x7E807E80U;  ///< 2^126, twice: undoes e2m1_as_bf16's factor

/// The same as two f16, × 2^-14 each.
[[nodiscard]] constexpr MOEGEMM_HD std::uint32_t e2m1_as_f16(std::uint32_t eight, int pair) noexcept {
    return (shifted(eight, 12 - 4 * pair) & 0x80008000U) | (shifted(eight, 9 - 4 * pair) & 0x0E000E00U);
}
inline constexpr std::uint32_t f16_two_14 = 0x74007400U;  ///< 2^14, twice

/// Two e4m3 codes, in the upper byte of each half of `codes`, as two f16, × 2^-8 each; NaN stays NaN. For GPUs without
/// the instruction (compute capability below 8.9).
[[nodiscard]] constexpr MOEGEMM_HD std::uint32_t e4m3_as_f16(std::uint32_t codes) noexcept {
    const std::uint32_t magnitude = codes & 0x7F007F00U;
    const std::uint32_t is_nan = (magnitude + 0x01000100U) & 0x80008000U;  // only 0x7F carries into the sign's place
    return (codes & 0x80008000U) | (magnitude >> 1) | (is_nan >> 1);       // that bit fills the exponent: NaN
}
inline constexpr std::uint32_t f16_two_8 = 0x5C005C00U;  ///< 2^8, twice

/// A ue8m0 scale / 4 as bf16. A quarter of it times an e2m1 value is exact in bf16 for every code, at both ends of the
/// range: 6 · 2^125 is below bf16's largest number, and 0.5 · 2^-129 a multiple of its smallest subnormal, 2^-133.
[[nodiscard]] constexpr MOEGEMM_HD std::uint16_t ue8m0_quarter_as_bf16(std::uint32_t code) noexcept {
    if (code == 255) {
        return 0x7FFF;
    }
    return static_cast<std::uint16_t>(code > 2 ? (code - 2) << 7 : 0x10U << code);
}

/// A ue4m3 scale · 2^118 as bf16, exactly. Times what e2m1_as_bf16 gives, it is the scaled value · 2^-8: exact too, and
/// the factor that decoding would otherwise take back costs nothing.
[[nodiscard]] constexpr MOEGEMM_HD std::uint16_t ue4m3_raised_as_bf16(std::uint32_t code) noexcept {
    const std::uint32_t magnitude = code & 0x7FU;
    if (magnitude == 0x7FU) {
        return 0x7FFF;
    }
    // Its exponent and mantissa as those of an f32 are the scale · 2^-120, subnormals too.
    const float raised = formats::bits_float(magnitude << 20) * 0x1p119F * 0x1p119F;
    return static_cast<std::uint16_t>(formats::float_bits(raised) >> 16);
}

/// A scale in two factors of about the same size, so that neither a product of one factor of each side, nor its product
/// with a sum of products, leaves f32 unless the whole does.
struct ScaleHalves {
    float first;
    float second;  ///< a power of two
};
[[nodiscard]] constexpr MOEGEMM_HD ScaleHalves halves_of(float scale) noexcept {
    constexpr int subnormal_shift = 24;
    std::uint32_t bits = formats::float_bits(scale);
    int exponent = static_cast<int>((bits >> 23) & 0xFFU) - 127;
    if (exponent == -127) {
        bits = formats::float_bits(scale * formats::power_of_two(subnormal_shift));
        exponent = static_cast<int>((bits >> 23) & 0xFFU) - 127 - subnormal_shift;
    }
    if (exponent == 128 || exponent < -150) {
        return {scale, 1.0F};  // infinite, NaN or 0
    }
    const int half = exponent / 2;  // 63 at most: the product of two second factors meets sums of 0, and must be finite
    const std::uint32_t first = (bits & 0x807FFFFFU) | (static_cast<std::uint32_t>(exponent - half + 127) << 23);
    return {formats::bits_float(first), formats::power_of_two(half)};
}

/// How far a scale's size is from 2^-64 upwards, so that one comparison of the largest of several says whether P ·
/// scale neither overflows nor loses bits for any of them, and any sum P of up to 128 products of 8-bit floats or e2m1:
/// 2^-32 ≤ |P| < 2^38, or 0, infinite or NaN. (0, infinity and NaN count as far.)
[[nodiscard]] constexpr MOEGEMM_HD std::uint32_t distance_of(float scale) noexcept {
    return (formats::float_bits(scale) & ~formats::float_sign) - formats::float_bits(0x1p-64F);
}
inline constexpr std::uint32_t moderate_distance = formats::float_bits(0x1p64F) - formats::float_bits(0x1p-64F);

}  // namespace moegemm::cuda
