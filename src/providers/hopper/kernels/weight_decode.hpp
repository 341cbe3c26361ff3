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

/// Four bytes of the eight of `low` and `high`, each chosen by a digit of `selector`, 0 … 7 (PTX ISA, "prmt"; CUDA's
/// __byte_perm would mask the digits first).
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t byte_perm(std::uint32_t low, std::uint32_t high,
                                                           std::uint32_t selector) {
#if defined(__CUDA_ARCH__)
    std::uint32_t result = 0;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(low), "r"(high), "r"(selector));
    return result;
#else
    const std::uint64_t both = std::uint64_t{high} << 32 | low;
    std::uint32_t result = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
        result |= (static_cast<std::uint32_t>(both >> ((selector >> (4 * i) & 7U) * 8)) & 0xFFU) << (8 * i);
    }
    return result;
#endif
}

/// Three words, bit by bit: bit 4a + 2b + c of `table` is the result for bits a, b and c (PTX ISA, "lop3"). Left to
/// itself, the compiler takes two of them where one would do, wherever masks of two terms do not overlap.
template <std::uint32_t table>
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t lop3(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
#if defined(__CUDA_ARCH__)
    std::uint32_t result = 0;
    asm("lop3.b32 %0, %1, %2, %3, %4;" : "=r"(result) : "r"(a), "r"(b), "r"(c), "n"(table));
    return result;
#else
    std::uint32_t result = 0;
    for (std::uint32_t i = 0; i < 8; ++i) {
        if ((table >> i & 1U) != 0) {
            result |= ((i & 4U) != 0 ? a : ~a) & ((i & 2U) != 0 ? b : ~b) & ((i & 1U) != 0 ? c : ~c);
        }
    }
    return result;
#endif
}
/// The bits of `mask` from `first`, the others from `second`.
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t select_bits(std::uint32_t mask, std::uint32_t first,
                                                             std::uint32_t second) {
    return lop3<0xCA>(mask, first, second);
}
/// `base` with the bits of `mask` of `other` besides.
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t with_bits(std::uint32_t base, std::uint32_t other,
                                                           std::uint32_t mask) {
    return lop3<0xF8>(base, other, mask);
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

/// The way to fp8: each row's largest scale becomes the same power of two, the others what they are relative to it, and
/// every value times its scale a number of the type. What was taken out is one factor a row.
///
/// e2m1 values lose nothing by it, as long as a row's scales are near each other. Weights become e5m2, which has one
/// bit of mantissa more than e2m1 and most binades: within 26 of them a decoded value is that of the stored bits with
/// something added to the exponent, so that tables of eight bytes are quickly made. Activations become e4m3.
///
/// e4m3 values stay e4m3, and are rounded where they become so small that it has fewer bits for them: by at most 2^-10,
/// where the largest that the row could have is 448.
struct Rebased {
    static constexpr int e5m2_top = 13;         ///< what a row's largest scale becomes, as a power of two: 6 is 49152
    static constexpr int e5m2_span = 26;        ///< binades below it that scales may be: 0.5 is the least normal number
    static constexpr int activation_top = 6;    ///< of e2m1: 6 is 384
    static constexpr int activation_span = 14;  ///< 0.5 is the smallest subnormal
    static constexpr int e4m3_top = 0;
    /// Beyond these, products of scales could leave f32 before they meet: of ue8m0 codes.
    static constexpr int least = 127 - 60;
    static constexpr int most = 127 + 60;

    /// Whether a row's scales, between these codes, are near enough.
    /// \param span binades that they may be apart
    [[nodiscard]] MOEGEMM_HD static constexpr bool has(int least_code, int most_code, int span) {
        return most_code - least_code <= span && least_code >= least && most_code <= most;
    }
};

/// A row's largest scale as it is packed, from what sums of the row's are multiplied by: 2^(scale - raised).
/// \param left_out what decoding leaves out
/// \param of_nan   what stands for that of a row of NaN, of which anything may become that is not its neighbour's
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t packed_top(std::uint32_t factor, int raised, int left_out,
                                                            std::uint32_t of_nan) {
    const std::uint32_t exponent = factor >> 23;
    const std::uint32_t top = exponent + static_cast<std::uint32_t>(raised + left_out);
    return exponent == 255U ? of_nan : top < ScaleCode::most ? top : ScaleCode::most;
}
/// Decoding to e5m2: a scale's offset is the exponent that the value 0.5 gets, 1 for the smallest scale of a row that
/// may be, e5m2_span + 1 for the row's largest. What is taken from a packed scale to find it:
/// \param factor of the row
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t scale_offset_base(std::uint32_t factor) {
    return packed_top(factor, Rebased::e5m2_top, ScaleCode::e2m1_exponent, Rebased::e5m2_span + 1) -
           (Rebased::e5m2_span + 1);
}
/// e2m1's eight magnitudes as e5m2, the smallest in the lowest byte of `low`: what byte_perm chooses from.
struct E5m2Magnitudes {
    std::uint32_t low;
    std::uint32_t high;
};
/// Multiplications, which leave the integer pipe to the rest of the decoding.
/// \param offsets a byte each
/// \param which   of them
[[nodiscard]] MOEGEMM_HD constexpr E5m2Magnitudes e5m2_magnitudes(std::uint32_t offsets, std::uint32_t which) {
    const std::uint32_t offset = byte_perm(offsets, 0, 0x4440U + which);
    return {offset * 0x04040400U + 0x06040000U, offset * 0x04040404U + 0x0E0C0A08U};
}
/// An e2m1 word as e5m2: row g's four values, and row g + 8's, at k = 2c, 2c + 8, 2c + 1, 2c + 9.
struct E5m2Words {
    std::uint32_t first;
    std::uint32_t second;
};
[[nodiscard]] MOEGEMM_HD constexpr E5m2Words e5m2_words(std::uint32_t word, const E5m2Magnitudes& first,
                                                        const E5m2Magnitudes& second) {
    const std::uint32_t by_8 = word >> 8;
    // Bytes 0 and 2 of word >> 6 have the magnitudes of registers 0 and 2 as their digits, but those of register 2 are
    // the other half's; bytes 0 and 2 of `odd` have those of registers 1 and 3.
    const std::uint32_t odd = select_bits(0x00400040U, by_8, word);
    const std::uint32_t digits = with_bits(0, byte_perm(word >> 6, odd, 0x6420U), 0x77777777U);
    const std::uint32_t of_first = byte_perm(byte_perm(first.low, first.high, digits), 0, 0x1230U);
    const std::uint32_t of_second = byte_perm(second.low, second.high, digits >> 16);
    return {with_bits(with_bits(of_first, by_8, 0x00800080U), word << 12, 0x80008000U),
            with_bits(with_bits(of_second, word >> 2, 0x00800080U), word << 2, 0x80008000U)};
}

/// 2^-binades twice, as f16: numbers down to its smallest, and 0 below.
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t lowering_factors(std::uint32_t binades) {
    const std::uint32_t half = binades < 15 ? (15 - binades) << 10 : binades < 25 ? 0x0400U >> (binades - 14) : 0U;
    return half * 0x00010001U;
}

/// e2m1's eight magnitudes as e4m3, `span` binades below a row's largest scale, the smallest in the lowest byte.
[[nodiscard]] constexpr std::uint64_t rebased_magnitudes(int span) {
    std::uint64_t bytes = 0;
    for (std::uint64_t code = 0; code < 8; ++code) {
        const float value = formats::E2m1::decode(static_cast<std::uint8_t>(code));
        bytes |= std::uint64_t{formats::E4m3::encode(value * formats::power_of_two(Rebased::activation_top - span))}
                 << (8 * code);
    }
    return bytes;
}
/// Four e2m1 codes, those of two bytes of the contract's order, as e4m3: the first of each byte, then the second.
/// \param codes     the bytes as bits 0 … 15
/// \param low, high the halves of rebased_magnitudes
[[nodiscard]] MOEGEMM_HD constexpr std::uint32_t rebased_codes(std::uint32_t codes, std::uint32_t low,
                                                               std::uint32_t high) {
    const std::uint32_t in_order = byte_perm(low, high, codes & 0x7777U) | byte_perm(0x8000U, 0, codes >> 3 & 0x1111U);
    return byte_perm(in_order, 0, 0x3120U);
}
/// Where value k of a group of 16 lies among rebased ones, of activations and of weights alike: thread c of four, which
/// has a word of a block's step (packed_weights.hpp), makes k = 2c, 2c + 8, 2c + 1 and 2c + 9 of it.
[[nodiscard]] MOEGEMM_HD constexpr int rebased_place(int k) { return k % 8 / 2 * 4 + k % 2 * 2 + k / 8; }

}  // namespace moegemm::hopper
