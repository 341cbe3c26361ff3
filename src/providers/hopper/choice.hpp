/// \file
/// What to launch, from the sizes that a plan is built for. Row counts are not known then: any routing may come.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include <moegemm/dtype.hpp>

#include "providers/hopper/kernels/kernel.hpp"

namespace moegemm::hopper {

/// Rows of A that a copy engine's tile of it must start at: rows of 16 bytes.
inline constexpr std::int64_t tma_bytes = 16;

/// The tiling for `rows` rows over `experts` experts, on a GPU of `processors` SMs.
///
/// Up to some rows an expert, the weights' way from memory is all that counts. Tiles of `few_*` load and multiply only
/// the rows that an expert has; those of 128 columns read rows of A half as often and serve more rows, those of 64 give
/// every SM something to do where there are few tiles in all. From about 64 rows on, rows of A are worth a side of the
/// tile as long as W's, unless there are so few tiles that half of the SMs would have none. Up to 128 rows, weights are
/// still waited for: small tiles have more stages of them on their way, and less to store at the end.
[[nodiscard]] constexpr Tiling choose_tiling(std::int64_t rows, std::int64_t experts, std::int64_t columns,
                                             int processors) noexcept {
    const std::int64_t mean = (rows + experts - 1) / experts;
    const std::int64_t used = rows < experts ? rows : experts;
    const auto tiles = [&](std::int64_t tile_rows) {
        return used * ((mean + tile_rows - 1) / tile_rows) * ((columns + 127) / 128);
    };
    if (mean <= 64) {
        return mean <= 1 && tiles(64) < processors ? Tiling::few_16 : Tiling::few_64;
    }
    if (tiles(128) <= processors / 2) {
        return Tiling::few_64;
    }
    return mean <= 128 ? Tiling::many_128 : Tiling::many_256;
}

/// The same for weights that are decoded on their way, whose kernels take up to 32 rows of A × 256 rows of W (few_64)
/// or × 128 (few_16), 96 × 256 (some_96), 128 × 128 (many_128) and 256 × 128 (many_256). A decoded fragment serves all
/// rows of its tile: as many as an expert has, unless there are so few tiles that half of the SMs would have none.
///
/// Of few rows, tiles of 128 columns are for rounds that those of 256 would not fill. They read rows of A twice as
/// often, which up to 8 rows costs nothing: there they are better in one or two full rounds, too, whose last tiles end
/// sooner.
[[nodiscard]] constexpr Tiling choose_decoded_tiling(std::int64_t rows, std::int64_t experts, std::int64_t columns,
                                                     int processors) noexcept {
    const std::int64_t mean = (rows + experts - 1) / experts;
    const std::int64_t used = rows < experts ? rows : experts;
    const auto tiles = [&](std::int64_t tile_rows, std::int64_t tile_columns) {
        return used * ((mean + tile_rows - 1) / tile_rows) * ((columns + tile_columns - 1) / tile_columns);
    };
    if (mean > 128 && tiles(256, 128) > processors / 2) {
        return Tiling::many_256;
    }
    if (mean > 32 && mean <= 96 && tiles(96, 256) > processors / 2) {
        return Tiling::some_96;
    }
    if (mean > 32 && tiles(128, 128) > processors / 2) {
        return Tiling::many_128;
    }
    const auto rounds = [&](std::int64_t tile_columns) {
        return (tiles(32, tile_columns) + processors - 1) / processors;
    };
    const std::int64_t wide = rounds(256) * 256;  // columns that some SM multiplies
    const std::int64_t narrow = rounds(128) * 128;
    if (mean > 8) {
        return narrow * 9 < wide * 8 ? Tiling::few_16 : Tiling::few_64;
    }
    const bool full = rounds(256) <= 2 && tiles(32, 256) * 10 >= rounds(256) * processors * 9;
    return narrow < wide || (narrow == wide && full) ? Tiling::few_16 : Tiling::few_64;
}

/// Whether operands of decoded weights may become fp8 with one scale a row, where the data allow it (Rebased,
/// weight_decode.hpp): of e2m1, rows that would lose something are left out; e4m3 is rounded. Weights of either type
/// are taken.
/// \param a       elements of A
/// \param scale   of the scales
/// \param inexact whether the caller allows rounding
[[nodiscard]] constexpr bool may_rebase(DType a, DType scale, bool inexact) noexcept {
    return scale == DType::ue8m0 && (a == DType::e2m1x2 || (a == DType::e4m3 && inexact));
}

/// How many of `rows` rows of A are widened before the product's kernel multiplies, which widens the others beside its
/// products. Of many rows: as many as the first tiles of all SMs need, or more where y has so few columns that a row is
/// multiplied faster than it is widened. Of fewer, all: beside products, widening is slow to begin.
/// \param columns N
/// \param block   rows that are told to be there together: the number is a multiple, or all rows
[[nodiscard]] constexpr std::int64_t rows_widened_before(std::int64_t rows, std::int64_t experts, std::int64_t columns,
                                                         int tile_rows, int tile_columns, int processors,
                                                         int block) noexcept {
    constexpr std::int64_t many = 2048;      // of an expert
    constexpr std::int64_t many_firsts = 8;  // times what the first tiles need
    constexpr std::int64_t enough = 2048;    // columns whose products take longer than widening
    const std::int64_t column_tiles = (columns + tile_columns - 1) / tile_columns;
    const std::int64_t first = (processors + column_tiles - 1) / column_tiles * std::int64_t{tile_rows};
    if (rows / experts < many || rows < many_firsts * first) {
        return rows;
    }
    const std::int64_t hidden = columns < enough ? rows * columns / enough : rows;
    const std::int64_t before = rows - hidden > first ? rows - hidden : first;
    const std::int64_t whole = (before + block - 1) / block * block;
    return whole < rows ? whole : rows;
}

/// The nearest tiling that the kind of elements has a kernel for.
[[nodiscard]] constexpr Tiling nearest_tiling(Tiling wanted, const std::array<bool, tiling_count>& made) noexcept {
    const int index = static_cast<int>(wanted);
    for (int distance = 0; distance < tiling_count; ++distance) {
        for (const int candidate : {index - distance, index + distance}) {
            if (candidate >= 0 && candidate < tiling_count && made[static_cast<std::size_t>(candidate)]) {
                return static_cast<Tiling>(candidate);
            }
        }
    }
    return wanted;
}

/// Whether all the numbers that a kernel counts with fit in 31 bits: tiles, even where m_indptr gives every expert all
/// rows, bytes of a row, rows and columns.
[[nodiscard]] constexpr bool counts_fit(std::int64_t rows, std::int64_t experts, std::int64_t columns,
                                        std::int64_t row_bytes, int tile_rows, int tile_columns) noexcept {
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    constexpr std::int64_t margin = 65536;  // tiles end beyond the last row, and warps ask for rows beyond it
    if (rows > most - margin || columns > most - margin || row_bytes > most - margin || experts > most - margin) {
        return false;
    }
    const std::int64_t row_tiles = (rows + tile_rows - 1) / tile_rows;
    const std::int64_t column_tiles = (columns + tile_columns - 1) / tile_columns;
    // The walk looks at 32 experts at once, and goes one grid beyond the last tile.
    return row_tiles <= (most - 65536) / (experts + 31) / column_tiles;
}

/// Whether weights are marked to leave the L2 first. Where each is read once, that spares what lies there from being
/// written back while the call waits; where the weights are many times the L2, all of it is written back anyway, and
/// the mark costs 5 %.
/// \param rows         of all experts
/// \param tile_rows    of the kernel's tiles: up to as many an expert, weights are read once
/// \param weight_bytes of all experts
[[nodiscard]] constexpr bool weights_leave_first(std::int64_t rows, std::int64_t experts, int tile_rows,
                                                 std::int64_t weight_bytes) noexcept {
    constexpr std::int64_t many = std::int64_t{400} << 20;
    return (rows + experts - 1) / experts <= tile_rows && weight_bytes < many;
}

/// How far along K a CTA asks for weights before it knows its first tile, in chunks of 128 bytes; 0 where that tile
/// cannot be told from the CTA's number: where experts have no rows or more than a tile. As much of an SM's share as
/// memory brings while m_indptr is on its way.
/// \param rows    of the call
/// \param columns of the kernel's tiles
/// \param depth   bytes of K
/// \param ctas    on an SM
[[nodiscard]] constexpr int early_chunks(std::int64_t rows, std::int64_t experts, int tile_rows, int columns,
                                         std::int64_t depth, int ctas) noexcept {
    if (rows < experts || (rows + experts - 1) / experts > tile_rows) {
        return 0;
    }
    constexpr std::int64_t bytes = 64 << 10;  // of an SM
    const std::int64_t wanted = bytes / ctas / (std::int64_t{columns} * 128);
    const std::int64_t all = (depth + 127) / 128;
    return static_cast<int>(wanted < all ? wanted : all);
}

}  // namespace moegemm::hopper
