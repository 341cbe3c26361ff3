/// \file
/// UE4M3: E4M3 without its sign, the block scale of NVFP4. Source: PTX ISA, data type .ue4m3.
#pragma once

#include <cstdint>

#include <moegemm/formats/e4m3.hpp>

namespace moegemm::formats {

/// 4 exponent, 3 mantissa bits; bit 7 is ignored; NaN is 1111.111.
struct Ue4m3 {
    using Code = std::uint8_t;

    static constexpr int mantissa_bits = E4m3::mantissa_bits;
    static constexpr int exponent_bias = E4m3::exponent_bias;
    static constexpr float max = E4m3::max;
    static constexpr float min_normal = E4m3::min_normal;
    static constexpr float min_subnormal = E4m3::min_subnormal;
    static constexpr Code max_code = E4m3::max_code;
    static constexpr Code nan = E4m3::nan;

    [[nodiscard]] static constexpr MOEGEMM_HD float decode(Code code) noexcept {
        return E4m3::decode(static_cast<Code>(code & 0x7FU));
    }

    /// To nearest, ties to even; above 448, infinity included, 448; negative numbers give 0; every NaN gives 0x7F.
    [[nodiscard]] static constexpr MOEGEMM_HD Code encode(float value) noexcept {
        const Code code = E4m3::encode(value);
        return (code & 0x80U) != 0 ? Code{0} : code;
    }
};

}  // namespace moegemm::formats
