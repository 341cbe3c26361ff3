/// \file
/// The float64 product of two rows.
#pragma once

#include <span>

namespace moegemm {

/// Σ left[i]·right[i], the same bits on every machine: 16 partial sums, whatever the vector width, no contraction.
/// \param left, right of one size
[[nodiscard]] double dot(std::span<const double> left, std::span<const double> right) noexcept;

}  // namespace moegemm
