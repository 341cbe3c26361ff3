/// \file
/// Stored elements and scales as float64 numbers.
#pragma once

#include <cstdint>
#include <span>

#include <moegemm/dtype.hpp>

namespace moegemm {

/// Decodes the first values.size() numbers that are stored from `stored` on; exact for every type.
/// \param dtype  bf16, f16, f32, i8, e4m3, e5m2, ue8m0, ue4m3, or e2m1x2, whose values come two a byte
/// \param stored aligned to the element
/// \throws Error internal for a type that is none of these
void decode(DType dtype, const void* stored, std::span<double> values);

}  // namespace moegemm
