/// \file
/// From a tile's number to its expert, rows and columns, with the experts' row counts read on the device.
///
/// Output tiles are numbered expert by expert; within an expert, row tiles are adjacent (they share a tile of weights)
/// in groups of `group` row tiles, so that a group's rows of A and the weights in flight fit in the L2 together.
/// CTA c takes the tiles c, c + grid, c + 2·grid, …
///
/// A cluster of two CTAs takes a pair of tiles: two row tiles of the same columns, which share weights, and where a
/// single row tile is left, two column tiles, which share rows of A.
#pragma once

#include <cstdint>

#include <moegemm/hd.hpp>

namespace moegemm::hopper {

/// How tiles are cut and walked: fixed for a kernel.
struct TileShape {
    int rows;     ///< of A and y
    int columns;  ///< of y: rows of W
    int group;    ///< row tiles (pairs, in a cluster) that are walked together; 0: all of the expert's
    int cluster;  ///< CTAs that take a pair together: 1 or 2
};

/// An expert's rows, clamped so that no m_indptr whatever leads outside of A and y.
struct RowRange {
    int first;
    int count;
};
[[nodiscard]] MOEGEMM_HD constexpr RowRange clamped_rows(int begin, int end, int rows) noexcept {
    const int first = begin < 0 ? 0 : begin < rows ? begin : rows;
    const int last = end < 0 ? 0 : end < rows ? end : rows;
    return {first, last > first ? last - first : 0};
}

[[nodiscard]] MOEGEMM_HD constexpr int ceil_div(int value, int divisor) noexcept {
    return (value + divisor - 1) / divisor;
}

/// What the CTAs of a cluster share.
enum class Sharing : std::uint8_t { nothing, weights, rows };

/// One CTA's tile.
struct Tile {
    int expert;
    int row;     ///< the first, of A and y
    int rows;    ///< how many of them are the expert's, at most TileShape::rows
    int column;  ///< the first; may be N or more in the second CTA of a cluster: nothing to write then
    Sharing sharing;
};

/// Tiles (pairs, in a cluster) of one expert. All experts' together fit in 31 bits: choice.hpp sees to it.
template <TileShape shape>
[[nodiscard]] MOEGEMM_HD constexpr int tile_count(int rows, int columns) noexcept {
    const int row_tiles = ceil_div(rows, shape.rows);
    const int column_tiles = ceil_div(columns, shape.columns);
    if constexpr (shape.cluster == 1) {
        return row_tiles * column_tiles;
    } else {
        return row_tiles / 2 * column_tiles + row_tiles % 2 * ceil_div(column_tiles, 2);
    }
}

/// Tile `index` of an expert, of CTA `rank` of the cluster.
template <TileShape shape>
[[nodiscard]] MOEGEMM_HD constexpr Tile tile_at(int expert, RowRange range, int columns, int index, int rank) noexcept {
    const int row_tiles = ceil_div(range.count, shape.rows);
    const int column_tiles = ceil_div(columns, shape.columns);
    const int row_units = row_tiles / shape.cluster;
    int row_tile = 0;
    int column_tile = 0;
    Sharing sharing = Sharing::nothing;
    if (shape.cluster == 2 && index >= row_units * column_tiles) {
        row_tile = row_tiles - 1;
        column_tile = (index - row_units * column_tiles) * 2 + rank;
        sharing = Sharing::rows;
    } else {
        const int group = shape.group == 0 ? row_units : shape.group;
        const int first = index / (group * column_tiles) * group;
        const int units = row_units - first < group ? row_units - first : group;
        const int within = index % (group * column_tiles);
        row_tile = (first + within % units) * shape.cluster + rank;
        column_tile = within / units;
        sharing = shape.cluster == 2 ? Sharing::weights : Sharing::nothing;
    }
    const int skipped = row_tile * shape.rows;
    const int left = range.count - skipped;
    return {expert, range.first + skipped, left < shape.rows ? left : shape.rows, column_tile * shape.columns, sharing};
}

#if defined(__CUDACC__)

/// A warp's cursor over the tiles; all of its lanes call together and get the same tile.
template <TileShape shape>
class TileWalk {
public:
    /// \param rows    R, of A and y
    /// \param columns N
    __device__ TileWalk(const std::int32_t* m_indptr, int experts, int rows, int columns)
        : m_indptr_(m_indptr),
          experts_(experts),
          rows_(rows),
          columns_(columns),
          next_(static_cast<int>(blockIdx.x) / shape.cluster),
          rank_(static_cast<int>(blockIdx.x % shape.cluster)) {}

    /// False where no tile is left.
    __device__ bool next(Tile& tile) {
        const int lane = static_cast<int>(threadIdx.x % 32);
        while (first_expert_ < experts_) {
            const int expert = first_expert_ + lane;
            RowRange range{0, 0};
            if (expert < experts_) {
                range = clamped_rows(__ldg(m_indptr_ + expert), __ldg(m_indptr_ + expert + 1), rows_);
            }
            const int count = tile_count<shape>(range.count, columns_);
            int sum = count;  // of this lane's expert and those before it
#pragma unroll
            for (int step = 1; step < 32; step *= 2) {
                const int before = __shfl_up_sync(~0U, sum, step);
                sum += lane >= step ? before : 0;
            }
            const unsigned beyond = __ballot_sync(~0U, passed_ + sum > next_);
            if (beyond != 0) {
                const int owner = __ffs(static_cast<int>(beyond)) - 1;
                const int before = __shfl_sync(~0U, sum - count, owner);
                range.first = __shfl_sync(~0U, range.first, owner);
                range.count = __shfl_sync(~0U, range.count, owner);
                tile = tile_at<shape>(first_expert_ + owner, range, columns_, next_ - passed_ - before, rank_);
                next_ += static_cast<int>(gridDim.x) / shape.cluster;
                return true;
            }
            passed_ += __shfl_sync(~0U, sum, 31);
            first_expert_ += 32;
        }
        return false;
    }

private:
    const std::int32_t* m_indptr_;
    int experts_;
    int rows_;
    int columns_;
    int next_;        ///< the tile that comes next
    int passed_ = 0;  ///< tiles of the experts before first_expert_
    int first_expert_ = 0;
    int rank_;
};

#endif

}  // namespace moegemm::hopper
