// Every element of y is in exactly one tile, for any row counts.
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "providers/hopper/kernels/tile_walk.hpp"

namespace moegemm::hopper {
namespace {

/// Every tile of a call, expert by expert or mixed.
template <TileShape shape>
std::vector<Tile> all_tiles(const std::vector<std::int32_t>& m_indptr, int rows, int columns) {
    std::vector<Tile> tiles;
    std::vector<Tile> few;
    for (int expert = 0; expert + 1 < static_cast<int>(m_indptr.size()); ++expert) {
        const auto e = static_cast<std::size_t>(expert);
        const RowRange range = clamped_rows(m_indptr[e], m_indptr[e + 1], rows);
        for (int index = 0; index < tile_count<shape>(range.count, columns); ++index) {
            const Tile tile = tile_at<shape>(expert, range, columns, index);
            EXPECT_EQ(tile.expert, expert);
            (shape.mixed && range.count <= shape.rows ? few : tiles).push_back(tile);
        }
    }
    const int count = static_cast<int>(tiles.size() + few.size());
    std::vector<Tile> mixed;
    for (int index = 0; index < count; ++index) {
        const MixedIndex at = mixed_index(index, static_cast<int>(few.size()), count);
        mixed.push_back((at.is_few ? few : tiles).at(static_cast<std::size_t>(at.index)));
    }
    return mixed;
}

/// The numbers of the items that CTA `place` of `places` takes: its own first, then those of a counter that the CTAs
/// ask in some order.
int item_of(int place, int round, int places) { return round * places + (place + round % 11 * 3) % places; }

/// How often each element of y (rows, columns) is done by any of `places` CTAs; -1 in the first
/// place where a tile leaves y.
template <TileShape shape>
std::vector<int> visits(const std::vector<std::int32_t>& m_indptr, int rows, int columns, int places) {
    const std::vector<Tile> tiles = all_tiles<shape>(m_indptr, rows, columns);
    const int count = static_cast<int>(tiles.size());
    const int whole = whole_tiles<shape>(count, places);
    std::vector<int> seen(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    for (int place = 0; place < places; ++place) {
        for (int round = 0;; ++round) {
            const Item item = item_at<shape>(item_of(place, round, places), whole);
            if (item.tile >= count) {
                break;
            }
            const Tile tile = part_of<shape>(tiles[static_cast<std::size_t>(item.tile)], item.part);
            EXPECT_GT(tile.rows, 0);
            EXPECT_LE(tile.rows, shape.rows);
            EXPECT_EQ(tile.column % shape.part, 0);
            EXPECT_TRUE(tile.columns == shape.columns || tile.columns == shape.part);
            if (tile.row < 0 || tile.row + tile.rows > rows || tile.column < 0) {
                return {-1};
            }
            for (int row = tile.row; row < tile.row + tile.rows; ++row) {
                for (int column = tile.column; column < tile.column + tile.columns && column < columns; ++column) {
                    ++seen[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) +
                           static_cast<std::size_t>(column)];
                }
            }
        }
    }
    return seen;
}

template <TileShape shape>
void check(const std::vector<std::int32_t>& m_indptr, int spare_rows, int columns) {
    const int used = m_indptr.back();
    for (const int ctas : {1, 5, 132}) {
        const std::vector<int> seen = visits<shape>(m_indptr, used + spare_rows, columns, ctas);
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < seen.size(); ++i) {
            const bool owned = static_cast<int>(i / static_cast<std::size_t>(columns)) < used;
            wrong += seen[i] != (owned ? 1 : 0) ? 1U : 0U;
        }
        ASSERT_EQ(wrong, 0U) << "elements of " << used << " rows, " << columns << " columns, " << ctas << " CTAs";
    }
}

void check_all(const std::vector<std::int32_t>& m_indptr, int spare_rows, int columns) {
    check<TileShape{16, 64, 64, 0}>(m_indptr, spare_rows, columns);
    check<TileShape{64, 128, 64, 0}>(m_indptr, spare_rows, columns);
    check<TileShape{128, 256, 128, 16}>(m_indptr, spare_rows, columns);
    check<TileShape{128, 128, 128, 16, true}>(m_indptr, spare_rows, columns);
    check<TileShape{256, 128, 64, 4}>(m_indptr, spare_rows, columns);
    // Small tiles meet every case of groups and parts with few elements.
    check<TileShape{2, 3, 3, 2}>(m_indptr, spare_rows, columns);
    check<TileShape{2, 3, 1, 0}>(m_indptr, spare_rows, columns);
    check<TileShape{1, 4, 2, 3}>(m_indptr, spare_rows, columns);
    check<TileShape{7, 4, 2, 3, true}>(m_indptr, spare_rows, columns);
}

TEST(HopperTileWalk, EveryElementOnce) {
    std::mt19937 random(20261122);
    for (int trial = 0; trial < 60; ++trial) {
        const int experts = 1 + static_cast<int>(random() % 40);
        const unsigned most = trial % 3 == 0 ? 400 : trial % 3 == 1 ? 3 : 40;
        std::vector<std::int32_t> m_indptr{0};
        for (int e = 0; e < experts; ++e) {
            const bool empty = random() % 3 == 0;
            m_indptr.push_back(m_indptr.back() + (empty ? 0 : static_cast<int>(random() % most)));
        }
        check_all(m_indptr, static_cast<int>(random() % 5), 1 + static_cast<int>(random() % 400));
        if (HasFatalFailure()) {
            return;
        }
    }
}

TEST(HopperTileWalk, OneExpertSmallCases) {
    for (int rows = 0; rows <= 20; ++rows) {
        for (int columns = 1; columns <= 20; ++columns) {
            check_all({0, rows}, 1, columns);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
}

TEST(HopperTileWalk, NoOffsetsLeadOutside) {
    std::mt19937 random(7);
    constexpr int rows = 50;
    for (int trial = 0; trial < 500; ++trial) {
        std::vector<std::int32_t> m_indptr;
        for (int e = 0; e < 6; ++e) {
            m_indptr.push_back(trial % 2 == 0 ? static_cast<std::int32_t>(random())
                                              : static_cast<std::int32_t>(random() % 200) - 50);
        }
        EXPECT_NE(visits<(TileShape{16, 64, 64, 0})>(m_indptr, rows, 70, 3).front(), -1);
        EXPECT_NE(visits<(TileShape{4, 8, 4, 2})>(m_indptr, rows, 70, 3).front(), -1);
    }
}

/// Rounds of whole tiles that the busiest CTA takes.
template <TileShape shape>
double rounds(int tiles, int ctas) {
    constexpr int parts = shape.columns / shape.part;
    const int whole = whole_tiles<shape>(tiles, ctas);
    const auto busiest = [&](int items) { return (items + ctas - 1) / ctas; };
    return busiest(whole) + busiest((tiles - whole) * parts) / static_cast<double>(parts);
}

TEST(HopperTileWalk, PartsEndSoonerOrAreNotMade) {
    constexpr TileShape halves{128, 256, 128, 16};
    constexpr TileShape quarters{128, 256, 64, 16};
    for (const int ctas : {1, 2, 7, 132}) {
        for (int tiles = 0; tiles <= 5 * ctas; ++tiles) {
            const double uncut = (tiles + ctas - 1) / ctas;
            EXPECT_LE(rounds<halves>(tiles, ctas), uncut);
            EXPECT_LE(rounds<quarters>(tiles, ctas), uncut);
            if (whole_tiles<halves>(tiles, ctas) < tiles) {
                EXPECT_LT(rounds<halves>(tiles, ctas), uncut);
            }
        }
    }
    EXPECT_EQ(whole_tiles<halves>(132 * 3 + 66, 132), 132 * 3);       // half a tile for each CTA
    EXPECT_EQ(whole_tiles<halves>(132 * 3 + 67, 132), 132 * 3 + 67);  // one would have two halves: as long as a whole
    EXPECT_EQ(whole_tiles<halves>(40, 132), 0);
}

/// Experts of one row tile each: what is expected is what the walk's first round gives.
template <TileShape shape>
void check_first_tiles(int experts, int columns, int rows) {
    std::vector<std::int32_t> m_indptr{0};
    for (int e = 0; e < experts; ++e) {
        m_indptr.push_back(m_indptr.back() + rows);
    }
    const std::vector<Tile> tiles = all_tiles<shape>(m_indptr, m_indptr.back(), columns);
    const int count = static_cast<int>(tiles.size());
    for (const int places : {1, 5, 132, 264}) {
        for (int place = 0; place < places; ++place) {
            const Item item = item_at<shape>(place, whole_tiles<shape>(count, places));
            const Tile expected = expected_first_tile<shape>(place, places, experts, columns);
            const bool is_none =
                item.tile >= count ||
                part_of<shape>(tiles[static_cast<std::size_t>(item.tile)], item.part).column >= columns;
            ASSERT_EQ(expected.rows == 0, is_none);
            if (!is_none) {
                const Tile tile = part_of<shape>(tiles[static_cast<std::size_t>(item.tile)], item.part);
                ASSERT_EQ(expected.expert, tile.expert);
                ASSERT_EQ(expected.column, tile.column);
                ASSERT_EQ(expected.columns, tile.columns);
            }
        }
    }
}

TEST(HopperTileWalk, FirstTilesAreExpected) {
    for (const int experts : {1, 3, 16, 40}) {
        for (const int columns : {1, 63, 64, 65, 256, 300, 2048}) {
            check_first_tiles<TileShape{16, 64, 64, 0}>(experts, columns, 1);
            check_first_tiles<TileShape{64, 128, 64, 0}>(experts, columns, 40);
            check_first_tiles<TileShape{128, 256, 128, 16}>(experts, columns, 128);
            check_first_tiles<TileShape{128, 128, 128, 16, true}>(experts, columns, 100);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
}

TEST(HopperTileWalk, MixedTilesComeOnceAndEvenly) {
    for (int tiles = 1; tiles <= 80; ++tiles) {
        for (int few = 0; few <= tiles; ++few) {
            int next[2] = {0, 0};
            for (int index = 0; index < tiles; ++index) {
                const MixedIndex at = mixed_index(index, few, tiles);
                ASSERT_EQ(at.index, next[at.is_few ? 1 : 0]++);
                ASSERT_LT(at.index, at.is_few ? few : tiles - few);
                ASSERT_LE(std::abs(next[1] - (index + 1.0) * few / tiles), 1.0);
            }
        }
    }
    constexpr int many = 2'147'000'000;
    EXPECT_EQ(mixed_index(many - 1, many, many).index, many - 1);
    EXPECT_EQ(mixed_index(many - 1, 0, many).index, many - 1);
}

TEST(HopperTileWalk, DecreasingOffsetsOwnNothing) {
    EXPECT_EQ(clamped_rows(9, 3, 20).count, 0);
    EXPECT_EQ(clamped_rows(-5, -1, 20).count, 0);
    EXPECT_EQ(clamped_rows(25, 30, 20).count, 0);
    EXPECT_EQ(clamped_rows(-5, 30, 20).count, 20);
}

}  // namespace
}  // namespace moegemm::hopper
