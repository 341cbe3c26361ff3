/// \file
/// Values and scales of A, of 4 and 8 bits, to bf16 as bit patterns: what comes before two multiplications.
///
/// Every value is first the value times a power of two so small that its bits are those stored, moved; a multiplication
/// by that power makes up for it, another by the scale rounds, at most once. Plain integer arithmetic, the same on the
/// host, where tests hold every code against formats/.
#pragma once

#include <cstdint>

#include <moegemm/dtype.hpp>
#include <moegemm/hd.hpp>

#include "providers/hopper/kernels/weight_decode.hpp"

namespace moegemm::hopper {

/// How values of a type are taken from a word: four of 8 bits or eight of e2m1, the first in the lowest bits.
/// \tparam type e2m1x2, e4m3 or e5m2
template <DType type>
struct RowValues {
    static constexpr int in_word = type == DType::e2m1x2 ? 8 : 4;
    /// What decoding leaves out: a pair is its values × 2^-exponent.
    static constexpr int exponent = type == DType::e2m1x2 ? 126 : type == DType::e4m3 ? 120 : 112;
    /// 2^exponent as bf16, twice.
    static constexpr std::uint32_t factor = static_cast<std::uint32_t>(127 + exponent) << 7 | (127U + exponent) << 23;

    /// Values 2 · `pair` and 2 · `pair` + 1 of a word: bf16, the first in the low half.
    [[nodiscard]] MOEGEMM_HD static constexpr std::uint32_t pair_of(std::uint32_t word, int pair) {
        const auto which = static_cast<std::uint32_t>(pair);
        if constexpr (type == DType::e2m1x2) {
            // Both bytes of a half have its value in their upper four bits.
            const std::uint32_t codes = byte_perm(word << 4, word, 0x4400U + which * 0x1111U);
            return with_bits(codes & 0x80008000U, codes << 2, 0x01C001C0U);
        } else {
            const std::uint32_t codes = upper_bytes(word, which);
            return type == DType::e4m3 ? with_bits(codes & 0x80008000U, codes >> 4, 0x07F007F0U)
                                       : with_bits(codes & 0x80008000U, codes >> 3, 0x0FE00FE0U);
        }
    }

    /// Whether a word has values that pair_of makes numbers of, and that are none: NaN, or e5m2's infinities.
    [[nodiscard]] MOEGEMM_HD static constexpr bool has_special(std::uint32_t word) {
        if constexpr (type == DType::e2m1x2) {
            return false;
        } else {
            return (((word & magnitude_of_special * 0x01010101U) + carry * 0x01010101U) & 0x80808080U) != 0;
        }
    }
    /// What to put beside the bits of a pair, after its multiplication by `factor`, so that they are none, either.
    [[nodiscard]] MOEGEMM_HD static constexpr std::uint32_t special_bits(std::uint32_t word, int pair) {
        if constexpr (type == DType::e2m1x2) {
            return 0;
        } else {
            const std::uint32_t codes = upper_bytes(word, static_cast<std::uint32_t>(pair));
            const std::uint32_t special =
                (((codes & magnitude_of_special * 0x01000100U) + carry * 0x01000100U) & 0x80008000U) >> 15;
            return special * (type == DType::e4m3 ? 0x7FC0U : 0x7F80U);  // e5m2's mantissa says which it is
        }
    }

private:
    static constexpr std::uint32_t magnitude_of_special = type == DType::e4m3 ? 0x7FU : 0x7CU;
    static constexpr std::uint32_t carry = 0x80U - magnitude_of_special;

    [[nodiscard]] MOEGEMM_HD static constexpr std::uint32_t upper_bytes(std::uint32_t word, std::uint32_t pair) {
        return byte_perm(word, 0, 0x1404U + pair * 0x2020U);
    }
};

/// A scale as bf16, twice, × 2^-exponent.
/// \tparam scale ue8m0 or ue4m3
template <DType scale>
struct RowScale {
    static constexpr int exponent = scale == DType::ue8m0 ? 0 : 120;
    static constexpr std::uint32_t factor = static_cast<std::uint32_t>(127 + exponent) << 7 | (127U + exponent) << 23;

    /// \param code of ue4m3 the highest bit counts for nothing
    [[nodiscard]] MOEGEMM_HD static constexpr std::uint32_t bits_of(std::uint32_t code) {
        if constexpr (scale == DType::ue8m0) {
            const std::uint32_t bits = code == 0 ? 0x0040U : code == 255U ? 0x7FFFU : code << 7;
            return bits * 0x00010001U;
        } else {
            const std::uint32_t magnitude = code & 0x7FU;
            return (magnitude == 0x7FU ? 0x7FFFU : magnitude << 4) * 0x00010001U;
        }
    }
};

}  // namespace moegemm::hopper
