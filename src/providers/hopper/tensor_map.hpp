/// \file
/// Descriptions of matrices for the copy engine.
#pragma once

#include <cuda.h>

#include <cstdint>

#include <moegemm/dtype.hpp>

namespace moegemm::hopper {

/// Where the driver's encoder lies; asked for once.
/// \throws Error internal where the driver has none
void require_tensor_maps();

/// (rows, columns) elements, contiguous, in boxes of `box_rows` rows × 128 bytes, swizzled over 128 bytes.
/// \throws Error internal where the driver refuses
[[nodiscard]] CUtensorMap matrix_map(const void* base, DType dtype, std::int64_t rows, std::int64_t columns,
                                     int box_rows);
/// (matrices, rows, columns) likewise; a box lies within one matrix, zeros come from beyond its edges.
[[nodiscard]] CUtensorMap matrices_map(const void* base, DType dtype, std::int64_t matrices, std::int64_t rows,
                                       std::int64_t columns, int box_rows);

/// Whether rows of `columns` elements are chunks of 128 bytes without a rest.
[[nodiscard]] bool has_whole_chunks(DType dtype, std::int64_t columns);
/// A matrix of such rows as (chunks, rows, elements of a chunk), in boxes of `box_chunks` × `box_rows` × 128 bytes: one
/// copy instead of one for each chunk.
/// \throws Error internal where the driver refuses
[[nodiscard]] CUtensorMap chunks_map(const void* base, DType dtype, std::int64_t rows, std::int64_t columns,
                                     int box_rows, int box_chunks);

}  // namespace moegemm::hopper
