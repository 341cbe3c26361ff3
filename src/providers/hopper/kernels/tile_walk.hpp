/// \file
/// From a tile's number to its expert, rows and columns, with the experts' row counts read on the device.
///
/// Output tiles are numbered expert by expert; within an expert, row tiles are adjacent (they share a tile of weights)
/// in groups of `group` row tiles, so that a group's rows of A and the weights in flight fit in the L2 together.
/// CTAs take them by a counter (tile_queue.cuh), each the next when it is soon ready for one: those with tiles that
/// take less time get more of them, and tiles that share rows of A or W stay close in time. The last ones, too few for
/// all CTAs, may be cut by columns into parts, so that more CTAs share them and all end sooner. That changes no sum:
/// each is still added up along K by one CTA, in the same order.
///
/// Mixed, tiles of experts that have but one row tile are spread evenly among those of the others, each kind in its own
/// order: the former wait for their weights, the latter for the tensor cores.
#pragma once

#include <cstdint>

#include <moegemm/hd.hpp>

namespace moegemm::hopper {

/// How tiles are cut and walked: fixed for a kernel.
struct TileShape {
    int rows;            ///< of A and y
    int columns;         ///< of y: rows of W
    int part;            ///< columns of the parts that the last tiles are cut into; `columns` where they are not
    int group;           ///< row tiles that are walked together; 0: all of the expert's
    bool mixed = false;  ///< whether experts of one row tile are spread among the others
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

/// One CTA's tile, or a part of one.
struct Tile {
    int expert;
    int row;      ///< the first, of A and y
    int rows;     ///< how many of them are the expert's, at most TileShape::rows
    int column;   ///< the first; a part's may be N or more: nothing to do then
    int columns;  ///< TileShape::columns or, of a part and where no more are left, TileShape::part
};

/// Tiles of one expert. All experts' together fit in 31 bits: choice.hpp sees to it.
template <TileShape shape>
[[nodiscard]] MOEGEMM_HD constexpr int tile_count(int rows, int columns) noexcept {
    return ceil_div(rows, shape.rows) * ceil_div(columns, shape.columns);
}

/// Tile `index` of an expert.
template <TileShape shape>
[[nodiscard]] MOEGEMM_HD constexpr Tile tile_at(int expert, RowRange range, int columns, int index) noexcept {
    const int row_tiles = ceil_div(range.count, shape.rows);
    const int column_tiles = ceil_div(columns, shape.columns);
    int first = 0;
    int within = index;
    int together = row_tiles;
    if constexpr (shape.group > 0) {
        first = index / (shape.group * column_tiles) * shape.group;
        within = index - first * column_tiles;
        together = row_tiles - first < shape.group ? row_tiles - first : shape.group;
    }
    const int skipped = (first + within % together) * shape.rows;
    const int left = range.count - skipped;
    const int column = within / together * shape.columns;
    return {expert, range.first + skipped, left < shape.rows ? left : shape.rows, column,
            columns - column <= shape.part ? shape.part : shape.columns};
}

/// How many of `tiles` are handed out whole to `ctas` CTAs. Those after them go out in parts: where they are so few
/// that the CTAs are done with the parts before they would be done with whole tiles.
template <TileShape shape>
[[nodiscard]] MOEGEMM_HD constexpr int whole_tiles(int tiles, int ctas) noexcept {
    constexpr int parts = shape.columns / shape.part;
    const int left = tiles % ctas;
    return ceil_div(left * parts, ctas) < parts ? tiles - left : tiles;
}

/// What CTAs take one by one: the whole tiles, then the parts of the others.
struct Item {
    int tile;
    int part;  ///< -1: the whole tile
};
template <TileShape shape>
[[nodiscard]] MOEGEMM_HD constexpr Item item_at(int index, int whole) noexcept {
    constexpr int parts = shape.columns / shape.part;
    return index < whole ? Item{index, -1} : Item{whole + (index - whole) / parts, (index - whole) % parts};
}

template <TileShape shape>
[[nodiscard]] MOEGEMM_HD constexpr Tile part_of(Tile tile, int part) noexcept {
    if (part >= 0) {
        tile.column += part * shape.part;
        tile.columns = shape.part;
    }
    return tile;
}

/// Which tile is the one of that index where the two kinds are mixed.
/// \param few   tiles of experts with one row tile
/// \param tiles of all
struct MixedIndex {
    bool is_few;
    int index;  ///< among tiles of its kind
};
[[nodiscard]] MOEGEMM_HD constexpr MixedIndex mixed_index(int index, int few, int tiles) noexcept {
    const auto before = static_cast<int>(std::int64_t{index} * few / tiles);  // of the few ones
    const auto then = static_cast<int>((std::int64_t{index} + 1) * few / tiles);
    return then > before ? MixedIndex{true, before} : MixedIndex{false, index - before};
}

/// The tile that CTA `place` of `places` takes first where every expert has rows for one row tile; no rows where there
/// is none for it. Its expert and columns are known before any row count is.
template <TileShape shape>
[[nodiscard]] MOEGEMM_HD constexpr Tile expected_first_tile(int place, int places, int experts, int columns) noexcept {
    const int each = ceil_div(columns, shape.columns);
    const Item item = item_at<shape>(place, whole_tiles<shape>(experts * each, places));
    if (item.tile >= experts * each) {
        return {};
    }
    const Tile tile =
        part_of<shape>(tile_at<shape>(item.tile / each, {0, shape.rows}, columns, item.tile % each), item.part);
    return tile.column < columns ? tile : Tile{};
}

#if defined(__CUDACC__)

/// A warp's cursor over the tiles; all of its lanes call together and get the same tile. One warp of a CTA has one, and
/// tells the others (tile_queue.cuh).
template <TileShape shape>
class TileWalk {
public:
    /// \param rows    R, of A and y
    /// \param columns N
    __device__ TileWalk(const std::int32_t* m_indptr, int experts, int rows, int columns)
        : m_indptr_(m_indptr), experts_(experts), rows_(rows), columns_(columns) {
        // A line of 128 bytes a lane: those of the first 1024 experts will be here when they are needed.
        if (const int expert = static_cast<int>(threadIdx.x % 32) * 32; expert < experts) {
            asm volatile("prefetch.global.L1 [%0];" ::"l"(m_indptr + expert));
        }
    }

    /// Counts the tiles, before the first of them is found and again before the others are. How many there are is not
    /// known before the first is on its way, where every CTA gets a whole one for sure: a call of few rows has little
    /// time, and what comes first runs from cold instruction caches.
    __device__ void count(bool is_first) {
        const int ctas = static_cast<int>(gridDim.x);
        int experts = is_first && !shape.mixed ? min(experts_, 32) : experts_;
        while (whole_ < 0) {
            count_of(experts);
            if (is_first && !shape.mixed && tiles_ >= ctas) {
                break;
            }
            if (experts == experts_) {
                whole_ = whole_tiles<shape>(tiles_, ctas);
            }
            experts = experts_;
        }
    }
    /// How many items there are. Not before the first tile was found.
    [[nodiscard]] __device__ int items() const { return whole_ + (tiles_ - whole_) * (shape.columns / shape.part); }

    /// The tile of an item; false where there is none of that number. Numbers rise from call to call.
    __device__ bool find(int number, Tile& tile) {
        const Item item = whole_ < 0 ? Item{number, -1} : item_at<shape>(number, whole_);
        if constexpr (shape.mixed) {
            if (item.tile >= tiles_) {
                return false;
            }
            const MixedIndex mixed = mixed_index(item.tile, few_tiles_, tiles_);
            return mixed.is_few ? find(few_, {mixed.index, item.part}, true, tile)
                                : find(most_, {mixed.index, item.part}, false, tile);
        } else {
            return find(most_, item, false, tile);
        }
    }

private:
    /// How far a search has come.
    struct Cursor {
        int passed = 0;  ///< tiles of the experts before `expert`
        int expert = 0;
    };

    /// \param few of mixed tiles, those of which experts
    __device__ bool find(Cursor& cursor, Item item, bool few, Tile& tile) {
        const int lane = static_cast<int>(threadIdx.x % 32);
        while (cursor.expert < experts_) {
            const RowRange own = rows_of(cursor.expert + lane);
            const bool counts = !shape.mixed || is_few(own) == few;
            const int count = counts ? tile_count<shape>(own.count, columns_) : 0;
            int sum = count;  // of this lane's expert and those before it
#pragma unroll
            for (int step = 1; step < 32; step *= 2) {
                const int before = __shfl_up_sync(~0U, sum, step);
                sum += lane >= step ? before : 0;
            }
            const unsigned beyond = __ballot_sync(~0U, cursor.passed + sum > item.tile);
            if (beyond != 0) {
                const int owner = __ffs(static_cast<int>(beyond)) - 1;
                const int before = __shfl_sync(~0U, sum - count, owner);
                const RowRange range{__shfl_sync(~0U, own.first, owner), __shfl_sync(~0U, own.count, owner)};
                tile = part_of<shape>(
                    tile_at<shape>(cursor.expert + owner, range, columns_, item.tile - cursor.passed - before),
                    item.part);
                return true;
            }
            cursor.passed += __shfl_sync(~0U, sum, 31);
            cursor.expert += 32;
        }
        return false;
    }

    [[nodiscard]] __device__ RowRange rows_of(int expert) const {
        return expert < experts_ ? clamped_rows(__ldg(m_indptr_ + expert), __ldg(m_indptr_ + expert + 1), rows_)
                                 : RowRange{0, 0};
    }
    [[nodiscard]] __device__ static bool is_few(RowRange range) { return range.count <= shape.rows; }

    /// Counts tiles of the first `experts` experts.
    __device__ void count_of(int experts) {
        unsigned all = 0;
        unsigned few = 0;
#pragma unroll 1  // short rather than fast: this runs once, from memory
        for (int expert = static_cast<int>(threadIdx.x % 32); expert < experts; expert += 32) {
            const RowRange range = rows_of(expert);
            const auto own = static_cast<unsigned>(tile_count<shape>(range.count, columns_));
            all += own;
            few += is_few(range) ? own : 0;
        }
        tiles_ = static_cast<int>(__reduce_add_sync(~0U, all));
        if constexpr (shape.mixed) {
            few_tiles_ = static_cast<int>(__reduce_add_sync(~0U, few));
        }
    }

    const std::int32_t* m_indptr_;
    int experts_;
    int rows_;
    int columns_;
    int whole_ = -1;     ///< tiles that are handed out whole; -1: not known yet
    int tiles_ = 0;      ///< all of them, where whole_ is known
    int few_tiles_ = 0;  ///< of experts with one row tile, likewise
    Cursor most_;        ///< over all tiles, or those of experts with more row tiles than one
    Cursor few_;         ///< over the others
};

#endif

}  // namespace moegemm::hopper
