/// \file
/// The tensors of one call as the loops see them, and reading a K block of them as f32.
#pragma once

#include <array>
#include <cstdint>

#include "providers/cpu/packed_weights.hpp"
#include "providers/cpu/shape.hpp"

namespace moegemm::cpu {

/// The tensors of one call: plain addresses, checked before.
struct CallOperands {
    const std::uint8_t* a;
    const std::uint8_t* w;        ///< null where packed weights are given
    const std::uint8_t* packed;   ///< or null
    const std::uint8_t* a_scale;  ///< bytes, of group scales
    const std::uint8_t* w_scale;  ///< likewise; unused where packed weights are given
    const float* a_factor;        ///< f32 scales: per_token_scale, fp8_block's a_scale
    const float* w_factor;        ///< f32 scales: experts_scale, fp8_block's b_scale
    const float* alpha;           ///< or null
    const std::int32_t* m_indptr;
    std::uint8_t* y;
    std::int64_t rows;  ///< R, of A and y

    /// \param operands as Plan::run checked them
    [[nodiscard]] static CallOperands from(const Operands& operands);
};

/// The first ue8m0 code with which an element of this type may leave f32: 2^(code − 127) · the type's largest number
/// ≥ 2^128. Codes from here to 254 take the exact route (exact_sum.hpp); 255, NaN, is NaN in either.
[[nodiscard]] constexpr std::uint8_t first_wide_scale(Element element) noexcept {
    switch (element) {
        case Element::e4m3:
            return 247;  // 448 = 1.75 · 2^8
        case Element::e5m2:
            return 240;  // 57344 = 1.75 · 2^15
        case Element::e2m1:
            return 253;  // 6 = 1.5 · 2^2
        default:
            return 255;  // has no scale
    }
}

/// ue8m0 codes that do not take the exact route: first … last, and 255 where kernels multiply by NaN.
struct OrdinaryScales {
    std::uint8_t first;
    std::uint8_t last;
    bool nan;

    [[nodiscard]] bool has(std::uint8_t code) const noexcept {
        return static_cast<std::uint8_t>(code - first) <= static_cast<std::uint8_t>(last - first) ||
               (nan && code == 255);
    }
    /// Of f32: all that stay in it.
    [[nodiscard]] static OrdinaryScales of_f32(Element element) noexcept {
        return {0, static_cast<std::uint8_t>(first_wide_scale(element) - 1), true};
    }
    /// Of tiles of bf16, whose instructions take subnormal numbers and results for zero: those with which all elements
    /// and their products stay far from these.
    [[nodiscard]] static OrdinaryScales of_tiles() noexcept { return {first_tile_scale, last_tile_scale, false}; }
};

/// The rows of A that a task works on.
struct RowRange {
    std::int64_t expert;
    std::int64_t expert_row;  ///< m_indptr[expert]
    std::int64_t begin;       ///< of all rows
    std::int64_t count;
};

/// A K block's group scales of one row of A or of W, as stored.
using ScaleCodes = std::array<std::uint8_t, k_block / 16>;

/// The group scales of a row of A, as stored. Scales of four groups that begin at a multiple of four lie side by side
/// in every layout of one-byte scales, and such fours equally far apart.
class RowScaleCodes {
public:
    /// \param row of all rows
    RowScaleCodes(const Shape& shape, const CallOperands& operands, const RowRange& rows, std::int64_t row) noexcept;
    [[nodiscard]] ScaleCodes of(std::int64_t block) const noexcept;

private:
    const Shape& shape_;
    const std::uint8_t* first_;  ///< of the row; without meaning where there are none
    std::int64_t step_;          ///< bytes from four groups to the next
};

/// Decodes a K block of some rows of A, scales multiplied in; zero from the block's depth to the end of W's last line.
/// \param[out] out  (rows.count, k_block)
/// \param[out] wide (rows.count): 1 for a row that needs the exact route in this block, else 0
void read_a_block(const Shape& shape, const CallOperands& operands, const RowRange& rows, std::int64_t block,
                  float* out, std::uint8_t* wide);

/// K blocks [begin, begin + count).
struct BlockRange {
    std::int64_t begin;
    std::int64_t count;
};

/// The same of some K blocks, row by row or tile by tile, to bf16, or f32, for products of tiles; zero, too, in the
/// rows that fill the last tile. \param[out] out  (blocks.count, whole_tiles(rows.count), k_block) \param[out] wide
/// (blocks.count, rows.count)
void read_tile_blocks(const Shape& shape, const CallOperands& operands, const RowRange& rows, BlockRange blocks,
                      std::uint8_t* out, std::uint8_t* wide);

/// Copies some K blocks of some rows of int8, row by row, as the family's Int8Kernels take them.
/// \param[out] out (blocks.count, rows.count, int8_k_block)
void read_int8_blocks(const Shape& shape, const CallOperands& operands, const RowRange& rows, BlockRange blocks,
                      std::uint8_t* out);

/// The same as they are and tile by tile; zero in the rows that fill the last tile.
/// \param[out] out (blocks.count, whole_tiles(rows.count), int8_k_block)
void read_int8_tiles(const Shape& shape, const CallOperands& operands, const RowRange& rows, BlockRange blocks,
                     std::uint8_t* out);

/// Marks the columns of packed panels that need the exact route in a K block.
/// \param[out] wide (panels, panel_columns): 1 or 0; written only where the result is true
/// \return whether any is 1
bool find_wide_columns(const Shape& shape, const PanelGroup& weights, std::int64_t block, OrdinaryScales ordinary,
                       std::uint8_t* wide);

}  // namespace moegemm::cpu
