/// \file
/// Packed values to bf16, as bit patterns: how words are laid out, so that few instructions take them apart.
///
/// A word of eight e2m1 values is the fragment of one step of 16 of K; values of 8 bits take two words, one a row.
/// Every decoded value is the value times a power of two so small that it is (nearly) a shifted copy of the stored
/// bits; the group's scale makes up for it. Plain integer arithmetic, the same on the host, where tests hold every
/// code, scale and place against formats/.
#pragma once

#include <cstdint>

#include <moegemm/formats/formats.hpp>
#include <moegemm/hd.hpp>

#include "providers/hopper/kernels/packed_weights.hpp"

namespace moegemm::hopper {

/// Four bytes of the eight of `low` and `high`, each chosen by a digit of `selector` (PTX ISA, "prmt").
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t byte_perm(std::uint32_t low, std::uint32_t high,
                                                           std::uint32_t selector) {
#if defined(__CUDA_ARCH__)
    return __byte_perm(low, high, selector);
#else
    const std::uint64_t both = std::uint64_t{high} << 32 | low;
    std::uint32_t result = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
        result |= (static_cast<std::uint32_t>(both >> ((selector >> (4 * i) & 7U) * 8)) & 0xFFU) << (8 * i);
    }
    return result;
#endif
}

/// Eight e2m1 codes as one word. Each half-word has four values, of registers 0 … 3, in it, the low one those of even
/// k; the magnitude of register 2's lies in the other half.
///
///   bit of a half   15 14 13 12 11 10  9  8  7  6  5  4  3  2  1  0
///   register         0  3  3 2' 2' 2'  1  0  0  0  3  3  2  1  1  1     (first of each register: its sign, but for
///                    s  e  s  e  e  m  s  e  e  m  e  m  s  e  e  m      register 3, whose upper exponent bit is 14)
/// \param codes [register][half]
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t e2m1_word(const std::uint8_t (&codes)[4][2]) {
    std::uint32_t word = 0;
    for (std::uint32_t half = 0; half < 2; ++half) {
        const auto sign = [&](int reg) { return static_cast<std::uint32_t>(codes[reg][half]) >> 3 & 1U; };
        const auto magnitude = [&](int reg) { return static_cast<std::uint32_t>(codes[reg][half]) & 7U; };
        const std::uint32_t here = half * 16;
        const std::uint32_t there = 16 - here;
        word |= (sign(0) << 15 | magnitude(0) << 6) << here;
        word |= (sign(1) << 9 | magnitude(1)) << here;
        word |= sign(2) << 3 << here | magnitude(2) << 10 << there;
        word |= (sign(3) << 13 | (magnitude(3) >> 2) << 14 | (magnitude(3) & 3U) << 4) << here;
    }
    return word;
}

/// Register `reg` of an e2m1 word's fragment: two bf16, × 2^-126 each. Sign, two exponent bits and mantissa bit become
/// sign, lowest exponent bits and highest mantissa bit, so that even the format's subnormal, 0.5, is one here.
template <int reg>
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t e2m1_register(std::uint32_t word) {
    constexpr std::uint32_t mask = 0x81C081C0U;
    if constexpr (reg == 0) {
        return word & mask;
    } else if constexpr (reg == 1) {
        return word << 6 & mask;
    } else if constexpr (reg == 2) {
        return (word << 12 | word >> 20) & mask;
    } else {
        return (word << 2 & 0x80C080C0U) | (word >> 6 & 0x01000100U);
    }
}

/// Four e4m3 codes of one row as a word: registers 0 and 2 of row g (1 and 3 of row g + 8).
/// \param codes [register / 2][half]
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t e4m3_word(const std::uint8_t (&codes)[2][2]) {
    return static_cast<std::uint32_t>(codes[0][0]) << 8 | static_cast<std::uint32_t>(codes[0][1]) << 24 |
           static_cast<std::uint32_t>(codes[1][0]) | static_cast<std::uint32_t>(codes[1][1]) << 16;
}

/// The first (registers 0 and 1) or second (2 and 3) register of such a word: two bf16, × 2^-120 each. NaN becomes a
/// number: the row's factor has it.
template <bool second>
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t e4m3_register(std::uint32_t word) {
    return second ? (word << 8 & 0x80008000U) | (word << 4 & 0x07F007F0U)
                  : (word & 0x80008000U) | (word >> 4 & 0x07F007F0U);
}

/// Packed scales: one byte each, two of rows g and g + 8 to a pair of bf16, which decoded values are multiplied by.
///
/// ue8m0: the byte is the factor's exponent as bf16 stores it, the scale's own exponent less the row's base, plus what
/// decoding left out. 0 is a scale so much smaller than the row's largest that nothing of it is a normal bf16.
/// ue4m3: the scale with three bits of mantissa and an exponent of five, so that subnormals are normal numbers; the
/// factor is the scale × 2^117.
struct ScaleCode {
    static constexpr int e2m1_exponent = 126;  ///< what decoding leaves out
    static constexpr int e4m3_exponent = 120;
    static constexpr int most = 254;          ///< the largest exponent that a factor may store
    static constexpr int ue4m3_bias = 234;    ///< from a code's exponent to the factor's
    static constexpr int ue4m3_raised = 117;  ///< the power of two in a factor: 9 less than decoding left out
};

/// The row's base for its largest ue8m0 code: how far all scales of the row are lowered, so that factors are numbers.
[[nodiscard]] MOEGEMM_HD constexpr int row_base(int largest, int left_out) {
    const int beyond = largest + left_out - ScaleCode::most;
    return beyond > 0 ? beyond : 0;
}
/// \param code 0 … 254
[[nodiscard]] MOEGEMM_HD constexpr std::uint8_t packed_ue8m0(int code, int base, int left_out) {
    const int exponent = code + left_out - base;
    return static_cast<std::uint8_t>(exponent < 0 ? 0 : exponent);
}
/// \param code 1 … 126, without its highest bit
[[nodiscard]] MOEGEMM_HD constexpr std::uint8_t packed_ue4m3(int code) {
    const int exponent = code / 8;
    const int mantissa = code % 8;
    if (exponent > 0) {
        return static_cast<std::uint8_t>((exponent + 3) * 8 + mantissa);
    }
    // mantissa · 2^-9, mantissa in [2^place, 2^(place + 1))
    const int place = mantissa >= 4 ? 2 : mantissa >= 2 ? 1 : 0;
    return static_cast<std::uint8_t>((place + 1) * 8 + (mantissa << (3 - place)) % 8);
}
/// The factors of two packed scales, the low half-word's in bits 0 … 7, the high one's in bits 16 … 23.
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t ue8m0_factors(std::uint32_t pair) { return pair << 7; }
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t ue4m3_factors(std::uint32_t pair) {
    constexpr std::uint32_t bias = static_cast<std::uint32_t>(ScaleCode::ue4m3_bias) << 7;
    return (pair << 4) + (bias << 16 | bias);
}

/// The way to e4m3, for operands whose rows have all their scales within `rebase_span` binades: each row's largest
/// scale becomes 2^6, so that e2m1's 6 is 384 there, and 0.5 · 2^-span is e4m3's smallest subnormal. The bits of such a
/// number in bf16, × 2^-120, are those of e4m3 with more zeros.
inline constexpr int rebase_span = 14;
/// What a row's largest scale is raised to, as a power of two.
inline constexpr int rebase_top = 6;
/// Beyond these, products of scales could leave f32 before they meet: of ue8m0 codes.
inline constexpr int rebase_least = 127 - 60;
inline constexpr int rebase_most = 127 + 60;
/// Whether a row's scales, between these codes, can be rebased without loss.
[[nodiscard]] MOEGEMM_HD constexpr bool is_rebasable(int least, int most) {
    return most - least <= rebase_span && least >= rebase_least && most <= rebase_most;
}
/// What is added to the exponents of a row's factors for that, given that of its largest scale's: 2^-120 · 2^6 instead
/// of 2^-126 · 2^(code - 127).
[[nodiscard]] MOEGEMM_HD constexpr int rebase_shift(int largest_exponent) {
    return 127 + ScaleCode::e2m1_exponent - ScaleCode::e4m3_exponent + rebase_top - largest_exponent;
}
/// Four e4m3 values from two registers of bf16 pairs, in their order.
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t e4m3_of_bf16(std::uint32_t first, std::uint32_t second) {
    const std::uint32_t magnitudes = byte_perm(first >> 4, second >> 4, 0x6420);
    const std::uint32_t signs = byte_perm(first, second, 0x7531);
    return (signs & 0x80808080U) | (magnitudes & 0x7F7F7F7FU);
}
/// e2m1's eight magnitudes as e4m3, `span` binades below a row's largest scale, the smallest in the lowest byte: what
/// byte_perm chooses from.
[[nodiscard]] constexpr std::uint64_t rebased_magnitudes(int span) {
    std::uint64_t bytes = 0;
    for (std::uint64_t code = 0; code < 8; ++code) {
        const float value = formats::E2m1::decode(static_cast<std::uint8_t>(code));
        bytes |= std::uint64_t{formats::E4m3::encode(value * formats::power_of_two(rebase_top - span))} << (8 * code);
    }
    return bytes;
}
/// Four e2m1 codes, the nibbles of bits 0 … 15, as e4m3.
/// \param low, high the halves of rebased_magnitudes
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t rebased_codes(std::uint32_t codes, std::uint32_t low,
                                                               std::uint32_t high) {
    return byte_perm(low, high, codes & 0x7777U) | byte_perm(0x8000U, 0, codes >> 3 & 0x1111U);
}
/// Where value k of a group of 16 lies among e4m3 activations, so that they meet the weights of the same k: thread c of
/// four has k = 2c, 2c + 1, 2c + 8 and 2c + 9 together.
[[nodiscard]] MOEGEMM_HD constexpr int rebased_place(int k) { return k % 8 / 2 * 4 + k / 8 * 2 + k % 2; }

}  // namespace moegemm::hopper
