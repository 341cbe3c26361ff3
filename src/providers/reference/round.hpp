/// \file
/// The only rounding of a result: float64 to a dst type, to nearest even, overflow to infinity.
#pragma once

#include <cmath>
#include <cstdint>

#include <moegemm/formats/bf16.hpp>
#include <moegemm/formats/bits.hpp>
#include <moegemm/formats/f16.hpp>

namespace moegemm {

/// To float32 by rounding to odd: an inexact result is cut off and its last bit set. A second rounding to nearest, to a
/// format with at least two bits fewer, then gives what one rounding of the float64 would. Source: Boldo and
/// Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", IEEE Transactions
/// on Computers 57(4), 2008.
[[nodiscard]] inline float round_to_odd(double value) noexcept {
    const auto nearest = static_cast<float>(value);
    if (std::isnan(value) || static_cast<double>(nearest) == value) {
        return nearest;
    }
    std::uint32_t bits = formats::float_bits(nearest);
    if (std::fabs(static_cast<double>(nearest)) > std::fabs(value)) {
        --bits;  // away from zero: one step back, from infinity to the largest number
    }
    return formats::bits_float(bits | 1U);
}

[[nodiscard]] inline std::uint16_t round_to_bf16(double value) noexcept {
    return formats::Bf16::encode(round_to_odd(value));
}

[[nodiscard]] inline std::uint16_t round_to_f16(double value) noexcept {
    return formats::F16::encode(round_to_odd(value));
}

}  // namespace moegemm
