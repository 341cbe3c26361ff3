/// \file
/// What oneDNN leaves to do on a result: scales a row and a column, alpha, the one rounding to the dst type.
#pragma once

#include <cstdint>

#include <moegemm/dtype.hpp>

namespace moegemm::onednn {

/// Factors of a block of y; null where there are none.
struct Factors {
    const float* rows;     ///< (rows)
    const float* columns;  ///< (columns)
    const float* all;      ///< (1)
};

/// y[i, n] = round(sum[i, n] · rows[i] · columns[n] · all), left to right in f32.
/// \param sum (rows, columns) i32 or f32
/// \param y   likewise, of type `dst`: bf16, f16 or f32
void finish(const void* sum, DType sum_type, const Factors& factors, std::int64_t rows, std::int64_t columns, void* y,
            DType dst);

}  // namespace moegemm::onednn
