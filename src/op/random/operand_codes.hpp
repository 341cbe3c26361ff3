/// \file
/// The data of a benchmark's operands: a pure function of (seed, role, index), so that a device fills its own memory
/// and a verifier recomputes any element that it wants.
///
/// Elements are what quantising normally distributed values gives under the natural scheme of their format, in which
/// the largest magnitude of a row or block becomes the format's largest number. Scales bring them back to about unit
/// variance, and differ from block to block by up to 16 times, so that a wrong scale index shows. With them, y is about
/// sqrt(K), whatever the variant, and fits every dst type.
#pragma once

#include <cstdint>

#include <moegemm/dtype.hpp>
#include <moegemm/formats/formats.hpp>
#include <moegemm/hd.hpp>
#include <moegemm/tensor.hpp>

#include "op/random/normal.hpp"
#include "op/random/philox.hpp"

namespace moegemm {

/// Elements that one Philox block gives: 16 bits each.
inline constexpr unsigned operand_block_elements = 8;

/// The codes of elements 8·block … 8·block + 7.
struct OperandCodes {
    std::uint32_t codes[operand_block_elements];
};

namespace detail {

/// int8 of z·127/4, to nearest, within ±127.
[[nodiscard]] constexpr MOEGEMM_HD std::uint32_t int8_code(std::uint32_t draw) noexcept {
    const FixedNormal z = fixed_normal(draw);
    constexpr int fraction_bits = fixed_normal_fraction_bits + 2;
    const std::uint64_t rounded =
        (std::uint64_t{z.magnitude} * 127U + (std::uint64_t{1} << (fraction_bits - 1))) >> fraction_bits;
    const std::uint32_t magnitude = rounded < 127 ? static_cast<std::uint32_t>(rounded) : 127U;
    return (z.negative ? 0U - magnitude : magnitude) & 0xFFU;
}

/// e2m1 of z·6/2.5, of 8 random bits: 2.5 is about the largest of 32 normal numbers.
[[nodiscard]] constexpr MOEGEMM_HD std::uint8_t e2m1_code(std::uint32_t draw) noexcept {
    return formats::E2m1::encode(normal((draw << 8) | 0x80U) * 2.4F);
}

/// (1 + u)·2^(exponent − k), u of 14 random bits in [0, 1), k of two in 0 … 3.
[[nodiscard]] constexpr MOEGEMM_HD std::uint32_t f32_scale_code(std::uint32_t draw, std::int32_t exponent) noexcept {
    const auto biased = static_cast<std::uint32_t>(127 + exponent) - (draw & 3U);
    const std::uint32_t fraction = (draw >> 2) & 0x3FFFU;
    return (biased << 23) | (fraction << 9) | (fraction >> 5);  // the fraction's low bits are filled, too
}

}  // namespace detail

/// Draws the stored elements of one tensor.
struct OperandGenerator {
    std::uint64_t seed;
    std::uint64_t stream;   ///< the value of the tensor's Role
    DType dtype;            ///< of a stored element: bf16, i8, e4m3, e5m2, e2m1x2, f32, ue8m0 or ue4m3
    std::int32_t exponent;  ///< f32 and ue8m0 scales: log2 of about the largest

    /// The element that 16 random bits stand for, as its bits in the low end of the word.
    [[nodiscard]] constexpr MOEGEMM_HD std::uint32_t code_of_draw(std::uint32_t draw) const noexcept {
        switch (dtype) {
            case DType::bf16:
                return formats::Bf16::encode(normal(draw));
            case DType::i8:
                return detail::int8_code(draw);
            case DType::e4m3:
                return formats::E4m3::encode(normal(draw) * (formats::E4m3::max / 4.0F));
            case DType::e5m2:
                return formats::E5m2::encode(normal(draw) * (formats::E5m2::max / 4.0F));
            case DType::e2m1x2:
                return formats::E2m1::pack(detail::e2m1_code(draw & 0xFFU), detail::e2m1_code(draw >> 8));
            case DType::ue8m0:
                return static_cast<std::uint32_t>(127 + exponent) - (draw & 3U);
            case DType::ue4m3:
                return 40U + (draw & 31U);  // 0.25 … 3.75: four octaves, all mantissas
            default:
                return detail::f32_scale_code(draw, exponent);
        }
    }

    /// The bits of stored element `index`. Indices are logical and row-major, independent of any scale layout:
    /// A row·columns + column, W (expert·N + n)·columns + column with columns counted in stored elements; scales
    /// row·C + block and (expert·rows + row)·C + block, with C = 1 where there are none per block; alpha its expert.
    [[nodiscard]] constexpr MOEGEMM_HD std::uint32_t code(std::uint64_t index) const noexcept {
        return code_of_draw(draws(index / operand_block_elements).half(index % operand_block_elements));
    }

    /// The bits of eight neighbours at the price of one draw: elements 8·block … 8·block + 7.
    [[nodiscard]] constexpr MOEGEMM_HD OperandCodes codes(std::uint64_t block) const noexcept {
        const PhiloxBlock random = draws(block);
        OperandCodes result{};
        for (unsigned lane = 0; lane < operand_block_elements; ++lane) {
            result.codes[lane] = code_of_draw(random.half(lane));
        }
        return result;
    }

    /// The random bits of elements 8·block … 8·block + 7.
    [[nodiscard]] constexpr MOEGEMM_HD PhiloxBlock draws(std::uint64_t block) const noexcept {
        return philox(seed, stream, block);
    }
};

/// The generator of a tensor of `spec`.
/// \param role a, w, or a_scale, w_scale, alpha where the spec has them
/// \throws Error invalid_argument ("role") for a tensor that is not drawn or that the spec does not have
[[nodiscard]] OperandGenerator make_operand_generator(const GemmSpec& spec, Role role, std::uint64_t seed);

}  // namespace moegemm
