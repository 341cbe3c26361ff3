// What is launched for which sizes.
#include <algorithm>
#include <array>
#include <cstdint>

#include <gtest/gtest.h>

#include <moegemm/variant.hpp>

#include "providers/hopper/choice.hpp"

namespace moegemm::hopper {
namespace {

TEST(HopperChoice, MoreRowsNeverTakeSmallerTiles) {
    const auto elements_of = [](Tiling tiling) {
        return tiling == Tiling::few_16     ? 16 * 64
               : tiling == Tiling::few_64   ? 64 * 128
               : tiling == Tiling::many_128 ? 128 * 128
                                            : 128 * 256;
    };
    for (const std::int64_t experts : {1, 8, 16, 128, 384}) {
        for (const std::int64_t columns : {1, 768, 4096, 14336}) {
            int before = 0;
            for (std::int64_t rows = 0; rows <= 1 << 20; rows += 1 + rows / 7) {
                const int elements = elements_of(choose_tiling(rows, experts, columns, 132));
                EXPECT_GE(elements, before);
                before = elements;
            }
            EXPECT_EQ(choose_tiling(1 << 22, experts, columns, 132), Tiling::many_256);
        }
    }
}

TEST(HopperChoice, MoreRowsNeverTakeSmallerTilesOfDecodedWeights) {
    const auto rows_of = [](Tiling tiling) {
        return tiling == Tiling::some_96    ? 96
               : tiling == Tiling::many_128 ? 128
               : tiling == Tiling::many_256 ? 256
                                            : 32;
    };
    for (const std::int64_t experts : {1, 8, 16, 128, 384}) {
        for (const std::int64_t columns : {1, 768, 4096, 14336}) {
            int before = 0;
            for (std::int64_t rows = 0; rows <= 1 << 20; rows += 1 + rows / 7) {
                const int tile_rows = rows_of(choose_decoded_tiling(rows, experts, columns, 132));
                EXPECT_GE(tile_rows, before);
                before = tile_rows;
            }
            EXPECT_EQ(before, 256);
        }
    }
    EXPECT_EQ(choose_decoded_tiling(32 * 16, 16, 2048, 132), Tiling::few_64);
    EXPECT_EQ(choose_decoded_tiling(128 * 16, 16, 2048, 132), Tiling::many_128);
    EXPECT_EQ(choose_decoded_tiling(97 * 16, 16, 2048, 132), Tiling::many_128);
    EXPECT_EQ(choose_decoded_tiling(96 * 16, 16, 2048, 132), Tiling::some_96);
    EXPECT_EQ(choose_decoded_tiling(33 * 16, 16, 2048, 132), Tiling::some_96);
    EXPECT_EQ(choose_decoded_tiling(85 * 4, 4, 4096, 132), Tiling::many_128);  // 64 tiles, or 128
    EXPECT_EQ(choose_decoded_tiling(512 * 16, 16, 2048, 132), Tiling::many_256);
    EXPECT_EQ(choose_decoded_tiling(256, 1, 4096, 132), Tiling::few_64);  // 32 and 64 tiles of the larger ones
}

TEST(HopperChoice, TilesOfDecodedWeightsLeaveNoSmIdle) {
    EXPECT_EQ(choose_decoded_tiling(1, 16, 2048, 132), Tiling::few_16);
    EXPECT_EQ(choose_decoded_tiling(8 * 6, 6, 4096, 132), Tiling::few_64);     // one round of 96, or two of 192
    EXPECT_EQ(choose_decoded_tiling(8 * 16, 16, 2880, 132), Tiling::few_16);   // two rounds of 192, or three of 368
    EXPECT_EQ(choose_decoded_tiling(32 * 16, 16, 2880, 132), Tiling::few_16);  // the same
    EXPECT_EQ(choose_decoded_tiling(8 * 32, 32, 7168, 132), Tiling::few_64);   // 7 rounds of 896, or 14
    EXPECT_EQ(choose_decoded_tiling(16, 16, 2048, 132), Tiling::few_16);       // a full round of 128, or two of 256
    EXPECT_EQ(choose_decoded_tiling(9 * 16, 16, 2048, 132), Tiling::few_64);   // more rows of A
}

TEST(HopperChoice, RowsAreWidenedBesideProductsWhereTheyAreMany) {
    constexpr int block = 64;
    const auto before = [](std::int64_t rows, std::int64_t experts, std::int64_t columns) {
        return rows_widened_before(rows, experts, columns, 256, 128, 132, block);
    };
    EXPECT_EQ(before(16 * 4096, 16, 2048), 9 * 256);  // 16 columns of tiles: 9 rows of them for 132 SMs
    EXPECT_EQ(before(32 * 4096, 32, 4096), 5 * 256);
    EXPECT_EQ(before(16 * 512, 16, 2048), 16 * 512);    // few of an expert
    EXPECT_EQ(before(6144, 1, 4096), 6144);             // few in all
    EXPECT_EQ(before(64 * 4096, 64, 1024), 32 * 4096);  // products of few columns
    for (const std::int64_t experts : {1, 7, 128}) {
        for (const std::int64_t columns : {1, 128, 1000, 2880, 28672}) {
            for (std::int64_t rows = 1; rows <= 1 << 20; rows += 1 + rows / 5) {
                const std::int64_t found = before(rows, experts, columns);
                EXPECT_TRUE(found == rows || (found > 0 && found < rows && found % block == 0));
                EXPECT_GE(found, std::min<std::int64_t>(rows, 132 / ((columns + 127) / 128) * 256));
            }
        }
    }
}

TEST(HopperChoice, FewTilesAreSmall) {
    EXPECT_EQ(choose_tiling(0, 16, 2048, 132), Tiling::few_16);
    EXPECT_EQ(choose_tiling(8, 128, 768, 132), Tiling::few_16);  // 48 tiles of 128 columns
    EXPECT_EQ(choose_tiling(16, 16, 2048, 132), Tiling::few_64);
}

TEST(HopperChoice, ManyRowsOfFewTilesAreCutSmall) {
    EXPECT_EQ(choose_tiling(256, 1, 4096, 132), Tiling::few_64);    // 64 tiles of 128 columns
    EXPECT_EQ(choose_tiling(257, 1, 4096, 132), Tiling::many_256);  // 96
    EXPECT_EQ(choose_tiling(128 * 16, 16, 2048, 132), Tiling::many_128);
    EXPECT_EQ(choose_tiling(128 * 16 + 1, 16, 2048, 132), Tiling::many_256);
}

TEST(HopperChoice, LargeWeightsStayInOrder) {
    EXPECT_TRUE(weights_leave_first(128 * 16, 16, 128, std::int64_t{268435456}));
    EXPECT_FALSE(weights_leave_first(128 * 16, 16, 128, std::int64_t{469762048}));
    EXPECT_FALSE(weights_leave_first(128 * 16 + 1, 16, 128, 1024));
}

TEST(HopperChoice, WeightsAreAskedForWhereTheFirstTileCanBeTold) {
    EXPECT_EQ(early_chunks(16, 16, 64, 128, 4096, 1), 4);
    EXPECT_EQ(early_chunks(64 * 16, 16, 64, 128, 4096, 1), 4);
    EXPECT_EQ(early_chunks(16, 16, 16, 64, 4096, 2), 4);
    EXPECT_EQ(early_chunks(128 * 16, 16, 128, 256, 4096, 1), 2);
    EXPECT_EQ(early_chunks(16, 16, 64, 128, 130, 1), 2);            // all of K
    EXPECT_EQ(early_chunks(15, 16, 64, 128, 4096, 1), 0);           // some expert has no row
    EXPECT_EQ(early_chunks(64 * 16 + 1, 16, 64, 128, 4096, 1), 0);  // some has more than a tile
}

TEST(HopperChoice, TheNearestKernelThatIsMade) {
    const std::array<bool, tiling_count> two{false, true, false, true, false};
    EXPECT_EQ(nearest_tiling(Tiling::few_16, two), Tiling::few_64);
    EXPECT_EQ(nearest_tiling(Tiling::few_64, two), Tiling::few_64);
    EXPECT_EQ(nearest_tiling(Tiling::many_256, two), Tiling::many_256);
    EXPECT_EQ(nearest_tiling(Tiling::many_128, two), Tiling::many_256);
}

TEST(HopperChoice, OperandsAreRoundedOnlyWhereTheCallerAllowsIt) {
    for (const bool inexact : {false, true}) {
        EXPECT_TRUE(may_rebase(DType::e2m1x2, DType::ue8m0, inexact));
        EXPECT_EQ(may_rebase(DType::e4m3, DType::ue8m0, inexact), inexact);
        EXPECT_FALSE(may_rebase(DType::e5m2, DType::ue8m0, inexact));
        EXPECT_FALSE(may_rebase(DType::bf16, DType::ue8m0, inexact));
        EXPECT_FALSE(may_rebase(DType::e2m1x2, DType::ue4m3, inexact));
        EXPECT_FALSE(may_rebase(DType::bf16, DType::ue4m3, inexact));
    }
    for (const VariantInfo& row : variants) {
        EXPECT_TRUE(row.scale_dtype != DType::ue8m0 || row.alpha == Alpha::none)
            << row.name << ": the kernel of rebased operands knows no alpha";
    }
}

TEST(HopperChoice, CountsOfEveryRoutingFit) {
    EXPECT_TRUE(counts_fit(131072, 32, 7168, 2048, 128, 192));
    EXPECT_TRUE(counts_fit(8192, 384, 14336, 28672, 64, 128));
    EXPECT_TRUE(counts_fit(0, 1, 1, 16, 16, 64));
    EXPECT_FALSE(counts_fit(std::int64_t{1} << 31, 1, 64, 16, 128, 128));
    EXPECT_FALSE(counts_fit(1 << 20, 384, 1 << 20, 16, 16, 64));
    EXPECT_FALSE(counts_fit(1, 1, 1, std::int64_t{1} << 31, 16, 64));
}

}  // namespace
}  // namespace moegemm::hopper
