/// \file
/// Sixteen random bits to a standard normal number, in integers throughout: no compiler and no machine has a choice.
///
/// Bit 15 is the sign. The other fifteen, t, stand for the upper-tail probability (2t+1)/2^17, from 2^-17 (4.32 sigma)
/// to just below 1/2, so that no draw is 0. Quantiles are committed at 32 points an octave of that probability and
/// interpolated linearly between them, which is within 1e-3 of the normal quantile (tests/op/random).
#pragma once

#include <cstdint>

#include <moegemm/hd.hpp>

namespace moegemm {

/// A normal number in fixed point: its magnitude times 2^28, below 2^31 and never 0, and its sign.
struct FixedNormal {
    std::uint32_t magnitude;
    bool negative;
};
inline constexpr int fixed_normal_fraction_bits = 28;

namespace detail {

inline constexpr std::int32_t normal_quantiles[16 * 32 + 1] = {
#include "op/random/normal_table.inc"
};
#if defined(__CUDACC__)
/// The same for device code, which cannot address a host's constant.
__device__ constexpr std::int32_t device_normal_quantiles[16 * 32 + 1] = {
#include "op/random/normal_table.inc"
};
#endif

[[nodiscard]] constexpr MOEGEMM_HD std::int32_t normal_quantile(std::uint32_t point) noexcept {
#if defined(__CUDA_ARCH__)
    return device_normal_quantiles[point];
#else
    return normal_quantiles[point];
#endif
}

}  // namespace detail

/// The normal number of a draw. \param draw its low 16 bits
[[nodiscard]] constexpr MOEGEMM_HD FixedNormal fixed_normal(std::uint32_t draw) noexcept {
    std::uint32_t tail = (draw & 0x7FFFU) * 2U + 1U;  // of 2^17
    std::uint32_t octave = 15;
    for (std::uint32_t step = 8; step > 0; step /= 2) {
        if (tail < (1U << (16 - step))) {
            tail <<= step;
            octave -= step;
        }
    }
    const std::uint32_t point = octave * 32U + ((tail >> 10) & 31U);
    const auto fraction = static_cast<std::int32_t>(tail & 1023U);
    const std::int32_t here = detail::normal_quantile(point);
    const std::int32_t next = detail::normal_quantile(point + 1);
    return {static_cast<std::uint32_t>(here * 1024 - (here - next) * fraction), (draw & 0x8000U) != 0};
}

/// The same as a float, rounded once.
[[nodiscard]] constexpr MOEGEMM_HD float normal(std::uint32_t draw) noexcept {
    const FixedNormal fixed = fixed_normal(draw);
    const float magnitude = static_cast<float>(fixed.magnitude) * 0x1p-28F;
    return fixed.negative ? -magnitude : magnitude;
}

}  // namespace moegemm
