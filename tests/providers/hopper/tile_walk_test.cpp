// Every element of y is in exactly one tile, for any row counts.
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "providers/hopper/kernels/tile_walk.hpp"

namespace moegemm::hopper {
namespace {

/// How often each element of y (rows, columns) is in a tile; -1 in the first place where a tile leaves y.
template <TileShape shape>
std::vector<int> visits(const std::vector<std::int32_t>& m_indptr, int rows, int columns) {
    std::vector<int> seen(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    for (int expert = 0; expert + 1 < static_cast<int>(m_indptr.size()); ++expert) {
        const auto e = static_cast<std::size_t>(expert);
        const RowRange range = clamped_rows(m_indptr[e], m_indptr[e + 1], rows);
        const int count = tile_count<shape>(range.count, columns);
        for (int index = 0; index < count; ++index) {
            int first_row = -1;
            int first_column = -1;
            for (int rank = 0; rank < shape.cluster; ++rank) {
                const Tile tile = tile_at<shape>(expert, range, columns, index, rank);
                EXPECT_EQ(tile.expert, expert);
                EXPECT_GT(tile.rows, 0);
                EXPECT_LE(tile.rows, shape.rows);
                EXPECT_EQ(tile.column % shape.columns, 0);
                if (tile.row < 0 || tile.row + tile.rows > rows || tile.column < 0) {
                    return {-1};
                }
                if (rank == 0) {
                    first_row = tile.row;
                    first_column = tile.column;
                } else if (tile.sharing == Sharing::weights) {  // what two CTAs share is the same for both
                    EXPECT_EQ(tile.column, first_column);
                } else {
                    EXPECT_EQ(tile.sharing, Sharing::rows);
                    EXPECT_EQ(tile.row, first_row);
                }
                for (int row = tile.row; row < tile.row + tile.rows; ++row) {
                    for (int column = tile.column; column < tile.column + shape.columns && column < columns; ++column) {
                        ++seen[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) +
                               static_cast<std::size_t>(column)];
                    }
                }
            }
        }
    }
    return seen;
}

template <TileShape shape>
void check(const std::vector<std::int32_t>& m_indptr, int spare_rows, int columns) {
    const int used = m_indptr.back();
    const std::vector<int> seen = visits<shape>(m_indptr, used + spare_rows, columns);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < seen.size(); ++i) {
        const bool owned = static_cast<int>(i / static_cast<std::size_t>(columns)) < used;
        wrong += seen[i] != (owned ? 1 : 0) ? 1U : 0U;
    }
    ASSERT_EQ(wrong, 0U) << "elements of " << used << " rows, " << columns << " columns";
}

void check_all(const std::vector<std::int32_t>& m_indptr, int spare_rows, int columns) {
    check<TileShape{16, 64, 0, 1}>(m_indptr, spare_rows, columns);
    check<TileShape{64, 128, 0, 1}>(m_indptr, spare_rows, columns);
    check<TileShape{128, 192, 16, 1}>(m_indptr, spare_rows, columns);
    check<TileShape{128, 128, 8, 2}>(m_indptr, spare_rows, columns);
    // Small tiles meet every case of groups and pairs with few elements.
    check<TileShape{2, 3, 2, 1}>(m_indptr, spare_rows, columns);
    check<TileShape{2, 3, 0, 1}>(m_indptr, spare_rows, columns);
    check<TileShape{2, 3, 2, 2}>(m_indptr, spare_rows, columns);
    check<TileShape{1, 2, 3, 2}>(m_indptr, spare_rows, columns);
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
        EXPECT_NE(visits<(TileShape{16, 64, 0, 1})>(m_indptr, rows, 70).front(), -1);
        EXPECT_NE(visits<(TileShape{4, 8, 2, 2})>(m_indptr, rows, 70).front(), -1);
    }
}

TEST(HopperTileWalk, DecreasingOffsetsOwnNothing) {
    EXPECT_EQ(clamped_rows(9, 3, 20).count, 0);
    EXPECT_EQ(clamped_rows(-5, -1, 20).count, 0);
    EXPECT_EQ(clamped_rows(25, 30, 20).count, 0);
    EXPECT_EQ(clamped_rows(-5, 30, 20).count, 20);
}

}  // namespace
}  // namespace moegemm::hopper
