/// \file
/// Where FlashInfer's kernels want what the op's contract has elsewhere: rows of A whose experts start at multiples of
/// 4, scales that follow those rows, y's rows on their way back, and the segment GEMM's arguments of each expert.
///
/// Every step is a struct with a count and a function of an index that no other index depends on: a loop runs it on the
/// host, a kernel of one line on a device. The arithmetic is the same source, and is tested where there is no GPU.
#pragma once

#include <cstdint>

#include <moegemm/hd.hpp>
#include <moegemm/scale_layout.hpp>

namespace moegemm::flashinfer {

/// FlashInfer's grouped kernels want every entry of m_indptr to be a multiple of this.
inline constexpr std::int64_t row_granule = 4;
/// Rows are copied in pieces of this many bytes; every row that is copied is a multiple of it.
inline constexpr std::int64_t piece_bytes = 16;

struct alignas(piece_bytes) Piece {
    std::uint32_t words[4];
};

/// Rows that the padded matrix has at most, for R rows of E experts: experts without rows stay empty, so no more than
/// min(E, R) of them are padded.
[[nodiscard]] MOEGEMM_HD constexpr std::int64_t padded_capacity(std::int64_t rows, std::int64_t experts) noexcept {
    const std::int64_t padded_experts = experts < rows ? experts : rows;
    return scales::round_up(rows + (row_granule - 1) * padded_experts, row_granule);
}

/// The first padded row of an expert: the padded rows of those before it. Experts without rows get none, so that their
/// weights are not read.
[[nodiscard]] MOEGEMM_HD constexpr std::int32_t padded_start(const std::int32_t* m_indptr,
                                                             std::int64_t expert) noexcept {
    std::int64_t start = 0;
    for (std::int64_t before = 0; before < expert; ++before) {
        start += scales::round_up(m_indptr[before + 1] - m_indptr[before], row_granule);
    }
    return static_cast<std::int32_t>(start);
}

/// The expert that owns a row: the last whose first row is not behind it. Experts without rows own none.
/// \param row below starts[experts]
[[nodiscard]] MOEGEMM_HD constexpr std::int64_t owner(const std::int32_t* starts, std::int64_t experts,
                                                      std::int64_t row) noexcept {
    std::int64_t low = 0;
    std::int64_t high = experts;
    while (high - low > 1) {
        const std::int64_t middle = (low + high) / 2;
        if (starts[middle] <= row) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/// The rows of a call before and after their padding.
struct Rows {
    const std::int32_t* m_indptr;  ///< (E+1)
    const std::int32_t* padded;    ///< (E+1)
    std::int64_t experts;

    /// What a padded row holds: a row of A, or nothing.
    struct Source {
        std::int64_t expert;
        std::int64_t row;  ///< of A; -1 for padding
    };
    [[nodiscard]] MOEGEMM_HD constexpr Source source(std::int64_t padded_row) const noexcept {
        const std::int64_t expert = owner(padded, experts, padded_row);
        const std::int64_t row = m_indptr[expert] + (padded_row - padded[expert]);
        return {expert, row < m_indptr[expert + 1] ? row : -1};
    }
    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t padded_row(std::int64_t row) const noexcept {
        const std::int64_t expert = owner(m_indptr, experts, row);
        return padded[expert] + (row - m_indptr[expert]);
    }
};

/// m_indptr of the padded rows. Index: an entry.
struct PadStarts {
    const std::int32_t* m_indptr;
    std::int32_t* padded;
    std::int64_t experts;

    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t count() const noexcept { return experts + 1; }
    MOEGEMM_HD constexpr void operator()(std::int64_t index) const noexcept {
        padded[index] = padded_start(m_indptr, index);
    }
};

/// A's rows to their padded places; padding becomes 0. Index: a piece of a padded row.
struct PadRows {
    Rows rows;
    const Piece* from;
    Piece* to;
    std::int64_t row_pieces;
    std::int64_t capacity;  ///< padded rows that there is room for

    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t count() const noexcept { return capacity * row_pieces; }
    MOEGEMM_HD constexpr void operator()(std::int64_t index) const noexcept {
        const std::int64_t padded_row = index / row_pieces;
        if (padded_row >= rows.padded[rows.experts]) {
            return;
        }
        const std::int64_t row = rows.source(padded_row).row;
        to[index] = row < 0 ? Piece{} : from[row * row_pieces + index % row_pieces];
    }
};

/// y's rows from their padded places. Index: a piece of a row of y.
struct GatherRows {
    Rows rows;
    const Piece* from;
    Piece* to;
    std::int64_t row_pieces;
    std::int64_t total_rows;  ///< R: m_indptr may end before it

    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t count() const noexcept { return total_rows * row_pieces; }
    MOEGEMM_HD constexpr void operator()(std::int64_t index) const noexcept {
        const std::int64_t row = index / row_pieces;
        if (row < rows.m_indptr[rows.experts]) {
            to[index] = from[rows.padded_row(row) * row_pieces + index % row_pieces];
        }
    }
};

/// y's rows become 0, where a kernel adds to what is there. Index: a piece of a row of y.
struct ClearRows {
    const std::int32_t* m_indptr;
    std::int64_t experts;
    Piece* y;
    std::int64_t row_pieces;
    std::int64_t total_rows;

    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t count() const noexcept { return total_rows * row_pieces; }
    MOEGEMM_HD constexpr void operator()(std::int64_t index) const noexcept {
        if (index / row_pieces < m_indptr[experts]) {
            y[index] = Piece{};
        }
    }
};

/// One-byte scales of A, in any of the contract's layouts, to swizzled matrices that start where the padded m_indptr
/// puts them. K is a multiple of 128, so scales come in whole words of 4. Index: a word of a padded row.
struct PadGroupScales {
    Rows rows;
    ScaleLayout layout;
    const std::uint32_t* from;
    std::uint32_t* to;
    std::int64_t columns;     ///< scales along K, a multiple of 4
    std::int64_t total_rows;  ///< R
    std::int64_t capacity;

    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t count() const noexcept { return capacity * (columns / 4); }
    MOEGEMM_HD constexpr void operator()(std::int64_t index) const noexcept {
        const std::int64_t padded_row = index / (columns / 4);
        const std::int64_t column = index % (columns / 4) * 4;
        if (padded_row >= rows.padded[rows.experts]) {
            return;
        }
        const Rows::Source source = rows.source(padded_row);
        const std::int64_t target = scales::a_scale_index(ScaleLayout::swizzled_128x4, padded_row, column,
                                                          source.expert, rows.padded[source.expert], capacity, columns);
        to[target / 4] = source.row < 0
                             ? 0
                             : from[scales::a_scale_index(layout, source.row, column, source.expert,
                                                          rows.m_indptr[source.expert], total_rows, columns) /
                                    4];
    }
};

/// fp8_block's scales of A to the padded rows, in the layout that they have. Index: a scale.
struct PadBlockScales {
    Rows rows;
    ScaleLayout layout;  ///< mn_major or k_major
    const float* from;
    float* to;
    std::int64_t columns;
    std::int64_t total_rows;  ///< R: what mn_major strides by before
    std::int64_t capacity;    ///< and after

    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t count() const noexcept { return capacity * columns; }
    MOEGEMM_HD constexpr void operator()(std::int64_t index) const noexcept {
        // Neighbours along the rows are neighbours in mn_major.
        const std::int64_t padded_row = layout == ScaleLayout::mn_major ? index % capacity : index / columns;
        const std::int64_t column = layout == ScaleLayout::mn_major ? index / capacity : index % columns;
        if (padded_row >= rows.padded[rows.experts]) {
            return;
        }
        const std::int64_t row = rows.source(padded_row).row;
        to[index] = row < 0 ? 0.0F : from[scales::a_scale_index(layout, row, column, 0, 0, total_rows, columns)];
    }
};

/// Linear one-byte scales of W to swizzled matrices; padding becomes 0. Index: a word of an expert's padded row.
struct SwizzleWeightScales {
    const std::uint8_t* from;  ///< (E, N, C)
    std::uint32_t* to;         ///< (E, N', C)
    std::int64_t experts;
    std::int64_t n;
    std::int64_t columns;  ///< a multiple of 4

    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t count() const noexcept {
        return experts * scales::padded_rows(n) * (columns / 4);
    }
    MOEGEMM_HD constexpr void operator()(std::int64_t index) const noexcept {
        const std::int64_t column = index % (columns / 4) * 4;
        const std::int64_t stored_row = index / (columns / 4);
        const std::int64_t expert = stored_row / scales::padded_rows(n);
        const std::int64_t row = stored_row % scales::padded_rows(n);
        std::uint32_t word = 0;
        for (int byte = 0; row < n && byte < 4; ++byte) {
            const std::int64_t source =
                scales::w_scale_index(ScaleLayout::linear, expert, row, column + byte, n, columns);
            word |= static_cast<std::uint32_t>(from[source]) << (8 * byte);
        }
        to[scales::w_scale_index(ScaleLayout::swizzled_128x4, expert, row, column, n, columns) / 4] = word;
    }
};

/// The segment GEMM's arguments of each expert: sizes, addresses, strides. Index: an expert.
struct SegmentArguments {
    const std::int32_t* m_indptr;
    std::int64_t experts;
    std::int64_t n;
    std::int64_t k;
    std::uintptr_t a;  ///< the tensors' first bytes
    std::uintptr_t w;
    std::uintptr_t y;
    std::int64_t in_bytes;   ///< of an element of A and W
    std::int64_t out_bytes;  ///< of an element of y
    std::int32_t* problems;  ///< (E, 3): rows, N, K
    std::int64_t* pointers;  ///< (3, E): of A, W, y
    std::int64_t* strides;   ///< (3, E): elements from row to row of A, W, y

    [[nodiscard]] MOEGEMM_HD constexpr std::int64_t count() const noexcept { return experts; }
    MOEGEMM_HD constexpr void operator()(std::int64_t expert) const noexcept {
        const std::int64_t first = m_indptr[expert];
        problems[3 * expert] = m_indptr[expert + 1] - m_indptr[expert];
        problems[3 * expert + 1] = static_cast<std::int32_t>(n);
        problems[3 * expert + 2] = static_cast<std::int32_t>(k);
        pointers[expert] = static_cast<std::int64_t>(a) + first * k * in_bytes;
        pointers[experts + expert] = static_cast<std::int64_t>(w) + expert * n * k * in_bytes;
        pointers[2 * experts + expert] = static_cast<std::int64_t>(y) + first * n * out_bytes;
        strides[expert] = k;
        strides[experts + expert] = k;
        strides[2 * experts + expert] = n;
    }
};

}  // namespace moegemm::flashinfer
