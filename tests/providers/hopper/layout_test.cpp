// Fragments, swizzles and shared memory.
#include <array>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "providers/hopper/kernels/fragment.hpp"
#include "providers/hopper/kernels/smem_plan.hpp"

namespace moegemm::hopper {
namespace {

TEST(HopperFragment, EveryElementHasOneHolder) {
    for (const int columns : {8, 16, 32, 64, 128, 192, 256}) {
        std::vector<int> holders(static_cast<std::size_t>(wgmma_rows * columns));
        for (int thread = 0; thread < warpgroup; ++thread) {
            for (int index = 0; index < columns / 2; ++index) {
                const int row = accumulator_row(thread, index);
                const int column = accumulator_column(thread, index);
                ASSERT_TRUE(row >= 0 && row < wgmma_rows && column >= 0 && column < columns);
                ++holders[static_cast<std::size_t>(row * columns + column)];
            }
        }
        for (const int count : holders) {
            EXPECT_EQ(count, 1);
        }
    }
}

TEST(HopperFragment, NeighbouringColumnsOfARowLieTogether) {
    for (int thread = 0; thread < warpgroup; ++thread) {
        for (int index = 0; index < 128; index += 2) {
            EXPECT_EQ(accumulator_row(thread, index), accumulator_row(thread, index + 1));
            EXPECT_EQ(accumulator_column(thread, index) + 1, accumulator_column(thread, index + 1));
        }
    }
}

TEST(HopperSwizzle, PiecesOfATileKeepApart) {
    std::set<int> offsets;
    for (int row = 0; row < wgmma_rows; ++row) {
        for (int piece = 0; piece < row_bytes / 16; ++piece) {
            const int offset = swizzled_offset(row, piece);
            EXPECT_EQ(offset / row_bytes, row);
            EXPECT_EQ(offset % 16, 0);
            EXPECT_TRUE(offsets.insert(offset).second);
        }
    }
}

TEST(HopperSwizzle, EightRowsOfAColumnMeetEveryBank) {
    for (int first = 0; first < wgmma_rows; first += 8) {
        for (int piece = 0; piece < 8; ++piece) {
            std::set<int> banks;
            for (int row = first; row < first + 8; ++row) {
                banks.insert(swizzled_offset(row, piece) % row_bytes);
            }
            EXPECT_EQ(banks.size(), 8U);
        }
    }
}

/// stmatrix: matrix m of a step gets its row r from lane 8·m + r, and its elements from the registers of lane 4·r + c /
/// 2: where each accumulator ends up must be its own place in the swizzled chunk.
TEST(HopperSwizzle, StmatrixPutsAccumulatorsInTheirPlace) {
    for (int warp = 0; warp < 4; ++warp) {
        for (int step = 0; step < 4; ++step) {
            for (int matrix = 0; matrix < 4; ++matrix) {
                for (int row = 0; row < 8; ++row) {
                    const int offset = stmatrix_offset(warp * 32 + matrix * 8 + row, step);
                    for (int column = 0; column < 8; ++column) {
                        const int holder = warp * 32 + row * 4 + column / 2;
                        const int index = step * 8 + matrix * 2 + column % 2;  // registers in the order of the operands
                        const int y_row = accumulator_row(holder, index);
                        const int y_column = accumulator_column(holder, index);
                        EXPECT_EQ(offset + column * 2, swizzled_offset(y_row, y_column / 8) + y_column % 8 * 2);
                    }
                }
            }
        }
    }
}

TEST(HopperSmemPlan, PartsFollowEachOther) {
    constexpr SmemPlan plan{256, 128, 1, 4, 4, 0, 640};
    static_assert(plan.stage_bytes() == (256 + 128) * 128);
    static_assert(plan.y_offset() == 4 * plan.stage_bytes());
    static_assert(plan.scale_offset() == plan.y_offset() + 4 * 64 * 128);
    static_assert(plan.factor_offset() == plan.scale_offset());
    static_assert(plan.barrier_offset() == plan.factor_offset() + 640 * 4);
    static_assert(plan.tile_offset() == plan.barrier_offset() + 64);
    static_assert(plan.bytes() == plan.tile_offset() + tile_slots(4) * 32);
    static_assert(plan.is_valid(1) && !plan.is_valid(2));
    constexpr SmemPlan scaled{64, 16, 2, 5, 0, 34, 0};
    static_assert(scaled.a_offset() == 2 * 64 * 128);
    static_assert(scaled.barrier_offset() == scaled.scale_offset() + 5 * 34 * 4);
    static_assert(scaled.barrier_offset() % 8 == 0, "barriers are 8 bytes");
    static_assert(scaled.tile_offset() % 16 == 0 && scaled.tile_offset() - scaled.barrier_offset() >= 5 * 16);
    static_assert(scaled.is_valid(2) && !scaled.is_valid(3));
}

}  // namespace
}  // namespace moegemm::hopper
