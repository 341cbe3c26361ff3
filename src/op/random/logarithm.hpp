/// \file
/// A natural logarithm that is the same bits on every machine: the C library's may differ by a bit from one to the
/// next, and a routing with it.
#pragma once

#include <cstdint>

namespace moegemm {

/// ln(x) within 4e-16 of its magnitude (tests/op/random), from a committed table and basic double arithmetic.
/// \param x positive, finite and not subnormal
[[nodiscard]] double deterministic_log(double x) noexcept;

/// A standard Gumbel number of 32 random bits: −ln(−ln((bits + 1/2) / 2^32)), between −3.14 and 22.9.
/// Strictly ascending in `bits`: neighbours differ by more than 1e-11, far beyond the rounding errors.
[[nodiscard]] double gumbel(std::uint32_t bits) noexcept;

}  // namespace moegemm
