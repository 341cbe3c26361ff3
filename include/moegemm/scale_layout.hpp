/// \file
/// Where a block scale lies in memory: the storage orders of the op's contract and conversions between them.
///
/// Sources: NVIDIA's block-scaled layout ("128x4 swizzle": cuBLAS documentation, "1D Block Scaling Factors Layout"),
/// as FlashInfer's grouped kernels take it; FlashInfer's "MN-major" and "K-major" orders of fp8 block scales.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <moegemm/hd.hpp>

namespace moegemm {

/// The storage order of block scales. R rows of A (or N rows of W), C scales along K.
enum class ScaleLayout : std::uint8_t {
    none,                  ///< the variant has no block scales
    mn_major,              ///< fp8_block: A's (C, R), W's (E, C, ⌈N/128⌉)
    k_major,               ///< fp8_block: A's (R, C), W's (E, ⌈N/128⌉, C)
    swizzled_128x4,        ///< mx, nvfp4: each expert its own padded, swizzled matrix; A's start at
                           ///< 128·⌊(m_indptr[e]+127·e)/128⌋
    swizzled_128x4_whole,  ///< mx, nvfp4: A's scales as one swizzled matrix of all rows; W's as in swizzled_128x4
    linear,                ///< mx, nvfp4: row-major and unpadded, A's (R, C), W's (E, N, C)
};

/// Names in the order of the enumeration, as the argument `scale_layout` and the records spell them.
inline constexpr std::array<std::string_view, 6> scale_layout_names{
    "none", "mn_major", "k_major", "swizzled_128x4", "swizzled_128x4_whole", "linear"};

[[nodiscard]] constexpr std::string_view to_string(ScaleLayout layout) noexcept {
    return scale_layout_names[static_cast<std::size_t>(layout)];
}

namespace scales {

/// Rows of a swizzled scale matrix come in tiles of 128, columns in tiles of 4; a tile is 512 bytes.
inline constexpr std::int64_t tile_rows = 128;
inline constexpr std::int64_t tile_columns = 4;
inline constexpr std::int64_t tile_bytes = tile_rows * tile_columns;

/// ⌈value / granule⌉ · granule, for non-negative values.
[[nodiscard]] MOEGEMM_HD constexpr std::int64_t round_up(std::int64_t value, std::int64_t granule) noexcept {
    return (value + granule - 1) / granule * granule;
}

/// Stored rows R' and columns C' of one swizzled matrix.
[[nodiscard]] MOEGEMM_HD constexpr std::int64_t padded_rows(std::int64_t rows) noexcept {
    return round_up(rows, tile_rows);
}
[[nodiscard]] MOEGEMM_HD constexpr std::int64_t padded_columns(std::int64_t columns) noexcept {
    return round_up(columns, tile_columns);
}

/// The byte of scale (row, column) in a swizzled matrix of `columns` (unpadded) columns.
[[nodiscard]] MOEGEMM_HD constexpr std::int64_t swizzled_offset(std::int64_t row, std::int64_t column,
                                                                std::int64_t columns) noexcept {
    const std::int64_t tile = (row / tile_rows) * (padded_columns(columns) / tile_columns) + column / tile_columns;
    return tile * tile_bytes + (row % 32) * 16 + ((row % tile_rows) / 32) * 4 + column % tile_columns;
}

/// The first stored row of expert `expert`'s scales of A (swizzled_128x4), where `first_row` = m_indptr[expert].
[[nodiscard]] MOEGEMM_HD constexpr std::int64_t swizzled_start_row(std::int64_t first_row,
                                                                   std::int64_t expert) noexcept {
    return (first_row + 127 * expert) / tile_rows * tile_rows;
}

/// Stored rows M' of A's scales for `rows` rows over `experts` experts (swizzled_128x4): 128·⌊(M + 127·E)/128⌋.
[[nodiscard]] MOEGEMM_HD constexpr std::int64_t swizzled_total_rows(std::int64_t rows, std::int64_t experts) noexcept {
    return (rows + 127 * experts) / tile_rows * tile_rows;
}

/// The index, in stored elements, of the scale of A's row `row` (of all experts' rows) and K-block `column`.
/// \param first_row  m_indptr[expert] of the expert that owns the row
/// \param total_rows A's number of rows R (only mn_major strides by it)
/// \param columns    scales along K
[[nodiscard]] MOEGEMM_HD constexpr std::int64_t a_scale_index(ScaleLayout layout, std::int64_t row, std::int64_t column,
                                                              std::int64_t expert, std::int64_t first_row,
                                                              std::int64_t total_rows, std::int64_t columns) noexcept {
    if (layout == ScaleLayout::mn_major) {
        return column * total_rows + row;
    }
    if (layout == ScaleLayout::swizzled_128x4) {
        return swizzled_start_row(first_row, expert) * padded_columns(columns) +
               swizzled_offset(row - first_row, column, columns);
    }
    if (layout == ScaleLayout::swizzled_128x4_whole) {
        return swizzled_offset(row, column, columns);
    }
    return row * columns + column;  // k_major, linear
}

/// The index, in stored elements, of the scale of expert `expert`'s weight row block `row` and K-block `column`.
/// \param rows    of one expert's scale matrix: N for mx and nvfp4, ⌈N/128⌉ for fp8_block
/// \param columns scales along K
[[nodiscard]] MOEGEMM_HD constexpr std::int64_t w_scale_index(ScaleLayout layout, std::int64_t expert, std::int64_t row,
                                                              std::int64_t column, std::int64_t rows,
                                                              std::int64_t columns) noexcept {
    if (layout == ScaleLayout::mn_major) {
        return (expert * columns + column) * rows + row;
    }
    if (layout == ScaleLayout::swizzled_128x4 || layout == ScaleLayout::swizzled_128x4_whole) {
        return expert * padded_rows(rows) * padded_columns(columns) + swizzled_offset(row, column, columns);
    }
    return (expert * rows + row) * columns + column;  // k_major, linear
}

}  // namespace scales

/// Re-orders one byte matrix of scales, (rows, columns) row-major, into the swizzled storage.
/// \param linear   rows·columns bytes
/// \param swizzled padded_rows(rows)·padded_columns(columns) bytes; padding is written as 0
/// \throws Error invalid_argument, naming the span whose size is wrong; nothing is written then
void swizzle_scales(std::span<const std::uint8_t> linear, std::span<std::uint8_t> swizzled, std::int64_t rows,
                    std::int64_t columns);

/// The way back: padding is dropped.
/// \throws Error as swizzle_scales
void unswizzle_scales(std::span<const std::uint8_t> swizzled, std::span<std::uint8_t> linear, std::int64_t rows,
                      std::int64_t columns);

/// Re-orders A's scales of mx and nvfp4 variants from any of `linear`, `swizzled_128x4`, `swizzled_128x4_whole` to any
/// other.
/// \param m_indptr E+1 row offsets; m_indptr[E] rows in all
/// \param columns  scales along K
/// \param source   the bytes in layout `from`; (M, C), (M', C') or (padded_rows(M), C') of them
/// \param target   the bytes in layout `to`; padding is written as 0
/// \throws Error invalid_argument for a wrong size, a layout that is none of the three, or a bad m_indptr
void convert_a_scales(ScaleLayout from, std::span<const std::uint8_t> source, ScaleLayout to,
                      std::span<std::uint8_t> target, std::span<const std::int32_t> m_indptr, std::int64_t columns);

/// Re-orders W's scales of mx and nvfp4 variants: `experts` matrices of (rows, columns) each.
/// \throws Error as convert_a_scales
void convert_w_scales(ScaleLayout from, std::span<const std::uint8_t> source, ScaleLayout to,
                      std::span<std::uint8_t> target, std::int64_t experts, std::int64_t rows, std::int64_t columns);

}  // namespace moegemm
