/// \file
/// What a plan knows before any tensor is there: the spec in the kernels' terms.
#pragma once

#include <algorithm>
#include <cstdint>

#include <moegemm/problem.hpp>

#include "providers/cpu/kernels/kernel_family.hpp"

namespace moegemm::cpu {

/// Rows up to which all of K is taken panel by panel: so many rows of A, as f32 or as int8, stay in a second-level
/// cache.
inline constexpr std::int64_t few_rows_f32 = 12;
inline constexpr std::int64_t few_rows_int8 = 48;
inline constexpr std::int64_t few_rows_matrix = 48;

static_assert(few_rows_matrix == most_stream_tiles * matrix_tile);

/// K blocks of int8 that many rows take at a time where there are tiles, so that C leaves them less often: 32 KiB of
/// two panels of W stay in a first-level cache.
inline constexpr std::int64_t deep_blocks_int8 = 2;

/// A spec, the kernels that run it, and the sizes that both give.
struct Shape {
    GemmSpec spec;
    const KernelFamily* family = nullptr;
    const FloatKernels* kernels = nullptr;  ///< the family's, for f32
    bool int8_dot = false;                  ///< whether products are of int8, not of f32
    const MatrixKernels* matrix = nullptr;  ///< the family's, or null
    Element a{};
    Element w{};
    GroupScale scale{};  ///< of W; of A too where the variant scales A
    WeightFormat format{};
    Combine combine{};
    Finish finish{};
    Dst dst{};
    std::int64_t block_depth = 0;  ///< k_block or int8_k_block
    std::int64_t k_blocks = 0;     ///< ⌈K / block_depth⌉
    std::int64_t panels = 0;       ///< ⌈N / panel_columns⌉, rounded up to an even number: kernels take pairs
    std::int64_t a_row_bytes = 0;  ///< of K elements
    std::int64_t w_row_bytes = 0;
    std::int64_t block_groups = 0;  ///< scales along K of a K block; 0 where there are none
    int group_shift = 0;            ///< log2 of a group's elements

    /// \throws Error overflow ("experts_weight") where padding N to panels leaves 63 bits
    [[nodiscard]] static Shape from(const GemmSpec& spec, const KernelFamily& family);

    /// Elements along K of a K block.
    [[nodiscard]] std::int64_t depth(std::int64_t block) const noexcept {
        const std::int64_t rest = spec.k - block * block_depth;
        return rest < block_depth ? rest : block_depth;
    }
    /// Scale groups of a K block.
    [[nodiscard]] std::int64_t groups(std::int64_t block) const noexcept {
        return block_groups == 0 ? 0 : depth(block) >> group_shift;
    }
    /// Lines of a panel's K block.
    [[nodiscard]] std::int64_t lines(std::int64_t block) const noexcept {
        const std::int64_t line_depth = line_depths[static_cast<std::size_t>(w)];
        return (depth(block) + line_depth - 1) / line_depth;
    }
    /// Columns of panel `panel` that exist: none of a pair's second one where N ends before.
    [[nodiscard]] std::int64_t columns(std::int64_t panel) const noexcept {
        const std::int64_t rest = spec.n - panel * panel_columns;
        return rest < 0 ? 0 : rest < panel_columns ? rest : panel_columns;
    }
    /// Whether so many rows of an expert are multiplied in tiles.
    [[nodiscard]] bool in_tiles(std::int64_t rows) const noexcept {
        return matrix != nullptr && rows > matrix->vector_rows[static_cast<std::size_t>(format)];
    }
    /// Whether tiles take W's lines as packed.
    [[nodiscard]] bool as_packed() const noexcept {
        return family->bf16->panel[static_cast<std::size_t>(format)] == nullptr;
    }
    /// Bytes of a K block of a panel as tiles take it where it is decoded.
    [[nodiscard]] std::int64_t decoded_block_bytes() const noexcept { return k_block / 2 * matrix->w_line_bytes; }
    /// K blocks that many rows take at a time.
    [[nodiscard]] std::int64_t deep_blocks() const noexcept {
        return matrix == nullptr ? 1 : int8_dot ? deep_blocks_int8 : matrix->deep_blocks;
    }
    /// K blocks of `rows` rows of A that are read at a time: as many as stay in the cache, and no fewer than are taken.
    [[nodiscard]] std::int64_t resident_blocks(std::int64_t rows) const noexcept {
        return matrix == nullptr
                   ? 1
                   : std::max<std::int64_t>(matrix->resident_bytes / (rows * deep_row_bytes()), 1) * deep_blocks();
    }
    /// Room for them, of any number of rows up to `most_rows`: rows of a K block.
    [[nodiscard]] std::int64_t resident_lines(std::int64_t most_rows) const noexcept {
        return matrix == nullptr ? most_rows
                                 : std::max(matrix->resident_bytes / deep_row_bytes(), most_rows) * deep_blocks();
    }
    /// The most rows that are few.
    [[nodiscard]] std::int64_t few_rows() const noexcept {
        return matrix != nullptr ? few_rows_matrix : int8_dot ? few_rows_int8 : few_rows_f32;
    }
    /// Panels that few rows meet side by side.
    [[nodiscard]] std::int64_t panels_of_few(std::int64_t rows) const noexcept {
        if (!in_tiles(rows)) {
            return int8_dot ? family->reading.int8_panels : group_panels;
        }
        return rows <= (as_packed() ? matrix->rows_of_four_packed : matrix->rows_of_four_decoded) ? group_panels : 2;
    }
    /// Rows up to whole tiles.
    [[nodiscard]] static std::int64_t whole_tiles(std::int64_t rows) noexcept {
        return (rows + matrix_tile - 1) / matrix_tile * matrix_tile;
    }
    /// Bytes of a K block of a row of A, where int8 is multiplied as such.
    [[nodiscard]] std::int64_t int8_row_bytes() const noexcept {
        return matrix != nullptr ? int8_k_block : int8_k_block * family->int8->a_bytes;
    }
    /// Bytes of a K block of a row of A as tiles take it.
    [[nodiscard]] std::int64_t tile_row_bytes() const noexcept {
        return int8_dot ? int8_k_block : k_block * matrix->a_bytes;
    }
    /// Bytes of a row of as many K blocks as many rows take at a time.
    [[nodiscard]] std::int64_t deep_row_bytes() const noexcept { return deep_blocks() * tile_row_bytes(); }
    /// Whether A has one scale a group, as W has.
    [[nodiscard]] bool a_grouped() const noexcept { return scale != GroupScale::none && spec.row().a_scaled; }
};

}  // namespace moegemm::cpu
