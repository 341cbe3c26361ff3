/// \file
/// Which tile of y comes at which place of the walk over all tiles, from m_indptr alone.
///
/// Experts come one after the other; an expert's tiles, (token tile, weight tile), come in bands of `band_height` token
/// tiles, down a band's first column, then its next: tiles that run at the same time share weights and tokens in the
/// L2.
///
///      weight tiles →          0  2  4  6
///      token tiles  ↓          1  3  5  7      (bands of 2)
///                              8  9 10 11
#pragma once

#include <cstdint>

#include <moegemm/hd.hpp>

namespace moegemm::cuda {

inline constexpr std::int64_t band_height = 8;

/// The rows of an expert, made safe: whatever m_indptr holds, they lie in 0 … rows.
struct ExpertRows {
    std::int64_t begin;
    std::int64_t count;

    /// \param begin,end m_indptr[e] and m_indptr[e + 1]
    /// \param rows      R, of A and y
    [[nodiscard]] static constexpr MOEGEMM_HD ExpertRows clamped(std::int64_t begin, std::int64_t end,
                                                                 std::int64_t rows) noexcept {
        const std::int64_t first = begin < 0 ? 0 : begin > rows ? rows : begin;
        const std::int64_t last = end < first ? first : end > rows ? rows : end;
        return {first, last - first};
    }
    [[nodiscard]] constexpr MOEGEMM_HD std::int64_t tiles(std::int64_t height) const noexcept {
        return (count + height - 1) / height;
    }
};

/// A tile within an expert.
struct TilePlace {
    std::int64_t token_tile;
    std::int64_t weight_tile;
};

/// \param index of 0 … token_tiles · weight_tiles − 1
[[nodiscard]] constexpr MOEGEMM_HD TilePlace place_of(std::int64_t index, std::int64_t token_tiles,
                                                      std::int64_t weight_tiles) noexcept {
    const std::int64_t band = index / (band_height * weight_tiles);
    const std::int64_t first = band * band_height;
    const std::int64_t height = token_tiles - first < band_height ? token_tiles - first : band_height;
    const std::int64_t in_band = index - first * weight_tiles;
    return {first + in_band % height, in_band / height};
}

}  // namespace moegemm::cuda
